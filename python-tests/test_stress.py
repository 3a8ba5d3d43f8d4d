"""Many clients at once, slow clients, and clients that disappear."""

import contextlib
import re
import resource
import select
import threading
import time

import pytest
from client import Closed, Connection, together
from conftest import HAS_OWN_GIL
from options import deadlines, limits
from requests_raw import chunked, get, post

pytestmark = pytest.mark.stress
MODES = ["auto", "main"] if HAS_OWN_GIL else ["main"]
HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
GATED = """
    from knock import knock

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            knock("waiting")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


@contextlib.contextmanager
def descriptors(count):
    """Lifts the soft limit of open files for this process and the servers it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"needs {count} open files, this system allows {hard} (RLIMIT_NOFILE)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Exceptions among many requests


@pytest.mark.parametrize("mode", MODES)
def test_an_exception_in_every_seventh_of_5000_requests(serve, mode):
    source = """
        def application(environ, start_response):
            number = int(environ["QUERY_STRING"])
            if number % 7 == 0:
                raise ValueError(f"seventh {number}")
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"%d" % number]
    """
    server = serve("--processes", 2, "--threads", 2, "--isolation", mode, source=source)
    clients, each = 20, 250

    def work(client):
        connection = server.connect()
        for number in range(client * each, (client + 1) * each):
            response = connection.ask(get(f"/?{number}"))
            if number % 7 == 0:
                assert response.status == 500
                if not response.keeps_alive:
                    connection.close()
                    connection = server.connect()
            else:
                assert (response.status, response.text) == (200, str(number))
        connection.close()

    together(clients, work)
    expected = len(range(0, clients * each, 7))
    server.wait_for_log(r"ValueError: seventh \d+", count=expected)
    server.stop()
    numbers = re.findall(r"ValueError: seventh (\d+)", server.log())
    assert sorted(map(int, numbers)) == list(range(0, clients * each, 7)), (
        "each failure is logged once"
    )


# Slow and idle clients


@pytest.mark.parametrize("mode", MODES)
def test_200_slow_clients_hold_no_worker(serve, mode):
    """Heads and bodies byte by byte from 200 clients: with two workers, others are served
    meanwhile.
    """
    server = serve("--threads", 2, "--isolation", mode, source=HELLO)
    wires = [get("/slow"), post("/slow", b"x" * 100), chunked("/slow", [b"x" * 10, b"y" * 10])]
    slow = [(Connection(server.address), wires[number % 3]) for number in range(200)]
    for position in range(max(len(wire) for wire in wires)):
        for connection, wire in slow:
            if position < len(wire) - 1:
                connection.send(wire[position : position + 1])
        if position % 20 == 0:
            assert server.ask("/normal", timeout=10).text == "hello"
    for connection, wire in slow:
        connection.send(wire[-1:])
    for connection, _ in slow:
        assert connection.receive().text == "hello"
        connection.close()


def test_slow_readers_hold_no_worker_for_what_fits(serve):
    """A response within the output buffer's bound leaves its worker, however slowly it is read."""
    source = """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"x" * 60_000] if environ["PATH_INFO"] == "/medium" else [b"hello"]
    """
    server = serve(source=source)
    readers = [Connection(server.address, receive_buffer_bytes=2048) for _ in range(20)]
    for reader in readers:
        reader.send(get("/medium"))
        assert reader.socket.recv(1) == b"H"
    for _ in range(10):
        assert server.ask("/", timeout=10).text == "hello"
    for reader in readers:
        reader.buffer = b"H"
        assert len(reader.receive().body) == 60_000
        reader.close()


@pytest.mark.parametrize("mode", MODES)
def test_5000_idle_connections_cost_no_cpu(serve, mode):
    with descriptors(6000):
        server = serve("--threads", 2, "--isolation", mode, source=HELLO)
        connections = []
        for _ in range(5000):
            connection = Connection(server.address)
            connection.send(get())
            connections.append(connection)
            if len(connections) % 100 == 0:
                for sent in connections[-100:]:
                    assert sent.receive().status == 200
        server.wait_until(lambda: server.open_descriptors() >= 5000, what="5,000 connections open")
        # The subject is time: the cost of idling is measured over a second of it.
        before, start = server.cpu_seconds(), time.monotonic()
        threading.Event().wait(1.0)
        spent, passed = server.cpu_seconds() - before, time.monotonic() - start
        assert spent <= 0.05 * passed, f"{spent:.2f} s of CPU in {passed:.2f} s of idling"
        # The idle connections are open, and others are served.
        assert server.ask("/").text == "hello"
        for connection in connections[::500]:
            assert connection.ask(get()).text == "hello"
        for connection in connections:
            connection.close()
        server.wait_until(lambda: server.open_descriptors() < 100, what="all connections closed")


