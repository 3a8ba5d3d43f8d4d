"""`--supervise`: the first process keeps the sockets, and starts the server again after a crash."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import control
import pytest
from client import Closed, Connection
from control import singlemalt
from requests_raw import get
from test_isolation import own_gil_only
from test_options_user import way_in
from test_socket_activation import Manager, handed_over
from test_waiter import children, namespaces
from test_waiter import status as status_of
from versions import reload, rewrite, version

from server import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

CRASHES = """
    import ctypes, os
    from knock import knock

    # A file says what the next load does.
    if os.path.exists("crash-at-load"):
        os.abort()
    if os.path.exists("wait-at-load"):
        knock("loads")

    def application(environ, start_response):
        how = environ["PATH_INFO"][1:]
        if how.startswith("wait"):
            knock(how)
        elif how == "segv":
            ctypes.string_at(1)
        elif how == "abort":
            os.abort()
        elif how == "exit":
            os._exit(0)
        start_response("200 OK", [])
        return [b"%d" % os.getpid()]
"""
RESTARTED = r"supervised by process \d+; crashes so far: {}"


def supervised(serve, gate, *arguments, **more):
    server = serve("--supervise", "--threads", "4", *arguments, source=CRASHES, gate=gate, **more)
    server.never = re.compile("panicked")
    return server


def process_of(server):
    """The process that serves."""
    return int(server.ask("/").text)


def crash(server, path):
    with server.connect() as connection:
        connection.send(get(path))
        with pytest.raises((Closed, ConnectionError)):
            connection.receive()


def status(server):
    done = singlemalt(server.directory, "status", "--pidfile", "pid", "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


HOW = {
    "/segv": r"was killed by signal 11 \(SIGSEGV\)",
    "/abort": r"was killed by signal 6 \(SIGABRT\)",
    "/exit": "has left",
    signal.SIGKILL: r"was killed by signal 9 \(SIGKILL\)",
}


@pytest.mark.parametrize("how", HOW, ids=str)
def test_a_crash_costs_the_requests_in_progress_alone(serve, gate, how):
    server = supervised(serve, gate, "--pidfile", "pid")
    first = server.process.pid
    assert int((server.directory / "pid").read_text()) == first
    before = process_of(server)
    assert children(server) == [before]
    assert status(server)["supervised"] == {"crashes": 0, "last_crash": None}
    with server.connect() as waiting:
        waiting.send(get("/wait?some=query"))
        visitor = gate.visitor()
        if isinstance(how, str):
            crash(server, how)
        else:
            os.kill(before, how)
        with pytest.raises((Closed, ConnectionError)):
            waiting.receive()
    visitor.release()
    # No sleep and no second attempt: the connection waits.
    after = process_of(server)
    assert after != before and children(server) == [after]
    server.wait_for_log(RESTARTED.format(1))
    log = server.log()
    assert re.search(rf"the server \(process {before}\) {HOW[how]}: a crash", log), log
    named = re.findall(
        r"in progress: GET (\S+) \(worker 1, core \d\), since .* UTC, for \d+\.\d{3} s", log
    )
    wanted = ["/wait?some=query"] + ([how] if isinstance(how, str) else [])
    assert sorted(named) == sorted(wanted), log
    known = status(server)
    assert known["pid"] == first and known["supervised"]["crashes"] == 1
    assert re.fullmatch(HOW[how], known["supervised"]["last_crash"]["how"])
    assert int((server.directory / "pid").read_text()) == first
    shown = singlemalt(server.directory, "status", "--pidfile", "pid").stdout
    assert re.search(r"^crashes +1, the last one \d+ \w+ ago: the server ", shown, re.MULTILINE)
    # A stop is no crash.
    stopped = singlemalt(server.directory, "stop", "--pidfile", "pid")
    assert stopped.returncode == 0, stopped
    assert server.wait_for_exit() == 0
    assert server.log().count("a crash;") == 1


def test_connections_wait_while_no_server_runs(serve, gate):
    server = supervised(serve, gate)
    before = process_of(server)
    (server.directory / "wait-at-load").touch()
    os.kill(before, signal.SIGKILL)
    loading = gate.visitor()
    answers = []

    def ask():
        answers.append(server.ask("/").text)

    clients = [threading.Thread(target=ask) for _ in range(20)]
    with server.connect() as connection:
        # It is in the queue of the listening socket.
        connection.send(get("/"))
        for client in clients:
            client.start()
        loading.release()
        assert int(connection.receive().text) != before
        for client in clients:
            client.join()
    assert len(answers) == 20


def test_a_start_that_fails_ends_with_its_code(serve, tmp_path):
    missing = serve(
        "--supervise", "--need-app", "--vacuum", "--pidfile", "pid", source="1 / 0\n", wait=False
    )
    assert missing.wait_for_exit() == 22
    missing.exit_code_expected = 22
    assert "a crash" not in missing.log()
    assert not (missing.directory / "pid").exists()
    dies = serve("--supervise", source="import os\nos.kill(os.getpid(), 9)\n", wait=False)
    assert dies.wait_for_exit() == -signal.SIGKILL
    dies.exit_code_expected = -signal.SIGKILL
    # Without the option, such a server answers 500.
    lenient = serve("--supervise", source="1 / 0\n")
    assert lenient.ask("/").status == 500


def test_starts_that_fail_after_a_crash_are_tried_again_and_a_stop_ends_them(serve, gate):
    server = supervised(serve, gate)
    (server.directory / "crash-at-load").touch()
    os.kill(process_of(server), signal.SIGKILL)
    failed = r"the new server \(process \d+\) was killed by signal 6 \(SIGABRT\); the next start follows in {} s"
    server.wait_for_log(failed.format("0.1"))
    server.wait_for_log(failed.format("0.2"))
    server.wait_for_log(failed.format("0.4"))
    (server.directory / "crash-at-load").unlink()
    assert process_of(server)
    server.wait_for_log(RESTARTED.format(1))
    # Once more, and then the stop comes while no server runs.
    (server.directory / "crash-at-load").touch()
    os.kill(process_of(server), signal.SIGKILL)
    server.wait_for_log(failed.format(r"[\d.]+"), count=5)
    server.wait_until(lambda: not children(server), what="no server")
    server.send_signal(signal.SIGTERM)
    assert server.wait_for_exit() == 0
    assert "stopping; no server runs" in server.log()


def test_a_stop_while_the_server_is_started_again(serve, gate):
    server = supervised(serve, gate)
    (server.directory / "wait-at-load").touch()
    os.kill(process_of(server), signal.SIGKILL)
    gate.visitor()
    server.send_signal(signal.SIGTERM)
    server.wait_for_log("SIGTERM: stopping before the start is over")
    assert server.wait_for_exit() == 0


def test_a_crash_during_a_stop_is_the_end(serve, gate):
    server = supervised(serve, gate)
    with server.connect() as waiting:
        waiting.send(get("/wait"))
        gate.visitor()
        process = children(server)[0]
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping; requests in progress")
        os.kill(process, signal.SIGKILL)
        assert server.wait_for_exit() == -signal.SIGKILL
    server.exit_code_expected = -signal.SIGKILL
    assert "a crash;" not in server.log()


def test_the_server_stops_when_the_first_process_is_killed(serve, gate):
    server = supervised(serve, gate, "--vacuum", "--http-socket", "./socket")
    process = process_of(server)
    with server.connect() as waiting:
        waiting.send(get("/wait"))
        visitor = gate.visitor()
        server.exit_code_expected = None
        server.process.kill()
        server.wait_for_log("the first process of the server is gone; this process stops too")
        server.wait_for_log("the end of the first process: stopping")
        # The request is finished.
        visitor.release()
        assert int(waiting.receive().text) == process
    server.wait_for_log("stopped")
    server.wait_for_exit()
    assert not (server.directory / "socket").exists()


@own_gil_only
def test_signals_reach_the_server_and_the_version_after_a_crash_is_the_new_one(serve):
    server = serve("--supervise", "--logto", "log", source=version(1), wait=False)
    log = server.directory / "log"
    server.wait_until(lambda: log.exists() and "ready" in log.read_text(), what="ready")
    address = ("127.0.0.1", int(re.search(r"127\.0\.0\.1:(\d+)", log.read_text())[1]))

    def ask():
        with Connection(address) as connection:
            return connection.ask(get("/")).text

    def says(path, text):
        server.wait_until(lambda: path.exists() and text in path.read_text(), what=text)

    assert ask() == "1"
    rewrite(server, version(2))
    # As logrotate does. The signal reloads and opens the log again.
    log.rename(server.directory / "log.1")
    server.send_signal(signal.SIGHUP)
    says(log, "generation 2 serves")
    assert ask() == "2"
    os.kill(children(server)[0], signal.SIGKILL)
    assert ask() == "2"
    # The first process writes to the new file, too.
    says(log, "was killed by signal 9 (SIGKILL): a crash;")
    assert "a crash;" not in (server.directory / "log.1").read_text()


def test_an_app_of_the_main_interpreter_reloads_and_is_started_again(serve, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(
        "--isolation",
        "main",
        "--supervise",
        "--ini",
        "site.ini",
        source=version(1),
        files={"site.ini": "[uwsgi]\n"},
    )
    before = children(server)
    # The successor has another socket, which the first process does not know from its start.
    (server.directory / "site.ini").write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\n")
    reload(server, version(2))
    server.wait_for_log(r"reloaded: process (\d+) is the server now")
    server.wait_until(lambda: len(children(server)) == 1, what="one process")
    (successor,) = children(server)
    assert [successor] != before
    os.kill(successor, signal.SIGKILL)
    with Connection(("127.0.0.1", port)) as connection:
        assert connection.ask(get("/")).text == "2"
    assert server.ask("/").text == "2"
    assert server.log().count("a crash;") == 1


@pytest.mark.parametrize("isolation", ["auto", "main"])
def test_a_second_server_takes_over(serve, gate, isolation):
    warm = ["--supervise=warm", "--isolation", isolation]
    server = supervised(serve, gate, *warm, "--pidfile", "pid")
    loaded = (
        r"a second server is loaded \(process (\d+), \d+ MB\) and takes over if the server crashes"
    )
    second = int(server.wait_for_log(loaded)[1])
    before = process_of(server)
    assert sorted(children(server)) == sorted([before, second])
    os.kill(before, signal.SIGKILL)
    assert process_of(server) == second
    # There is a new second one.
    third = int(server.wait_for_log(loaded, count=2)[1])
    assert status(server)["supervised"]["crashes"] == 1
    # It has the new version after a reload.
    rewrite(server, "def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n")
    server.send_signal(signal.SIGHUP)
    fourth = int(server.wait_for_log(loaded, count=3)[1])
    successor = re.findall(r"process (\d+) is the server now", server.log())
    serving = int(successor[0]) if successor else second
    server.wait_until(lambda: sorted(children(server)) == sorted([serving, fourth]))
    os.kill(serving, signal.SIGKILL)
    assert server.ask("/").text == "new"
    # A second server that dies is replaced, and costs nothing.
    fifth = int(server.wait_for_log(loaded, count=4)[1])
    os.kill(fifth, signal.SIGKILL)
    server.wait_for_log(rf"the second server \(process {fifth}\) was killed")
    server.wait_for_log(loaded, count=5)
    assert status(server)["supervised"]["crashes"] == 2
    assert third not in children(server)
    assert server.stop() == 0


def test_the_service_manager_hears_of_the_first_process_and_that_it_works(serve, gate, tmp_path):
    with Manager(str(tmp_path / "notify")) as manager:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        server = supervised(serve, gate, environment=environment)
        ready = manager.hear_until("READY")
        assert int(ready["MAINPID"]) == server.process.pid
        for _ in range(3):
            assert manager.hear_until("WATCHDOG")["WATCHDOG"] == "1"
        assert manager.sender in (None, server.process.pid)
        # While no server answers, the first process does.
        (server.directory / "wait-at-load").touch()
        os.kill(process_of(server), signal.SIGKILL)
        loading = gate.visitor()
        for _ in range(3):
            assert manager.hear_until("WATCHDOG")["WATCHDOG"] == "1"
        loading.release()
        assert int(manager.hear_until("READY")["MAINPID"]) == server.process.pid
        # A process that hangs does not.
        process = process_of(server)
        os.kill(process, signal.SIGSTOP)
        manager.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(10):
                manager.hear()
        os.kill(process, signal.SIGCONT)


def test_the_watchdog_of_a_server_without_supervision(serve, tmp_path):
    with Manager(str(tmp_path / "notify")) as manager:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        server = serve(source=version(1), environment=environment)
        manager.hear_until("READY")
        for _ in range(3):
            assert manager.hear_until("WATCHDOG")["WATCHDOG"] == "1"
        # In another process's name it is not asked for.
        server.stop()
    with Manager(str(tmp_path / "other")) as manager:
        environment = {
            "NOTIFY_SOCKET": str(tmp_path / "other"),
            "WATCHDOG_USEC": "20000",
            "WATCHDOG_PID": "1",
        }
        server = serve(source=version(1), environment=environment)
        heard = [manager.hear_until("READY")]
        server.stop()
        while "STOPPING" not in heard[-1]:
            heard.append(manager.hear())
        assert not any("WATCHDOG" in one for one in heard)


def test_a_daemon(serve, tmp_path):
    """The command ends, and the first process goes on."""
    server = serve(
        "--supervise",
        *("--daemonize", "log", "--safe-pidfile", "pid", "--vacuum", "--master-fifo", "fifo"),
        *("--http-socket", "./socket", "--hook-as-root", "print:as root"),
        *("--hook-as-user", "print:as user"),
        source=version(1),
        wait=False,
    )
    assert server.wait_for_exit() == 0
    pidfile, log = server.directory / "pid", server.directory / "log"

    def wait_until(condition):
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)

    def ask():
        with Connection(str(server.directory / "socket")) as connection:
            return connection.ask(get("/")).text

    wait_until(lambda: pidfile.exists() and pidfile.read_text())
    first = int(pidfile.read_text())
    assert ask() == "1"
    (process,) = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    os.kill(int(process), signal.SIGKILL)
    assert ask() == "1"
    wait_until(lambda: "crashes so far: 1" in log.read_text())
    assert log.read_text().count("as root") == 1
    assert log.read_text().count("as user") == 2
    assert int(pidfile.read_text()) == first
    # The command is taken by the new process.
    (server.directory / "fifo").write_text("q")
    wait_until(lambda: not Path(f"/proc/{first}").exists())
    assert {"app.py", "log"} == set(os.listdir(server.directory)) - {".cache"}


def test_the_fallback_is_started_once(serve, tmp_path):
    fallback = tmp_path / "fallback.ini"
    fallback.write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nwsgi-file = {tmp_path}/fallback.py\n")
    (tmp_path / "fallback.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'fallback']\n"
    )
    server = serve(
        *("--supervise", "--fallback-config", fallback, "--virtualenv", "missing"),
        source=version(1),
        virtualenv=False,
        wait=False,
    )
    server.wait_for_log(f"ready after .* pid {server.process.pid};")
    with Connection(server.addresses()[-1]) as connection:
        assert connection.ask(get("/")).text == "fallback"
    assert server.log().count("ready after") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_privileges_are_dropped_once(serve):
    nobody = pwd.getpwnam("nobody")
    source = """
        import os
        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"%d %d" % (os.getuid(), os.getpid())]
    """
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    try:
        server = serve(
            *("--supervise", "--uid", "nobody", "--chmod-socket=600", "--control", "./control"),
            source=source,
            listen=["./socket"],
            directory=directory,
            wrapper=way_in(),
        )

        def ask():
            with Connection(str(directory / "socket")) as connection:
                return connection.ask(get("/")).text.split()

        uid, process = ask()
        assert int(uid) == nobody.pw_uid
        assert status_of(server.process.pid)["Uid"].split() == [str(nobody.pw_uid)] * 4
        os.kill(int(process), signal.SIGKILL)
        assert ask()[0] == uid
        answered, body = control.ask(directory / "control")
        assert answered == 200 and body["supervised"]["crashes"] == 1
        assert server.stop() == 0
    finally:
        shutil.rmtree(directory)


def test_a_socket_of_the_service_manager(serve):
    """It is handed to the first process, and each server has it."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        server = handed_over(serve, [one], "--supervise")
        answered = re.compile(r"/ \d+ \[\]")
        for _ in range(2):
            with Connection(one.getsockname()) as connection:
                assert answered.fullmatch(connection.ask(get("/")).text)
            os.kill(children(server)[0], signal.SIGKILL)
        with Connection(one.getsockname()) as connection:
            assert answered.fullmatch(connection.ask(get("/")).text)


