"""Hostile and odd input, the rows of the project's threat table that concern HTTP and the app.

Each refused request is followed by a second one in the same packet. The answer must be one of the
named statuses, the connection must close after it, and neither request may have reached the app.
"""

import time
import zlib

import pytest
from client import Closed
from requests_raw import get

# Every case is (id, bytes before the follow-up, statuses). `@` is replaced by a unique path.
HEAD = b"POST @ HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b"0\r\n\r\n"
BAD = (400,)
CODING = (400, 501)

LINE_ENDS = [
    (
        "bare LF after a field",
        b"GET @ HTTP/1.1\r\nHost: a\r\nX-H: x\nContent-Length: 5\r\n\r\nhello",
        BAD,
    ),
    ("bare LF everywhere", b"GET @ HTTP/1.1\nHost: a\n\n", BAD),
    ("bare LF after the request line", b"GET @ HTTP/1.1\nHost: a\r\n\r\n", BAD),
    ("bare LF at the end of the head", b"GET @ HTTP/1.1\r\nHost: a\r\n\n", BAD),
    ("bare CR in a value", b"GET @ HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", BAD),
    ("bare CR in the request line", b"GET @\rHTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("obs-fold", b"GET @ HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", BAD),
    ("obs-fold with a tab", b"GET @ HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", BAD),
    ("first field starts with a space", b"GET @ HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n", BAD),
]
LENGTHS = [
    (f"Content-Length {value!r}", HEAD + b"Content-Length: " + value + b"\r\n\r\n12345", BAD)
    for value in [
        b"+10",
        b"-1",
        b"0x5",
        b"1_0",
        b"5 5",
        b"5,5",
        b"5, 5",
        b"5;",
        b"five",
        b"",
        b"18446744073709551616",
        b"99999999999999999999999",
        b"5.0",
        b"\xb2",
        b"5\x0b",
        b"'5'",
        b"1e1",
    ]
] + [
    ("two lengths", HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456", BAD),
    ("two equal lengths", HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", BAD),
    (
        "length and chunked",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
        BAD,
    ),
    (
        "chunked and length",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + BODY,
        BAD,
    ),
    ("length over any limit", HEAD + b"Content-Length: 9223372036854775807\r\n\r\n", (413,)),
]
CODINGS = [
    (
        f"Transfer-Encoding {value!r}",
        HEAD + b"Transfer-Encoding: " + value + b"\r\n\r\n" + BODY,
        CODING,
    )
    for value in [
        b"gzip, chunked",
        b"identity, chunked",
        b"chunked, identity",
        b"xchunked",
        b"\x0bchunked",
        b"chunked\x0c",
        b"\xa0chunked",
        b"chunked\xa0",
        b"chunked, ,",
        b"chunked, chunked",
        b"identity",
        b"gzip",
        b"",
        b"chunked;q=1",
        b'"chunked"',
        b",chunked",
        b"chun ked",
        b"chunked\x00",
        b"\xc5\xbfhunked",
    ]
] + [
    (
        "two codings",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
        CODING,
    ),
    (
        "two codings, one unknown",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + BODY,
        CODING,
    ),
    ("tab before the colon", HEAD + b"Transfer-Encoding\t: chunked\r\n\r\n" + BODY, BAD),
    ("space before the colon", HEAD + b"Content-Length : 5\r\n\r\n12345", BAD),
    ("NBSP before the colon", HEAD + b"Transfer-Encoding\xa0: chunked\r\n\r\n" + BODY, BAD),
    (
        "unknown coding with a length",
        HEAD + b"Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\n12345",
        CODING,
    ),
    (
        "chunked for HTTP/1.0",
        b"POST @ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
        CODING,
    ),
]
CHUNKS = [
    (f"chunk line {line!r}", CHUNKED + line + b"\r\nhello\r\n" + BODY, BAD)
    for line in [
        b"0x5",
        b"+5",
        b"-5",
        b"0_5",
        b"",
        b" 5",
        b"\t5",
        b"5 ",
        b"5 x",
        b"g",
        b"5,",
        b"5.",
        b"5;a=\n",
        b"5;a=\r",
        b'5;a="\n"',
        b"5;\x00",
        b"5\x0b",
        b"\xef\xbc\x95",
        b"5;a=\x7f",
    ]
] + [
    (
        "chunk size that wraps in 64 bits",
        CHUNKED + b"10000000000000005\r\nhello\r\n" + BODY,
        (400, 413),
    ),
    ("chunk size of 18 digits", CHUNKED + b"ffffffffffffffffff\r\nhello\r\n" + BODY, (400, 413)),
    ("two other bytes after a chunk", CHUNKED + b"5\r\nhelloXX" + BODY, BAD),
    ("LF after a chunk", CHUNKED + b"5\r\nhello\n" + BODY, BAD),
    ("no CRLF after a chunk", CHUNKED + b"5\r\nhello" + BODY, BAD),
    ("a chunk that is longer than told", CHUNKED + b"4\r\nhello\r\n" + BODY, BAD),
    ("LF as the end of a chunk line", CHUNKED + b"5\nhello\r\n" + BODY, BAD),
    ("LF as the end of the last chunk", CHUNKED + b"5\r\nhello\r\n0\n\r\n", BAD),
    ("LF as the end of the trailers", CHUNKED + b"5\r\nhello\r\n0\r\n\n", BAD),
    ("a trailer without a colon", CHUNKED + b"0\r\nnonsense\r\n\r\n", BAD),
    ("a trailer with a control", CHUNKED + b"0\r\nX: a\x00b\r\n\r\n", BAD),
]
FIELDS = [
    ("no Host", b"GET @ HTTP/1.1\r\nX: 1\r\n\r\n", BAD),
    ("two Hosts", b"GET @ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    ("two equal Hosts", b"GET @ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
    ("Host with a path", b"GET @ HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD),
    ("Host with a space", b"GET @ HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
    ("Host with a user", b"GET @ HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD),
    (
        "two Content-Types",
        HEAD + b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
        BAD,
    ),
    ("no colon", b"GET @ HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", BAD),
    ("empty name", b"GET @ HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", BAD),
    ("name with a space", b"GET @ HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", BAD),
    ("name that is not ASCII", b"GET @ HTTP/1.1\r\nHost: a\r\nX\xe9: z\r\n\r\n", BAD),
    ("name with a parenthesis", b"GET @ HTTP/1.1\r\nHost: a\r\nX(: z\r\n\r\n", BAD),
] + [
    (
        f"control {byte:#04x} in a value",
        b"GET @ HTTP/1.1\r\nHost: a\r\nX: a" + bytes([byte]) + b"b\r\n\r\n",
        BAD,
    )
    for byte in [0x00, 0x01, 0x07, 0x08, 0x0B, 0x0C, 0x0E, 0x1B, 0x1F, 0x7F]
]
REQUEST_LINES = [
    ("no version", b"GET @\r\nHost: a\r\n\r\n", BAD),
    ("two spaces", b"GET  @ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("tab instead of space", b"GET\t@ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a space at the end", b"GET @ HTTP/1.1 \r\nHost: a\r\n\r\n", BAD),
    ("a space in the target", b"GET @ x HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a control in the target", b"GET @\x01 HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("NUL in the target", b"GET @\x00 HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("DEL in the target", b"GET @\x7f HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a fragment in the target", b"GET @#x HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("no slash in the target", b"GET x@ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("asterisk for GET", b"GET * HTTP/1.1\r\nHost: a\r\nX: @\r\n\r\n", BAD),
    (
        "CONNECT in authority form",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nX: @\r\n\r\n",
        (400, 405, 501),
    ),
    ("CONNECT in origin form", b"CONNECT @ HTTP/1.1\r\nHost: a\r\n\r\n", (400, 405, 501)),
    ("authority form for GET", b"GET a:443 HTTP/1.1\r\nHost: a:443\r\nX: @\r\n\r\n", BAD),
    ("absolute form of another scheme", b"GET ftp://a@ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("absolute form without a host", b"GET http://@ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("method with a bracket", b"G(T @ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("lower-case http", b"GET @ http/1.1\r\nHost: a\r\n\r\n", (400, 505)),
    ("HTTP/2.0", b"GET @ HTTP/2.0\r\nHost: a\r\n\r\n", (400, 505)),
    ("HTTP/1.2", b"GET @ HTTP/1.2\r\nHost: a\r\n\r\n", (400, 505)),
    ("HTTP/0.9", b"GET @ HTTP/0.9\r\nHost: a\r\n\r\n", (400, 505)),
    ("HTTP/11", b"GET @ HTTP/11\r\nHost: a\r\n\r\n", (400, 505)),
    ("HTTP/1.10", b"GET @ HTTP/1.10\r\nHost: a\r\n\r\n", (400, 505)),
    ("HTTP/+1.1", b"GET @ HTTP/+1.1\r\nHost: a\r\n\r\n", (400, 505)),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    (
        "a TLS hello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 32 + b"\r\n\r\n",
        BAD,
    ),
    (
        "the PROXY protocol",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET @ HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD,
    ),
    (
        "the PROXY protocol, version 2",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\1\2\3\4\5\6\7\10\0\1\0\2GET @ HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD,
    ),
]
REFUSED = LINE_ENDS + LENGTHS + CODINGS + CHUNKS + FIELDS + REQUEST_LINES


@pytest.fixture(scope="module")
def echo(serve_module):
    """One worker, so that its list has every request that got through before `/seen`."""
    return serve_module(app="echo.py")


@pytest.fixture
def path(request):
    return f"/evil/{zlib.crc32(request.node.name.encode())}"


def seen(server, path):
    return [uri for uri in server.ask("/seen").json() if path in uri]


@pytest.mark.parametrize(
    ("wire", "statuses"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused(echo, path, wire, statuses):
    wire = wire.replace(b"@", path.encode()) + get(f"{path}/smuggled")
    with echo.connect() as connection:
        connection.send(wire)
        response = connection.receive()
        assert response.status in statuses
        assert response.header("Connection").lower() == "close"
        connection.assert_closed()
    assert seen(echo, path) == []


@pytest.mark.parametrize(
    "wire", [case[1] for case in REFUSED[::7]], ids=[case[0] for case in REFUSED[::7]]
)
def test_refused_in_single_bytes(echo, path, wire):
    """The parser refuses as early as possible; its answer must not depend on how the bytes are
    split.
    """
    wire = wire.replace(b"@", path.encode()) + get(f"{path}/smuggled")
    with echo.connect() as connection:
        try:
            for position in range(len(wire)):
                connection.send(wire[position : position + 1])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has closed already
        try:
            assert connection.receive().status >= 400
        except (Closed, ConnectionResetError):
            pass  # the answer was lost with the reset that our later bytes caused
    assert seen(echo, path) == []


@pytest.mark.parametrize(
    "name", [b"Content-Length: 4", b"Transfer-Encoding: chunked", b"Host: b", b"Cookie: a=1"]
)
def test_forbidden_trailers_change_nothing(echo, path, name):
    """Refused or dropped, but never merged: the smuggled request stays in the connection's order or
    dies with it.
    """
    wire = CHUNKED.replace(b"@", path.encode()) + b"1\r\nx\r\n0\r\n" + name + b"\r\n\r\n"
    with echo.connect() as connection:
        response = connection.ask(wire)
        if response.status == 200:
            environ = response.json()["environ"]
            assert environ["CONTENT_LENGTH"] == "1"
            assert environ["HTTP_HOST"] == "a"
            assert "HTTP_COOKIE" not in environ
            assert connection.ask(get("/next")).json()["environ"]["HTTP_HOST"] == "example.com"
        else:
            assert response.status == 400
            connection.assert_closed()


def test_a_request_in_the_trailers_is_not_run(echo, path):
    wire = (
        CHUNKED.replace(b"@", path.encode())
        + b"0\r\nGET "
        + path.encode()
        + b"/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    with echo.connect() as connection:
        assert connection.ask(wire).status == 400
        connection.assert_closed()
    assert seen(echo, path) == []


def test_64_kib_of_spaces_are_refused_fast(echo):
    with echo.connect() as connection:
        start = time.process_time(), time.monotonic()
        cost = echo.cpu_seconds()
        connection.send(b"GET /spaces HTTP/1.1\r\nHost: a\r\nX: " + b" " * 65536 + b"x\r\n\r\n")
        assert connection.receive().status == 431
        assert echo.cpu_seconds() - cost < 0.5, start


@pytest.mark.parametrize(
    ("field", "keys"),
    [
        ("X_Forwarded_For: 1.2.3.4", ["HTTP_X_FORWARDED_FOR"]),
        ("X-Forwarded_For: 1.2.3.4", ["HTTP_X_FORWARDED_FOR"]),
        ("Content_Length: 5", ["HTTP_CONTENT_LENGTH", "CONTENT_LENGTH"]),
        ("Content_Type: a/b", ["HTTP_CONTENT_TYPE", "CONTENT_TYPE"]),
        ("Remote_User: admin", ["HTTP_REMOTE_USER", "REMOTE_USER"]),
        ("Remote-User: admin", ["REMOTE_USER"]),
        ("Proxy: http://evil", ["HTTP_PROXY"]),
        ("PROXY: http://evil", ["HTTP_PROXY"]),
        ("Transfer_Encoding: chunked", ["HTTP_TRANSFER_ENCODING"]),
        ("HTTP_HOST: evil", []),
        ("wsgi.input: evil", []),
    ],
)
def test_names_that_would_pose_as_something_else(echo, field, keys):
    with echo.connect() as connection:
        environ = connection.ask(get("/", field)).json()["environ"]
        for key in keys:
            assert not environ.get(key), (key, environ.get(key))
        assert environ["HTTP_HOST"] == "example.com"
        assert "evil" not in environ.get("wsgi.input", "")


@pytest.mark.parametrize(
    "name",
    [
        "Script-Name",
        "Path-Info",
        "Request-Method",
        "Request-Uri",
        "Remote-Addr",
        "Server-Name",
        "Query-String",
    ],
)
def test_a_field_never_becomes_a_cgi_variable(echo, name):
    with echo.connect() as connection:
        environ = connection.ask(get("/plain?q", f"{name}: /evil")).json()["environ"]
        key = name.upper().replace("-", "_")
        assert environ[key] != "/evil"
        assert environ[f"HTTP_{key}"] == "/evil"


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-Ip"]
)
def test_forwarded_fields_of_strangers_change_nothing_of_the_server(echo, name):
    with echo.connect() as connection:
        plain, spoofed = (
            connection.ask(wire).json()["environ"]
            for wire in (get("/"), get("/", f"{name}: 6.6.6.6"))
        )
        for key in ("REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "HTTP_HOST", "SCRIPT_NAME"):
            assert plain[key] == spoofed[key]


def test_reading_one_byte_a_time_does_not_fill_the_memory(serve):
    """1,000 slow readers of a 10 MB response in CVE terms; fewer here, the bound per connection is
    what counts.
    """
    source = """
        DATA = b"x" * 10_000_000

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (DATA[i:i + 100_000] for i in range(0, len(DATA), 100_000)) if environ["PATH_INFO"] == "/big" else [b"ok"]
    """
    server = serve("--threads", "20", source=source)
    server.ask("/")
    before = server.resident_bytes()
    connections = [server.connect() for _ in range(15)]
    for connection in connections:
        connection.send(get("/big"))
        assert connection.socket.recv(1) == b"H"
    assert server.ask("/").text == "ok"
    assert server.resident_bytes() - before < 60_000_000
    for connection in connections:
        connection.abort()


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12",
    ],
)
def test_a_client_that_leaves_costs_nothing(echo, wire):
    before = echo.open_descriptors()
    for number in range(50):
        connection = echo.connect()
        if wire:
            connection.send(wire)
        connection.abort() if number % 2 else connection.close()
    # Nothing is left over, and nothing spins.
    echo.wait_until(
        lambda: echo.open_descriptors() <= before, what="the descriptors of gone clients closed"
    )
    cost = echo.cpu_seconds()
    for _ in range(10):
        assert echo.ask("/alive").status == 200
    assert echo.cpu_seconds() - cost < 1.0


def test_controls_of_a_url_are_escaped_in_the_log(echo):
    """CVE-2020-7694: a terminal that shows the log must not obey a client."""
    with echo.connect() as connection:
        wire = get("/log%1b[31mred%0d%0aforged", "User-Agent: a\x9bb", "Referer: \xffx")
        assert connection.ask(wire).status == 200
        connection.ask(b"GET /\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n")
    log = echo.log()
    assert "\x1b[31mred" not in log
    assert "\nforged" not in log