# Clients that leave


STAGES = {
    "connected": (b"", 0),
    "in the request line": (b"GET /le", 0),
    "in the head": (b"GET / HTTP/1.1\r\nHost: a\r\n", 0),
    "in the body": (post("/", b"x" * 100)[:-50], 0),
    "in a chunk": (chunked("/", [b"x" * 100])[:-50], 0),
    "after the request": (get("/big"), 0),
    "in the response's head": (get("/big"), 5),
    "in the response's body": (get("/big"), 100_000),
    "in a stream": (get("/stream"), 100_000),
    "in a file": (get("/file"), 100_000),
    "in write()": (get("/write"), 100_000),
    "between pipelined requests": (get("/") * 3 + get("/big") * 3, 500),
}


@pytest.fixture(scope="module")
def leaving(serve_module):
    source = """
        import io, tempfile

        FILE = tempfile.NamedTemporaryFile()
        FILE.truncate(5_000_000)

        def application(environ, start_response):
            path = environ["PATH_INFO"]
            environ["wsgi.input"].read()
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            if path == "/big":
                return [b"x" * 5_000_000]
            if path == "/stream":
                return (b"x" * 10_000 for _ in range(500))
            if path == "/file":
                return environ["wsgi.file_wrapper"](open(FILE.name, "rb"))
            if path == "/write":
                for _ in range(500):
                    write(b"x" * 10_000)
                return []
            return [b"hello"]
    """
    return serve_module("--processes", 2, "--threads", 2, "--isolation", "main", source=source)


@pytest.mark.parametrize("how", ["close", "reset", "half close"])
@pytest.mark.parametrize("stage", STAGES)
def test_clients_leave_at_every_stage(leaving, stage, how):
    wire, read = STAGES[stage]
    assert leaving.ask("/").text == "hello"
    before = leaving.open_descriptors()
    for _ in range(10):
        connection = leaving.connect()
        connection.send(wire)
        if read:
            connection._exactly(read)
        if how == "half close":
            connection.end_of_sending()
            connection.rest()
        connection.abort() if how == "reset" else connection.close()
    for _ in range(5):
        assert leaving.ask("/", timeout=10).text == "hello"
    leaving.wait_until(
        lambda: leaving.open_descriptors() <= before + 1, what="the connections closed"
    )
    # No thread spins.
    leaving.wait_until(lambda: idles(leaving), what="the server idle")


def idles(server):
    before = server.cpu_seconds()
    threading.Event().wait(0.1)
    return server.cpu_seconds() - before <= 0.02


def test_requests_of_gone_clients_do_not_wait_in_line(serve, gate):
    """The request of a client that has left the queue is not executed."""
    source = """
        import sys
        from knock import knock

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/wait":
                knock("waiting")
            print("EVENT run", environ["PATH_INFO"], file=sys.stderr, flush=True)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
    """
    server = serve(source=source, gate=gate)
    blocker = server.connect()
    blocker.send(get("/wait"))
    visitor = gate.visitor()
    for number in range(10):
        gone = server.connect()
        gone.send(get(f"/gone/{number}"))
        gone.abort()
    with server.connect() as bad:
        # Answered without a worker, after what came before it was read and queued.
        bad.send(b"nonsense\r\n\r\n")
        assert bad.receive().status == 400
    # The server checks only for requests that have waited whether the client is still there.
    threading.Event().wait(1.2)
    visitor.release()
    assert blocker.receive().text == "hello"
    assert server.ask("/after").text == "hello"
    assert "EVENT run /gone" not in server.log()


# Backpressure


