"""Options of the process: user, limits, name, files, terminal, log, and hooks."""

import grp
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from requests_raw import get

from server import (
    LOG_SECONDS,
    START_SECONDS,
    STOP_SECONDS,
    binary,
    environment,
    virtualenv_arguments,
)

FACTS = """
    import json
    import os
    import resource
    import threading

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        kept = os.umask(0)
        os.umask(kept)
        facts = {
            "pid": os.getpid(), "uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()), "umask": kept,
            "as": resource.getrlimit(resource.RLIMIT_AS), "nproc": resource.getrlimit(resource.RLIMIT_NPROC),
            "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "cwd": os.getcwd(), "sid": os.getsid(0),
            "variable": os.environ.get("VARIABLE"),
        }
        return [json.dumps(facts).encode()]
"""
HELLO = """
    def application(environ, start_response):
        print("printed by the app", flush=True)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may become anybody")


def refused(serve, *arguments, code=1, **keywords):
    """The log of a server that does not start."""
    server = serve(*arguments, wait=False, **keywords)
    server.exit_code_expected = code
    assert server.wait_for_exit() == code
    return server.log()


# Users and groups


# The user is checked before Python starts, because the user `nobody` may not be able to read this
# Python.
WHO = "exec:id -u; id -g; id -G; grep -h '^Uid' /proc/$PPID/task/*/status | sort -u"


def become(serve, *arguments):
    """(user, group, groups, the Uid lines of all threads) in the phase `as-user`, and the log."""
    server = serve(
        *arguments,
        "--hook-as-user",
        WHO,
        "--hook-as-user",
        "exit:0",
        source=HELLO,
        listen=("127.0.0.1:0", "app.sock"),
        wait=False,
    )
    assert server.wait_for_exit() == 0
    lines = [
        line
        for line in server.log().splitlines()
        if not line.startswith("[") and ": leaving with" not in line
    ]
    # The sockets were bound before.
    assert os.stat(server.directory / "app.sock").st_uid == 0
    return (
        int(lines[0]),
        int(lines[1]),
        {int(group) for group in lines[2].split()},
        lines[3:],
        server.log(),
    )


@linux
@as_root
@pytest.mark.parametrize("by", ["name", "number"])
def test_uid_and_gid(serve, by):
    nobody = pwd.getpwnam("nobody")
    group = nobody.pw_gid
    uid, gid = (
        (nobody.pw_name, grp.getgrgid(group).gr_name) if by == "name" else (nobody.pw_uid, group)
    )
    user, group_now, groups, threads, _ = become(
        serve, "--uid", uid, "--gid", gid, "--add-gid", "4343"
    )
    assert (user, group_now, groups) == (nobody.pw_uid, group, {group, 4343})
    # Every thread has changed, not only the one that did it; and none can change back.
    assert threads == ["Uid:" + f"\t{nobody.pw_uid}" * 4]


@linux
@as_root
def test_no_initgroups(serve):
    user, group, groups, _, _ = become(serve, "--uid", "nobody", "--gid", "4242", "--no-initgroups")
    assert (user, group, groups) == (pwd.getpwnam("nobody").pw_uid, 4242, {4242})


@linux
@as_root
def test_a_user_without_a_group_is_warned_of(serve):
    user, group, groups, _, log = become(serve, "--uid", "nobody")
    assert (user, group) == (pwd.getpwnam("nobody").pw_uid, 0)
    assert "the group stays root's" in log


@linux
@as_root
def test_a_number_without_a_name(serve):
    user, group, groups, threads, _ = become(serve, "--uid", "54321", "--gid", "4242")
    assert (user, group, groups) == (54321, 4242, {4242})


@linux
@as_root
def test_immediate_uid(serve):
    """Before the sockets are bound, so that one of a port below 1024 cannot be had."""
    log = refused(
        serve,
        "--immediate-uid",
        "nobody",
        "--immediate-gid",
        "4242",
        source=HELLO,
        listen=("app.sock",),
    )
    assert "running as user nobody (65534), group 4242" in log
    assert "no permission to listen on app.sock" in log


@as_root
def test_a_gid_alone_serves(serve):
    server = serve("--gid", "4242", "--add-gid", "4343", source=FACTS)
    facts = server.ask("/").json()
    assert (facts["uid"], facts["gid"], facts["groups"]) == ([0] * 3, [4242] * 3, [4343])


def test_nobody_of_that_name(serve):
    log = refused(serve, "--uid", "no-such-user-here", source=HELLO)
    assert "--uid (command line): there is no user 'no-such-user-here' on this machine" in log


def test_no_group_of_that_name(serve):
    log = refused(serve, "--gid", "no-such-group-here", source=HELLO)
    assert "--gid (command line): there is no group 'no-such-group-here' on this machine" in log


@not_as_root
def test_only_root_becomes_somebody_else(serve):
    log = refused(serve, "--uid", "0", source=HELLO)
    assert "cannot become user 0: only root can" in log


@as_root
def test_only_root_becomes_somebody_else_as_nobody(tmp_path_factory):
    """The binary run as nobody, with --uid 0."""
    directory = tmp_path_factory.mktemp("public")
    (directory / "app.py").write_text("def application(e, s): pass\n")
    for folder in [directory, *directory.parents][:3]:
        folder.chmod(0o755)
    nobody = pwd.getpwnam("nobody").pw_uid
    command = [str(binary()), "app.py", "--http-socket", "127.0.0.1:0"]
    try:
        can_run = not subprocess.run(
            [command[0], "--version"],
            env=environment(),
            user=nobody,
            group=nobody,
            extra_groups=[],
            capture_output=True,
        ).returncode
    except PermissionError:
        can_run = False
    if not can_run:
        pytest.skip("nobody cannot run the binary, or read its Python")
    done = subprocess.run(
        [*command, "--uid", "0"],
        cwd=directory,
        env=environment(),
        user=nobody,
        group=nobody,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "cannot become user 0: only root can" in done.stderr
    done = subprocess.run(
        [*command, "--add-gid", "0"],
        cwd=directory,
        env=environment(),
        user=nobody,
        group=nobody,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "cannot become a member of group 0" in done.stderr


# Limits, umask, environment, working directory


@linux
def test_limits(serve):
    server = serve(
        "--limit-as",
        "4096",
        "--limit-nproc",
        "3000",
        "--max-fd",
        "2000",
        "--max-connections",
        "100",
        source=FACTS,
    )
    facts = server.ask("/").json()
    assert facts["as"] == [4 << 30, 4 << 30]
    assert facts["nproc"] == [3000, 3000]
    assert facts["nofile"] == [2000, 2000]


@linux
def test_a_limit_that_leaves_no_room_for_connections(serve):
    server = serve("--max-fd", "100", source=FACTS)
    assert "--max-fd 100 is less than" in server.log()


def test_umask(serve):
    server = serve("--umask", "027", source=FACTS)
    assert server.ask("/").json()["umask"] == 0o027


def test_chdir2(serve):
    server = serve("--chdir2", "after", source=FACTS, files={"after/x": ""})
    assert server.ask("/").json()["cwd"] == str(server.directory / "after")


# Names


def names_of(server):
    tasks = Path(f"/proc/{server.process.pid}/task")
    return [(task / "comm").read_text().strip() for task in tasks.iterdir()]


@linux
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--procname", "myapp"], "myapp"),
        (["--procname", "myapp", "--procname-prefix", "my-"], "my-myapp"),
        (["--procname", "myapp", "--procname-prefix-spaced", "my"], "my myapp"),
        (["--procname", "myapp", "--procname-append", "-end"], "myapp-end"),
        (["--auto-procname"], "uWSGI master"),
        (["--auto-procname", "--procname-prefix-spaced", "shop"], "shop uWSGI master"),
        (["--procname-master", "boss"], "boss"),
        (["--procname", "böse"], "böse"),
        (["--ini", "long.ini"], "a" * 900),
    ],
)
def test_procname(serve, arguments, name):
    # The long one has no room where the arguments stand: it goes on where the environment was.
    files = {"long.ini": f"[uwsgi]\nprocname = {'a' * 900}\n"}
    server = serve(
        *arguments, source=FACTS, files=files, environment={"VARIABLE": "x" * 1000, "EMPTY": ""}
    )
    process = Path(f"/proc/{server.process.pid}")
    assert (process / "comm").read_bytes() == name.encode()[:15] + b"\n"
    assert (process / "cmdline").read_bytes() == name.encode() + b"\0"
    # `ps -f` and the `sudo pkill -f uwsgi` of many a deployment script.
    title = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(server.process.pid)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert title.stdout == f"{name}\n"
    assert json.loads(server.ask("/").text)["variable"] == "x" * 1000


@linux
def test_a_title_that_has_no_room(serve):
    server = serve(
        "--ini", "long.ini", source=HELLO, files={"long.ini": f"[uwsgi]\nprocname = {'b' * 5000}\n"}
    )
    assert 'the title of the process is "bbbb' in server.log()
    assert re.fullmatch(rb"b{100,4095}\0", Path(f"/proc/{server.process.pid}/cmdline").read_bytes())


# Files with the process id


@pytest.mark.parametrize("option", ["--pidfile", "--pidfile2", "--safe-pidfile", "--safe-pidfile2"])
def test_pidfile(serve, option):
    server = serve(option, "app.pid", source=HELLO)
    assert (server.directory / "app.pid").read_text() == f"{server.process.pid}\n"


def test_a_pidfile_replaces_a_stale_one(serve):
    server = serve(
        "--safe-pidfile", "app.pid", source=HELLO, files={"app.pid": "123456789012345\n"}
    )
    assert (server.directory / "app.pid").read_text() == f"{server.process.pid}\n"


@pytest.mark.parametrize("option", ["--pidfile", "--safe-pidfile"])
def test_a_pidfile_that_cannot_be_written(serve, option):
    log = refused(serve, option, "nowhere/app.pid", source=HELLO)
    assert (
        f"{option} (command line): cannot write the process id to nowhere/app.pid: No such file or directory (os error 2)"
        in log
    )


def command(directory, *arguments):
    return subprocess.run(
        [str(binary()), *arguments],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_stop(serve):
    server = serve("--pidfile", "app.pid", "--vacuum", source=HELLO)
    done = command(server.directory, "--stop", "app.pid")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"SIGINT sent to {server.process.pid}\n",
        "",
    )
    assert server.wait_for_exit() == 0
    done = command(server.directory, "--stop", "app.pid")
    assert done.returncode == 1
    assert "cannot read app.pid" in done.stderr


def test_stop_of_a_server_that_is_gone(serve):
    server = serve("--pidfile", "app.pid", source=HELLO)
    assert server.stop() == 0
    done = command(server.directory, "--stop", "app.pid")
    assert done.returncode == 1
    assert "does not run any more" in done.stderr


@pytest.mark.parametrize("content", ["", "x", "0", "-1", "12 34"])
def test_stop_signals_no_groups_and_no_nonsense(tmp_path, content):
    (tmp_path / "app.pid").write_text(content)
    done = command(tmp_path, "--stop", "app.pid")
    assert done.returncode == 1
    assert "app.pid holds no process id" in done.stderr


def test_exit_on_reload(serve):
    server = serve("--pidfile", "app.pid", "--exit-on-reload", source=HELLO)
    assert command(server.directory, "--reload", "app.pid").returncode == 0
    assert server.wait_for_exit() == 0
    assert "--exit-on-reload" in server.log()


# Without a terminal


class Daemon:
    """A daemonized server; `done` is how the command that started it ended."""

    def __init__(self, directory, *arguments, source=HELLO):
        import textwrap

        self.directory = directory
        (directory / "app.py").write_text(textwrap.dedent(source))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.arguments = [
            str(binary()),
            "app.py",
            "--http-socket",
            f"127.0.0.1:{self.port}",
            "--pidfile",
            "app.pid",
            "--vacuum",
            *arguments,
            *virtualenv_arguments(),
        ]
        self.done = subprocess.run(
            self.arguments,
            cwd=directory,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            stdin=subprocess.DEVNULL,
        )

    def log(self):
        path = self.directory / "app.log"
        return path.read_text() if path.exists() else ""

    def wait_for_log(self, text, seconds=LOG_SECONDS, count=1):
        end = time.monotonic() + seconds
        while self.log().count(text) < count:
            assert time.monotonic() < end, f"{text!r} not within {seconds} s:\n{self.log()}"
            time.sleep(0.02)

    @property
    def pid(self):
        return int((self.directory / "app.pid").read_text())

    def ask(self):
        from client import ask

        return ask(("127.0.0.1", self.port), "/", "GET", None, {}, 30)

    def stop(self):
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while (self.directory / "app.pid").exists() or Path(f"/proc/{pid}").exists():
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)


@pytest.fixture
def daemonize(tmp_path):
    started = []

    def start(*arguments, **keywords):
        daemon = Daemon(tmp_path, *arguments, **keywords)
        started.append(daemon)
        return daemon

    yield start
    for daemon in started:
        if (daemon.directory / "app.pid").exists():
            daemon.stop()


@linux
@pytest.mark.parametrize("option", ["--daemonize", "-d", "--daemonize2"])
def test_daemonize(daemonize, option):
    daemon = daemonize(option, "app.log", source=FACTS)
    assert daemon.done.returncode == 0, daemon.done.stderr
    if option != "--daemonize2":
        assert daemon.done.stdout + daemon.done.stderr == ""
        daemon.wait_for_log("ready after")
    else:
        # The command returned when the server served, and showed the log until then.
        assert "\nready " in daemon.done.stderr
    facts = daemon.ask().json()
    assert facts["pid"] == daemon.pid
    # A session of its own, which this process does not lead: no terminal can become its own.
    assert facts["sid"] not in (os.getsid(0), daemon.pid)
    assert os.readlink(f"/proc/{daemon.pid}/fd/0") == "/dev/null"
    for number in (1, 2):
        assert os.readlink(f"/proc/{daemon.pid}/fd/{number}") == str(daemon.directory / "app.log")
    # The folder stays: relative paths mean what they meant.
    assert facts["cwd"] == str(daemon.directory)
    daemon.wait_for_log("GET /")
    daemon.stop()
    assert "SIGTERM: stopping" in daemon.log()


@linux
def test_a_daemon_is_succeeded_and_keeps_its_process_id(daemonize):
    daemon = daemonize("--daemonize2", "app.log", "--isolation", "main", source=FACTS)
    pid = daemon.pid
    for count in (1, 2):
        os.kill(pid, signal.SIGHUP)
        daemon.wait_for_log(" is the server now", count=count)
        facts = daemon.ask().json()
        assert facts["pid"] != pid and daemon.pid == pid
        assert facts["sid"] not in (os.getsid(0), pid) and facts["cwd"] == str(daemon.directory)
        # The waiter, too, has the log.
        for process in (pid, facts["pid"]):
            log = str(daemon.directory / "app.log")
            assert os.readlink(f"/proc/{process}/fd/2") == log
    daemon.stop()
    assert "SIGTERM: stopping" in daemon.log()


@linux
def test_a_daemon_that_does_not_come_up(daemonize):
    daemon = daemonize(
        "--daemonize2", "app.log", "--need-app", source="raise RuntimeError('no such luck')"
    )
    assert daemon.done.returncode == 22
    assert "no such luck" in daemon.done.stderr


def test_a_log_that_cannot_be_opened_is_told_to_the_terminal(daemonize):
    daemon = daemonize("--daemonize", "nowhere/app.log")
    assert daemon.done.returncode == 1
    assert "cannot log to nowhere/app.log" in daemon.done.stderr
    assert "--daemonize (command line)" in daemon.done.stderr


# Where the log goes


@pytest.mark.parametrize("option", ["--logto", "--logto2"])
def test_logto(serve, option):
    server = serve(option, "app.log", source=HELLO, wait=False)
    log = server.directory / "app.log"
    server.wait_until(
        lambda: log.exists() and "ready " in log.read_text(), START_SECONDS, "ready in the log file"
    )
    port = int(log.read_text().split("listening on http://127.0.0.1:")[1].split()[0])
    server.__class__.address = property(lambda self: self.addresses()[0])
    from client import ask

    assert ask(("127.0.0.1", port), "/", "GET", None, {}, 30).text == "hello"
    server.wait_until(
        lambda: "GET /" in log.read_text() and "printed by the app" in log.read_text(),
        what="both in the log file",
    )
    if option == "--logto":
        assert server.log() == ""
        assert log.stat().st_mode & 0o777 == 0o640 & ~current_umask()
    # Moved away, as logrotate does, and a signal.
    log.rename(server.directory / "app.log.1")
    server.send_signal(signal.SIGHUP)
    server.wait_until(
        lambda: log.exists() and "opened again" in log.read_text(), what="a new log file"
    )
    assert ask(("127.0.0.1", port), "/", "GET", None, {}, 30).text == "hello"
    server.wait_until(
        lambda: "GET /" in log.read_text() and "printed by the app" in log.read_text(),
        what="both in the new file",
    )
    assert server.stop() == 0
    assert "stopped" in log.read_text()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_logto_appends(serve):
    server = serve(
        "--logto",
        "app.log",
        "--pidfile",
        "app.pid",
        source=HELLO,
        files={"app.log": "from before\n"},
        wait=False,
    )
    log = server.directory / "app.log"
    server.wait_until(lambda: "ready " in log.read_text(), START_SECONDS, "ready in the log file")
    assert log.read_text().startswith("from before\n")


def test_logto_udp(serve):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(START_SECONDS)
        server = serve(
            "--logto", f"udp:127.0.0.1:{receiver.getsockname()[1]}", source=HELLO, wait=False
        )
        datagrams = []
        while not any(line.startswith(b"ready ") for line in datagrams):
            datagrams.append(receiver.recv(65536))
        # A line is a datagram.
        assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in datagrams), datagrams
        port = next(
            int(line.rpartition(b":")[2]) for line in datagrams if line.startswith(b"listening")
        )
        from client import ask

        assert ask(("127.0.0.1", port), "/", "GET", None, {}, 30).text == "hello"
        seen = set()
        while len(seen) < 2:
            line = receiver.recv(65536)
            seen |= {word for word in ("printed by the app", "GET /") if word.encode() in line}
        assert server.stop() == 0
        assert server.log() == ""


def test_a_log_that_cannot_be_opened(serve):
    log = refused(serve, "--logto", "nowhere/app.log", source=HELLO)
    assert (
        "--logto (command line): cannot log to nowhere/app.log: No such file or directory (os error 2)"
        in log
    )


# Hooks

PHASES = [
    "asap",
    "pre-jail",
    "post-jail",
    "in-jail",
    "as-root",
    "as-user",
    "pre-app",
    "post-app",
    "master-start",
    "post-fork",
    "accepting",
    "accepting-once",
    "accepting1",
    "accepting1-once",
    "as-user-atexit",
]


def test_hooks_run_in_the_order_of_their_phases(serve):
    arguments = []
    for phase in reversed(PHASES):
        arguments += [f"--hook-{phase}", f"appendn:phases {phase}"]
    server = serve(*arguments, "--hook-post-app", "appendn:phases post-app-2", source=HELLO)
    before = [phase for phase in PHASES if phase != "as-user-atexit"]
    before.insert(before.index("post-app") + 1, "post-app-2")
    assert (server.directory / "phases").read_text().split() == before
    assert server.stop() == 0
    assert (server.directory / "phases").read_text().split() == [*before, "as-user-atexit"]


def test_a_hook_of_each_worker_runs_as_often(serve):
    server = serve(
        "--processes",
        "3",
        "--hook-post-fork",
        "appendn:phases fork",
        "--hook-accepting",
        "appendn:phases accepting",
        "--hook-accepting1",
        "appendn:phases one",
        source=HELLO,
    )
    assert (server.directory / "phases").read_text().split() == ["fork"] * 3 + ["accepting"] * 3 + [
        "one"
    ]


@pytest.mark.parametrize(
    "option",
    [
        "exec-asap",
        "exec-pre-jail",
        "exec-post-jail",
        "exec-in-jail",
        "exec-as-root",
        "exec-as-user",
        "exec-pre-app",
        "exec-post-app",
        "exec",
    ],
)
def test_commands(serve, option):
    server = serve(f"--{option}", "echo done > file && echo said", source=HELLO)
    assert (server.directory / "file").read_text() == "done\n"
    server.wait_for_log("^said$")
    assert server.ask("/").text == "hello"


def test_a_command_at_the_end(serve):
    server = serve(
        "--exec-as-user-atexit",
        "echo the end",
        "--exec-as-user-atexit",
        "exit 3",
        "--exec-as-user-atexit",
        "echo and after",
        source=HELLO,
    )
    assert "the end" not in server.log()
    assert server.stop() == 0
    # A failing hook does not prevent the others: the server stops anyway.
    server.wait_for_log('the command "exit 3" failed')
    server.wait_for_log("^the end$")
    server.wait_for_log("^and after$")


def test_a_command_that_fails_ends_the_start(serve):
    log = refused(serve, "--vacuum", "--exec-as-root", "exit 3", source=HELLO, listen=("app.sock",))
    assert '--exec-as-root (command line): the command "exit 3" failed: exit status: 3' in log


def test_a_hook_that_may_fail(serve):
    server = serve("--hook-pre-app", "safeexec:exit 3", source=HELLO)
    assert 'the command "exit 3" failed' in server.log()


def test_hooks_on_files(serve):
    arguments = [
        "mkdir:folder", "write:folder/a first", "append:folder/a  second", "writen:folder/b line", "appendn:folder/b more", "appendn:folder/b",
        "create:folder/c", "chmod:folder/a 640", "sticky:folder", "write:folder/d x", "unlink:folder/d", "wait_for_fs:folder", "wait_for_file:folder/a",
        "wait_for_dir:folder", "print:all is done", "log:logged", "cd:folder", "write:here y",
    ]  # fmt: skip
    server = serve(
        *(part for text in arguments for part in ("--hook-post-app", text)), source=HELLO
    )
    folder = server.directory / "folder"
    assert (folder / "a").read_text() == "first second"
    assert (folder / "b").read_text() == "line\nmore\n\n"
    assert (folder / "c").read_text() == ""
    assert not (folder / "d").exists()
    assert (folder / "here").read_text() == "y"
    assert (folder / "a").stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o1000
    server.wait_for_log("^all is done$")
    server.wait_for_log("^logged$")


@as_root
def test_a_hook_gives_a_file_away(serve):
    nobody = pwd.getpwnam("nobody")
    server = serve(
        "--hook-as-root",
        "create:a",
        "--hook-as-root",
        f"chown2:a {nobody.pw_uid} {nobody.pw_gid}",
        source=HELLO,
    )
    assert (server.directory / "a").stat().st_uid == nobody.pw_uid


def test_a_hook_that_fails_says_which_and_where(serve):
    log = refused(serve, "--hook-pre-app", "cd:nowhere", source=HELLO)
    assert (
        "--hook-pre-app (command line): cannot change to nowhere: No such file or directory (os error 2)"
        in log
    )


@pytest.mark.parametrize(("action", "code"), [("exit:", 0), ("exit:7", 7), ("exit:22", 22)])
@pytest.mark.parametrize("phase", ["asap", "pre-app", "post-app"])
def test_a_hook_ends_the_server(serve, action, code, phase):
    log = refused(serve, f"--hook-{phase}", action, code=code, source=HELLO)
    assert "error" not in log.lower()


def test_a_hook_sets_a_variable(serve):
    server = serve("--env", "VARIABLE=first", "--hook-asap", "putenv:VARIABLE=second", source=FACTS)
    assert server.ask("/").json()["variable"] == "second"


GATED = """
    from knock import knock

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            knock("waiting")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15 gracefully_kill_them_all", signal.SIGTERM),
        ("10 gracefully_kill_them_all", signal.SIGUSR1),
    ],
)
def test_a_signal_that_stops_gracefully(serve, gate, text, number):
    """The idiom of Kubernetes: `hook-master-start = unix_signal:15 gracefully_kill_them_all`."""
    server = serve("--hook-master-start", f"unix_signal:{text}", source=GATED, gate=gate)
    connection, idle = server.connect(), server.connect()
    assert idle.ask(get()).text == "hello"
    connection.send(get("/wait"))
    visitor = gate.visitor()
    server.send_signal(number)
    idle.assert_closed()
    visitor.release()
    assert connection.receive().text == "hello"
    assert server.wait_for_exit() == 0


