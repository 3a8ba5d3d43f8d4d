"""singlemalt beside bjoern, measured so that the ratio can be trusted on a noisy machine.

    bench.py SINGLEMALT [--rounds N] [--seconds S]

All servers are started up front. Server and client are pinned to different cores; short slices rotate
between the servers, and what is printed is the median of the rounds' ratios, not a ratio of sums: a
machine that slows down for a while slows both sides of a ratio. wrk must be on the path; bjoern is
compared with where this Python can import it. Nothing here is a test: no figure makes it fail.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
SERVER_CORE, CLIENT_CORE = "0", "1"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process and where it listens."""

    def __init__(self, name, command, port, cores=SERVER_CORE):
        self.name, self.url = name, f"http://127.0.0.1:{port}/"
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).read()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{name} does not answer: {' '.join(command)}") from None
                time.sleep(0.02)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def pss_kilobytes(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])

    def stop(self):
        self.process.terminate()
        self.process.wait(15)


def load(server, connections, seconds, client_cores=CLIENT_CORE):
    """One slice: requests per second, 99th percentile in ms, CPU microseconds per request."""
    before = server.cpu_seconds()
    text = subprocess.run(
        ["taskset", "-c", client_cores, "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", server.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    requests = int(re.search(r"(\d+) requests in", text)[1])
    if "Non-2xx" in text or not requests:
        raise SystemExit(f"{server.name}: wrong answers:\n{text}")
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    p99 = float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, p99, (server.cpu_seconds() - before) / requests * 1e6


def compare(title, servers, connections, arguments, **pins):
    """A table: each server's medians, and the median of its ratios to the last one."""
    slices = {server: [] for server in servers}
    for _ in range(arguments.rounds):
        for server in servers:
            slices[server].append(load(server, connections, arguments.seconds, **pins))
    reference = slices[servers[-1]]
    print(f"\n{title}, {connections} connections")
    print(f"  {'':24} {'req/s':>9} {'p99 ms':>8} {'CPU us':>7}   req/s, p99, CPU as ratios to {servers[-1].name}")
    for server in servers:
        medians = [statistics.median(column) for column in zip(*slices[server])]
        ratios = [
            statistics.median(own / other for own, other in zip(columns, references) if other)
            for columns, references in zip(zip(*slices[server]), zip(*reference))
        ]
        print(f"  {server.name:24} {medians[0]:9.0f} {medians[1]:8.2f} {medians[2]:7.2f}   " + "  ".join(f"{r:.2f}" for r in ratios))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("singlemalt", help="the binary (a release build)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is needed: apt install wrk (Debian, Ubuntu), brew install wrk (macOS)")

    with contextlib.ExitStack() as stack:

        def start(name, command, port, **pins):
            server = Server(name, command, port, **pins)
            stack.callback(server.stop)
            return server

        def singlemalt(name, app, *options, **pins):
            port = free_port()
            command = [arguments.singlemalt, str(HERE / "apps" / app), "--http", f"127.0.0.1:{port}", "-L", *options]
            return start(name, command, port, **pins)

        hello = [singlemalt("singlemalt", "hello.py")]
        try:
            import bjoern  # noqa: F401
        except ImportError:
            print("bjoern is not installed for this Python: compared with itself only")
        else:
            port = free_port()
            hello.append(start("bjoern", [sys.executable, str(HERE / "serve_bjoern.py"), "hello", str(port)], port))
        both = f"{SERVER_CORE},{CLIENT_CORE}"
        cpu = [
            singlemalt("two interpreters", "cpu.py", "-p", "2", cores=both),
            singlemalt("one interpreter", "cpu.py", cores=both),
        ]
        sleep = [
            singlemalt("2 x 8 threads", "sleep.py", "-p", "2", "--threads", "8", cores=both),
            singlemalt("1 x 8 threads", "sleep.py", "--threads", "8", cores=both),
        ]
        threads = [singlemalt("2 x 8 threads", "hello.py", "-p", "2", "--threads", "8", cores=both), hello[0]]
        more = [singlemalt(f"{count} interpreters", "hello.py", "-p", str(count)) for count in (2, 4)]

        for connections in (1, 32, 256):
            compare("hello", hello, connections, arguments)
        compare("hello, threads", threads, 32, arguments)
        compare("2 ms of Python", cpu, 8, arguments, client_cores=both)
        compare("50 ms of waiting", sleep, 32, arguments, client_cores=both)
        print("\nmemory after load (PSS)")
        for server in [*hello, *more]:
            print(f"  {server.name:24} {server.pss_kilobytes() / 1024:6.1f} MB")


if __name__ == "__main__":
    main()
