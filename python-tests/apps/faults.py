"""Applications that break a rule, or meet a caller that does; one function per path.

`EVENT` lines on stderr tell the test what happened inside, in the order in which it happened.
"""

import io
import sys

TEXT = [("Content-Type", "text/plain")]


def event(text):
    sys.stderr.write(f"EVENT {text}\n")
    sys.stderr.flush()


class Closing:
    """An iterable that tells when it is closed, and how often."""

    def __init__(self, name, pieces):
        self.name, self.pieces, self.closed = name, iter(pieces), 0

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        self.closed += 1
        event(f"closed {self.name} {self.closed}")


def plain(environ, start_response, _):
    start_response("200 OK", TEXT)
    return [b"plain"]


# Exceptions, by stage


def raise_before_start(environ, start_response, _):
    raise ValueError("before start_response")


def raise_after_start(environ, start_response, _):
    start_response("200 OK", TEXT)
    raise ValueError("after start_response")


def raise_at_first_piece(environ, start_response, _):
    start_response("200 OK", TEXT)
    raise ValueError("at the first piece")
    yield b"never"


def raise_at_second_piece(environ, start_response, _):
    start_response("200 OK", TEXT)
    yield b"first"
    raise ValueError("at the second piece")


def raise_at_second_piece_of_known_length(environ, start_response, _):
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    yield b"first"
    raise ValueError("at the second piece")


def raise_in_close(environ, start_response, name):
    class Broken(Closing):
        def close(self):
            super().close()
            raise ValueError("in close")

    start_response("200 OK", TEXT)
    return Broken(name, [b"whole"])


def raise_in_iter(environ, start_response, _):
    class NotIterable:
        def __iter__(self):
            raise ValueError("in iter")

        def close(self):
            event("closed in-iter 1")

    start_response("200 OK", TEXT)
    return NotIterable()


def raise_system_exit(environ, start_response, _):
    sys.exit(3)


def raise_keyboard_interrupt(environ, start_response, _):
    raise KeyboardInterrupt


def raise_generator_exit(environ, start_response, _):
    raise GeneratorExit


def raise_own_base_exception(environ, start_response, _):
    raise type("OwnBase", (BaseException,), {})("mine")


def raise_stop_iteration(environ, start_response, _):
    raise StopIteration


def raise_recursion(environ, start_response, _):
    return raise_recursion(environ, start_response, _)


def raise_unprintable(environ, start_response, _):
    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no text")

        __repr__ = __str__

    raise Unprintable


def raise_surrogate(environ, start_response, _):
    raise ValueError("\udcff surrogate \x1b[31m")


def raise_memory_error(environ, start_response, _):
    return [b"x" * (1 << 62)]


# start_response


def no_start(environ, start_response, name):
    return Closing(name, [b"a body without a head"])


def no_start_no_body(environ, start_response, name):
    return Closing(name, [])


def return_none(environ, start_response, _):
    start_response("200 OK", TEXT)


def return_number(environ, start_response, _):
    start_response("200 OK", TEXT)
    return 5


def start_twice(environ, start_response, _):
    start_response("200 OK", TEXT)
    start_response("201 Created", TEXT)
    return [b"twice"]


def start_twice_caught(environ, start_response, _):
    start_response("200 OK", [*TEXT, ("X-Which", "first")])
    try:
        start_response("201 Created", TEXT)
    except Exception as error:
        return [f"refused: {type(error).__name__}".encode()]
    return [b"accepted"]


def start_again_with_exc_info(environ, start_response, _):
    start_response("200 OK", [*TEXT, ("X-Which", "first")])
    try:
        raise ValueError("changed my mind")
    except ValueError:
        start_response("503 Changed", [*TEXT, ("X-Which", "second")], sys.exc_info())
    return [b"replaced"]


def exc_info_first(environ, start_response, _):
    try:
        raise ValueError("at once")
    except ValueError:
        start_response("500 My Own", TEXT, sys.exc_info())
    return [b"my own page"]


def exc_info_none(environ, start_response, _):
    start_response("200 OK", TEXT, None)
    return [b"none"]


def exc_info_keyword(environ, start_response, _):
    start_response(status="200 OK", headers=TEXT, exc_info=None)
    return [b"keyword"]


def exc_info_after_first_piece(environ, start_response, _):
    start_response("200 OK", TEXT)
    yield b"first"
    try:
        raise ValueError("too late")
    except ValueError:
        try:
            start_response("500 Too Late", TEXT, sys.exc_info())
        except ValueError as error:
            event(f"re-raised {error}")
            raise
    yield b"never"


