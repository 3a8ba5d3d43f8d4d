"""Measures the spooler: the time of an enqueue, tasks a second, the time until a task starts, and requests beside a full spooler;
of this server and of uWSGI, in turn."""

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

APP = """
import json, os, time
import uwsgi

# uWSGI runs tasks in the spooler's directory.
STARTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "started")

def spooler(task):
    now = time.time()
    work = float(task.get(b"work", b"0"))
    while work and time.time() < now + work:
        pass
    if b"sent" in task:
        with open(STARTED, "ab") as file:
            file.write(b"%f\\n" % (now - float(task[b"sent"])))
    return uwsgi.SPOOL_OK

uwsgi.spooler = spooler

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    query = dict(part.split("=") for part in environ["QUERY_STRING"].split("&") if part)
    count = int(query.get("count", 0))
    began = time.perf_counter()
    for _ in range(count):
        task = {b"key": b"value", b"work": query.get("work", "0").encode()}
        if "stamp" in query:
            task[b"sent"] = repr(time.time()).encode()
        uwsgi.spool(task)
    return [str(time.perf_counter() - began).encode()]
"""


class Running:
    def __init__(self, command, folder):
        self.path = folder / "http.sock"
        self.path.unlink(missing_ok=True)
        (folder / "app.py").write_text(APP)
        self.process = subprocess.Popen(
            [*map(str, command), "--http-socket", str(self.path), "--wsgi-file", "app.py"]
            + ["--master", "--disable-logging", "--spooler-quiet"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 30
        while True:
            try:
                self.ask("")
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def ask(self, query):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(120)
            connection.connect(str(self.path))
            connection.sendall(f"GET /?{query} HTTP/1.0\r\nHost: a\r\n\r\n".encode())
            answer = connection.makefile("rb").read()
        return float(answer.rpartition(b"\r\n\r\n")[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def tasks_in(folder):
    return sum(name.startswith("uwsgi_spoolfile_on_") for name in os.listdir(folder))


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "tasks").mkdir()
    return folder


def enqueue(command, folder, count):
    """Microseconds of uwsgi.spool(), with no spooler that works; the best of five rounds."""
    with Running([*command, "--spooler-external", "tasks"], fresh(folder)) as server:
        server.ask("count=20")
        return min(server.ask(f"count={count}") for _ in range(5)) / count * 1e6


def throughput(command, folder, count):
    """Tasks that do nothing, a second, out of a full directory."""
    fresh(folder)
    with Running([*command, "--spooler-external", "tasks"], folder) as server:
        server.ask(f"count={count}")
    began = None
    with Running([*command, "--spooler", "tasks"], folder):
        while left := tasks_in(folder / "tasks"):
            if began is None and left < count:
                began, first = time.perf_counter(), left
            time.sleep(0.002)
        return first / (time.perf_counter() - began) if began else float("nan")


def latency(command, folder, count):
    """Milliseconds from the enqueue to the handler: median and 99th percentile."""
    with Running([*command, "--spooler", "tasks"], fresh(folder)) as server:
        time.sleep(1)
        for _ in range(count):
            server.ask("count=1&stamp=1")
            time.sleep(0.01)
        while tasks_in(folder / "tasks"):
            time.sleep(0.01)
    times = sorted(float(line) * 1000 for line in (folder / "started").read_text().split())
    return statistics.median(times), times[int(len(times) * 0.99)]


def requests(server, count):
    times = []
    for _ in range(count):
        began = time.perf_counter()
        server.ask("")
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[int(count * 0.99)]


def beside(command, folder, count):
    """The 99th percentile of a hello, alone and beside a full spooler, in milliseconds."""
    with Running([*command, "--spooler", "tasks"], fresh(folder)) as server:
        requests(server, count // 10)
        alone = requests(server, count)
        server.ask("count=2000&work=0.005")
        busy = requests(server, count)
        assert tasks_in(folder / "tasks"), "the spooler was done before the requests were"
    return alone, busy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--singlemalt", required=True, type=Path)
    parser.add_argument("--uwsgi", required=True, type=Path)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where the directories of tasks are made")
    options = parser.parse_args()
    ours = [options.singlemalt.resolve()]
    # uWSGI does not synchronise; the first of ours does.
    servers = {
        "singlemalt": ours,
        "singlemalt --spooler-no-sync": [*ours, "--spooler-no-sync"],
        "singlemalt --spooler-no-sync --isolation main": [
            *ours, "--spooler-no-sync", "--isolation", "main",
        ],
        "uWSGI": [options.uwsgi.resolve()],
    }  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = Path(folder) / "bench"
        for name, command in servers.items():
            micros = enqueue(command, folder, options.tasks // 10)
            rate = throughput(command, folder, options.tasks)
            median, last = latency(command, folder, 200)
            alone, busy = beside(command, folder, 1000)
            rows.append(
                f"| {name} | {micros:.0f} | {rate:.0f} | {median:.1f} / {last:.1f} "
                f"| {alone:.1f} / {busy:.1f} |"
            )
            print(rows[-1], flush=True)
    head = [
        "| | enqueue, µs | tasks/s | start after, ms (median / 99 %) | hello 99 %, ms (alone / beside tasks) |",
        "|---|---|---|---|---|",
    ]
    text = "\n".join([*head, *rows])
    print(text)
    print(json.dumps({"cores": os.cpu_count(), "system": platform.platform()}))


if __name__ == "__main__":
    main()