def test_a_signal_that_stops_now(serve, gate):
    server = serve("--hook-master-start", "unix_signal:12 kill_them_all", source=GATED, gate=gate)
    connection = server.connect()
    connection.send(get("/wait"))
    gate.visitor()
    server.send_signal(signal.SIGUSR2)
    assert server.wait_for_exit(10) == 0
    assert connection.rest() == b""


def test_a_signal_that_cannot_be_caught(serve):
    log = refused(
        serve, "--hook-master-start", "unix_signal:9 gracefully_kill_them_all", source=HELLO
    )
    assert "signal 9 cannot be given a meaning" in log or "9" in log


def test_print(serve):
    server = serve("--print", "a line of the configuration", source=HELLO)
    assert server.log().splitlines().count("a line of the configuration") == 1


def test_touched_files(serve):
    server = serve(
        "--hook-touch", "flag print:the flag was touched", "--hook-touch", "later exec:exit 3", "--hook-touch", "end exit:7",
        source=HELLO, files={"flag": ""},
    )  # fmt: skip
    for count in (1, 2):
        (server.directory / "flag").write_text("x" * count)
        server.wait_for_log("^the flag was touched$", count=count)
    # The file did not exist at first, and its action fails: the server keeps serving.
    (server.directory / "later").write_text("")
    server.wait_for_log(r"\[ERROR\] --hook-touch \(command line\): .*3")
    assert server.ask("/").text == "hello"
    (server.directory / "end").write_text("")
    server.exit_code_expected = 7
    assert server.wait_for_exit() == 7
    assert "stopped (" in server.log()


def test_a_touched_file_wants_an_action(serve):
    log = refused(serve, "--hook-touch", "flag", source=HELLO)
    assert "--hook-touch wants FILE ACTION, got 'flag' (command line)" in log
