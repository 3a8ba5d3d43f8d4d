"""A reload of the whole process: it starts anew in its own place while another process, its stand-in, serves.

The application knocks at the test's gate when it is imported, first in the stand-in and then in the next image, and in requests
for /held; so a test decides in which phase of the reload something happens:

    loading     the stand-in imports the application; the old version serves
    draining    the stand-in serves; the process finishes requests in the old version
    renewing    the stand-in serves; the next image of the process imports the application
    returning   the next image serves; the stand-in finishes requests
"""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from certificates import Authority, TlsConnection
from client import Connection
from conftest import PYTHON
from storm import BROKEN, Load, Site, reload_often
from versions import reload, rewrite

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="a process cannot start anew in its own place here"
)

GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
ROOT = GET % b"/"
PHASES = ["loading", "draining", "renewing", "returning"]

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


def reloaded(server, count=1):
    server.wait_for_log(r"reloaded: the stand-in served for \d+\.\d\d s", count=count, seconds=60)


def stand_in_left(server, count=1):
    server.wait_for_log(r"the stand-in has left$", count=count)


def stand_in_of(server, count=1):
    return int(server.wait_for_log(r"the stand-in \(pid (\d+)\) serves while", count=count)[1])


def children(server):
    return [
        int(pid)
        for task in os.listdir(f"/proc/{server.process.pid}/task")
        for pid in Path(f"/proc/{server.process.pid}/task/{task}/children").read_text().split()
    ]


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
        self.held = self.visitor = self.stand_in = None

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
        """What is returned lets the reload go on."""
        request = None
        if phase in ("loading", "draining"):
            request = self.hold(1)
        reload(self.server, app(2))
        importing = self.gate.visitor()
        assert importing.word == "import 2"
        self.stand_in = children(self.server)[0]
        if phase == "loading":
            return [importing, request]
        importing.release()
        assert stand_in_of(self.server) == self.stand_in
        if phase == "draining":
            # Somebody answers, so it is the stand-in.
            assert self.kept.ask(ROOT).text == "2"
            return [request]
        importing = self.gate.visitor()
        assert importing.word == "import 2"
        assert self.server.ask("/pid").text == str(self.stand_in)
        if phase == "renewing":
            return [importing]
        request = self.hold(2)
        importing.release()
        reloaded(self.server)
        return [request]


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


@pytest.mark.skipif(PYTHON < (3, 13), reason="there are no own-GIL interpreters")
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


def test_the_stand_in_answers_while_the_process_starts_anew(serve, gate):
    with Reload(serve, gate) as under_way:
        server, kept = under_way.server, under_way.kept
        idle = server.connect()
        [importing] = under_way.until("renewing")
        # Nobody but the stand-in can: the application is not loaded in the process.
        for connection in (kept, idle):
            assert connection.ask(ROOT).text == "2"
            assert connection.ask(GET % b"/pid").text == str(under_way.stand_in)
        half = server.connect().send(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"
        )
        begun = server.connect().send(b"GET /pid HTTP/1.1\r\nHo")
        importing.release()
        reloaded(server)
        # And these by the process again, on the same connections.
        for connection in (kept, idle):
            assert connection.ask(GET % b"/pid").text == str(server.process.pid)
        assert begun.ask(b"st: a\r\n\r\n", "GET").text == str(server.process.pid)
        assert half.ask(b"cd", "POST").text == "2 abcd"
        stand_in_left(server)
        assert half.ask(GET % b"/pid").text == str(server.process.pid)
        for connection in (idle, half, begun):
            connection.close()
        assert not children(server)


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
        gate.visitor().release()
        reloaded(server)
        for connection in (under_way.held, half, stream, begun):
            assert connection.ask(ROOT).text == "2"
            connection.close()


