"""Measures what a reload costs the clients: the same application and clients, several servers, each
reloaded as its manual says.

    python -m bench.reload --singlemalt BINARY --venv FOLDER [--reloads N] [--peers A,B] [--work-seconds S] [--write]

The clients do what simple ones do: they ask, and ask again; nobody tries twice. So a connection
that the server closes under a request is a failure here, though a careful proxy may hide it. One
client is a process of its own (python-tests/storm_probe.py), whose longest wait is told; beside it
stands the longest one of the same client before the first reload.
"""

import argparse
import dataclasses
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

import storm_probe
from storm_load import kind_of

from . import machine
from .server import Failed, Server, free_port

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "reload.md"
#: How long a new version may take to come, when it is asked for again, and how long after it an old
#: one is looked for.
PATIENCE_SECONDS, ASKED_AGAIN_SECONDS, QUIET_SECONDS = 60, 15, 2.0
WARM_SECONDS = 5.0
CLIENTS = 8
PROCESSES, THREADS = 2, 2
#: A thread that waits on a kept connection does not let its worker go before this; 60 s is uWSGI's
#: own.
UWSGI_THREADS, UWSGI_MERCY = 8, 5

APP = """\
import time
end = time.thread_time() + {work_seconds}
while time.thread_time() < end:
    sum(range(1000))
VERSION = b"{version};"


def application(environ, start_response):
    if environ["PATH_INFO"] == "/busy":
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(VERSION)))])
    return [VERSION]
"""


@dataclasses.dataclass(frozen=True)
class Way:
    """A server, and how it is reloaded."""

    command: list
    reload: str
    #: Touched instead of the signal.
    touched: pathlib.Path | None = None

    def ask(self, server):
        if self.touched is None:
            server.process.send_signal(signal.SIGHUP)
        else:
            self.touched.touch()


def singlemalt(given, folder, port):
    command = [
        given.singlemalt,
        "app.py",
        "--http",
        f"127.0.0.1:{port}",
        "--processes",
        PROCESSES,
        "--threads",
        THREADS,
    ]
    return Way([*command, "--disable-logging"], "SIGHUP")


def uwsgi(given, folder, port, option="--touch-chain-reload"):
    """Lazy apps: each worker loads the application itself, which is what lets them change one after
    the other. A kept connection holds one of its threads, so there are more of them than clients;
    behind its router (--http) they would be fewer, but that is restarted too, and refuses
    connections meanwhile.
    """
    touched = folder / "touched"
    touched.touch()
    command = [
        given.venv / "bin" / "uwsgi",
        "--master",
        "--lazy-apps",
        "--die-on-term",
        "--need-app",
        "--enable-threads",
    ]
    command += [
        "--http11-socket",
        f"127.0.0.1:{port}",
        "--processes",
        PROCESSES,
        "--threads",
        UWSGI_THREADS,
        "--listen",
        "100",
    ]
    command += [
        "--worker-reload-mercy",
        UWSGI_MERCY,
        "--reload-mercy",
        UWSGI_MERCY,
        "-H",
        given.venv,
    ]
    return Way(
        [*command, "--wsgi-file", "app.py", "--disable-logging", option, touched],
        option.removeprefix("--"),
        touched,
    )


def uwsgi_whole(given, folder, port):
    return uwsgi(given, folder, port, "--touch-reload")


def gunicorn(given, folder, port):
    command = [
        given.venv / "bin" / "gunicorn",
        "--bind",
        f"127.0.0.1:{port}",
        "--worker-class",
        "gthread",
        "--workers",
        PROCESSES,
    ]
    return Way(
        [*command, "--threads", 4, "--keep-alive", 75, "--log-level", "error", "app:application"],
        "HUP",
    )


def granian(given, folder, port):
    command = [
        given.venv / "bin" / "granian",
        "--interface",
        "wsgi",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--workers",
        PROCESSES,
    ]
    command += [
        "--blocking-threads",
        THREADS,
        "--no-ws",
        "--no-access-log",
        "--log-level",
        "error",
        "app:application",
    ]
    return Way(command, "HUP")


WAYS = {
    "singlemalt": singlemalt,
    "uwsgi-chain": uwsgi,
    "uwsgi": uwsgi_whole,
    "gunicorn": gunicorn,
    "granian": granian,
}


