"""Responses of every shape, one function per path: `/pieces?3` calls `pieces(environ, start_response, "3")`."""

import threading
from wsgiref.headers import Headers

TEXT = [("Content-Type", "text/plain")]


def plain(environ, start_response, _):
    start_response("200 OK", TEXT)
    return [b"plain"]


def length(environ, start_response, _):
    start_response("200 OK", [*TEXT, ("Content-Length", "6")])
    return [b"length"]


def nothing(environ, start_response, _):
    start_response("200 OK", TEXT)
    return []


def one_piece(environ, start_response, _):
    start_response("200 OK", TEXT)
    yield b"one piece"


def pieces(environ, start_response, count):
    start_response("200 OK", TEXT)
    for number in range(int(count)):
        yield b"piece %d\n" % number


def empty_pieces(environ, start_response, _):
    start_response("200 OK", TEXT)
    yield b""
    yield b"a"
    yield b""
    yield b"b"
    yield b""


def big(environ, start_response, size):
    start_response("200 OK", [*TEXT, ("Content-Length", size)])
    return [pattern(int(size))]


def big_pieces(environ, start_response, size):
    start_response("200 OK", TEXT)
    data = pattern(int(size))
    return (data[start : start + 50_000] for start in range(0, len(data), 50_000))


def pattern(size):
    """Bytes whose every position can be told."""
    return b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]


def status(environ, start_response, line):
    start_response(line.replace("+", " "), TEXT)
    return [b"the body"]


def status_bare(environ, start_response, line):
    start_response(line.replace("+", " "), [])
    return []


def length_of_absent_body(environ, start_response, line):
    start_response(line.replace("+", " "), [*TEXT, ("Content-Length", "8")])
    return [b"the body"]


def too_long(environ, start_response, _):
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"12345", b"67890"]


def too_short(environ, start_response, _):
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"12345"]


def headers(environ, start_response, _):
    fields = Headers([])
    fields.add_header("Content-Type", "text/plain")
    fields.add_header("Set-Cookie", "a=1; Path=/")
    fields.add_header("X-First", "1")
    fields.add_header("Set-Cookie", "b=2; Path=/")
    fields.add_header("x-lower-CASE", "kept")
    fields.add_header("X-Latin", "caf\xe9")
    fields.add_header("X-Empty", "")
    start_response("200 Fine, thank you", fields.items())
    return [b"headers"]


def own_date(environ, start_response, _):
    start_response("200 OK", [*TEXT, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine")])
    return [b"mine"]


def threads(environ, start_response, _):
    start_response("200 OK", TEXT)
    return [b"%d" % threading.get_ident()]


def application(environ, start_response):
    function = globals()[environ["PATH_INFO"].strip("/") or "plain"]
    return function(environ, start_response, environ["QUERY_STRING"])