def test_a_stream_goes_on_in_the_stand_in(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [importing] = under_way.until("renewing")
        with server.connect() as stream:
            stream.send(GET % b"/stream")
            piece = gate.visitor()
            importing.release()
            reloaded(server)
            assert server.ask("/pid").text == str(server.process.pid)
            piece.release()
            assert stream.receive().text == "2;2;"
            assert stream.ask(GET % b"/pid").text == str(server.process.pid)
        stand_in_left(server)


def test_pipelined_requests_move_with_their_connection(serve, gate):
    """The first one holds the connection; those behind it have been read already."""
    with Reload(serve, gate) as under_way:
        with under_way.server.connect() as ahead:
            ahead.send(GET % b"/held" + ROOT + GET % b"/pid")
            first = gate.visitor()
            [request] = under_way.until("draining")
            first.release()
            assert [ahead.receive().text for _ in range(3)] == ["1", "2", str(under_way.stand_in)]
            request.release()
            gate.visitor().release()
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
        stand_in_of(server)
        # Its first request comes in the old process, which has nobody to give it to.
        answer = late.ask(ROOT)
        assert answer.text == "1" and not answer.keeps_alive
        with connect() as new:
            assert new.ask(ROOT).text == "2"
            request.release()
            answer = held.receive()
            assert answer.text == "1" and not answer.keeps_alive
            gate.visitor().release()
            reloaded(server)
            idle.assert_closed()
    with connect() as new:
        assert new.ask(ROOT).text == "2"


# What the outside sees


def test_the_process_stays_the_same(serve, gate, tmp_path):
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
            return [repr([name for name in os.environ if "REBIRTH" in name]).encode()]
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
        return log.read_text().count("the stand-in has left") == count

    descriptors = None
    for count in range(1, 6):
        reload(server)
        assert told().startswith("RELOADING=1")
        assert told().startswith(f"READY=1\nMAINPID={server.process.pid}")
        server.wait_until(lambda: settled(count), 60, "the stand-in has left")
        assert not children(server)
        if count == 1:
            descriptors = server.open_descriptors()
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
        lambda: server.open_descriptors() <= descriptors,
        what=f"no more than {descriptors} descriptors",
    )
    assert (tmp_path / "app.pid").read_text().strip() == str(server.process.pid)
    assert server.stop() == 0
    assert told().startswith("STOPPING=1")
    assert not (tmp_path / "app.sock").exists() and not (tmp_path / "app.pid").exists()
    notify.close()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_the_stand_in_is_called_so(serve, gate):
    with Reload(serve, gate) as under_way:
        [importing] = under_way.until("renewing")
        title = Path(f"/proc/{under_way.stand_in}/cmdline").read_text().rstrip("\0 ")
        assert title == f"singlemalt (stand-in of {under_way.server.process.pid} while it reloads)"
        assert "stand-in" not in Path(f"/proc/{under_way.server.process.pid}/cmdline").read_text()
        importing.release()
        reloaded(under_way.server)


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
        importing = gate.visitor()
        assert kept.ask(ROOT).text == "2"
        importing.release()
        reloaded(server)
        assert kept.ask(ROOT).text == "2"
        gone.assert_closed()
    with Connection(str(server.directory / "new.sock")) as new:
        assert new.ask(ROOT).text == "2"
    stand_in_left(server)


# One more while one is under way


