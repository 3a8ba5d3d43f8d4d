"""The control socket and its commands: reload, rollback, stop, status, stacks."""

import json
import os
import signal
import socket
import stat
import subprocess
import textwrap
import threading
from pathlib import Path

import pytest
from control import ask, raw, read_all, singlemalt
from test_isolation import own_gil_only
from versions import rewrite

from server import binary

VERSION = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"one"]
"""
NEXT = VERSION.replace("one", "two")
BROKEN = "raise LookupError('the database is gone')\n"


# Knocks at requests for /slow.
KNOCKING = """
    from knock import knock

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            knock("slow")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"one"]
"""
LOADS_SLOWLY = "from knock import knock\nknock('loading')\n" + textwrap.dedent(VERSION)


def with_pidfile(serve, *arguments, **more):
    more.setdefault("source", VERSION)
    return serve("--pidfile", "app.pid", *arguments, **more)


def reload(server, *arguments):
    return singlemalt(server.directory, "reload", "--pidfile", "app.pid", *arguments)


# reload


@own_gil_only
def test_reload_tells_when_the_new_version_serves(serve):
    server = with_pidfile(serve)
    rewrite(server, NEXT)
    done = reload(server)
    assert done.returncode == 0, done
    assert done.stdout.startswith("the new version serves as generation 2 (control; took ")
    # At once, because the command has waited for it.
    assert server.ask().body == b"two"


@own_gil_only
def test_reload_tells_why_there_is_no_new_version(serve):
    server = with_pidfile(serve)
    rewrite(server, BROKEN)
    done = reload(server)
    assert done.returncode == 2
    assert done.stdout.startswith(
        "FAILED: LookupError: the database is gone; the version before serves on"
    )
    assert server.ask().body == b"one"
    status = singlemalt(server.directory, "status", "--pidfile", "app.pid", "--reload-status")
    assert (status.returncode, status.stdout.split(";")[0]) == (
        2,
        "FAILED: LookupError: the database is gone",
    )
    # And back again.
    rewrite(server, NEXT)
    assert reload(server).returncode == 0
    assert singlemalt(server.directory, "--reload-status", "app.pid").returncode == 0


@own_gil_only
def test_reload_in_json(serve):
    server = with_pidfile(serve)
    outcome = json.loads(reload(server, "--json").stdout)
    assert (outcome["outcome"], outcome["generation"], outcome["number"], outcome["by"]) == (
        "serves",
        2,
        1,
        "control",
    )


@own_gil_only
def test_reload_of_one_interpreter_after_the_other(serve):
    server = with_pidfile(serve, "--processes", "2")
    done = reload(server, "--rolling")
    assert done.returncode == 0, done
    assert "serves as generation 1" in done.stdout
    server.wait_for_log("every interpreter of generation 1 is new")


def test_reload_starts_anew_and_tells_of_it(serve):
    server = with_pidfile(serve, "--isolation", "main")
    before = ask(server.directory / "app.pid.control")[1]
    rewrite(server, NEXT)
    done = reload(server)
    assert done.returncode == 0, (done, server.log())
    assert server.ask().body == b"two"
    after = ask(server.directory / "app.pid.control")[1]
    assert after["pid"] == before["pid"]
    assert (after["reload"]["outcome"], after["reload"]["number"], after["reload"]["by"]) == (
        "serves",
        1,
        "control",
    )
    # The application's environment has no trace of it.
    rewrite(server, BROKEN)
    done = reload(server)
    assert done.returncode == 2, done
    assert done.stdout.startswith(
        "FAILED: LookupError: the database is gone; the version before serves on"
    ), done
    assert server.ask().body == b"two"


def test_callers_are_answered_while_another_process_takes_over(serve, gate):
    server = with_pidfile(serve, "--reload-mode", "exec", "--stats", "./stats", gate=gate)
    control = server.directory / "app.pid.control"
    rewrite(server, LOADS_SLOWLY)
    answers = {}

    def note(name, question, *arguments, **more):
        answers[name] = question(*arguments, **more)

    def asking(name, question, *arguments, **more):
        thread = threading.Thread(target=note, args=(name, question, *arguments), kwargs=more)
        thread.start()
        return thread

    waiting = [asking("reload", reload, server)]
    # The successor loads: the process before it answers.
    held = gate.visitor()
    assert ask(control)[1]["reload"]["outcome"] == "loading"
    held.release()
    waiting += [
        asking("status", ask, control),
        asking("stats", raw, server.directory / "stats", b""),
    ]
    waiting += [asking("rolled back", ask, control, "POST", "/rollback")]
    for thread in waiting:
        thread.join(60)
    assert answers["reload"].returncode == 0, answers
    assert (
        answers["status"][1]["reload"]["way"] == "exec"
        and answers["status"][1]["pid"] == server.process.pid
    )
    assert json.loads(answers["stats"])["pid"] == server.process.pid
    assert answers["rolled back"][0] == 409
    assert ask(control)[1]["reloads"] == {"done": 1, "failed": 0, "withdrawn": 0}
    # Counts go on over the next one.
    rewrite(server, NEXT)
    assert reload(server).returncode == 0
    assert ask(control)[1]["reloads"]["done"] == 2


def test_a_reload_of_the_process_tells_what_is_wrong_with_the_configuration(serve):
    server = with_pidfile(
        serve,
        "--ini",
        "more.ini",
        "--reload-mode",
        "exec",
        files={"more.ini": "[uwsgi]\nthreads = 1\n"},
    )
    (server.directory / "more.ini").write_text("[uwsgi]\nthreads = many\n")
    done = reload(server)
    assert done.returncode == 2 and "threads" in done.stdout and "'many'" in done.stdout, (
        done,
        server.log(),
    )
    assert server.ask().body == b"one"


@pytest.mark.parametrize("fewer", [("--cheap",), ("--cheaper", "1")], ids=["cheap", "cheaper"])
def test_a_process_with_fewer_interpreters_starts_anew(serve, fewer):
    server = with_pidfile(serve, "--processes", "2", "--reload-mode", "exec", *fewer)
    for starts, (source, body) in enumerate(((NEXT, b"two"), (VERSION, b"one")), start=2):
        rewrite(server, source)
        done = reload(server)
        assert done.returncode == 0, (done, server.log())
        if "--cheap" in fewer:
            # A request that comes just before keeps no interpreter, and what is broken on the disk
            # then makes none. (The main interpreter stays, and says so.)
            server.wait_for_log(
                "cheap mode enabled|--cheap: there is no interpreter that could be ended",
                count=starts,
            )
        assert server.ask().body == body
    rewrite(server, BROKEN)
    assert reload(server).returncode == 2
    assert server.ask().body == b"one", server.log()


def test_reload_without_waiting(serve, gate):
    server = with_pidfile(serve, gate=gate)
    rewrite(server, LOADS_SLOWLY)
    done = reload(server, "--no-wait")
    assert (done.returncode, done.stdout) == (0, "asked app.pid to reload\n")
    held = gate.visitor()
    assert singlemalt(server.directory, "--reload-status", "app.pid").returncode == 4
    done = reload(server, "--timeout", "0.2")
    assert done.returncode == 4 and "still under way" in done.stderr
    status = ask(server.directory / "app.pid.control")[1]
    assert status["reload"]["outcome"] == "loading" and status["reload"]["one_more_waits"]
    held.release()


# rollback


@own_gil_only
def test_rollback_puts_the_version_before_back(serve):
    server = with_pidfile(serve, "--keep-previous", "5m")
    rewrite(server, NEXT)
    assert reload(server).returncode == 0
    done = singlemalt(server.directory, "rollback", "app.pid")
    assert (done.returncode, done.stdout) == (
        0,
        "generation 1 serves again, instead of generation 2\n",
    ), done
    # At once, because the command has waited for it.
    assert server.ask().body == b"one"
    again = singlemalt(server.directory, "rollback", "app.pid")
    assert again.returncode == 5
    assert again.stderr.startswith(
        "error: app.pid: there is nothing to go back to: no canary runs"
    ), again


@own_gil_only
def test_rollback_withdraws_a_canary(serve):
    server = with_pidfile(serve, "--reload-canary", "50%,1h")
    rewrite(server, NEXT)
    assert reload(server, "--no-wait").returncode == 0
    server.wait_for_log("generation 2 gets 50 % of the requests")
    status, told = ask(server.directory / "app.pid.control", "POST", "/rollback")
    assert (status, told["message"]) == (200, "generation 2 is withdrawn; generation 1 serves")
    assert {server.ask().body for _ in range(10)} == {b"one"}
    status, told = ask(server.directory / "app.pid.control", "POST", "/rollback")
    assert status == 409 and "nothing to go back to" in told["message"]

    # Both commands get an outcome.
    last = ask(server.directory / "app.pid.control", target="/reload/1")
    assert (last[0], last[1]["outcome"]["outcome"]) == (500, "withdrawn")
    assert last[1]["outcome"]["reason"] == "taken back by hand, control"


@own_gil_only
def test_a_rollback_ends_what_somebody_waits_for(serve, gate):
    server = with_pidfile(serve, "--keep-previous", "5m", gate=gate)
    control = server.directory / "app.pid.control"
    rewrite(server, NEXT)
    assert reload(server).returncode == 0
    rewrite(server, LOADS_SLOWLY)
    # A reload that loads, and one that waits for it.
    assert reload(server, "--no-wait").returncode == 0
    held = gate.visitor()
    assert reload(server, "--no-wait").returncode == 0
    assert singlemalt(server.directory, "rollback", "app.pid").returncode == 0
    for number in (2, 3):
        status, told = ask(control, target=f"/reload/{number}")
        assert (status, told["outcome"]["outcome"], told["outcome"]["reason"]) == (
            500,
            "given up",
            "a rollback came",
        )
    last = ask(control)[1]["reload"]
    assert (last["outcome"], last["way"], last["generation"]) == ("serves", "rollback", 1)
    shown = singlemalt(server.directory, "status", "app.pid").stdout
    assert "reload      generation 1 was put back in charge (control, " in shown
    held.release()
    # The next reload is waited for as usual.
    rewrite(server, NEXT)
    assert reload(server).returncode == 0
    assert server.ask().body == b"two"


@own_gil_only
def test_reload_waits_for_the_end_of_its_canary_and_says_so(serve):
    server = with_pidfile(serve, "--reload-canary", "50%,3s,100%,1s", "--keep-previous", "5m")
    rewrite(server, NEXT)
    done = reload(server)
    assert done.returncode == 0, done
    assert done.stdout.startswith("the new version serves as generation 2 (control; took ")
    assert (
        "app.pid: generation 2 is tried out with 50 % of the requests (stage 1 of 2); waiting for the end of that\n"
        in done.stderr
    ), done
    assert {server.ask().body for _ in range(10)} == {b"two"}
    status = ask(server.directory / "app.pid.control")[1]
    assert (status["kept"]["generation"], status["reload"]["canary"]["stage"]) == (1, 2)
    assert (
        "kept        generation 1, for " in singlemalt(server.directory, "status", "app.pid").stdout
    )


@own_gil_only
def test_a_canary_is_seen_in_the_status_and_superseded_by_a_reload(serve):
    server = with_pidfile(serve, "--reload-canary", "50%,1h")
    control = server.directory / "app.pid.control"
    rewrite(server, NEXT)
    late = reload(server, "--timeout", "2")
    assert late.returncode == 4 and "still under way" in late.stderr, late
    server.wait_for_log("generation 2 gets 50 % of the requests")
    reloads = ask(control)[1]["reload"]
    assert (reloads["outcome"], reloads["makes"], reloads["canary"]["share_percent"]) == (
        "canary",
        2,
        50.0,
    )
    table = singlemalt(server.directory, "status", "app.pid")
    assert (
        "reload      generation 2 is tried out with 50 % of the requests (stage 1 of 1); "
        in table.stdout
    )
    assert singlemalt(server.directory, "--reload-status", "app.pid").returncode == 4
    assert reload(server, "--no-wait").returncode == 0
    server.wait_for_log("generation 3 gets 50 % of the requests")
    status, told = ask(control, target="/reload/1")
    assert (status, told["outcome"]["outcome"], told["outcome"]["reason"]) == (
        500,
        "given up",
        "another reload came",
    )


# stacks


def test_stacks_tell_where_every_worker_stands(serve, gate):
    server = with_pidfile(serve, "--processes", "2", source=KNOCKING, gate=gate)
    with server.connect() as caller:
        caller.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        held = gate.visitor()
        done = singlemalt(server.directory, "stacks", "app.pid")
        held.release()
        assert caller.receive().status == 200
    assert done.returncode == 0, done
    shown = done.stdout.split("\n\n")
    busy = [text for text in shown if "GET /slow" in text]
    assert len(shown) == 2 and len(busy) == 1, done.stdout
    assert ', in application\n    knock("slow")' in busy[0]
    status, told = ask(server.directory / "app.pid.control", target="/stacks")
    assert status == 200 and told["pid"] == server.process.pid
    assert told["stacks"][0].startswith("worker 1 core 0 (generation 1, ")


# stop


def test_stop_waits_until_the_server_is_gone(serve):
    server = with_pidfile(serve)
    done = singlemalt(server.directory, "stop", "app.pid")
    assert (done.returncode, done.stdout) == (0, "app.pid has stopped\n")
    assert server.wait_for_exit(5) == 0
    assert not (server.directory / "app.pid.control").exists()
    # The pidfile is still there, as without --vacuum.
    for command in ("stop", "status", "reload"):
        again = singlemalt(server.directory, command, "app.pid")
        assert (again.returncode, again.stderr) == (3, "error: app.pid: no server runs there\n")


def test_stop_lets_requests_finish_and_now_does_not(serve, gate):
    server = with_pidfile(serve, source=KNOCKING, gate=gate)
    client = server.connect()
    client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    gate.visitor()
    done = singlemalt(server.directory, "stop", "app.pid", "--timeout", "0.3")
    assert done.returncode == 4 and "still stopping" in done.stderr
    assert ask(server.directory / "app.pid.control")[1]["state"] == "stopping"
    # A second stop command does not abort requests.
    assert singlemalt(server.directory, "stop", "app.pid", "--no-wait").returncode == 0
    assert server.process.poll() is None
    assert singlemalt(server.directory, "stop", "app.pid", "--now").returncode == 0


def test_a_reload_of_a_server_that_stops_is_given_up(serve, gate):
    server = with_pidfile(serve, gate=gate)
    rewrite(server, LOADS_SLOWLY)
    waiting = subprocess.Popen(
        [str(binary()), "reload", "app.pid"],
        cwd=server.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    loading = gate.visitor()
    server.send_signal(signal.SIGTERM)
    said, _ = waiting.communicate(timeout=30)
    loading.release()
    assert waiting.returncode == 2, said
    assert said.startswith("given up: the server stops")
    assert server.wait_for_exit() == 0


# status


@own_gil_only
def test_status_for_people_and_for_machines(serve, gate):
    server = with_pidfile(serve, "--processes", "2", "--threads", "2", source=KNOCKING, gate=gate)
    assert server.ask("/").status == 200
    shown = singlemalt(server.directory, "status", "app.pid")
    assert shown.returncode == 0, shown
    assert f"pid {server.process.pid}: serving" in shown.stdout
    assert f"listening   {server.url}" in shown.stdout
    client = server.connect()
    client.send(b"GET /slow?a HTTP/1.1\r\nHost: x\r\n\r\n")
    held = gate.visitor()
    status = json.loads(singlemalt(server.directory, "status", "app.pid", "--json").stdout)
    assert [worker["id"] for worker in status["workers"]] == [1, 2]
    assert sum(worker["requests"] for worker in status["workers"]) == 2
    assert sorted(worker["status"] for worker in status["workers"]) == ["busy", "idle"]
    threads = [thread for worker in status["workers"] for thread in worker["threads"]]
    assert len(threads) == 4
    [busy] = [thread for thread in threads if thread["status"] == "busy"]
    assert (busy["request"]["method"], busy["request"]["target"]) == ("GET", "/slow?a")
    assert status["generation"]["number"] == 1 and status["generation"]["isolation"] == "own-gil"
    assert status["reload"]["outcome"] == "none"
    assert status["counters"]["requests"] == 2
    assert status["memory"]["resident_bytes"] > 1 << 20
    held.release()
    client.close()


# The socket


def test_the_socket_is_the_users_own(serve):
    server = with_pidfile(serve)
    path = server.directory / "app.pid.control"
    mode = path.stat()
    assert stat.S_ISSOCK(mode.st_mode) and stat.S_IMODE(mode.st_mode) == 0o600
    assert mode.st_uid == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_sent_away(serve):
    server = with_pidfile(serve)
    path = server.directory / "app.pid.control"
    # The mode alone would suffice; here the check of the peer's user has to.
    path.chmod(0o777)
    for folder in path.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    code = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
caller = socket.socket(socket.AF_UNIX)
caller.connect({str(path)!r})
try:
    caller.sendall(b"GET /status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print(caller.recv(100))
except ConnectionError:
    print(b"")
"""
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "b''\n", done
    server.wait_for_log("a client of another user was refused")


