"""Crashes under load: `--supervise` starts the server again, and no connection is refused.

    crash_storm.py [--crashes N] [--mode on|warm] [--clients N] [--pause S] [-- OPTION ...]

The server is killed by SIGKILL, SIGSEGV and SIGABRT in turn while clients send requests without a
pause, each on a connection of its own. What must hold: no connection is refused, every client has
at most one failure for each crash, and the log names every request that had begun in the
application and has failed. The time from each kill to the next answer is measured.

The exit code judges.
"""

import argparse
import os
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from client import Closed, Connection
from requests_raw import get
from test_waiter import children

from server import Server

#: Notes each request where it begins.
APP = """
import os
begun = os.open("begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def application(environ, start_response):
    os.write(begun, environ["PATH_INFO"].encode() + b"\\n")
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
KILLS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]
SERVES = r"^(?:.* - )?ready after .*pid (\d+);"
#: A request that waits for longer has failed.
TIMEOUT_SECONDS = 30


class Client(threading.Thread):
    """Sends requests, one after the other, until it is told to stop."""

    def __init__(self, number, address):
        super().__init__(daemon=True)
        self.number, self.address = number, address
        self.is_over = False
        self.outcomes = Counter()
        self.failed = []
        self.answered_at = []

    def run(self):
        count = 0
        while not self.is_over:
            count += 1
            path = f"/{self.number}-{count}"
            outcome = self.ask(path)
            self.outcomes[outcome] += 1
            if outcome == "failed":
                self.failed.append(path)

    def ask(self, path):
        try:
            with Connection(self.address, TIMEOUT_SECONDS) as connection:
                connection.send(get(path))
                connection.receive()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "timed out"
        except (Closed, ConnectionError):
            return "failed"
        self.answered_at.append(time.monotonic())
        return "answered"


def serving(server):
    """The process that serves, of the two of `warm`."""
    alive = set(map(str, children(server)))
    ready = re.findall(SERVES, server.log(), re.MULTILINE)
    return int(next(pid for pid in reversed(ready) if pid in alive))


def storm(server, crashes, clients, pause):
    """Returns the clients and the times of the kills."""
    server.wait_until_ready()
    load = [Client(number, server.address) for number in range(clients)]
    for client in load:
        client.start()
    killed_at = []
    for number in range(crashes):
        time.sleep(pause)
        killed_at.append(time.monotonic())
        os.kill(serving(server), KILLS[number % len(KILLS)])
        server.wait_for_log(rf"crashes so far: {number + 1},", seconds=60)
    time.sleep(pause)
    for client in load:
        client.is_over = True
    for client in load:
        client.join()
    return load, killed_at


def judge(server, load, killed_at):
    """Prints the figures; returns what must not be."""
    outcomes = sum((client.outcomes for client in load), Counter())
    answers = sorted(at for client in load for at in client.answered_at)
    failed = {path for client in load for path in client.failed}
    log = server.log()
    named = set(re.findall(r"in progress: GET (/\d+-\d+) ", log))
    begun = set((server.directory / "begun").read_text().split())
    gaps = [
        1000 * (next(at for at in answers if at > killed + 0.002) - killed) for killed in killed_at
    ]
    print(f"crashes {len(killed_at)}, requests {dict(outcomes)}")
    print(f"failed {len(failed)}: {len(failed & named)} named, {len(failed - begun)} not begun")
    print(
        f"from a kill to the next answer: median {statistics.median(gaps):.0f} ms, "
        f"worst {max(gaps):.0f} ms"
    )
    wrong = []
    if outcomes["refused"] or outcomes["timed out"]:
        wrong.append("a connection was refused, or waited for too long")
    if any(client.outcomes["failed"] > len(killed_at) for client in load):
        wrong.append("a client has more failures than there were crashes")
    if unnamed := (failed & begun) - named:
        wrong.append(f"the log does not name {sorted(unnamed)}")
    if "panicked" in log:
        wrong.append("a thread panicked")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crashes", type=int, default=200)
    parser.add_argument("--mode", choices=["on", "warm"], default="on")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=1.2)
    parser.add_argument("options", nargs="*")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(APP)
        command = [f"--supervise={asked.mode}", "--http-socket", "127.0.0.1:0"]
        command += ["--threads", str(asked.clients), *asked.options, "app.py"]
        server = Server(command, folder)
        load, killed_at = storm(server, asked.crashes, asked.clients, asked.pause)
        wrong = judge(server, load, killed_at)
        if code := server.stop():
            wrong.append(f"exit code {code}")
    print("\n".join(wrong) or "as it should be")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