@pytest.mark.parametrize("phase", PHASES)
def test_a_reload_during_a_reload_is_one_more(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        reload(server, app(3, held=False))
        if phase != "renewing":
            server.wait_for_log("SIGHUP: a reload is under way; one more follows")
        for visitor in waiting:
            visitor.release()
        # What the next image imports is the newest version already; then it does that once more.
        reloaded(server, count=2)
        assert under_way.kept.ask(ROOT).text == "3"
        stand_in_left(server, count=2)
        assert server.log().count("reloading; generation") == 2
        assert under_way.kept.ask(GET % b"/pid").text == str(server.process.pid)


def test_what_the_application_asks_the_stand_in_for(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [importing] = under_way.until("renewing")
        rewrite(server, app(3, held=False))
        assert server.ask("/reload").text == "2"
        importing.release()
        reloaded(server, count=2)
        assert under_way.kept.ask(ROOT).text == "3"


def test_a_stop_that_the_application_asks_the_stand_in_for(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [importing] = under_way.until("renewing")
        assert server.ask("/stop").text == "2"
        assert server.wait_for_exit() == 0
        assert_gone(under_way.stand_in)
        importing.release()


# Stops


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_in_every_phase_loses_nothing(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        version = "1" if phase in ("loading", "draining") else "2"
        if phase == "renewing":
            # The stand-in has a request.
            waiting = [under_way.hold(2)]
        elif phase == "loading":
            waiting = waiting[1:]
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        for visitor in waiting:
            visitor.release()
        answer = under_way.held.receive()
        assert answer.text == version
        assert server.wait_for_exit() == 0
        assert_gone(under_way.stand_in)
        under_way.kept.assert_closed()


@pytest.mark.parametrize("phase", PHASES)
def test_a_second_signal_ends_both_at_once(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        under_way.until(phase)
        if phase == "renewing":
            under_way.hold(2)
        server.exit_code_expected = 128 + signal.SIGTERM
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        server.send_signal(signal.SIGTERM)
        assert server.wait_for_exit() == 128 + signal.SIGTERM
        assert_gone(under_way.stand_in)


@pytest.mark.parametrize("phase", PHASES)
def test_the_stand_in_does_not_outlive_the_process(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        under_way.until(phase)
        server.exit_code_expected = None
        server.process.kill()
        server.process.wait()
        assert_gone(under_way.stand_in)
        with pytest.raises(ConnectionError):
            server.connect().ask(ROOT)


def test_signals_for_the_whole_group_are_the_processes_own(serve, gate):
    """A service manager signals every process of the service; the stand-in leaves that to the one it stands in for."""
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [importing] = under_way.until("renewing")
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(under_way.stand_in, number)
        assert server.ask("/").text == "2"
        importing.release()
        reloaded(server)


# Failures


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_version_that_does_not_load_changes_nothing(serve, what):
    server = serve(
        "--isolation",
        "main",
        source=app(1, held=False).replace("from knock import knock", "knock = print"),
    )
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


@pytest.mark.parametrize("phase", PHASES)
def test_a_stand_in_that_is_killed(serve, gate, phase):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        waiting = under_way.until(phase)
        idle = server.connect()
        os.kill(under_way.stand_in, signal.SIGKILL)
        if phase == "loading":
            server.wait_for_log("reload failed: .*; generation 1 serves on")
            expected, waiting = "1", waiting[1:]
        elif phase == "draining":
            # The old version takes over again, with whoever connects now.
            server.wait_for_log(
                "reload failed: the stand-in was killed by signal 9; generation 1 serves on"
            )
            expected = "1"
        elif phase == "renewing":
            server.wait_for_log(
                "the stand-in was killed by signal 9: clients wait until the application is loaded"
            )
            expected = "2"
        else:
            server.wait_for_log("the stand-in was killed by signal 9")
            expected = "2"
        for visitor in waiting:
            visitor.release()
        if phase == "renewing":
            server.wait_for_log("reloaded: clients waited for")
        assert server.ask("/").text == expected
        if phase in ("loading", "draining"):
            assert under_way.held.receive().text == "1", "it was in the process itself"
            assert under_way.held.ask(ROOT).text == "1"
        idle.close()
        assert not children(server)
        # And the next reload is like any other.
        before = server.log().count("reloaded: the stand-in served")
        reload(server, app(3, held=False))
        reloaded(server, count=before + 1)
        assert server.ask("/").text == "3"


def test_an_image_that_cannot_load_the_application_tries_again(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [importing] = under_way.until("renewing")
        (server.directory / "broken").write_text("")
        importing.release()
        server.wait_for_log(
            rf"cannot take over from its stand-in \(pid {under_way.stand_in}\), which serves on"
        )
        assert "broken on purpose" in server.log()
        # By itself.
        gate.visitor().release()
        server.wait_for_log(r"it is tried again in 2 s", count=1)
        assert under_way.kept.ask(GET % b"/pid").text == str(under_way.stand_in)
        (server.directory / "broken").unlink()
        reload(server)
        importing = gate.visitor()
        assert server.ask("/").text == "2"
        importing.release()
        reloaded(server)
        assert under_way.kept.ask(GET % b"/pid").text == str(server.process.pid)
        stand_in_left(server)


def test_a_configuration_that_cannot_be_read_any_more(serve, gate):
    """Between the stand-in's start and the next image's."""
    files = {
        "app.ini": "[uwsgi]\nhttp-socket = 127.0.0.1:0\nisolation = main\nthreads = 2\nmodule = app\n",
        "app.py": app(1, held=False),
    }
    server = serve("--ini", "app.ini", listen=(), files=files, gate=gate)
    with server.connect() as held:
        held.send(GET % b"/held")
        request = gate.visitor()
        reload(server, app(2))
        gate.visitor().release()
        stand_in = stand_in_of(server)
        (server.directory / "app.ini").write_text("[uwsgi]\nthreads = many\n")
        request.release()
        assert held.receive().text == "1"
        server.wait_for_log(rf"threads(.|\n)*cannot take over from its stand-in \(pid {stand_in}\)")
        assert held.ask(ROOT).text == "2"
        (server.directory / "app.ini").write_text(files["app.ini"])
        reload(server)
        gate.visitor().release()
        reloaded(server)
        assert held.ask(GET % b"/pid").text == str(server.process.pid)


def test_a_stop_while_the_stand_in_serves_for_good(serve, gate):
    with Reload(serve, gate, "--vacuum", "--pidfile", "app.pid") as under_way:
        server = under_way.server
        [importing] = under_way.until("renewing")
        (server.directory / "broken").write_text("")
        request = under_way.hold(2)
        importing.release()
        server.wait_for_log("cannot take over from its stand-in")
        assert (server.directory / "app.pid").exists()
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping; the stand-in finishes its requests")
        request.release()
        assert under_way.held.receive().text == "2"
        assert server.wait_for_exit() == 0
        assert_gone(under_way.stand_in)
        assert not (server.directory / "app.pid").exists()


def test_a_stand_in_that_dies_when_nothing_else_can_serve(serve, gate):
    with Reload(serve, gate) as under_way:
        server = under_way.server
        [importing] = under_way.until("renewing")
        (server.directory / "broken").write_text("")
        importing.release()
        server.wait_for_log("cannot take over from its stand-in")
        server.exit_code_expected = 22
        os.kill(under_way.stand_in, signal.SIGKILL)
        server.wait_for_log("the stand-in was killed by signal 9: nobody serves any more")
        assert server.wait_for_exit() == 22


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
    for _number in range(1, 5):
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
        pytest.param("own-gil", marks=pytest.mark.skipif(PYTHON < (3, 13), reason="no own-GIL")),
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
    stand_in_left(server)
