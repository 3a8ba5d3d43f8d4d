"""A reload of the whole process: another process loads the new version and becomes the server; the first process stays, and waits.

The application knocks at the test's gate when it is imported, and in requests for /held; so a test decides in which phase of the
reload something happens:

    loading     the successor imports the application; the old version serves
    draining    the successor serves; the process before it finishes requests in the old version
    settled     the successor is the server; of the others only the first process is there
"""

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

import control
import pytest
from certificates import Authority, TlsConnection
from client import Connection
from conftest import HAS_OWN_GIL
from storm import BROKEN, Load, Site, reload_often
from versions import reload, rewrite

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no signals here"),
]

GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
ROOT = GET % b"/"
PHASES = ["loading", "draining", "settled"]

APP = """\
    import os
    from knock import knock
    VERSION = "{version}"
    if {held}:
        knock("import " + VERSION)
    if os.path.exists("broken"):
        raise RuntimeError("broken on purpose")

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/reload":
            import uwsgi
            uwsgi.reload()
        if path == "/stop":
            import uwsgi
            uwsgi.stop()
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return pieces()
        if path == "/held":
            knock("request " + VERSION)
        body = VERSION.encode()
        if path == "/pid":
            body = str(os.getpid()).encode()
        elif path == "/echo":
            body += b" " + environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    def pieces():
        yield VERSION.encode() + b";"
        knock("piece " + VERSION)
        yield VERSION.encode() + b";"
"""


def app(version, held=True):
    return APP.format(version=version, held=held)


def plain(version):
    """Without a gate."""
    return app(version, held=False).replace("from knock import knock", "knock = print")


def reloaded(server, count=1):
    """The process id of the new server, when the one before it has left, unless that is the first process."""
    pid = int(
        server.wait_for_log(r"reloaded: process (\d+) is the server now", count=count, seconds=60)[
            1
        ]
    )
    server.wait_until(
        lambda: set(family(server)) == {server.process.pid, pid},
        what="the end of the process before",
    )
    return pid


def successor_of(server, count=1):
    return int(
        server.wait_for_log(r"the new version is loaded: process (\d+) serves", count=count)[1]
    )


def serving(server):
    return int(server.ask("/pid").text)


def children(server):
    found = []
    for task in os.listdir(f"/proc/{server.process.pid}/task"):
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            of_it = Path(f"/proc/{server.process.pid}/task/{task}/children").read_text()
            found += map(int, of_it.split())
    return found


