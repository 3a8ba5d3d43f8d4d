"""How long a client waits, told by a process of its own: what a test's other threads do does not
delay it.

    storm_probe.py asker HOST PORT       asks again and again on one kept connection, a millisecond after each answer
    storm_probe.py sleeper               asks nobody: it sleeps for a millisecond, again and again

Both write a line of JSON for each time longer than NOTED_SECONDS from one answer (or waking) to the
next, and for each failure, until their standard input is closed; then a last line. What the sleeper
waits, the machine made it wait: no server can be quicker than that. Times are those of the system's
monotonic clock, so they can be compared with another process's.
"""

import gc
import json
import os
import re
import select
import socket
import sys
import time

PAUSE_SECONDS = 0.001
NOTED_SECONDS = 0.015
TIMEOUT_SECONDS = 30
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSES = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)
HEAD = re.compile(
    rb"HTTP/1\.1 200 [^\r]*\r\n(?:[^\r]+\r\n)*?[Cc]ontent-[Ll]ength: (\d+)\r\n(?:[^\r]+\r\n)*\r\n"
)


def say(**facts):
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Asker:
    """Asks on one connection for as long as that is there. Whoever wants to know more than its
    answers overrides the last three.
    """

    def __init__(self, host, port, request=REQUEST):
        self.address, self.request = (host, int(port)), request
        self.socket = None
        self.newest = 0

    def step(self):
        try:
            if self.socket is None:
                self.socket = socket.create_connection(self.address, TIMEOUT_SECONDS)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(self.request)
            version = int(self.answer().partition(b";")[0])
        except (OSError, EOFError, ValueError) as error:
            self.close()
            self.failed(error)
            return
        if version < self.newest:
            self.older(version)
        self.newest = max(self.newest, version)
        self.answered(version)

    def answer(self):
        data = b""
        while True:
            part = self.socket.recv(65536)
            if not part:
                raise EOFError(f"closed after {data[:100]!r}")
            data += part
            head = HEAD.match(data)
            if head is not None and len(data) >= head.end() + int(head[1]):
                if CLOSES.search(data, 0, head.end()):
                    self.close()
                return data[head.end() :]
            if head is None and b"\r\n\r\n" in data:
                raise ValueError(f"not the answer: {data[:100]!r}")

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def answered(self, version):
        pass

    def failed(self, error):
        say(failed=f"{type(error).__name__}: {error}", at=time.monotonic())

    def older(self, version):
        say(failed=f"version {version} after {self.newest}", at=time.monotonic(), older=True)


class Sleeper:
    def step(self):
        pass


def main():
    probe = Asker(*sys.argv[2:]) if sys.argv[1] == "asker" else Sleeper()
    if sys.argv[1] == "asker":
        try:
            # The asker is an instrument: it must not wait for a core itself. Needs privilege;
            # without it the figure is an upper bound.
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        except OSError:
            pass
    gc.disable()
    count, longest, last = 0, 0.0, time.monotonic()
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        probe.step()
        now = time.monotonic()
        if now - last > NOTED_SECONDS:
            say(start=last, seconds=now - last)
        longest = max(longest, now - last)
        count, last = count + 1, now
    say(count=count, longest=longest)


if __name__ == "__main__":
    main()