class Book:
    """The results of all clients."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answered = 0
        self.failed = Counter()
        #: By version: when it answered first and last.
        self.first, self.last = {}, {}
        self.examples = []

    def answer(self, version):
        now = time.monotonic()
        with self.lock:
            self.answered += 1
            self.first.setdefault(version, now)
            self.last[version] = now

    def failure(self, error):
        with self.lock:
            self.failed[kind_of(error)] += 1
            if len(self.examples) < 3:
                self.examples.append(f"{type(error).__name__}: {error}"[:160])


class Client(storm_probe.Asker):
    def __init__(self, port, book, number):
        path = b"/busy" if number % 4 == 3 else b"/"
        self.is_kept = number % 2 == 0
        close = b"" if self.is_kept else b"Connection: close\r\n"
        super().__init__("127.0.0.1", port, b"GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (path, close))
        self.book = book
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping.wait(0.002):
            self.step()

    def answered(self, version):
        self.book.answer(version)
        if not self.is_kept:
            self.close()

    def failed(self, error):
        self.book.failure(error)

    def older(self, version):
        pass


class Probe:
    """The client that is a process of its own."""

    def __init__(self, port):
        command = [sys.executable, storm_probe.__file__, "asker", "127.0.0.1", str(port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def finish(self):
        """When it waited, how long, and how often it failed."""
        self.process.stdin.close()
        facts = [json.loads(line) for line in self.process.stdout]
        self.process.wait()
        waits = [(fact["start"], fact["seconds"]) for fact in facts if "start" in fact]
        return waits, sum("failed" in fact and not fact.get("older") for fact in facts)


def measure(name, given, folder):
    """One row of the table."""
    path = folder / "app.py"

    def write(version):
        fresh = path.with_suffix(".fresh")
        fresh.write_text(APP.format(version=version, work_seconds=given.work_seconds))
        fresh.replace(path)

    write(1)
    port = free_port()
    way = WAYS[name](given, folder, port)
    # Bytecode files distinguish versions by whole seconds and size, and could bring an old version
    # back.
    server = Server(
        name,
        way.command,
        port,
        folder / "log",
        environment={"PYTHONDONTWRITEBYTECODE": "1"}.items(),
        folder=folder,
    )
    book, took, mixed = Book(), [], []
    try:
        server.wait()
        clients = [Client(port, book, number) for number in range(CLIENTS)]
        probe = Probe(port)
        for client in clients:
            client.thread.start()
        time.sleep(WARM_SECONDS)
        began = time.monotonic()
        for version in range(2, given.reloads + 2):
            write(version)
            asked = time.monotonic()
            way.ask(server)
            while not waited(lambda version=version: version in book.first, ASKED_AGAIN_SECONDS):
                # uWSGI forgets what it is asked while a chain is under way.
                if time.monotonic() > asked + PATIENCE_SECONDS:
                    raise Failed(f"version {version} never came")
                way.ask(server)
            silent = lambda version=version: all(
                time.monotonic() - book.last.get(old, 0) > QUIET_SECONDS
                for old in range(1, version)
            )
            if not waited(silent, PATIENCE_SECONDS):
                raise Failed("the old version stays")
            took.append(book.first[version] - asked)
            mixed.append(
                max(
                    0.0,
                    max(book.last.get(old, 0) for old in range(1, version)) - book.first[version],
                )
            )
        server.must_live()
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.thread.join()
        waits, probe_failed = probe.finish()
    finally:
        server.stop()
    kinds = Counter(book.failed)
    longest = lambda waits: max(
        (seconds for _, seconds in waits), default=storm_probe.NOTED_SECONDS
    )
    return {
        "reload": way.reload,
        "answers": book.answered,
        "failed": sum(kinds.values()) + probe_failed,
        "refused": kinds["refused"],
        "reset": kinds["reset"] + kinds["cut off"],
        "gap": longest([wait for wait in waits if wait[0] >= began]),
        "calm": longest([wait for wait in waits if wait[0] < began]),
        "took": statistics.median(took),
        "mixed": statistics.median(mixed),
        "examples": book.examples,
    }


def waited(condition, seconds):
    """Whether the condition became true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def table(rows, given):
    lines = [
        "| | reloads by | answers | failed | of these refused | reset or cut off | longest wait, ms (without reloads) | new version after, s | versions mix for, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if "why" in row:
            lines.append(f"| {name} | not measured: {row['why']} | | | | | | | |")
            continue
        short = lambda seconds: (
            f"{seconds * 1000:.0f}"
            if seconds > storm_probe.NOTED_SECONDS
            else f"under {storm_probe.NOTED_SECONDS * 1000:.0f}"
        )
        lines.append(
            f"| {name} | {row['reload']} | {row['answers']} | {row['failed']} | {row['refused']} | {row['reset']} | "
            f"{short(row['gap'])} ({short(row['calm'])}) | {row['took']:.2f} | {row['mixed']:.2f} |"
        )
    return "\n".join(lines)


def page(rows, given):
    facts = "; ".join(f"{key}: {value}" for key, value in machine.described().items())
    return f"""# What a reload costs the clients

Made by `just bench-reload --write` on {time.strftime("%Y-%m-%d")} at {machine.commit()}. {facts}.

{given.reloads} reloads of each server, with {PROCESSES} interpreters or processes of {THREADS} threads (gunicorn 4, the least that
its documentation recommends; uWSGI {UWSGI_THREADS}, because a kept connection occupies a thread, with a mercy of {UWSGI_MERCY} s).
The application computes for {given.work_seconds} s at import. {CLIENTS} clients and the probe send one request after the other,
half of them on a kept connection, without retries. Server and clients share the machine.

{table(rows, given)}

- *failed*: requests without a complete response of status 200. A connection that is closed during a
  request counts.
- *longest wait*: between two responses to one client, a separate process with a kept connection.
- *new version after*: from the signal, or the touch, to the first response of the new version; the
  median.
- *versions mix for*: from the first response of the new version to the last one of an older version;
  the median. Responses that were in progress at the swap count.
"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--singlemalt", type=pathlib.Path)
    parser.add_argument("--venv", type=pathlib.Path)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--work-seconds", type=float, default=0.5)
    parser.add_argument(
        "--peers", default=",".join(WAYS), help="which of them, with commas between"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"write {RESULTS.relative_to(RESULTS.parents[2])}"
    )
    given = parser.parse_args()
    rows = {}
    for name in given.peers.split(","):
        if name not in WAYS:
            parser.error(f"there is no {name}; there are {', '.join(WAYS)}")
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows[name] = measure(name, given, pathlib.Path(folder))
                for example in rows[name]["examples"]:
                    print(f"  {example}", file=sys.stderr)
            except (Failed, OSError) as error:
                rows[name] = {"why": str(error).replace("|", "/")}
    print(table(rows, given))
    if given.write:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(page(rows, given))
        print(f"wrote {RESULTS}")
    raise SystemExit(
        "why" in rows.get("singlemalt", {}) or rows.get("singlemalt", {}).get("failed", 0) > 0
    )


if __name__ == "__main__":
    main()