def family(server):
    """Every process of the server: they have its standard output."""
    log = os.stat(f"/proc/{server.process.pid}/fd/1").st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.stat(entry / "fd" / "1").st_ino == log and is_there(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def is_there(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pid, seconds=20):
    """It has ended, or does so now: its last descriptor is closed a moment before it counts as ended."""
    end = time.monotonic() + seconds
    while is_there(pid):
        assert time.monotonic() < end, f"process {pid} is still there after {seconds} s"
        time.sleep(0.005)


class Reload:
    """A reload from version 1 to version 2 that goes as far as it is told to. `held` is in the version of the phase before."""

    def __init__(self, serve, gate, *arguments, isolation="main"):
        self.gate = gate
        self.server = serve(
            "--isolation",
            isolation,
            "--threads",
            "4",
            *arguments,
            gate=gate,
            source=app(1, held=False),
        )
        self.kept = self.server.connect()
        assert self.kept.ask(ROOT).text == "1"
        self.held = self.successor = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.kept.close()
        if self.held is not None:
            self.held.close()

    def hold(self, version):
        self.held = self.server.connect()
        self.held.send(GET % b"/held")
        visitor = self.gate.visitor()
        assert visitor.word == f"request {version}"
        return visitor

    def until(self, phase):
        """What is returned lets the reload go on, or lets go of a request."""
        request = self.hold(1) if phase in ("loading", "draining") else None
        reload(self.server, app(2))
        importing = self.gate.visitor()
        assert importing.word == "import 2"
        [self.successor] = [pid for pid in family(self.server) if pid != self.server.process.pid]
        if phase == "loading":
            return [importing, request]
        importing.release()
        assert successor_of(self.server) == self.successor
        if phase == "draining":
            assert self.kept.ask(ROOT).text == "2"
            return [request]
        assert reloaded(self.server) == self.successor
        return [self.hold(2)]


# Nothing is lost, and nobody waits


def test_reloads_under_load_lose_nothing(serve, tmp_path):
    site = Site(tmp_path)
    site.version(1)
    server = serve("app.py", "--isolation", "main", "--threads", "4", directory=tmp_path)
    pid = server.process.pid
    with Load(server.address, seed="main") as load:
        last = reload_often(server, site, reloads=10, seed="main", mode="exec")
    assert not load.failures, load.failures[:5]
    assert load.newest == last
    assert Path(f"/proc/{pid}").exists() and server.process.poll() is None, "the process id stays"


@pytest.mark.skipif(not HAS_OWN_GIL, reason="there are no own-GIL interpreters")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--isolation", "own-gil", "--processes", "2", "--threads", "2"),
        ("--isolation", "shared-gil", "--processes", "2"),
        ("--isolation", "main", "--threads", "2", "--poll", "acceptor"),
    ],
    ids=["own-gil", "shared-gil", "acceptor"],
)
def test_reloads_of_every_kind_lose_nothing(serve, tmp_path, arguments):
    site = Site(tmp_path)
    site.version(1)
    server = serve("app.py", "--reload-mode", "exec", *arguments, directory=tmp_path)
    with Load(server.address, seed=arguments) as load:
        last = reload_often(server, site, reloads=6, seed=arguments, mode="exec")
    assert not load.failures, load.failures[:5]
    assert load.newest == last


def test_a_successor_takes_everything_over(serve):
    server = serve(
        "--isolation",
        "main",
        "--pidfile",
        "app.pid",
        "--vacuum",
        "--stats",
        "127.0.0.1:0",
        source=plain(1),
    )
    first, pidfile = server.process.pid, server.directory / "app.pid"
    host, _, port = server.wait_for_log(r"statistics at (\S+)")[1].rpartition(":")
    assert serving(server) == first == int(pidfile.read_text())
    before = first
    with server.connect() as kept:
        assert kept.ask(ROOT).text == "1"
        for count, version in enumerate((2, 3), 1):
            reload(server, plain(version))
            pid = reloaded(server, count)
            # The same connection goes on.
            assert kept.ask(ROOT).text == str(version)
            assert kept.ask(GET % b"/pid").text == str(pid)
            assert pid not in (before, first)
            before = pid
            # Others know the first process, whoever serves.
            assert int(pidfile.read_text()) == first
            told = control.singlemalt(server.directory, "status", "app.pid")
            assert (
                f"pid {first}: serving" in told.stdout and "the new version serves" in told.stdout
            ), told
            with socket.create_connection((host, int(port)), timeout=30) as caller:
                assert f'"pid":{first}' in control.read_all(caller).decode().replace(" ", "")
    server.send_signal(signal.SIGTERM)
    assert server.wait_for_exit() == 0
    assert (
        sorted(path.name for path in server.directory.iterdir() if path.name.startswith("app.pid"))
        == []
    )


