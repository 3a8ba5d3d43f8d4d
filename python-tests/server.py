"""One run of the real binary: its command line, its log and its end.

Nothing here sleeps: readiness is the report's last line, everything later is a line of the log or
the process's exit. Every wait has a bound, and a bound that is passed shows the log.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from client import Connection, ask

FOLDER = Path(__file__).resolve().parent
APPS = FOLDER / "apps"

# Long, because the machine may be busy. A test that reaches one of these has failed.
START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_SECONDS = 20.0

LISTENING = re.compile(r'listening on ([a-z]+(?:\+unix)?:[^\s"]+)')
READY = re.compile(r'^(?:.* - |.*"message":")?(?:\S+\s+)?ready\b')
# Patterns that no log may contain, in any test.
NEVER = re.compile(
    r"panicked|Fatal Python error|Segmentation fault|RUST_BACKTRACE|not the last thread"
)


def binary():
    """The binary under test: SINGLEMALT_BIN, else the newest build of this checkout."""
    named = os.environ.get("SINGLEMALT_BIN")
    if named:
        return Path(named).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", FOLDER.parent / "target"))
    built = [target / profile / "singlemalt" for profile in ("debug", "release")]
    built = [path for path in built if path.is_file()]
    if not built:
        raise FileNotFoundError(
            f"no singlemalt under {target}: run `cargo build`, or set SINGLEMALT_BIN"
        )
    return max(built, key=lambda path: path.stat().st_mtime)


def is_script():
    """What is tested is the console script of the wheel: Python runs the server."""
    with open(binary(), "rb") as file:
        return file.read(2) == b"#!"


def virtualenv_arguments():
    """The server gets this suite's own virtualenv, so that it finds Flask and Django."""
    return ["--virtualenv", sys.prefix] if sys.prefix != sys.base_prefix else []


