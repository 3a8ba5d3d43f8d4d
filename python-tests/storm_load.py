"""The clients of the storm: every kind at once, each on a thread, each answer checked.

What an answer must be: whole, with 200, of one version, and of no older version than one that had
been answered before its request was sent. What goes wrong is counted by its kind: a connection that
was refused, reset, or cut off, an answer that did not come, that was wrong, or that came from an
older version.
"""

import random
import threading
import time
from collections import Counter

import front_end
from client import Closed, Connection

KEEP_ALIVE = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Older(AssertionError):
    """A response of a version that had been replaced before its request was sent."""


#: The first that fits counts.
FAILURES = (
    (ConnectionRefusedError, "refused"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError), "reset"),
    (EOFError, "cut off"),
    (TimeoutError, "not answered"),
    (Older, "of an older version"),
    (Exception, "wrong"),
)


def kind_of(failure):
    return next(word for kind, word in FAILURES if isinstance(failure, kind))


class Watched(Connection):
    """Knows whether the answer that it waits for has begun."""

    begun = False

    def _more(self):
        super()._more()
        self.begun = True

    def head(self):
        self.begun = bool(self.buffer)
        return super().head()


class Load:
    """Clients of every kind, each on a thread, until told to stop."""

    KINDS = (
        "keep_alive",
        "new_connection",
        "half_sent_body",
        "stream",
        "slow_reader",
        "pipelined",
        "busy",
    )
    #: With these, if there is a uwsgi socket.
    UWSGI_KINDS = ("uwsgi", "uwsgi_body", "uwsgi_big")
    #: A client stops after so many failures.
    FAILURES_MAX = 50

    def __init__(self, address, seed, monotonous=True, clients=None, uwsgi=None, pause=0.0):
        """`monotonous`: versions must not mix. `uwsgi`: the address of a uwsgi socket. `pause`:
        what each client rests between two requests, at most.
        """
        kinds = self.KINDS + (self.UWSGI_KINDS if uwsgi else ())
        self.address, self.uwsgi = address, uwsgi
        self.monotonous = monotonous
        self.pause = pause
        self.stopping = threading.Event()
        self.leaving = False
        self.lock = threading.Lock()
        self.newest = 0
        self.answered = 0
        self.turned_away = 0
        self.by_kind = Counter()
        self.failures = []
        self.failed = Counter()
        self.last_answer = None
        self.longest_gap = 0.0
        self.threads = [
            threading.Thread(
                target=self._run, args=(kinds[index % len(kinds)], random.Random(f"{seed} {index}"))
            )
            for index in range(len(kinds) if clients is None else clients)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def farewell(self):
        """The server is about to be stopped: a client that is refused or gets no response stays
        away from then on. A response that has begun must still be completed.
        """
        self.leaving = True

    def _run(self, kind, dice):
        state = {"connection": None, "begun": False}
        while not self.stopping.is_set():
            try:
                getattr(self, "_" + kind)(state, dice)
                with self.lock:
                    self.by_kind[kind] += 1
            except (OSError, AssertionError, EOFError, ValueError) as failure:
                connection, state["connection"] = state["connection"], None
                has_begun = connection is not None and connection.begun
                if connection is not None:
                    connection.close()
                if (
                    self.leaving
                    and not has_begun
                    and isinstance(failure, (OSError, EOFError))
                    and not isinstance(failure, TimeoutError)
                ):
                    with self.lock:
                        self.turned_away += 1
                    return
                with self.lock:
                    self.failed[kind_of(failure)] += 1
                    self.failures.append(f"{kind}: {type(failure).__name__}: {failure}"[:500])
                if len(self.failures) > self.FAILURES_MAX:
                    return
            if self.pause:
                self.stopping.wait(dice.random() * self.pause)
        if state["connection"] is not None:
            state["connection"].close()

    # The kinds of clients

    def _open(self, state, *address, **more):
        if state["connection"] is not None:
            state["connection"].close()
        state["connection"] = None
        state["connection"] = Watched(*(address or (self.address,)), **more)
        return state["connection"]

    def _kept(self, state, dice):
        """A connection that is kept for some requests; then another one."""
        if state["connection"] is None or dice.random() < 0.02:
            return self._open(state)
        return state["connection"]

    def _begins(self):
        """A request is about to be sent: what its answer may not be older than."""
        return self.newest

    def _answered(self, state, response, floor):
        assert response.status == 200, response
        words = set(
            response.body.partition(b";")[0:1]
            if b";" not in response.body
            else response.body.rstrip(b"0123456789").split(b";")[:-1]
        )
        assert len(words) == 1, f"one answer of several versions: {words}"
        version = int(words.pop())
        now = time.monotonic()
        with self.lock:
            if self.monotonous and version < floor:
                raise Older(
                    f"version {version} answered a request that was sent after an answer of {floor}"
                )
            self.newest = max(self.newest, version)
            self.answered += 1
            if self.last_answer is not None:
                self.longest_gap = max(self.longest_gap, now - self.last_answer)
            self.last_answer = now
        connection = state["connection"]
        if connection is not None:
            connection.begun = False
            if isinstance(response.headers, list) and any(
                name.lower() == "connection" and value.lower() == "close"
                for name, value in response.headers
            ):
                connection.close()
                state["connection"] = None

    def _keep_alive(self, state, dice):
        connection = self._kept(state, dice)
        floor = self._begins()
        self._answered(state, connection.ask(KEEP_ALIVE % b"/"), floor)

    def _busy(self, state, dice):
        connection = self._kept(state, dice)
        floor = self._begins()
        self._answered(state, connection.ask(KEEP_ALIVE % b"/busy"), floor)

    def _new_connection(self, state, dice):
        floor = self._begins()
        connection = self._open(state)
        response = connection.ask(LAST % b"/")
        connection.assert_closed()
        self._answered(state, response, floor)

    def _half_sent_body(self, state, dice):
        length = dice.randrange(2, 200_000)
        connection = self._kept(state, dice)
        floor = self._begins()
        connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        connection.send(b"x" * (length // 2))
        self.stopping.wait(dice.random() * 0.1)
        connection.send(b"x" * (length - length // 2))
        response = connection.receive("POST")
        assert response.body.endswith(b";%d" % length), response.body[:100]
        self._answered(state, response, floor)

    def _stream(self, state, dice):
        connection = self._kept(state, dice)
        floor = self._begins()
        response = connection.ask(KEEP_ALIVE % b"/stream")
        assert response.body.count(b";") == 5, response.body
        self._answered(state, response, floor)

    def _slow_reader(self, state, dice):
        floor = self._begins()
        connection = self._open(state, self.address, receive_buffer_bytes=16384)
        connection.send(LAST % b"/big")
        response = connection.head()
        length = int(response.header("Content-Length"))
        body, connection.buffer = connection.buffer, b""
        while len(body) < length:
            part = connection.socket.recv(32768)
            if not part:
                raise Closed(f"closed after {len(body)} of {length} bytes", b"")
            body += part
            self.stopping.wait(0.004)
        response.body = body
        self._answered(state, response, floor)

    def _pipelined(self, state, dice):
        count = dice.randrange(2, 6)
        connection = self._kept(state, dice)
        floor = self._begins()
        connection.send(KEEP_ALIVE % b"/busy" * count)
        for _ in range(count):
            self._answered(state, connection.receive(), floor)
            if state["connection"] is None:
                # Told to close: what is behind was not answered, and is not lost but to be sent
                # again.
                return

    # Over the uwsgi socket: one request on each connection, as nginx does it.

    def _ask_uwsgi(self, state, target, method="GET", body=b"", pause=0.0):
        floor = self._begins()
        connection = self._open(state, self.uwsgi)
        packet = front_end.packet(front_end.variables(target, method, body))
        cut = len(packet) + len(body) // 2
        wire = packet + body
        connection.send(wire[:cut])
        if pause:
            self.stopping.wait(pause)
        if wire[cut:]:
            connection.send(wire[cut:])
        try:
            while True:
                connection._more()
        except Closed:
            pass
        if not connection.buffer:
            raise Closed("closed without an answer", b"")
        answer = front_end.answer(connection.buffer)
        length = answer.header("Content-Length")
        if length is not None and int(length) != len(answer.body):
            raise Closed(f"closed after {len(answer.body)} of {length} bytes", b"")
        return answer, floor

    def _uwsgi(self, state, dice):
        self._answered(state, *self._ask_uwsgi(state, "/busy" if dice.random() < 0.1 else "/"))

    def _uwsgi_body(self, state, dice):
        length = dice.randrange(2, 200_000)
        answer, floor = self._ask_uwsgi(state, "/echo", "POST", b"x" * length, dice.random() * 0.1)
        assert answer.body.endswith(b";%d" % length), answer.body[:100]
        self._answered(state, answer, floor)

    def _uwsgi_big(self, state, dice):
        self._answered(state, *self._ask_uwsgi(state, "/big"))
        self.stopping.wait(0.02)