def test_requests_in_progress_are_finished_in_the_old_version(serve, gate):
    """A request in the application, half a body, a stream: they have begun, and others are answered by the new version."""
    with Reload(serve, gate) as under_way:
        server = under_way.server
        half, stream, begun = (server.connect() for _ in range(3))
        half.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        stream.send(GET % b"/stream")
        piece = gate.visitor()
        assert piece.word == "piece 1"
        begun.send(b"GET / HTTP/1.1\r\nHo")
        [request] = under_way.until("draining")
        for connection in (under_way.kept, server.connect()):
            assert connection.ask(ROOT).text == "2"
        # Of this one no request had come.
        assert begun.ask(b"st: a\r\n\r\n", "GET").text == "2"
        request.release()
        assert under_way.held.receive().text == "1"
        half.send(b"cd")
        assert half.receive("POST").text == "1 abcd"
        piece.release()
        assert stream.receive().text == "1;1;"
        assert reloaded(server) == under_way.successor
        for connection in (under_way.held, half, stream, begun):
            assert connection.ask(ROOT).text == "2"
            connection.close()


def test_pipelined_requests_move_with_their_connection(serve, gate):
    """The first one holds the connection; those behind it have been read already."""
    with Reload(serve, gate) as under_way:
        with under_way.server.connect() as ahead:
            ahead.send(GET % b"/held" + ROOT + GET % b"/pid")
            first = gate.visitor()
            [request] = under_way.until("draining")
            first.release()
            assert [ahead.receive().text for _ in range(3)] == ["1", "2", str(under_way.successor)]
            request.release()
            reloaded(under_way.server)


def test_tls_connections_end_with_their_last_response(serve, gate, tmp_path):
    """They cannot move; nobody is refused for it."""
    authority = Authority()
    certificate, key = authority.files(tmp_path)
    server = serve(
        "--isolation",
        "main",
        "--threads",
        "4",
        "--https",
        f"127.0.0.1:0,{certificate},{key}",
        gate=gate,
        listen=(),
        source=app(1, held=False),
    )

    def connect():
        return TlsConnection(server.address, authority.context(), "localhost")

    with connect() as held, connect() as late, connect() as idle:
        assert idle.ask(ROOT).text == "1"
        held.send(GET % b"/held")
        request = gate.visitor()
        reload(server, app(2))
        gate.visitor().release()
        successor_of(server)
        # Its first request comes in the old process, which has nobody to give it to.
        answer = late.ask(ROOT)
        assert answer.text == "1" and not answer.keeps_alive
        with connect() as new:
            assert new.ask(ROOT).text == "2"
            request.release()
            answer = held.receive()
            assert answer.text == "1" and not answer.keeps_alive
            reloaded(server)
            idle.assert_closed()
    with connect() as new:
        assert new.ask(ROOT).text == "2"


def test_threads_of_the_old_version_halt(serve):
    """The first process stays, but nothing of its application goes on."""
    thread = """\

    def count():
        import time
        while True:
            time.sleep(0.01)
            with open("ticks", "a") as ticks:
                ticks.write(VERSION)

    import threading
    threading.Thread(target=count, daemon=True).start()
"""
    server = serve("--isolation", "main", source=plain(1) + thread)
    ticks = server.directory / "ticks"
    server.wait_until(
        lambda: ticks.exists() and "1" in ticks.read_text(), what="a tick of version 1"
    )
    reload(server, plain(2) + thread)
    reloaded(server)
    # Whatever it was at just then it may finish.
    server.wait_until(lambda: "1" not in ticks.read_text()[-20:], what="silence of version 1")
    before = len(ticks.read_text())
    server.wait_until(lambda: len(ticks.read_text()) > before + 50, what="fifty ticks")
    assert "1" not in ticks.read_text()[before:]


TIMED = """\
    import os, uwsgi
    VERSION = "{version}"

    def tick(number):
        with open("ticks", "a") as ticks:
            ticks.write(VERSION)

    uwsgi.register_signal(7, "worker", tick)
    uwsgi.add_timer(7, 1)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/held":
            from knock import knock
            knock("request " + VERSION)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [VERSION.encode()]
"""