def test_a_socket_that_was_left_behind_is_taken_over(serve):
    first = with_pidfile(serve)
    first.kill()
    assert (first.directory / "app.pid.control").exists()
    second = with_pidfile(serve, directory=first.directory)
    assert ask(first.directory / "app.pid.control")[1]["pid"] == second.process.pid


def test_a_socket_that_is_in_use_is_left_alone(serve):
    first = serve("--control", "./sm.control", source=VERSION)
    second = serve(
        "--control", "./sm.control", source=VERSION, directory=first.directory, wait=False
    )
    second.exit_code_expected = 1
    assert second.wait_for_exit() == 1
    assert (
        "--control (command line): cannot listen on ./sm.control: " in second.log()
        and "Another server listens there" in second.log()
    )
    assert ask(first.directory / "sm.control")[1]["pid"] == first.process.pid


def test_a_file_that_is_no_socket_is_left_alone(serve):
    server = with_pidfile(serve, files={"app.pid.control": "mine"})
    assert "no control socket at" in server.log()
    assert (server.directory / "app.pid.control").read_text() == "mine"
    done = reload(server)
    assert done.returncode in (1, 3)


def test_control_none(serve):
    server = with_pidfile(serve, "--control", "none")
    assert not (server.directory / "app.pid.control").exists()
    done = reload(server)
    assert done.returncode == 1
    assert (
        "has no control socket beside it" in done.stderr
        and "singlemalt --reload app.pid" in done.stderr
    )


