"""wsgi.input against io.BytesIO, operation by operation: in memory, in pages of it and spilled,
with a length and chunked.
"""

import io
import json
import random
import sys

import pytest
from options import limits
from requests_raw import chunked, get, post

from server import APPS

sys.path.insert(0, str(APPS))
from input_operations import OPERATIONS, body, digest, perform, sequence

MEMORY_BYTES = 4096
SIZES = {
    "memory": [0, 1, 10, 1000, MEMORY_BYTES - 1, MEMORY_BYTES],
    "spilled": [MEMORY_BYTES + 1, 10_000, 70_000, 400_000],
}
# A body longer than a page is in several pieces of memory.
PAGE_BYTES, PAGES_BYTES = 64 << 10, 1 << 20
PAGED_SIZES = [
    PAGE_BYTES - 1,
    PAGE_BYTES,
    PAGE_BYTES + 1,
    2 * PAGE_BYTES,
    400_000,
    PAGES_BYTES,
    PAGES_BYTES + 1,
]
SEQUENCES = 60


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(
        *limits(body_memory_bytes=MEMORY_BYTES), "--pythonpath", APPS, app="input.py"
    )


@pytest.fixture(scope="module")
def paged(serve_module):
    return serve_module(
        *limits(body_memory_bytes=PAGES_BYTES), "--pythonpath", APPS, app="input.py"
    )


def pieces(random_source, data):
    while data:
        size = random_source.choice([1, 2, 17, 1000, 4096, 30_000])
        yield data[:size]
        data = data[size:]


def check(connection, wire_of, data, operations):
    oracle = io.BytesIO(data)
    expected = [digest(perform(oracle, name, size)) for name, size in operations]
    got = connection.ask(wire_of(f"X-Operations: {json.dumps(operations)}"), "POST").json()
    for step, (operation, mine, theirs) in enumerate(zip(operations, got, expected, strict=True)):
        assert mine == theirs, (
            f"step {step} of {len(data)} bytes: {operation} after {operations[:step]}"
        )


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("place", SIZES)
def test_random_sequences(server, place, framing):
    source = random.Random(f"{place} {framing}")
    with server.connect() as connection:
        for _ in range(SEQUENCES):
            data = body(source, source.choice(SIZES[place]))
            if framing == "length":
                wire_of = lambda field: post("/", data, field)
            else:
                chunks = list(pieces(source, data))
                wire_of = lambda field: chunked("/", chunks, field)
            check(connection, wire_of, data, sequence(source))


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_random_sequences_in_pages(paged, framing):
    source = random.Random(f"pages {framing}")
    with paged.connect() as connection:
        for size in 3 * PAGED_SIZES:
            data = body(source, size)
            if framing == "length":
                wire_of = lambda field: post("/", data, field)
            else:
                wire_of = lambda field: chunked("/", list(pieces(source, data)), field)
            check(connection, wire_of, data, sequence(source))


@pytest.mark.parametrize("size", PAGED_SIZES)
def test_a_long_body_in_pieces_ends_where_it_ends(paged, size):
    """The body is read without the parser; the bytes after it are the next request."""
    source = random.Random(size)
    first, second = body(source, size), body(source, 1000)
    operations = [("read", -1)]
    expected = [[digest(perform(io.BytesIO(data), *operations[0]))] for data in (first, second)]
    field = f"X-Operations: {json.dumps(operations)}"
    wire = post("/", first, field) + post("/", second, field)
    with paged.connect() as connection:
        while wire:
            # Through the socket's buffers now and then, so that the server sees borders of its own.
            cut = source.choice([1, 4096, 65_536, 65_537, 200_000])
            connection.send(wire[:cut])
            wire = wire[cut:]
        assert [connection.receive("POST").json() for _ in range(2)] == expected


def test_a_client_that_leaves_in_a_long_body_leaves_no_trace(paged):
    for _ in range(50):
        with paged.connect() as connection:
            connection.send(post("/", b"x" * 500_000, "X-Operations: []")[:300_000])
    assert paged.ask("/", "POST", b"", {"X-Operations": "[]"}).json() == []


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"a", b"a\nb", b"\n\n\n", b"a\nb\n" * 5000],
    ids=["empty", "line end", "a", "a b", "line ends", "many"],
)
def test_every_operation_three_times(server, operation, data):
    with server.connect() as connection:
        for size in (1, 3, 100_000):
            check(connection, lambda field: post("/", data, field), data, [(operation, size)] * 3)


def test_no_body_reads_as_nothing(server):
    operations = [(operation, 5) for operation in OPERATIONS]
    with server.connect() as connection:
        check(connection, lambda field: get("/", field), b"", operations)


@pytest.mark.parametrize(
    "call",
    ["read('x')", "read(1.5)", "read(1, 2)", "readline('x')", "readline(1, 2)", "readlines('x')"],
)
def test_wrong_arguments_raise_type_error(serve, call):
    source = f"""
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                return [repr(environ["wsgi.input"].{call}).encode()]
            except TypeError:
                return [b"TypeError"]
    """
    assert serve(source=source).ask("/", "POST", b"body").text == "TypeError"


def test_huge_sizes(serve):
    """The server does not allocate the requested size."""
    source = """
        def application(environ, start_response):
            stream = environ["wsgi.input"]
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [stream.readline(2**62) + b"|" + stream.read(2**62) + b"|" + stream.read(2**62)]
    """
    assert serve(source=source).ask("/", "POST", b"line\nrest").body == b"line\n|rest|"


def test_a_big_body_is_whole_and_not_in_memory(serve):
    source = """
        import hashlib

        def application(environ, start_response):
            stream, digest, size = environ["wsgi.input"], hashlib.sha256(), 0
            while piece := stream.read(65536):
                digest.update(piece)
                size += len(piece)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{size} {digest.hexdigest()}".encode()]
    """
    import hashlib

    server = serve(source=source)
    server.ask("/")
    before = server.resident_bytes()
    piece = random.Random(1).randbytes(1 << 20)
    digest_of_all = hashlib.sha256()
    with server.connect(timeout=60) as connection:
        connection.send(get("/", f"Content-Length: {100 << 20}", method="POST"))
        for _ in range(100):
            connection.send(piece)
            digest_of_all.update(piece)
        assert connection.receive("POST").text == f"{100 << 20} {digest_of_all.hexdigest()}"
    assert server.resident_bytes() - before < 30_000_000