def test_timers_are_one_processes_at_a_time(serve, gate):
    server = serve(
        "--isolation", "main", "--threads", "4", gate=gate, source=TIMED.format(version=1)
    )
    ticks = server.directory / "ticks"
    with server.connect() as held:
        held.send(GET % b"/held")
        request = gate.visitor()
        reload(server, TIMED.format(version=2))
        successor_of(server)
        assert server.ask("/").text == "2"
        before = len(ticks.read_text()) if ticks.exists() else 0
        server.wait_until(
            lambda: ticks.exists() and len(ticks.read_text()) >= before + 2, what="two ticks"
        )
        assert "2" not in ticks.read_text()
        request.release()
        assert held.receive().text == "1"
    reloaded(server)
    server.wait_until(lambda: "2" in ticks.read_text(), what="a tick of version 2")


# What the outside sees


def test_the_server_stays_the_same(serve, gate, tmp_path):
    """The process id, its file, what systemd is told, the listeners of every kind, and what is in the environment."""
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(20)

    def told():
        return notify.recv(4096).decode()

    source = """\
        import os, uwsgi
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr([name for name in os.environ if "SINGLEMALT" in name]).encode()]
    """
    server = serve(
        "app.py",
        "--isolation",
        "main",
        "--vacuum",
        "--pidfile",
        "app.pid",
        "--logto",
        "app.log",
        "--uwsgi-socket",
        "127.0.0.1:0",
        listen=("127.0.0.1:0", "app.sock"),
        directory=tmp_path,
        files={"app.py": source},
        environment={"NOTIFY_SOCKET": str(tmp_path / "notify")},
        wait=False,
    )
    log = tmp_path / "app.log"
    assert f"MAINPID={server.process.pid}" in told()

    def settled(count):
        return log.read_text().count("is the server now") == count and len(family(server)) == 2

    def opened():
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in family(server))

    descriptors = None
    for count in range(1, 6):
        reload(server)
        assert told().startswith("RELOADING=1")
        assert told().startswith(f"READY=1\nMAINPID={server.process.pid}")
        server.wait_until(lambda: settled(count), 60, "one process beside the first")
        # At the second one the first process waits for certain.
        if count == 2:
            descriptors = opened()
    ports = [
        int(port) for port in re.findall(r"listening on \w+://127.0.0.1:(\d+)", log.read_text())
    ]
    assert len(ports) == 12 and len(set(ports)) == 2
    for address in (("127.0.0.1", ports[0]), str(tmp_path / "app.sock")):
        with Connection(address) as connection:
            answer = connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert answer.text == "[]"
    with Connection(("127.0.0.1", ports[1])) as front_end:
        packet = b"".join(
            len(word).to_bytes(2, "little") + word
            for word in (b"REQUEST_METHOD", b"GET", b"PATH_INFO", b"/")
        )
        front_end.send(b"\0" + len(packet).to_bytes(2, "little") + b"\0" + packet)
        assert front_end.rest().endswith(b"[]")
    server.wait_until(
        lambda: opened() <= descriptors, what=f"no more than {descriptors} descriptors"
    )
    assert (tmp_path / "app.pid").read_text().strip() == str(server.process.pid)
    assert server.stop() == 0
    assert told().startswith("STOPPING=1")
    assert not (tmp_path / "app.sock").exists() and not (tmp_path / "app.pid").exists()
    notify.close()


def test_a_changed_configuration_counts(serve, gate):
    """An address more, one less, and another version of the application."""
    files = {
        "app.ini": "[uwsgi]\nhttp-socket = 127.0.0.1:0\nhttp-socket = gone.sock\nisolation = main\nmodule = app\n",
        "app.py": app(1, held=False),
    }
    server = serve("--ini", "app.ini", listen=(), files=files, gate=gate)
    with Connection(str(server.directory / "gone.sock")) as gone, server.connect() as kept:
        assert gone.ask(ROOT).text == "1"
        text = files["app.ini"].replace("gone.sock", "new.sock")
        (server.directory / "app.ini").write_text(text + "env = MORE=yes\n")
        reload(server, app(2))
        gate.visitor().release()
        reloaded(server)
        assert kept.ask(ROOT).text == "2"
        gone.assert_closed()
    with Connection(str(server.directory / "new.sock")) as new:
        assert new.ask(ROOT).text == "2"