def readable(connections, count, seconds=10):
    """Waits until `count` of the connections have something to read; returns those."""
    end = time.monotonic() + seconds
    ready = []
    while len(ready) < count:
        left = end - time.monotonic()
        assert left > 0, f"{len(ready)} of {count} were answered"
        waiting = [connection.socket for connection in connections if connection not in ready]
        sockets, _, _ = select.select(waiting, [], [], left)
        ready += [connection for connection in connections if connection.socket in sockets]
    return ready


def test_a_full_queue_answers_503(serve, gate):
    server = serve(*limits(queue=2), source=GATED, gate=gate)
    busy = server.connect()
    busy.send(get("/wait"))
    visitor = gate.visitor()
    waiting = [server.connect() for _ in range(8)]
    for connection in waiting:
        connection.send(get("/queued"))
    refused = readable(waiting, 6)
    answers = [connection.receive() for connection in refused]
    assert [answer.status for answer in answers] == [503] * 6
    assert all(int(answer.header("Retry-After")) >= 1 for answer in answers)
    visitor.release()
    assert busy.receive().text == "hello"
    for connection in waiting:
        if connection not in refused:
            assert connection.receive().text == "hello"
    # Afterwards the next request is served.
    assert server.ask("/").text == "hello"


def test_a_stuck_application_does_not_stop_the_server_from_speaking(serve, gate):
    """Every worker stands in the app: bad requests are still refused and heads still time out."""
    server = serve("--threads", 2, *deadlines(header="500ms"), source=GATED, gate=gate)
    stuck = [server.connect() for _ in range(2)]
    for connection in stuck:
        connection.send(get("/wait"))
    visitors = gate.visitors(2)
    with server.connect() as bad:
        bad.send(b"nonsense\r\n\r\n")
        assert bad.receive().status == 400
    with server.connect() as slow:
        slow.send(b"GET / HTTP/1.1\r\n")
        assert slow.receive().status == 408
        slow.assert_closed()
    for visitor in visitors:
        visitor.release()
    for connection in stuck:
        assert connection.receive().text == "hello"


# Deadlines


def test_a_head_that_takes_too_long(serve):
    server = serve(*deadlines(header="300ms"), source=HELLO)
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        response = connection.receive()
        assert response.status == 408
        assert not response.keeps_alive
        connection.assert_closed()


def test_dribbling_does_not_extend_the_head_deadline(serve):
    server = serve(*deadlines(header="500ms"), source=HELLO)
    with server.connect() as connection:
        start = time.monotonic()
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        connection.socket.settimeout(0.02)  # the pace of this client
        received = b""
        while time.monotonic() - start < 10 and not received:
            try:
                received = connection.socket.recv(65536)
                break
            except TimeoutError:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(b"x")
            except ConnectionResetError:
                break
        assert time.monotonic() - start < 5
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "wire",
    [post("/", b"x" * 100)[:-50], chunked("/", [b"x" * 100])[:-50]],
    ids=["length", "chunked"],
)
def test_a_body_that_stops(serve, wire):
    server = serve(*deadlines(body="300ms"), source=HELLO)
    with server.connect() as connection:
        connection.send(wire)
        assert connection.receive("POST").status == 408
        connection.assert_closed()
    assert server.ask("/").text == "hello"


def test_a_body_below_the_rate(serve):
    """A client that sends 20 bytes a second where 10,000 are required."""
    server = serve(*deadlines(body_rate=10_000), source=HELLO)
    with server.connect() as connection:
        connection.send(get("/", "Content-Length: 100000", method="POST"))
        connection.socket.settimeout(0.05)
        start, received = time.monotonic(), b""
        while time.monotonic() - start < 25 and not received:
            try:
                received = connection.socket.recv(65536)
            except TimeoutError:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(b"x")
            except ConnectionResetError:
                break
        assert time.monotonic() - start < 20
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed(serve):
    server = serve(*deadlines(keep_alive="300ms"), source=HELLO)
    with server.connect() as connection:
        assert connection.ask(get()).keeps_alive
        connection.assert_closed()


def test_a_connection_that_never_asks_is_closed(serve):
    server = serve(*deadlines(keep_alive="300ms", header="300ms"), source=HELLO)
    with server.connect() as connection:
        assert connection.rest() in (b"",) or connection.buffer.startswith(b"HTTP/1.1 408 ")


