"""SCGI over real sockets: requests, hostile netstrings, limits and deadlines."""

import hashlib
import json
import os

import pytest
from front_end import answer, ask_scgi, connect, exchange, netstring, read_to_the_end, variables
from options import limits

LISTEN = ("--scgi-socket", "127.0.0.1:0")


@pytest.fixture(scope="module")
def echo(serve_module):
    """One worker, so that its list has every request that got through."""
    return serve_module(*LISTEN, app="echo.py", listen=())


def seen(server):
    return json.loads(ask_scgi(server.address, "/seen").body)


def test_the_environ_is_what_the_front_end_sent(echo):
    sent = {"SCRIPT_NAME": "/shop", "HTTPS": "on", "REMOTE_USER": "anna", "HTTP_X": "\xe9,\n"}
    environ = json.loads(ask_scgi(echo.address, "/shop/x?a=1", **sent).body)["environ"]
    expected = {**variables("/shop/x?a=1", **sent), "CONTENT_LENGTH": "0", "SCGI": "1"}
    assert environ == {**expected, "wsgi.url_scheme": "https"}


def test_the_answer_is_that_of_cgi(echo):
    response = ask_scgi(echo.address, "/answer")
    assert response.first_line == "Status: 200 OK"
    assert {name for name, _ in response.headers} == {"Content-Type", "Content-Length"}


def test_nph_answers_begin_with_the_status_line(serve):
    server = serve(
        "--scgi-nph-socket",
        "127.0.0.1:0",
        "--socket",
        "127.0.0.1:0",
        "--protocol",
        "scgi",
        app="echo.py",
        listen=(),
    )
    lines = [ask_scgi(address).first_line for address in server.addresses()]
    assert lines == ["HTTP/1.1 200 OK", "Status: 200 OK"]
    assert [url.split(":")[0] for url in server.urls()] == ["scgi", "scgi"]


def test_bodies_and_files(serve, tmp_path):
    data = os.urandom(3_000_001)
    path = tmp_path / "file"
    path.write_bytes(data)
    source = f"""
        import hashlib
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            if environ["REQUEST_METHOD"] == "POST":
                return [hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()]
            if environ["PATH_INFO"] == "/stream":
                return iter([b"one ", b"two"])
            return environ["wsgi.file_wrapper"](open({str(path)!r}, "rb"))
    """
    server = serve(*LISTEN, source=source, listen=())
    assert (
        ask_scgi(server.address, "/", "POST", data).body.decode()
        == hashlib.sha256(data).hexdigest()
    )
    assert ask_scgi(server.address, "/file").body == data
    assert ask_scgi(server.address, "/stream").body == b"one two"
    assert ask_scgi(server.address, "/file", "HEAD").body == b""


def test_a_request_byte_by_byte(echo):
    wire = netstring(variables("/bytes", "POST", b"hello")) + b"hello"
    with connect(echo.address) as connection:
        for at in range(len(wire)):
            connection.sendall(wire[at : at + 1])
        assert json.loads(answer(read_to_the_end(connection)).body)["body"] == "hello"


def test_what_follows_the_request_is_not_read_as_another(echo):
    wire = netstring(variables("/one")) + netstring(variables("/smuggled"))
    assert answer(exchange(echo.address, wire)).status == 200
    assert "/smuggled" not in seen(echo)


def text(*pairs):
    inside = b"".join(name + b"\0" + value + b"\0" for name, value in pairs)
    return b"%d:%s," % (len(inside), inside)


LENGTH, ONE, METHOD = (b"CONTENT_LENGTH", b"0"), (b"SCGI", b"1"), (b"REQUEST_METHOD", b"GET")

MALFORMED = {
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "no length": b":,",
    "a sign": b"+10:",
    "a leading zero": b"010:",
    "no comma": text(LENGTH, ONE, METHOD)[:-1] + b";",
    "empty": b"0:,",
    "CONTENT_LENGTH is not first": text(ONE, LENGTH, METHOD),
    "no CONTENT_LENGTH": text(ONE, METHOD),
    "an empty CONTENT_LENGTH": text((b"CONTENT_LENGTH", b""), ONE, METHOD),
    "CONTENT_LENGTH +5": text((b"CONTENT_LENGTH", b"+5"), ONE, METHOD),
    "CONTENT_LENGTH 2**64": text((b"CONTENT_LENGTH", str(2**64).encode()), ONE, METHOD),
    "two lengths": text(LENGTH, ONE, METHOD, (b"CONTENT_LENGTH", b"5")),
    "no SCGI": text(LENGTH, METHOD),
    "SCGI 2": text(LENGTH, (b"SCGI", b"2"), METHOD),
    "no method": text(LENGTH, ONE),
    "a name that is empty": text(LENGTH, ONE, METHOD, (b"", b"x")),
    "a name without a value": b"22:CONTENT_LENGTH\x000\0SCGI\0,",
    "a name without an end": b"21:CONTENT_LENGTH\x000\0SCGI,",
    "a length that cuts a value": b"41:CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GE,",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_netstring_is_refused(echo, name):
    before = seen(echo)
    response = answer(exchange(echo.address, MALFORMED[name]))
    assert response.first_line == "Status: 400 Bad Request"
    assert seen(echo) == before, "nothing of it reached the app"


def test_limits(serve):
    arguments = limits(body_bytes=5000, body_memory_bytes=1000, head_bytes=4096, fields=10)
    server = serve(*LISTEN, *arguments, app="echo.py", listen=())
    assert ask_scgi(server.address, "/fits", "POST", b"x" * 5000).status == 200
    for wire, status in [
        (netstring(variables("/over", "POST", b"x" * 5001)), 413),
        (b"4097:", 431),
        (b"999999999", 431),
        (netstring(variables("/over", **{f"HTTP_{number}": "" for number in range(10)})), 431),
    ]:
        assert answer(exchange(server.address, wire)).status == status
    assert "/over" not in seen(server)


def test_half_a_request_times_out(serve):
    server = serve(
        *LISTEN, "--header-timeout", "1", "--body-timeout", "1", app="echo.py", listen=()
    )
    wire = netstring(variables("/half", "POST", b"xx"))
    assert answer(exchange(server.address, wire[:-1])).status == 408
    assert answer(exchange(server.address, wire + b"x")).status == 408
    assert exchange(server.address, b"") == b""


@pytest.mark.parametrize("cut", [1, 3, 10, -8, -1])
def test_a_client_that_leaves_in_the_middle(echo, cut):
    with connect(echo.address) as connection:
        connection.sendall((netstring(variables("/left", "POST", b"hello")) + b"hello")[:cut])
    assert ask_scgi(echo.address, "/alive").status == 200
    assert "/left" not in seen(echo)
