"""Blocks an app until the test lets it go: the app knocks (apps/knock.py) and waits.

So a test knows that a request is inside the app, and decides how long it stays there, without a
timer.
"""

import socket

TIMEOUT_SECONDS = 20.0


class Visitor:
    """One request that waits at the gate."""

    def __init__(self, connection):
        self._connection = connection
        self._connection.settimeout(TIMEOUT_SECONDS)
        with connection.makefile("r") as lines:
            self.word = lines.readline().rstrip("\n")

    def release(self, answer=b"+"):
        with self._connection:
            self._connection.sendall(answer)

    def wait_until_gone(self):
        """Blocks until the app's side was closed: the knocking thread has left the gate by itself."""
        with self._connection:
            assert self._connection.recv(1) == b""


class Gate:
    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(TIMEOUT_SECONDS)
        self._visitors = []
        self.port = self._listener.getsockname()[1]

    def visitor(self):
        """Waits until a request knocks."""
        connection, _ = self._listener.accept()
        visitor = Visitor(connection)
        self._visitors.append(visitor)
        return visitor

    def visitors(self, count):
        return [self.visitor() for _ in range(count)]

    def close(self):
        """Closes the gate and lets every waiting request go."""
        self._listener.close()
        for visitor in self._visitors:
            visitor._connection.close()