def test_in_a_container(serve, gate):
    wrapper = namespaces("--pid", "--fork", "--mount-proc", "--kill-child")
    server = supervised(serve, gate, wrapper=wrapper)
    (inside,) = children(server)
    of_it = Path(f"/proc/{inside}/task/{inside}/children")
    (before,) = of_it.read_text().split()
    os.kill(int(before), signal.SIGKILL)
    assert server.ask("/").status == 200
    server.wait_for_log(RESTARTED.format(1))
    (after,) = of_it.read_text().split()
    assert after != before
    os.kill(inside, signal.SIGTERM)
    assert server.wait_for_exit() == 0


def test_the_first_process_is_small(serve, gate):
    server = supervised(serve, gate)
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "lib-dynload" not in maps and "site-packages" not in maps
    threads = len(os.listdir(f"/proc/{server.process.pid}/task"))
    assert threads == 2, "the main thread, and the one that writes the log"


def test_what_cannot_be(serve, tmp_path):
    for arguments, said in (
        (["--supervise=hot"], "wants on, off or warm, got 'hot'"),
        (["--supervise", "--daemonize2", "log"], "cannot be combined with --daemonize2"),
    ):
        server = Server(["--http-socket", "127.0.0.1:0", *arguments, "app.py"], tmp_path)
        assert server.wait_for_exit() == 1
        assert said in server.log()