def test_by_a_configuration_file(serve):
    ini = "[uwsgi]\nchdir = {}\nwsgi-file = app.py\nsafe-pidfile = run.pid\nhttp-socket = 127.0.0.1:0\n"
    server = with_pidfile(serve, "--safe-pidfile", "run.pid")
    (server.directory / "site.ini").write_text(ini.format(server.directory))
    done = singlemalt("/", "status", server.directory / "site.ini")
    assert done.returncode == 0 and f"pid {server.process.pid}" in done.stdout, done


def test_a_port_and_its_secret(serve):
    server = serve("--control", "127.0.0.1:0", "--control-token", "token", source=VERSION)
    token = server.directory / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    address, _, secret = token.read_text().strip().partition(" ")
    done = singlemalt(server.directory, "status", "--control", address, "--control-token", "token")
    assert done.returncode == 0, done
    token.write_text(f"{address} {'0' * len(secret)}\n")
    done = singlemalt(server.directory, "reload", "--control", address, "--control-token", "token")
    assert (
        done.returncode == 1 and "the secret of --control-token is missing or wrong" in done.stderr
    )
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 30) as caller:
        caller.sendall(b"POST /stop HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_all(caller).startswith(b"HTTP/1.1 401 Unauthorized\r\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--control", "0.0.0.0:9190"], "must not be reached from elsewhere"),
        (["--control", "127.0.0.1:0"], "a port wants --control-token FILE"),
        (["--control", "fd://3"], "wants a port or a path of its own"),
        (["--control", "nowhere/sm.control"], "cannot listen on nowhere/sm.control"),
    ],
)
def test_what_cannot_be_a_control_socket(serve, arguments, message):
    server = serve(*arguments, source=VERSION, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert message in server.log()


@own_gil_only
def test_curl_speaks_to_it(serve):
    server = with_pidfile(serve)
    path = server.directory / "app.pid.control"
    assert ask(path, "GET", "/")[0] == 200
    status, told = ask(path, "POST", "/reload?wait=1")
    assert status == 200 and told["outcome"]["outcome"] == "serves"
    rewrite(server, BROKEN)
    status, told = ask(path, "POST", "/reload?wait")
    assert status == 500 and told["outcome"]["reason"] == "LookupError: the database is gone"
    number = told["reload"]
    assert ask(path, "GET", f"/reload/{number}")[1] == {**told}
    assert ask(path, "GET", f"/reload/{number + 1}")[0] == 404
    assert ask(path, "POST", "/log/reopen")[0] == 202
    server.wait_for_log("control: opening the log anew")
    assert ask(path, "GET", "/reload")[0] == 405
    assert ask(path, "GET", "/nothing")[0] == 404
    assert raw(path, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(path, b"GET /" + b"a" * 20000).startswith(b"HTTP/1.1 4")


def test_callers_that_say_nothing_hold_up_nobody(serve):
    server = with_pidfile(serve)
    path = server.directory / "app.pid.control"
    silent = []
    for _ in range(20):
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(str(path))
        silent.append(caller)
    assert ask(path)[0] == 200
    for caller in silent:
        caller.close()
    # Connections over the limit are closed, and later ones are accepted.
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for caller in crowd:
        caller.connect(str(path))
    for caller in crowd:
        caller.close()

    def is_answered():
        try:
            return ask(path)[0] == 200
        except (ConnectionError, IndexError):
            return False

    server.wait_until(is_answered, what="an answer")


@own_gil_only
def test_many_ask_at_once(serve):
    server = with_pidfile(serve)
    path = server.directory / "app.pid.control"
    outcomes = []

    def ask_for_a_reload():
        outcomes.append(ask(path, "POST", "/reload?wait", timeout=60)[1]["outcome"]["outcome"])

    threads = [threading.Thread(target=ask_for_a_reload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes == ["serves"] * 8
    # The waiting reloads were merged into one.
    assert ask(path)[1]["reload"]["number"] <= 8


# The command line


def test_an_application_of_that_name_is_served(serve):
    server = serve("./reload", files={"reload": VERSION})
    assert server.ask().body == b"one"


def test_what_is_wrong_with_a_command(tmp_path):
    def error(*arguments):
        done = singlemalt(tmp_path, *arguments)
        return done.returncode, done.stderr

    assert error("reload")[0] == 1 and "which server?" in error("reload")[1]
    assert error("stop", "--pidfile", "no.pid")[0] == 3
    assert error("status", "--control", "no.control") == (
        1,
        "error: --control 'no.control': a port is missing: no.control:8000, or ./no.control for a unix socket (command line)\n",
    )
    assert error("status", "--control", "./no.control") == (
        3,
        "error: ./no.control: no server runs there\n",
    )
    (tmp_path / "app.pid").write_text("nonsense")
    assert error("stop", "app.pid")[0] == 1
    assert "Exit codes" in singlemalt(tmp_path, "reload", "--help").stdout


def test_no_descriptor_is_lost(serve):
    server = with_pidfile(serve)
    path = server.directory / "app.pid.control"
    ask(path)
    before = server.open_descriptors()
    for _ in range(50):
        ask(path)
    server.wait_until(
        lambda: server.open_descriptors() <= before, what="as many descriptors as before"
    )


def test_what_the_successor_is_told_is_not_the_applications(serve):
    source = """
        import os

        def application(environ, start_response):
            start_response("200 OK", [])
            return [" ".join(name for name in os.environ if "SINGLEMALT" in name).encode()]
    """
    server = with_pidfile(serve, "--reload-mode", "exec", source=source)
    assert reload(server).returncode == 0
    assert server.ask().body == b""
    assert Path(server.directory / "app.pid.control").exists()