def environment(extra=None):
    """This process's environment without variables that affect the server or its Python."""
    steering = ("UWSGI_", "SINGLEMALT_", "PYTHON", "VIRTUAL_ENV", "RUST_LOG", "GATE_PORT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return {**kept, **(extra or {})}


class Server:
    """A started binary. `log()` is all it has written so far, stdout and stderr as one stream."""

    def __init__(
        self, arguments, directory, extra_environment=None, wrapper=(), pass_fds=(), stdin=None
    ):
        """`wrapper`: a command that execs the rest of its arguments. `pass_fds`: descriptors that
        stay open. `stdin`: a file to read from.
        """
        self.directory = Path(directory)
        self.arguments = [str(argument) for argument in arguments]
        self.exit_code_expected = 0
        self.never = NEVER
        self._pieces = []
        self._added = 0
        self._ended = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*map(str, wrapper), str(binary()), *self.arguments],
            cwd=self.directory,
            pass_fds=pass_fds,
            env=environment(
                {
                    # Each server remembers for itself which extensions refuse.
                    "XDG_CACHE_HOME": str(self.directory / ".cache"),
                    "UWSGI_EXTENSION_SCAN": "off",
                    **(extra_environment or {}),
                }
            ),
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read_log, name="log reader", daemon=True)
        self._reader.start()

    def _read_log(self):
        """Reads large pieces, so that a busy server does not wait for this thread, and keeps whole
        lines, so that no pattern matches a partial one.
        """
        begun = b""
        while piece := self.process.stdout.read1(1 << 20):
            lines, end, rest = piece.rpartition(b"\n")
            if end:
                self._add_to_log((begun + lines + end).decode("utf-8", "backslashreplace"))
                begun = rest
            else:
                begun += rest
        self._add_to_log(begun.decode("utf-8", "backslashreplace"))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add_to_log(self, text):
        with self._changed:
            self._pieces.append(text)
            self._added += 1
            self._changed.notify_all()

    # The log

    def log(self):
        with self._changed:
            self._pieces[:] = ["".join(self._pieces)]
            return self._pieces[0]

    def wait_for_log(self, pattern, seconds=LOG_SECONDS, count=1):
        """Waits until `pattern` stands `count` times in the log; returns the last match."""
        pattern = re.compile(pattern, re.MULTILINE)
        return self._wait(
            lambda text: self._nth(pattern, text, count), seconds, f"{count} x {pattern.pattern!r}"
        )

    @staticmethod
    def _nth(pattern, text, count):
        found = list(pattern.finditer(text))
        return found[count - 1] if len(found) >= count else None

    def _wait(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while True:
            with self._changed:
                text, added, is_all = self.log(), self._added, self._ended
            # Without the lock, so that the log can grow meanwhile.
            began = time.monotonic()
            if found := condition(text):
                return found
            looked = time.monotonic()
            if is_all or looked >= end:
                break
            with self._changed:
                # Searching a long log takes CPU, which the test's clients need too.
                self._changed.wait_for(lambda: self._ended, min(looked - began, 0.1))
                self._changed.wait_for(lambda: self._ended or self._added > added, end - looked)
        why = f"exit code {self.process.wait()}" if is_all else f"not within {seconds} s"
        raise AssertionError(f"the log never said {what} ({why}).\n{self._command_and_log()}")

    def _command_and_log(self):
        return f"$ singlemalt {' '.join(self.arguments)}\n{self.log()}"

    def wait_until_ready(self, seconds=START_SECONDS):
        self._wait(
            lambda text: any(READY.search(line) for line in text.splitlines()), seconds, "ready"
        )
        return self

    # Where it listens

    def urls(self):
        return LISTENING.findall(self.log())

    def addresses(self):
        """For each listener, in order: (host, port), or the path of a unix socket."""
        return [address_of(url) for url in self.urls()]

    @property
    def url(self):
        return self.urls()[0]

    @property
    def address(self):
        return self.addresses()[0]

    @property
    def port(self):
        return self.address[1]

    def connect(self, timeout=None, listener=0):
        address = self.addresses()[listener]
        return Connection(address) if timeout is None else Connection(address, timeout)

    def ask(self, path="/", method="GET", body=None, headers=None, timeout=30.0):
        """One request on a connection of its own, by the standard library's client."""
        return ask(self.address, path, method, body, headers or {}, timeout)

    # Its end

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait_for_exit(self, seconds=STOP_SECONDS):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)
            raise AssertionError(
                f"no exit within {seconds} s.\n{self._command_and_log()}"
            ) from None
        self._reader.join(5)
        return code

    def stop(self, number=signal.SIGTERM, seconds=STOP_SECONDS):
        """Asks it to stop, waits, and returns the exit code."""
        if self.process.poll() is None:
            self.send_signal(number)
        return self.wait_for_exit(seconds)

    def kill(self):
        """For tests that do not check the exit code."""
        self.exit_code_expected = None
        self.process.kill()
        self.wait_for_exit()

    def check_end(self):
        """The teardown of every test: the server stops when told to, with the right exit code, and
        has not crashed.
        """
        code = self.stop()
        log = self.log()
        if self.exit_code_expected is not None:
            assert code == self.exit_code_expected, f"exit code {code}.\n{self._command_and_log()}"
        bad = self.never.search(log)
        assert not bad, f"{bad[0]!r} in the log.\n{self._command_and_log()}"

    # CPU and memory

    def cpu_seconds(self):
        """User and system time of the whole process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def wait_until(self, condition, seconds=LOG_SECONDS, what="the condition"):
        """Polls a condition of the operating system for which there is no notification."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (
                f"{what}: not within {seconds} s.\n{self._command_and_log()}"
            )
            assert self.process.poll() is None, (
                f"{what}: the server is gone.\n{self._command_and_log()}"
            )
            threading.Event().wait(0.01)


def address_of(url):
    """`http://127.0.0.1:80` gives ("127.0.0.1", 80), `http+unix:/a/b` gives "/a/b"."""
    scheme, _, rest = url.partition(":")
    if scheme.endswith("+unix"):
        return rest.removeprefix("//")
    host, _, port = rest.removeprefix("//").rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)