# One more while one is under way


@pytest.mark.parametrize("phase", ["loading", "draining"])
def test_a_reload_during_a_reload_is_one_more(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        reload(server, app(3, held=False))
        server.wait_for_log("SIGHUP: a reload is under way; one more follows")
        for visitor in waiting:
            visitor.release()
        pid = reloaded(server, count=2)
        assert under_way.kept.ask(ROOT).text == "3"
        assert server.log().count("reloading; generation") == 2
        assert under_way.kept.ask(GET % b"/pid").text == str(pid)


def test_what_the_application_asks_the_successor_for(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [request] = under_way.until("draining")
        rewrite(server, app(3, held=False))
        assert server.ask("/reload").text == "2"
        request.release()
        reloaded(server, count=2)
        assert under_way.kept.ask(ROOT).text == "3"


def test_a_stop_that_the_application_asks_the_successor_for(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [request] = under_way.until("draining")
        assert server.ask("/stop").text == "2"
        request.release()
        assert server.wait_for_exit() == 0
        assert_gone(under_way.successor)


# Stops


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_in_every_phase_loses_nothing(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        waiting[-1].release()
        answer = under_way.held.receive()
        assert answer.text == ("2" if phase == "settled" else "1")
        assert server.wait_for_exit() == 0
        assert_gone(under_way.successor)
        under_way.kept.assert_closed()


@pytest.mark.parametrize("phase", PHASES)
def test_a_second_signal_ends_both_at_once(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        under_way.until(phase)
        server.exit_code_expected = 128 + signal.SIGTERM
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        server.send_signal(signal.SIGTERM)
        assert server.wait_for_exit() == 128 + signal.SIGTERM
        assert_gone(under_way.successor)


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_of_every_process_at_once_is_one_stop(serve, gate, phase):
    """As Ctrl-C in a terminal, or from a service manager: every process of the server gets it."""
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        for pid in (server.process.pid, under_way.successor):
            os.kill(pid, signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        waiting[-1].release()
        assert under_way.held.receive().text == ("2" if phase == "settled" else "1")
        assert server.wait_for_exit() == 0
        assert_gone(under_way.successor)


@pytest.mark.parametrize("phase", PHASES)
def test_no_process_outlives_the_first_one(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        server.exit_code_expected = None
        server.process.kill()
        server.process.wait()
        if phase == "settled":
            # The successor is the server: it finishes its requests.
            server.wait_for_log("the end of the first process: stopping")
            waiting[-1].release()
            assert under_way.held.receive().text == "2"
        assert_gone(under_way.successor)
        with pytest.raises(ConnectionError):
            server.connect().ask(ROOT)


def test_the_exit_code_is_that_of_the_last_process(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        under_way.until("settled")
        server.exit_code_expected = 128 + signal.SIGTERM
        os.kill(under_way.successor, signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        os.kill(under_way.successor, signal.SIGTERM)
        assert server.wait_for_exit() == 128 + signal.SIGTERM


# Failures


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_version_that_does_not_load_changes_nothing(serve, what):
    server = serve("--isolation", "main", "--pidfile", "app.pid", source=plain(1))
    reload(server, BROKEN[what])
    server.wait_for_log(
        r"reload failed: the application could not be loaded, see above; generation 1 serves on"
    )
    expected = {
        "a syntax error": "SyntaxError",
        "an exception": "broken on purpose",
        "nothing to call": "no `application`",
    }
    assert expected.get(what, "surely_not_there") in server.log()
    assert server.ask("/").text == "1"
    assert not children(server)
    # And this is still how the server is told.
    told = control.singlemalt(server.directory, "reload", "app.pid")
    assert told.returncode == 2 and "the version before serves on" in told.stdout, told
    rewrite(server, plain(2))
    told = control.singlemalt(server.directory, "reload", "app.pid")
    assert told.returncode == 0, told
    reloaded(server)
    assert server.ask("/").text == "2"


@pytest.mark.parametrize("phase", PHASES)
def test_a_successor_that_is_killed(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        if phase == "settled":
            # The first process ends alike, so that its starter knows.
            server.exit_code_expected = -signal.SIGKILL
            os.kill(under_way.successor, signal.SIGKILL)
            assert server.wait_for_exit() == -signal.SIGKILL
            server.wait_for_log("the server was killed by signal 9")
            return
        os.kill(under_way.successor, signal.SIGKILL)
        server.wait_for_log("reload failed: .*; generation 1 serves on")
        assert server.ask("/").text == "1"
        waiting[-1].release()
        assert under_way.held.receive().text == "1", "it was in the process itself"
        assert under_way.held.ask(ROOT).text == "1"
        assert not children(server)
        # And the next reload is like any other.
        reload(server, app(3, held=False))
        reloaded(server)
        assert server.ask("/").text == "3"


def test_a_configuration_that_cannot_be_read_any_more(serve):
    files = {"site.ini": "[uwsgi]\nmodule = app\n", "app.py": plain(1)}
    server = serve("--isolation", "main", "--pidfile", "app.pid", "--ini", "site.ini", files=files)
    (server.directory / "site.ini").write_text("[uwsgi]\nmodule = app\nthreads = many\n")
    reload(server)
    server.wait_for_log("reload failed: .*; generation 1 serves on")
    told = control.singlemalt(server.directory, "status", "app.pid")
    assert "threads" in told.stdout, told
    assert server.ask("/").text == "1"


# What asks for it


COUNTING = """\
    count = 0
    def application(environ, start_response):
        global count
        count += 1
        start_response("200 OK", [])
        return [str(count).encode()]
"""


@pytest.mark.parametrize(
    "option",
    [("--max-requests", "5"), ("--max-worker-lifetime", "1"), ("--reload-on-rss", "1")],
    ids=lambda option: option[0][2:],
)
def test_the_main_interpreter_is_renewed_with_the_process(serve, option):
    server = serve("--isolation", "main", *option, "--min-worker-lifetime", "0", source=COUNTING)
    for _ in range(1, 5):
        assert server.ask("/").status == 200
    server.ask("/")
    server.wait_for_log(rf"\({option[0]}\): reloading; generation 1 serves meanwhile")
    reloaded(server)
    assert server.ask("/").status == 200


def test_a_renewal_that_fails_is_put_off(serve):
    server = serve(
        "--isolation", "main", "--max-requests", "3", "--min-worker-lifetime", "0", source=COUNTING
    )
    rewrite(server, "raise RuntimeError('broken on purpose')\n")
    for number in range(1, 4):
        assert server.ask("/").text == str(number)
    server.wait_for_log("reload failed")
    for number in range(4, 9):
        assert server.ask("/").text == str(number)
    assert server.log().count("reload failed") == 1


@pytest.mark.parametrize(
    "isolation",
    [
        "main",
        pytest.param("own-gil", marks=pytest.mark.skipif(not HAS_OWN_GIL, reason="no own-GIL")),
    ],
)
def test_too_many_workers_that_were_given_up_renew_the_process(serve, isolation):
    server = serve(
        "--isolation",
        isolation,
        "--harakiri",
        "200ms",
        "--harakiri-graceful-timeout",
        "100ms",
        app="stuck.py",
    )
    for count in range(1, 4):
        assert server.ask("/sleep/60").status == 504
        server.wait_for_log("a worker that was given up has a successor", count=count)
    server.wait_for_log(
        r"3 workers given up \(--harakiri\): reloading; generation 1 serves meanwhile"
    )
    reloaded(server)
    assert server.ask("/who").status == 200