def start_late(environ, start_response, _):
    """PEP 3333: start_response may be called as late as before the first non-empty piece."""
    yield b""
    start_response("200 OK", TEXT)
    yield b"late"


def start_in_generator(environ, start_response, _):
    start_response("200 OK", TEXT)
    yield b"in the generator"


def start_kept(environ, start_response, _):
    """Keeps start_response, write and the environ after the request; the next request uses them."""
    previous = kept[-1] if kept else None
    outcome = b"kept"
    if previous:
        old_environ, old_start, old_write = previous
        outcomes = [f"path {old_environ['PATH_INFO']} {old_environ['QUERY_STRING']}"]
        for name, call in (
            ("start_response", lambda: old_start("200 OK", [("X-Stale", "1")])),
            ("write", lambda: old_write(b"stale")),
            ("read", lambda: old_environ["wsgi.input"].read()),
        ):
            try:
                outcomes.append(f"{name} gave {call()!r}")
            except Exception as error:
                outcomes.append(f"{name} raised {type(error).__name__}")
        old_environ["wsgi.errors"].write("EVENT stale errors\n")
        old_environ["wsgi.errors"].flush()
        outcome = "; ".join(outcomes).encode()
    write = start_response("200 OK", TEXT)
    kept.append((environ, start_response, write))
    return [outcome]


kept = []

# Statuses and fields that may not leave


def bad_status(environ, start_response, number):
    start_response(BAD_STATUSES[int(number)], TEXT)
    return [b"LEAKED"]


def bad_header(environ, start_response, number):
    start_response("200 OK", [*TEXT, BAD_HEADERS[int(number)]])
    return [b"LEAKED"]


def hop_by_hop(environ, start_response, number):
    start_response("200 OK", [*TEXT, HOP_BY_HOP[int(number)]])
    return [b"body"]


def bad_headers_type(environ, start_response, number):
    start_response("200 OK", BAD_HEADER_LISTS[int(number)])
    return [b"LEAKED"]


BAD_STATUSES = [
    "200 OK\r\nX-Evil: 1",
    "200 OK\n",
    "200 O\0K",
    "200 O\x7fK",
    "200 O\rK",
    "200 O\x1bK",
    "OK",
    "",
    "20 OK",
    "2000 OK",
    "abc OK",
    "200 \u20ac",
    b"200 OK",
    200,
    None,
    "099 Low",
    "200OK",
    " 200 OK",
]
BAD_HEADERS = [
    ("X", "a\r\nSet-Cookie: b"),
    ("X", "a\nb"),
    ("X", "a\rb"),
    ("X", "a\0b"),
    ("X", "a\x7fb"),
    ("X", "a\x1bb"),
    ("X\r\nEvil", "a"),
    ("X:", "a"),
    ("X Y", "a"),
    ("", "a"),
    ("X\xe9", "a"),
    ("X", "\u20ac"),
    (b"X", "a"),
    ("X", b"a"),
    ("X", 1),
    ("X", None),
    (1, "a"),
    ("X",),
    ("X", "a", "b"),
    "XY",
    None,
    ("X\0", "a"),
    ("Content-Length", "-1"),
    ("Content-Length", "x"),
    ("Content-Length", "+5"),
    ("Content-Length", ""),
    ("Content-Length", "99999999999999999999999"),
]
HOP_BY_HOP = [
    ("Connection", "upgrade"),
    ("Transfer-Encoding", "chunked"),
    ("Keep-Alive", "5"),
    ("Upgrade", "x"),
    ("TE", "x"),
    ("Proxy-Authenticate", "x"),
    ("Proxy-Authorization", "x"),
]
BAD_HEADER_LISTS = [None, 5, "X: a", [("Content-Length", "5"), ("Content-Length", "6")]]

# Pieces


def bad_piece(environ, start_response, number):
    start_response("200 OK", TEXT)
    return Closing(f"piece-{number}", [b"", BAD_PIECES[int(number)]])


BAD_PIECES = [5, None, 1.5, ["nested"], {"a": 1}, object()]


def text_pieces(environ, start_response, _):
    start_response("200 OK", TEXT)
    return ["Hello, ", "W\u00f6rld \u20ac"]


