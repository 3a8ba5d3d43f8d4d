"""The first process after a reload by another process: it waits without Python, forwards signals, reaps, and ends as the server ends."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from client import Connection
from test_reload_exec import app, children, family, plain, reloaded
from versions import reload, rewrite

from server import binary, is_script

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

# Another process adopts what an interpreter of this one leaves running.
ORPHAN = """\
    import subprocess
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/orphan":
            subprocess.run(["sh", "-c", "sh -c 'echo started; exec true' & exit 0"])
        start_response("200 OK", [])
        return [b"1"]
"""


def status(pid):
    return dict(
        re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    )


def sockets(pid):
    """The inodes of its sockets."""
    targets = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    return set(re.findall(r"socket:\[(\d+)\]", " ".join(targets)))


def is_waiter(server):
    """The first process has executed itself: there are the main thread, and the one that writes the log."""
    process = Path(f"/proc/{server.process.pid}")
    # Before, other threads may be about to start.
    server.wait_until(
        lambda: (
            status(server.process.pid)["Threads"] == "2"
            and "lib-dynload" not in (process / "maps").read_text()
        ),
        what="the waiter's threads",
    )


def main(serve, source, *arguments, **more):
    return serve("--isolation", "main", "--threads", "2", *arguments, source=source, **more)


def test_the_waiter_is_the_same_process_without_python(serve):
    server = main(serve, plain(1))
    pid = server.process.pid
    before = {
        name: Path(f"/proc/{pid}/{name}").read_bytes() for name in ("comm", "cmdline", "environ")
    }
    reload(server, plain(2))
    successor = reloaded(server)
    is_waiter(server)
    assert Path(f"/proc/{pid}/comm").read_bytes() == before["comm"]
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    maps = Path(f"/proc/{pid}/maps").read_text()
    if is_script():
        # Python without site-packages executes the package's main file with the same arguments.
        script = before["cmdline"].index(b"app.py")
        assert command.split(b"\0")[1:3] == [b"-I", b"-S"]
        assert command.endswith(before["cmdline"][script:])
    else:
        assert command == before["cmdline"]
        assert "site-packages" not in maps
    assert "lib-dynload" not in maps
    # It has no socket that clients connect to; its successor has.
    listening = {
        line.split()[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    assert sockets(successor) & listening and not sockets(pid) & listening
    assert server.ask("/").text == "2"


def test_a_title_stays(serve):
    server = main(serve, plain(1), "--procname", "my site")
    pid = server.process.pid
    reload(server, plain(2))
    reloaded(server)
    is_waiter(server)
    command = Path(f"/proc/{pid}/cmdline")
    # The wheel's waiter names itself after its exec.
    server.wait_until(lambda: command.read_bytes().rstrip(b"\0 ") == b"my site", what="the title")
    assert Path(f"/proc/{pid}/comm").read_text().strip() == "my site"


def test_every_server_is_a_child_of_the_waiter(serve):
    server = main(serve, plain(1))
    for count in (1, 2, 3):
        reload(server, plain(count + 1))
        pid = reloaded(server, count)
        server.wait_until(lambda pid=pid: children(server) == [pid], what="one child")
        assert server.ask("/pid").text == str(pid)


def test_no_reload_is_lost_between_servers(serve):
    """SIGHUP follows SIGHUP in every phase: the last version that was asked for is served."""
    server = main(serve, plain(0))
    for version in range(1, 41):
        rewrite(server, plain(version))
        server.send_signal(signal.SIGHUP)
        # Not in step with the reloads: sometimes several signals in one phase.
        server.wait_until(
            lambda: server.log().count("the new version is loaded") >= (version + 1) // 3,
            60,
            "a reload",
        )
    server.wait_until(lambda: server.ask("/").text == "40", 60, "the last version")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSYS])
def test_the_waiter_ends_by_the_same_signal(serve, number):
    server = main(serve, plain(1))
    reload(server, plain(2))
    pid = reloaded(server)
    server.exit_code_expected = -number
    os.kill(pid, number)
    assert server.wait_for_exit() == -number
    assert f"the server was killed by signal {int(number)}" in server.log()


def test_both_stop_and_continue(serve):
    server = main(serve, plain(1))
    reload(server, plain(2))
    pid = reloaded(server)
    is_waiter(server)
    server.send_signal(signal.SIGTSTP)
    for process in (server.process.pid, pid):
        server.wait_until(lambda p=process: status(p)["State"].startswith("T"), what="a stop")
    server.send_signal(signal.SIGCONT)
    for process in (server.process.pid, pid):
        server.wait_until(lambda p=process: status(p)["State"][0] in "SR", what="it runs again")
    assert server.ask("/").text == "2"


def test_the_fallback_starts_in_the_first_process(serve, tmp_path):
    (tmp_path / "fallback.ini").write_text(
        "[uwsgi]\nhttp-socket = 127.0.0.1:0\nwsgi-file = fallback.py\n"
    )
    (tmp_path / "fallback.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'fallback']\n"
    )
    (tmp_path / "end").touch()
    server = main(
        serve,
        plain(1),
        *("--fallback-config", "fallback.ini", "--hook-touch", "end exit:1"),
        directory=tmp_path,
    )
    reload(server, plain(2))
    successor = reloaded(server)
    os.utime(tmp_path / "end", (1, 1))
    server.wait_for_log(f"ready after .* pid {server.process.pid};", count=2)
    address = re.findall(r"listening on http://127.0.0.1:(\d+)", server.log())[-1]
    with Connection(("127.0.0.1", int(address))) as connection:
        assert connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text == "fallback"
    assert not Path(f"/proc/{successor}").exists()
    assert server.stop() == 0


def namespaces(*arguments):
    """A command that runs the rest in namespaces of its own, or skips the test."""
    command = ["unshare", *arguments]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces are not permitted")
    return command


def first_child(server):
    server.wait_until(lambda: children(server), what="a child")
    [pid] = children(server)
    return pid


def test_the_first_process_of_a_container_reaps_orphans(serve):
    wrapper = namespaces("--pid", "--mount-proc", "--kill-child")
    server = main(serve, ORPHAN, wrapper=wrapper)
    inside = first_child(server)
    os.kill(inside, signal.SIGHUP)
    server.wait_for_log(r"reloaded: process \d+ is the server now")
    successors = Path(f"/proc/{inside}/task/{inside}/children")
    server.wait_until(lambda: len(successors.read_text().split()) == 1, what="one successor")
    assert server.ask("/orphan").text == "1"
    server.wait_for_log("started")
    server.wait_until(
        lambda: len(successors.read_text().split()) == 1, what="the orphan was reaped"
    )
    # A second reload, and the stop of it all.
    os.kill(inside, signal.SIGHUP)
    server.wait_for_log(r"reloaded: process \d+ is the server now", count=2)
    assert server.ask("/").text == "1"
    os.kill(inside, signal.SIGTERM)
    assert server.wait_for_exit() == 0


@pytest.mark.skipif(is_script(), reason="the program is Python (test_an_update_while_it_runs)")
def test_a_first_process_that_cannot_be_executed_again_waits_as_it_is(serve, gate, tmp_path):
    copy = tmp_path / "copy"
    shutil.copy(binary(), copy)
    wrapper = ["sh", "-c", 'shift; exec "$COPY" "$@"', "sh"]
    server = main(
        serve,
        app(1, held=False),
        gate=gate,
        wrapper=wrapper,
        environment={"COPY": str(copy)},
    )
    reload(server, app(2))
    importing = gate.visitor()
    copy.chmod(0o600)
    importing.release()
    server.wait_for_log("Permission denied.*this process waits as it is")
    copy.chmod(0o700)
    first = reloaded(server)
    assert server.ask("/").text == "2"
    reload(server, plain(3))
    second = reloaded(server, 2)
    assert server.ask("/").text == "3"
    assert children(server) == [second] and first != second
    assert server.stop() == 0


def test_a_successor_of_a_waiter_of_another_version_says_so(serve):
    """A reload starts the program that is installed now. The first message of every version begins alike."""
    ours, theirs = socket.socketpair()
    begin = bytes([0, 99, 1, 0])
    ours.sendall(len(begin).to_bytes(4, "little") + begin)
    environment = {**os.environ, "_SINGLEMALT_PROCESS": "successor"}
    with ours, theirs:
        done = subprocess.run(
            [binary(), "--module", "wsgiref.simple_server:demo_app"],
            stdin=theirs,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 22
    assert "it speaks version 99 of our messages, and this program version" in done.stderr
    assert "stop the server, and start it with this program" in done.stderr


def test_the_variable_alone_makes_no_successor(serve):
    variable = {"_SINGLEMALT_PROCESS": "successor"}
    server = serve(source=plain(1), environment=variable, wait=False)
    server.exit_code_expected = 22
    assert server.wait_for_exit() == 22
    assert "cannot succeed a process of the running server" in server.log()


def test_the_app_does_not_see_the_variable(serve):
    source = """\
        import os
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr([name for name in os.environ if name.startswith("_S")]).encode()]
    """
    server = main(serve, source)
    assert server.ask("/").text == "[]"
    reload(server)
    reloaded(server)
    assert server.ask("/").text == "[]"
    assert len(family(server)) == 2


def test_the_waiter_ends_with_a_server_whose_time_is_up(serve, gate):
    """A request does not end within --reload-mercy."""
    server = main(serve, app(1, held=False), "--reload-mercy", "1", gate=gate)
    reload(server, app(2, held=False))
    reloaded(server)
    with server.connect() as held:
        held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gate.visitor().word == "request 2"
        server.send_signal(signal.SIGTERM)
        assert server.wait_for_exit() == 0