def test_no_keep_alive_at_all(serve):
    server = serve(*deadlines(keep_alive=0), source=HELLO)
    with server.connect() as connection:
        assert not connection.ask(get()).keeps_alive
        connection.assert_closed()


@pytest.mark.parametrize("path", ["/stream", "/file"])
def test_a_reader_that_stops(serve, path):
    """The response does not move: the connection is closed, the iterable is closed, the worker is
    free.
    """
    source = """
        import io, sys

        class Pieces:
            def __iter__(self):
                return (b"x" * 100_000 for _ in range(1000))

            def close(self):
                print("EVENT closed", file=sys.stderr, flush=True)

        class File(io.BytesIO):
            def close(self):
                print("EVENT closed", file=sys.stderr, flush=True)

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            if environ["PATH_INFO"] == "/stream":
                return Pieces()
            if environ["PATH_INFO"] == "/file":
                return environ["wsgi.file_wrapper"](File(b"x" * 100_000_000))
            return [b"hello"]
    """
    server = serve(*deadlines(write="500ms"), source=source)
    with Connection(server.address, receive_buffer_bytes=4096) as connection:
        connection.send(get(path))
        assert connection.socket.recv(1) == b"H"
        server.wait_for_log("EVENT closed")
        assert server.ask("/").text == "hello"


def test_a_reader_that_is_slow_but_moves_is_served(serve):
    """The write deadline is about progress: 16 MB that take longer than the deadline arrive whole."""
    source = """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "16000000")])
            return (b"x" * 100_000 for _ in range(160))
    """
    server = serve(*deadlines(write="1s"), source=source)
    with Connection(server.address, receive_buffer_bytes=65536) as connection:
        connection.send(get(version="1.0"))
        start, received = time.monotonic(), 0
        while data := connection.socket.recv(65536):
            received += len(data)
            threading.Event().wait(0.008)  # the pace of this client
        assert received > 16_000_000
        assert time.monotonic() - start > 1.5, "this client was too quick to prove anything"


# Endurance


@pytest.mark.parametrize("mode", MODES)
def test_memory_stays_flat(serve, mode):
    """Requests of many shapes, over and over: what the first thousands needed is enough for the
    next.
    """
    server = serve("--processes", 2, "--isolation", mode, app="faults.py")
    shapes = [
        get("/plain"),
        get("/text_pieces"),
        get("/closing?x"),
        get("/raise_before_start"),
        post("/plain", b"x" * 1000),
        get("/bad_header?0"),
        chunked("/plain", [b"x" * 1000]),
        get("/write_only"),
    ]

    def round_of_requests(_):
        with server.connect() as connection:
            for step in range(600):
                response = connection.ask(shapes[step % len(shapes)])
                if not response.keeps_alive:
                    connection.close()
                    connection.__init__(server.address)

    together(4, round_of_requests)
    before = server.resident_bytes()
    together(4, round_of_requests)
    together(4, round_of_requests)
    grown = server.resident_bytes() - before
    assert grown < 4_000_000, f"{grown} bytes more after 4,800 further requests"


def test_connections_come_and_go(serve):
    server = serve("--threads", 2, source=HELLO)
    server.ask("/")
    before = server.open_descriptors()

    def work(_):
        for _ in range(100):
            with server.connect() as connection:
                assert connection.ask(get("/", "Connection: close")).text == "hello"

    together(10, work)
    server.wait_until(lambda: server.open_descriptors() <= before, what="all connections closed")


def test_pipelining_under_load(serve):
    """Many connections with many pipelined requests, small reads: nothing is lost or mixed up."""
    server = serve("--processes", 2, "--threads", 2, app="echo.py")

    def work(client):
        with server.connect() as connection:
            for round_ in range(5):
                paths = [f"/{client}/{round_}/{number}" for number in range(30)]
                connection.send(b"".join(post(path, path.encode()) for path in paths))
                for path in paths:
                    got = connection.receive("POST").json()
                    assert (got["environ"]["PATH_INFO"], got["body"]) == (path, path)

    together(10, work)


def test_closed_is_told_from_silence():
    """The test client itself: a truncated response is an error."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    with Connection(listener.getsockname()) as connection, listener.accept()[0] as peer:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
        peer.close()
        with pytest.raises(Closed):
            connection.receive()
    listener.close()