def text_list_of_one(environ, start_response, _):
    start_response("200 OK", TEXT)
    return ["caf\u00e9"]


def text_itself(environ, start_response, _):
    """A str is an iterable of str: one piece per character, as PEP 3333 warns of."""
    start_response("200 OK", TEXT)
    return "text"


def bytes_itself(environ, start_response, _):
    """bytes iterate as numbers; uWSGI takes them as the body all the same."""
    start_response("200 OK", TEXT)
    return b"bytes"


def text_surrogate(environ, start_response, _):
    start_response("200 OK", TEXT)
    return ["\udcff"]


def tuple_of_pieces(environ, start_response, _):
    start_response("200 OK", TEXT)
    return (b"a", b"b", b"c")


def subclass_of_list(environ, start_response, name):
    class Closable(list):
        def close(self):
            event(f"closed {name} 1")

    start_response("200 OK", TEXT)
    return Closable([b"one"])


def bytes_like(environ, start_response, _):
    start_response("200 OK", TEXT)
    return [bytearray(b"array "), memoryview(b"view")]


# write()


def write_only(environ, start_response, _):
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"")
    write(b"two")
    return []


def write_and_return(environ, start_response, _):
    write = start_response("200 OK", TEXT)
    write(b"written ")
    return [b"returned"]


def write_with_length(environ, start_response, _):
    write = start_response("200 OK", [*TEXT, ("Content-Length", "7")])
    write(b"writ")
    write(b"ten")
    return []


def write_text(environ, start_response, _):
    write = start_response("200 OK", TEXT)
    write("t\u00e9xt")
    return []


def write_number(environ, start_response, _):
    write = start_response("200 OK", TEXT)
    write(5)
    return []


def write_then_raise(environ, start_response, _):
    write = start_response("200 OK", TEXT)
    write(b"written")
    raise ValueError("after write")


def write_nothing_then_raise(environ, start_response, _):
    start_response("200 OK", TEXT)(b"")
    raise ValueError("after an empty write")


# close()


def closing(environ, start_response, name):
    start_response("200 OK", TEXT)
    return Closing(name, [b"a", b"b"])


def closing_no_content(environ, start_response, name):
    start_response("204 No Content", [])
    return Closing(name, [])


def closing_raise(environ, start_response, name):
    def pieces():
        yield b"a"
        raise ValueError("in the middle")

    start_response("200 OK", TEXT)
    return Closing(name, pieces())


def closing_bad_header(environ, start_response, name):
    try:
        start_response("200 OK", [("X", "a\nb")])
    except Exception as error:
        event(f"refused {type(error).__name__}")
    return Closing(name, [b"LEAKED"])


def closing_endless(environ, start_response, name):
    def pieces():
        while True:
            yield b"x" * 100_000

    start_response("200 OK", TEXT)
    return Closing(name, pieces())


def closing_file(environ, start_response, name):
    class File(io.BytesIO):
        def close(self):
            event(f"closed {name} 1")

    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](File(b"a file" * 200_000))


def generator_finally(environ, start_response, name):
    start_response("200 OK", TEXT)
    try:
        while True:
            yield b"x" * 100_000
    finally:
        event(f"closed {name} 1")


# wsgi.errors


def errors(environ, start_response, name):
    stream = environ["wsgi.errors"]
    stream.write(f"EVENT errors-write {name}\n")
    stream.writelines([f"EVENT errors-lines-1 {name}\n", f"EVENT errors-lines-2 {name}\n"])
    stream.flush()
    print(f"EVENT errors-print {name} \u20ac", file=stream)
    stream.flush()
    start_response("200 OK", TEXT)
    return [b"errors"]


def mutate_environ(environ, start_response, _):
    """The environ is the app's own: what it does to it is gone with the request."""
    found = environ.get("my.key", "nothing")
    environ["my.key"] = "set"
    environ["PATH_INFO"] = "/changed"
    environ["wsgi.url_scheme"] = "gopher"
    environ.pop("SERVER_NAME")
    for key in [key for key in environ if key.startswith(("wsgi.", "HTTP_"))]:
        del environ[key]
    start_response("200 OK", TEXT)
    return [found.encode()]


def clear_environ(environ, start_response, _):
    environ.clear()
    start_response("200 OK", TEXT)
    return [b"cleared"]


def application(environ, start_response):
    function = globals()[environ["PATH_INFO"].strip("/") or "plain"]
    return function(environ, start_response, environ["QUERY_STRING"])
