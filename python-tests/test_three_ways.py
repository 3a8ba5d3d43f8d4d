"""--check-config, --explain and the start itself say the same of every configuration: those of the
tree, of its documentation and of these tests, and lines that are wrong on this machine.
"""

import ast
import os
import re
import select
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from test_isolation import HAS_OWN_GIL

from server import START_SECONDS, STOP_SECONDS, binary, environment

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets and users of Unix")

ROOT = Path(__file__).resolve().parent.parent
APP = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""
# What a start says that is no fault of the configuration: a port is another process's, and what a
# user who was not there before may read.
EXCUSED = re.compile(r"is in use|Python could not start")
# Without an address of their own, servers would all want port 8000.
VARIABLES = {"SINGLEMALT_HTTP_SOCKET": "127.0.0.1:0"}
# The exit code if the application does not load.
NO_APP = 22


def run(folder, *arguments):
    done = subprocess.run(
        [binary(), *arguments], cwd=folder, env=environment(VARIABLES), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def start(folder, *arguments):
    """The exit code of a server that did not start, or None; and its output."""
    notify = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(os.fspath(notify))
        with open(folder / "output", "w+b") as output:
            process = subprocess.Popen(
                [binary(), *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env=environment({**VARIABLES, "NOTIFY_SOCKET": os.fspath(notify)}),
            )  # fmt: skip
            try:
                end = time.monotonic() + START_SECONDS
                while process.poll() is None and time.monotonic() < end:
                    if select.select([ready], [], [], 0.02)[0] and b"READY=1" in ready.recv(4096):
                        break
                code = process.poll()
                process.terminate()
                process.wait(STOP_SECONDS)
            finally:
                process.kill()
                process.wait()
                notify.unlink()
    return code, (folder / "output").read_text(errors="replace")


def compare(folder, name):
    """Asserts that all three agree; returns whether the server starts."""
    before = sorted(folder.rglob("*"))
    _, explained = run(folder, "--explain", name)
    named = ["--module", "app"] if "which it does not name" in explained else []
    checked, said = run(folder, "--check-config", name, *named)
    assert sorted(folder.rglob("*")) == before, "a check leaves nothing behind"
    code, output = start(folder, name, *named)
    shown = f"{(folder / name).read_text()}\n--- check\n{said}\n--- explain\n{explained}\n--- start\n{output}"
    if "leaves with code" in explained:
        assert code == checked, shown
        return code is None
    says_yes = "singlemalt starts with it" in explained
    assert says_yes == (checked == 0), shown
    if code == NO_APP or code is not None and EXCUSED.search(output):
        return False
    assert (checked == 0) == (code is None), shown
    return code is None


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


# Lines below `[uwsgi]`, `http-socket` and `module`, and whether a server starts with them.
REFUSED = [
    "http-socket = 192.0.2.1:0",
    "http-socket = missing/s.sock",
    "http-socket = app.py",
    f"http-socket = /tmp/{'x' * 120}",
    "https-socket = 127.0.0.1:0,missing.crt,missing.key",
    "https-socket = 127.0.0.1:0,app.py,app.py",
    "http-socket = s.sock\nchown-socket = no-such-user",
    "http-socket = s.sock\nchown-socket = root:no-such-group",
    "uid = no-such-user",
    "gid = no-such-group",
    "immediate-uid = no-such-user",
    "add-gid = no-such-group",
    "chdir = missing",
    "chdir = app.py",
    "force-cwd = missing",
    "chdir2 = missing",
    "logto = missing/log",
    "logto = .",
    "logto = udp:no.such.host.invalid:514",
    "logto2 = missing/log",
    "daemonize = missing/log",
    "daemonize2 = missing/log",
    "pidfile = missing/pid",
    "pidfile2 = missing/pid",
    "safe-pidfile = missing/pid",
    "safe-pidfile2 = missing/pid",
    "stats = missing/s.sock",
    "stats = 192.0.2.1:0",
    "control = missing/c.sock",
    "control = 127.0.0.1:0",
    "master-fifo = missing/fifo",
    "master-fifo = app.py",
    "py-tracebacker = missing/tb",
    "flock = missing",
    "flock2 = missing",
    "mime-file = missing\nstatic-map = /a=.",
    "virtualenv = missing",
    "virtualenv = .",
    "add-header = Connection: Keep-Alive",
    "eval = application = None",
    "mount = =app.py",
    "threads = none",
    "umask = 999",
    "exit = 3",
]
ACCEPTED = [
    "http-socket = s.sock",
    "http-socket = @{name}",
    "chown-socket = no-such-user",
    "logto = here.log",
    "logto = udp:127.0.0.1:514",
    "logto2 = here.log",
    "pidfile = here.pid",
    "safe-pidfile2 = here.pid",
    "stats = here.sock",
    "master-fifo = fifo",
    "py-tracebacker = tb",
    "flock = app.py",
    "static-map = /a=missing",
    "check-static = missing",
    "touch-reload = missing",
    "error-page-404 = missing",
    "wsgi-file = missing.py",
    "callable = nothing",
    "plugin = ./missing.py",
    "import = missing",
    "pythonpath = missing",
    "env = A=B",
    # What hooks make is there when it is wanted.
    "hook-asap = mkdir:made\nlogto = made/log",
    "hook-pre-jail = mkdir:made\npidfile = made/pid",
    "hook-as-root = mkdir:made\npidfile2 = made/pid",
    "hook-as-user = mkdir:made\npy-tracebacker = made/tb",
]


@pytest.mark.parametrize("lines", REFUSED)
def test_what_the_start_refuses(folder, lines):
    text = f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app\n{lines}\n"
    (folder / "site.ini").write_text(text)
    assert not compare(folder, "site.ini")


@pytest.mark.parametrize("lines", ACCEPTED)
def test_what_the_start_takes(folder, lines):
    lines = lines.replace("{name}", os.fspath(folder))
    text = f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app\n{lines}\n"
    (folder / "site.ini").write_text(text)
    assert compare(folder, "site.ini")


@pytest.mark.parametrize(
    "lines", ["pidfile = made/pid\nhook-as-root = mkdir:made", "logto = made/log\nhook-as-root = mkdir:made"]
)  # fmt: skip
def test_what_a_hook_makes_too_late(folder, lines):
    (folder / "site.ini").write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app\n{lines}\n")
    assert not compare(folder, "site.ini")


def test_a_port_in_use_is_no_fault_of_the_configuration(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\nmodule = app\n"
        (folder / "site.ini").write_text(text)
        code, said = run(folder, "--check-config", "site.ini")
        assert code == 0, said


# Every configuration of the tree

ENDINGS = (".ini", ".toml", ".yaml", ".yml", ".xml")
FILES = sorted(
    path
    for name in ("configs", "examples", "tests/explain")
    for path in (ROOT / name).rglob("*")
    if path.suffix in ENDINGS
)


def blocks():
    """The configurations in the documentation: `[uwsgi]`, or lines that belong below it."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for at, found in enumerate(
            re.findall(r"^```ini\n(.*?)^```", page.read_text(), re.M | re.S)
        ):
            if "[uwsgi]" in found or not re.search(r"^\[", found, re.M):
                text = found if "[uwsgi]" in found else f"[uwsgi]\n{found}"
                yield pytest.param(text, id=f"{page.name}-{at}")


def fixtures():
    """The configurations in the tests' own sources, as far as they are plain texts."""
    seen = set()
    for page in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(page.read_text())):
            text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.startswith("[uwsgi]\n") and text not in seen:
                seen.add(text)
                yield pytest.param(text, id=f"{page.stem}-{node.lineno}")


# What docs/configuration.md names as left to the start: files of loggers, and of passwords.
LEFT_TO_THE_START = r"logger|req-logger|route.*basicauth"


def tame(text):
    """Without commands, daemons and what is left to the start, and with free ports."""
    lines = [
        line
        for line in text.split("\n")
        if not re.match(r"\W*(exec|hook|daemonize|attach|cron|smart|wait-for|exit)", line)
        and not re.match(rf"\W*({LEFT_TO_THE_START})", line)
    ]
    keys = r"(?m)^(\W*[\w-]*(?:http|socket|stats|control)[\w-]*\W*[=:>].*?):\d+"
    return re.sub(keys, r"\1:0", "\n".join(lines))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_of_the_tree(folder, path):
    for other in path.parent.iterdir():
        if other.is_file():
            shutil.copy(other, folder)
    (folder / path.name).write_text(tame(path.read_text()))
    compare(folder, path.name)


@pytest.mark.parametrize("text", list(blocks()))
def test_the_files_of_the_documentation(folder, text):
    (folder / "site.ini").write_text(tame(text))
    compare(folder, "site.ini")


@pytest.mark.parametrize("text", list(fixtures()))
def test_the_files_of_these_tests(folder, text):
    if "own-gil" in text and not HAS_OWN_GIL:
        pytest.skip("only the start knows what this Python has")
    (folder / "site.ini").write_text(tame(text))
    compare(folder, "site.ini")