BEGUN = """
    import os
    begun = os.open("begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def application(environ, start_response):
        os.write(begun, environ["PATH_INFO"].encode() + b"\\n")
        start_response("200 OK", [])
        return [b"%d" % os.getpid()]
"""


@pytest.mark.parametrize("mode", ["on", "warm"])
def test_a_storm_of_crashes(serve, mode):
    """No connection is refused, and the log names the requests that fail in the application."""
    server = serve(f"--supervise={mode}", "--threads", "4", source=BEGUN)
    server.never = re.compile("panicked")
    crashes = 8
    is_over = threading.Event()
    failed, refused, answered = [], [], []

    def client(number):
        count = 0
        while not is_over.is_set():
            count += 1
            path = f"/{number}-{count}"
            try:
                with server.connect() as connection:
                    connection.send(get(path))
                    connection.receive()
                    answered.append(path)
            except ConnectionRefusedError:
                refused.append(path)
            except (Closed, ConnectionError):
                failed.append(path)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(3)]
    for one in clients:
        one.start()
    kills = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]
    for number in range(crashes):
        server.wait_until(lambda: answered, what="an answer")
        answered.clear()
        (process,) = set(children(server)) & {
            int(one) for one in re.findall(r"^ready after .*pid (\d+);", server.log(), re.M)
        }
        os.kill(process, kills[number % 3])
        server.wait_for_log(RESTARTED.format(number + 1))
    is_over.set()
    for one in clients:
        one.join()
    assert not refused
    # A client has one request in progress, and so at most one fails at each crash.
    assert len(failed) <= crashes * len(clients)
    named = set(re.findall(r"in progress: GET (/\d+-\d+) ", server.log()))
    begun = set((server.directory / "begun").read_text().split())
    assert begun & set(failed) <= named
