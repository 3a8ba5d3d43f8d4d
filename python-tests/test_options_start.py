"""Locks and things to wait for before the start, and a restart if that fails."""

import fcntl
import os
import signal
import socket
import sys
import textwrap

import pytest

from server import STOP_SECONDS

HELLO = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [])
        return [os.getcwd().encode()]
"""
unix = pytest.mark.skipif(sys.platform == "win32", reason="not on Windows")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


def refused(server):
    """The log of a server that does not start."""
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    return server.log()


@unix
@pytest.mark.parametrize("option", ["--flock", "--flock2"])
def test_a_locked_file_ends_the_start(serve, tmp_path, option):
    path = tmp_path / "lock"
    path.touch()
    first = serve(option, path, source=HELLO)
    assert "another process holds the lock" in refused(
        serve(option, path, source=HELLO, wait=False)
    )
    first.stop()
    assert serve(option, path, source=HELLO).ask().status == 200


@unix
def test_the_lock_is_the_one_that_uwsgi_takes(serve, tmp_path):
    path = tmp_path / "lock"
    with open(path, "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert "another process holds the lock" in refused(
            serve("--flock", path, source=HELLO, wait=False)
        )


@unix
def test_a_file_to_lock_has_to_be_there(serve, tmp_path):
    assert "No such file" in refused(serve("--flock", tmp_path / "lock", source=HELLO, wait=False))


@unix
def test_a_lock_can_be_waited_for(serve, tmp_path):
    path = tmp_path / "lock"
    path.touch()
    first = serve("--flock", path, source=HELLO)
    second = serve("--flock-wait", path, source=HELLO, wait=False)
    second.wait_for_log("waiting for the lock of .*lock")
    first.stop()
    assert second.wait_until_ready().ask().status == 200


@unix
@pytest.mark.parametrize("option", ["--flock", "--flock-wait2"])
def test_the_lock_is_held_while_another_process_takes_over(serve, tmp_path, gate, option):
    """Another process that waits for the lock never gets it."""
    path = tmp_path / "lock"
    path.touch()
    held = "from knock import knock\nknock('loading')\n" + textwrap.dedent(HELLO)
    first = serve(option, path, "--reload-mode", "exec", source=HELLO, gate=gate)
    second = serve("--flock-wait", path, source=HELLO, wait=False)
    second.wait_for_log("waiting for the lock of .*lock")
    for count in (1, 2):
        (first.directory / "app.py").write_text(held)
        first.send_signal(signal.SIGHUP)
        visitor = gate.visitor()
        assert "listening" not in second.log()
        visitor.release()
        first.wait_for_log(r"reloaded: process \d+ is the server now", count=count)
    assert "listening" not in second.log()
    first.stop()
    assert second.wait_until_ready().ask().status == 200


@unix
def test_the_lock_outlives_the_fork_of_a_daemon(serve, tmp_path):
    path, pidfile = tmp_path / "lock", tmp_path / "pid"
    path.touch()
    arguments = ["--flock", path, "--pidfile", pidfile, "--daemonize2", tmp_path / "log"]
    starter = serve(*arguments, source=HELLO, wait=False)
    assert starter.wait_for_exit() == 0
    try:
        assert "another process holds the lock" in refused(
            serve("--flock", path, source=HELLO, wait=False)
        )
    finally:
        os.kill(int(pidfile.read_text()), 15)
    # Released with the process.
    assert serve("--flock-wait", path, source=HELLO).ask().status == 200


@pytest.mark.parametrize(
    "option, make",
    [("--wait-for-fs", "touch"), ("--wait-for-file", "touch"), ("--wait-for-dir", "mkdir")],
)
def test_paths_are_waited_for(serve, tmp_path, option, make):
    path = tmp_path / "late"
    server = serve(option, path, source=HELLO, wait=False)
    server.wait_for_log(rf"waiting for .*late \({option}\)")
    getattr(path, make)()
    assert server.wait_until_ready().ask().status == 200


def test_a_path_that_does_not_come_ends_the_start(serve, tmp_path):
    server = serve(
        "--wait-for-file", tmp_path, "--wait-for-fs-timeout", "1", source=HELLO, wait=False
    )
    assert "is not there after 1 s" in refused(server)


@linux
def test_interfaces_and_mounts(serve):
    assert (
        serve("--wait-for-interface", "lo", "--wait-for-mountpoint", "/proc", source=HELLO)
        .ask()
        .status
        == 200
    )
    server = serve(
        "--wait-for-iface", "none0", "--wait-for-iface-timeout", "1", source=HELLO, wait=False
    )
    assert "the interface none0 is not there after 1 s" in refused(server)


def test_sockets_are_waited_for(serve):
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        port = late.getsockname()[1]
        server = serve("--wait-for-socket", f"localhost:{port}", source=HELLO, wait=False)
        server.wait_for_log("waiting for a server at localhost")
        late.listen()
        assert server.wait_until_ready().ask().status == 200


@unix
def test_unix_sockets_are_waited_for(serve, tmp_path):
    path = str(tmp_path / "late.sock")
    server = serve("--wait-for-socket", path, source=HELLO, wait=False)
    server.wait_for_log("waiting for a server at .*late.sock")
    with socket.socket(socket.AF_UNIX) as late:
        late.bind(path)
        late.listen()
        assert server.wait_until_ready().ask().status == 200


def test_force_cwd(serve, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "other.py").write_text(textwrap.dedent(HELLO))
    server = serve("--force-cwd", tmp_path, "--chdir", "below", "--module", "other")
    assert server.ask().text == str(tmp_path / "below")


@linux
def test_prio(serve):
    server = serve("--prio", "7", "--threads", "2", source=HELLO)
    tasks = f"/proc/{server.process.pid}/task"
    assert {os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir(tasks)} == {7}


def test_prio_is_a_number(serve):
    assert "wants a number from -20 to 19" in refused(
        serve("--prio", "high", source=HELLO, wait=False)
    )


def test_file_write(serve, tmp_path):
    serve("--file-write", f"{tmp_path / 'written'}=a=b", source=HELLO)
    assert (tmp_path / "written").read_text() == "a=b"


def test_fallback_config(serve, tmp_path):
    (tmp_path / "fallback.ini").write_text(
        "[uwsgi]\nhttp-socket = 127.0.0.1:0\nwsgi-file = app.py\n"
    )
    arguments = [
        "--wait-for-file",
        "never",
        "--wait-for-fs-timeout",
        "0",
        "--fallback-config",
        "fallback.ini",
    ]
    server = serve(*arguments, source=HELLO, directory=tmp_path)
    assert "never is not there" in server.log()
    assert server.ask().text == str(tmp_path)
    server.stop()


def test_a_fallback_is_for_code_1_only(serve, tmp_path):
    (tmp_path / "fallback.ini").write_text(
        "[uwsgi]\nhttp-socket = 127.0.0.1:0\nwsgi-file = app.py\n"
    )
    server = serve(
        "--need-app",
        "--fallback-config",
        "fallback.ini",
        source="1 / 0",
        directory=tmp_path,
        wait=False,
    )
    server.exit_code_expected = 22
    assert server.wait_for_exit(STOP_SECONDS) == 22


def test_what_cannot_be_done_safely_is_refused_with_what_instead(serve):
    assert "RootDirectory=" in refused(serve("--chroot", "/tmp", source=HELLO, wait=False))
    assert "CapabilityBoundingSet=" in refused(serve("--cap", "setuid", source=HELLO, wait=False))


@pytest.mark.parametrize("name", ["python", "python3", "python313", "http", "0:python"])
def test_a_needed_plugin_that_is_there(serve, name):
    assert serve("--need-plugin", name, source=HELLO).ask().status == 200


@pytest.mark.parametrize("name", ["psgi", "gevent", "python2", "lua"])
def test_a_needed_plugin_that_is_not_there_ends_the_start(serve, name):
    assert f"needs the plugin {name}, and there is none" in refused(
        serve("--need-plugin", f"python,{name}", source=HELLO, wait=False)
    )


# Files that are touched


def test_touch_exec(serve, tmp_path):
    path = tmp_path / "touched"
    path.touch()
    server = serve("--touch-exec", f"{path} echo it was touched >&2; exit 3", source=HELLO)
    path.write_text("x")
    server.wait_for_log("^it was touched$")
    server.wait_for_log(r"touch-exec: .* failed: exit status: 3")
    assert server.ask().status == 200


SIGNALS = """
    import uwsgi

    uwsgi.register_signal(17, "", lambda number: print(f"signal {number}", flush=True))

    def application(environ, start_response):
        start_response("200 OK", [])
        return []
"""


def test_touch_signal(serve, tmp_path):
    path = tmp_path / "touched"
    path.touch()
    server = serve("--touch-signal", f"{path} 17", source=SIGNALS)
    path.write_text("x")
    server.wait_for_log("^signal 17$")


def test_fs_signal(serve, tmp_path):
    (tmp_path / "watched").mkdir()
    server = serve("--fs-signal", f"{tmp_path / 'watched'} 17", source=SIGNALS)
    (tmp_path / "watched" / "new").write_text("x")
    server.wait_for_log("^signal 17$")


@pytest.mark.parametrize(
    "option, value", [("touch-exec", "file"), ("touch-signal", "file 400"), ("fs-signal", "file")]
)
def test_what_is_touched_is_written_with_what_it_does(serve, option, value):
    assert f"--{option} wants" in refused(serve(f"--{option}", value, source=HELLO, wait=False))
