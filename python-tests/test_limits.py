"""Every limit refuses one more than it allows; a refused request closes its connection and never
reaches the app.
"""

import contextlib
from pathlib import Path

import pytest
from options import limits
from requests_raw import chunked, get, post

HEAD_BYTES = 32 * 1024
TARGET_BYTES = 16 * 1024
FIELDS = 128
BODY_BYTES = 5000


@pytest.fixture(scope="module")
def echo(serve_module):
    """One worker, so that its list has every request that got through before `/seen`."""
    return serve_module(app="echo.py")


@pytest.fixture(scope="module")
def small(serve_module):
    return serve_module(*limits(body_bytes=BODY_BYTES, body_memory_bytes=1000), app="echo.py")


def assert_refused(server, wire, status, marker):
    with server.connect() as connection:
        response = connection.ask(wire, "GET")
        assert response.status == status
        assert response.header("Connection").lower() == "close"
        connection.assert_closed()
    assert not [uri for uri in server.ask("/seen").json() if marker in uri]


def head_of(size):
    """A request whose head is exactly `size` bytes, in fields of which none is large."""
    head = get("/head")
    fields = b""
    while (missing := size - len(head) - len(fields)) > 0:
        value = min(missing, 1024) if missing - 1024 > 16 or missing <= 1024 else missing - 512
        fields += b"X-Fill: ".ljust(value - 2, b"f") + b"\r\n"
    wire = head[:-2] + fields + b"\r\n"
    assert len(wire) == size, (len(wire), size)
    return wire


def test_head_at_the_limit(echo):
    with echo.connect() as connection:
        assert connection.ask(head_of(HEAD_BYTES)).status == 200
        connection.assert_open()


def test_head_over_the_limit(echo):
    assert_refused(echo, head_of(HEAD_BYTES + 1), 431, "/head-over")


def test_head_that_never_ends(echo):
    with echo.connect() as connection:
        connection.send(get("/endless-head")[:-2] + b"X-Fill: " + b"f" * (2 * HEAD_BYTES))
        assert connection.receive().status == 431
        connection.assert_closed()


def test_fields_at_the_limit(echo):
    with echo.connect() as connection:
        wire = get("/fields", *[f"X-{number}: 1" for number in range(FIELDS - 1)])
        assert connection.ask(wire).status == 200
        connection.assert_open()


def test_fields_over_the_limit(echo):
    assert_refused(
        echo,
        get("/fields-over", *[f"X-{number}: 1" for number in range(FIELDS)]),
        431,
        "/fields-over",
    )


def test_target_at_the_limit(echo):
    with echo.connect() as connection:
        assert connection.ask(get("/t?".ljust(TARGET_BYTES, "q"))).status == 200
        connection.assert_open()


def test_target_over_the_limit(echo):
    assert_refused(echo, get("/target-over?".ljust(TARGET_BYTES + 1, "q")), 414, "/target-over")


def test_body_at_the_limit(small):
    body = b"b" * BODY_BYTES
    with small.connect() as connection:
        assert connection.ask(post("/at", body)).json()["body"] == body.decode()
        assert (
            connection.ask(chunked("/at", [body[:3000], body[3000:]])).json()["body"]
            == body.decode()
        )


def test_length_over_the_limit_is_refused_before_the_body(small):
    wire = get("/body-over", f"Content-Length: {BODY_BYTES + 1}", method="POST")
    assert_refused(small, wire, 413, "/body-over")


def test_413_comes_instead_of_100(small):
    wire = get(
        "/expect-over", f"Content-Length: {BODY_BYTES + 1}", "Expect: 100-continue", method="POST"
    )
    assert_refused(small, wire, 413, "/expect-over")


def test_chunks_over_the_limit(small):
    with small.connect() as connection:
        connection.send(get("/chunked-over", "Transfer-Encoding: chunked", method="POST"))
        connection.send((b"%x\r\n" % BODY_BYTES) + b"c" * BODY_BYTES + b"\r\n1\r\n")
        assert connection.receive("POST").status == 413
        connection.assert_closed()
    assert "/chunked-over" not in small.ask("/seen").json()


def test_one_chunk_larger_than_the_limit(small):
    with small.connect() as connection:
        connection.send(
            get("/chunk-over", "Transfer-Encoding: chunked", method="POST")
            + b"7fffffffffffffff\r\n"
        )
        assert connection.receive("POST").status == 413
        connection.assert_closed()


@pytest.mark.parametrize("size", [2_000_000])
def test_a_client_that_sends_the_refused_body_still_reads_413(small, size):
    """The response must not be lost in a reset because the server closed with unread bytes."""
    with small.connect() as connection:
        try:
            connection.send(post("/body-sent", b"b" * size))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server need not take it all
        assert connection.receive("POST").status == 413


