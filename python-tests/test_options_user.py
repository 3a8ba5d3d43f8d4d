"""A server that has changed its user loads its application, reloads and stops as that user.

The user must be able to read the embedded Python. If that is in another user's home, the server
runs in a mount namespace of its own in which the way there is open; the machine's files stay as
they are.
"""

import grp
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import HAS_OWN_GIL
from control import ask, singlemalt

from server import START_SECONDS, virtualenv_arguments

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may become somebody else"
)

FACTS = """
    import json
    import os
    from pathlib import Path

    VERSION = Path("version").read_text()
    LOADED_AS = os.getuid()

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        import colorsys  # of the standard library, for the first time now
        facts = {"uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()), "loaded_as": LOADED_AS, "version": VERSION}
        try:
            Path("secret").read_text()
        except PermissionError as error:
            facts["secret"] = type(error).__name__
        if environ["PATH_INFO"] == "/write":
            Path("public/made").write_text("x")
        return [json.dumps(facts).encode()]
"""

# Hides a folder that is closed to others, but for what is below it and needed. The arguments: how
# many pairs of a folder and what to keep of it, the pairs, and the command.
OPEN_THE_WAY = """
set -eu
kept=$(mktemp -d)
mount -t tmpfs tmpfs "$kept"
count=$1; shift
while [ "$count" -gt 0 ]; do
    closed=$1 needed=$2; shift 2
    mkdir -p "$kept/$count"
    mount --bind "$needed" "$kept/$count"
    grep -qF " $closed tmpfs " /proc/self/mounts || mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$needed"
    mount --bind "$kept/$count" "$needed"
    count=$((count - 1))
done
exec "$@"
"""


def closed_to_others(path):
    """The topmost folder on the way to a folder that others may not pass, or None."""
    for folder in [*reversed(path.parents), path]:
        if folder.stat().st_mode & 0o005 != 0o005:
            return folder
    return None


def way_in():
    """The command before the server that lets every user read the Python of this suite."""
    needed = {Path(sys.base_prefix).resolve()}
    if virtualenv_arguments():
        needed.add(Path(sys.prefix).resolve())
    pairs = [(closed_to_others(path), path) for path in sorted(needed)]
    pairs = [(str(closed), str(path)) for closed, path in pairs if closed]
    if not pairs:
        return []
    arguments = [word for pair in pairs for word in pair]
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        OPEN_THE_WAY,
        "sh",
        str(len(pairs)),
        *arguments,
    ]
    nobody = pwd.getpwnam("nobody").pw_uid
    read = [
        "setpriv",
        f"--reuid={nobody}",
        "--clear-groups",
        sys.executable,
        "-c",
        "import colorsys",
    ]
    tried = subprocess.run([*command, *read], cwd="/", capture_output=True, text=True, timeout=60)
    if tried.returncode != 0:
        pytest.skip(
            f"nobody cannot read the Python of this suite, and no namespace helps: {tried.stderr.strip()}"
        )
    return command


@pytest.fixture
def public():
    """A folder that every user may read, with one in it that every user may write to. Not one of
    pytest's: each of its sessions closes the folder of them all to others.
    """
    with tempfile.TemporaryDirectory(prefix="singlemalt-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "public").mkdir()
        (directory / "public").chmod(0o777)
        (directory / "secret").write_text("only for root")
        (directory / "secret").chmod(0o600)
        (directory / "version").write_text("one")
        yield directory


def become(serve, public, *arguments, **keywords):
    nobody = pwd.getpwnam("nobody")
    group = grp.getgrgid(nobody.pw_gid).gr_name
    return serve(
        "--uid",
        "nobody",
        "--gid",
        group,
        *arguments,
        source=FACTS,
        directory=public,
        wrapper=way_in(),
        **keywords,
    )


def facts(version, groups=()):
    nobody = pwd.getpwnam("nobody")
    return {
        "uid": [nobody.pw_uid] * 3, "gid": [nobody.pw_gid] * 3, "groups": sorted({nobody.pw_gid, *groups}),
        "loaded_as": nobody.pw_uid, "version": version, "secret": "PermissionError",
    }  # fmt: skip


def has_become_nobody(server):
    """No thread has stayed root, and none can become it again."""
    nobody = pwd.getpwnam("nobody").pw_uid
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        try:
            text = (task / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert status["Uid"].split() == [str(nobody)] * 4, task
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, task


@pytest.mark.parametrize("isolation", ["auto", "main"])
def test_it_serves_as_that_user(serve, public, isolation):
    nobody = pwd.getpwnam("nobody")
    server = become(
        serve, public, "--add-gid", "4343", "--processes", 2, "--isolation", isolation, "--pidfile", "public/pid", "--vacuum",
        "--chown-socket", f"nobody:{grp.getgrgid(nobody.pw_gid).gr_name}", "--chmod-socket=660", listen=("127.0.0.1:0", "public/app.sock"),
    )  # fmt: skip
    assert server.ask("/").json() == facts("one", groups=[4343])
    assert server.ask("/write").json() == facts("one", groups=[4343])
    assert (public / "public/made").stat().st_uid == nobody.pw_uid
    # The socket was made by root, and given away.
    socket = (public / "public/app.sock").stat()
    assert (socket.st_uid, socket.st_gid, socket.st_mode & 0o777) == (
        nobody.pw_uid,
        nobody.pw_gid,
        0o660,
    )
    has_become_nobody(server)
    server.process.terminate()
    assert server.wait_for_exit() == 0
    # Files that it made before it changed its user could be removed.
    assert not (public / "public/app.sock").exists() and not (public / "public/pid").exists()


@pytest.mark.skipif(not HAS_OWN_GIL, reason="the main interpreter cannot be swapped")
def test_it_reloads_as_that_user(serve, public):
    server = become(serve, public, "--processes", 2)
    assert server.ask("/").json() == facts("one")
    (public / "version").write_text("two")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert server.ask("/").json() == facts("two")
    has_become_nobody(server)


def test_a_log_that_only_root_may_open(serve, public):
    """The log is opened before privileges are dropped, and later output goes there too."""
    server = become(serve, public, "--logto", "log", wait=False)
    log = public / "log"
    until = time.monotonic() + START_SECONDS
    while not (log.exists() and "listening on" in log.read_text() and "ready" in log.read_text()):
        assert time.monotonic() < until and server.process.poll() is None, server.log()
        time.sleep(0.02)
    assert log.stat().st_uid == 0
    has_become_nobody(server)
    server.process.terminate()
    assert server.wait_for_exit() == 0
    assert "SIGTERM" in log.read_text()


def test_the_control_socket_goes_with_the_server(serve, public):
    nobody = pwd.getpwnam("nobody")
    server = become(serve, public, "--pidfile", "app.pid", "--isolation", "main")
    path = public / "app.pid.control"
    assert (path.stat().st_uid, path.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
    # The new process could not create the socket there as its user: it stays open.
    for number in (1, 2):
        done = singlemalt(public, "reload", "app.pid")
        assert done.returncode == 0, (done, server.log())
        assert ask(path)[1]["reload"]["number"] == number