def test_an_endless_chunk_extension(echo):
    with echo.connect() as connection:
        connection.send(get("/extension", "Transfer-Encoding: chunked", method="POST") + b"5;x=")
        try:
            connection.send(b"y" * 1_000_000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert connection.receive("POST").status in (400, 413, 431)
    assert "/extension" not in echo.ask("/seen").json()


def test_endless_trailers(echo):
    with echo.connect() as connection:
        connection.send(
            get("/trailers", "Transfer-Encoding: chunked", method="POST") + b"1\r\na\r\n0\r\n"
        )
        try:
            connection.send(b"X-Trailer: 1\r\n" * 100_000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert connection.receive("POST").status in (400, 413, 431)
    assert "/trailers" not in echo.ask("/seen").json()


def test_a_million_tiny_chunks(serve):
    server = serve(app="echo.py")
    wire = (
        get("/tiny", "Transfer-Encoding: chunked", method="POST")
        + b"1\r\nx\r\n" * 1_000_000
        + b"0\r\n\r\n"
    )
    with server.connect(timeout=60) as connection:
        connection.send(wire)
        response = connection.receive("POST")
        assert response.status == 200
        assert response.json()["environ"]["CONTENT_LENGTH"] == "1000000"


def test_more_connections_than_allowed(serve):
    server = serve(*limits(connections=5), app="echo.py")
    connections = [server.connect() for _ in range(5)]
    for connection in connections:
        assert connection.ask(get()).status == 200
    with server.connect() as one_more:
        # It waits in the kernel's queue or gets 503; it never replaces another connection.
        one_more.send(get("/one-more"))
        connections[0].close()
        answer = one_more.receive()
        assert answer.status in (200, 503)
        if answer.status == 503:
            assert answer.header("Retry-After")
    for connection in connections[1:]:
        assert connection.ask(get()).status == 200
        connection.close()


def test_idle_connections_make_room(serve):
    """A newcomer does not wait for the keep-alive timeout of others: the longest idle one goes."""
    arguments = ["--http-keepalive", "60", "--header-timeout", "60"]
    server = serve(*limits(connections=5), *arguments, app="echo.py")
    kept = [server.connect() for _ in range(4)]
    # Many requests, so that the first one has been idle for milliseconds more than the others.
    for connection in kept[:1] + kept[1:] * 20:
        assert connection.ask(get()).status == 200
    with server.connect():
        for number in range(2):
            with server.connect() as newcomer:
                assert newcomer.ask(get(f"/newcomer/{number}", "Connection: close")).status == 200
    assert kept[0].rest() == b"", "the one that was idle for the longest time"
    for connection in kept[2:]:
        assert connection.ask(get()).status == 200
        connection.close()
    server.wait_for_log("the longest idle ones are closed")


def test_requests_in_progress_make_no_room(serve):
    """A request, or a part of one, is not idle."""
    server = serve(*limits(connections=3), "--http-keepalive", "60", app="echo.py")
    with server.connect() as begun, server.connect() as body, server.connect() as idle:
        begun.send(b"GET / HTTP/1.1\r\nHo")
        body.send(get("/", "Content-Length: 5", method="POST") + b"a")
        assert idle.ask(get()).status == 200
        with server.connect() as newcomer:
            assert newcomer.ask(get("/", "Connection: close")).status == 200
        assert begun.ask(b"st: a\r\n\r\n", "GET").status == 200
        assert body.ask(b"bcde", "POST").status == 200


TRAILERS = """authorization cache-control connection content-encoding content-range content-type cookie
    expect forwarded host if-match if-modified-since if-none-match if-range if-unmodified-since
    keep-alive max-forwards pragma proxy proxy-authorization range set-cookie te trailer upgrade
    x-forwarded-for""".split()


@pytest.mark.parametrize("name", TRAILERS)
def test_a_trailer_is_no_field(echo, name):
    """RFC 9110, 6.5.1: a trailer that is not known to be one is ignored."""
    wire = get("/trailer", "Transfer-Encoding: chunked", method="POST")
    with echo.connect() as connection:
        sent = wire + f"1\r\na\r\n0\r\n{name}: value\r\n\r\n".encode()
        environ = connection.ask(sent).json()["environ"]
        key = name.upper().replace("-", "_")
        assert "value" not in (environ.get(f"HTTP_{key}"), environ.get(key))
        assert environ["CONTENT_LENGTH"] == "1"
        assert connection.ask(get("/next")).status == 200


@pytest.mark.parametrize("name", ["Content-Length: 1", "Transfer-Encoding: chunked"])
def test_a_trailer_that_frames_is_refused(echo, name):
    wire = get("/trailer", "Transfer-Encoding: chunked", method="POST")
    with echo.connect() as connection:
        assert connection.ask(wire + f"1\r\na\r\n0\r\n{name}\r\n\r\n".encode()).status == 400


def test_bodies_in_files_are_bounded_together(serve):
    """Uploads that are not finished fill no disk; when one ends, there is room again."""
    server = serve("--post-buffering", "1K", "--post-buffering-total", "3M", app="echo.py")
    body = b"x" * 2_000_000
    head = get("/up", f"Content-Length: {len(body)}", method="POST")
    with server.connect() as first, server.connect() as second:
        first.send(head + body[:-1])
        # The first one's bytes have been read when the second one is refused or not.
        server.wait_until(lambda: upload_bytes(server) >= 1_900_000)
        assert second.ask(head + body).status == 507
        server.wait_for_log("--post-buffering-total")
        assert first.ask(body[-1:], "POST").status == 200
    with server.connect() as third:
        assert third.ask(head + body).status == 200


def upload_bytes(server):
    """The sizes of the server's temporary files together."""
    total = 0
    for path in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(path.readlink()).endswith("(deleted)"):
                total += path.stat().st_size
    return total
