"""PEP 3333: start_response, write(), close(), errors, and applications that violate it."""

import contextlib
import random
import re
import sys
from pathlib import Path

import pytest
from client import Closed
from requests_raw import get, post

sys.path.insert(0, str(Path(__file__).parent / "apps"))
import faults

INTERNAL_ERROR = 500


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(app="faults.py")


@pytest.fixture(scope="module")
def validated(serve_module):
    return serve_module("--threads", "2", app="validated.py")


@pytest.fixture
def name(request):
    """A word that is unique to this test."""
    return re.sub(r"\W+", "-", request.node.name)


def assert_alive(server):
    assert server.ask("/plain").text == "plain"


def assert_internal_error(server, path):
    answer = server.ask(path)
    assert answer.status == INTERNAL_ERROR
    assert "LEAKED" not in answer.text
    assert "Traceback" not in answer.text, "a client is told nothing about the inside"
    assert_alive(server)
    return answer


# wsgiref.validate is the judge


@pytest.mark.parametrize(
    "path",
    [
        "/hello",
        "/stream",
        "/write",
        "/no_content",
        "/read_all",
        "/read_lines",
        "/errors",
        "/file",
        "/not_modified",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE"])
def test_the_validator_is_content(validated, path, method):
    with validated.connect() as connection:
        wire = post(path, b"line\nbody", "Content-Type: text/plain").replace(
            b"POST", method.encode(), 1
        )
        for _ in range(2):
            assert connection.ask(wire).status in (200, 204, 304)


def test_the_validator_is_content_with_any_query_and_field(validated):
    with validated.connect() as connection:
        for wire in (
            get("/hello?a=%20&b"),
            get("/hello", "Cookie: a", "Cookie: b"),
            get("/hello", "Accept:", version="1.0"),
        ):
            assert connection.ask(wire).status == 200


def test_the_validator_has_seen_every_close(validated):
    validated.ask("/stream")
    log = validated.log()
    assert "AssertionError" not in log
    assert "garbage collected without being closed" not in log
    assert "WSGIWarning" not in log


# Exceptions


@pytest.mark.parametrize(
    "path",
    [
        "raise_before_start",
        "raise_after_start",
        "raise_at_first_piece",
        "raise_in_iter",
        "raise_stop_iteration",
        "raise_recursion",
        "raise_unprintable",
        "raise_surrogate",
        "raise_memory_error",
        "raise_system_exit",
        "raise_keyboard_interrupt",
        "raise_generator_exit",
        "raise_own_base_exception",
        "write_nothing_then_raise",
        "return_none",
        "return_number",
    ],
)
def test_an_exception_is_a_500(server, path):
    assert_internal_error(server, f"/{path}")


def test_the_traceback_is_in_the_log(server):
    server.ask("/raise_before_start")
    server.wait_for_log(r"ValueError: before start_response")
    log = server.log()
    assert "Traceback (most recent call last)" in log
    assert re.search(r'File ".*faults\.py", line \d+, in raise_before_start', log)
    assert "/raise_before_start" in log, "the log says which request it was"


def test_a_500_keeps_the_connection_when_its_framing_is_whole(server):
    with server.connect() as connection:
        response = connection.ask(get("/raise_before_start"))
        assert response.status == INTERNAL_ERROR
        if response.keeps_alive:
            assert connection.ask(get("/plain")).text == "plain"
        else:
            connection.assert_closed()


@pytest.mark.parametrize(
    "path",
    [
        "raise_at_second_piece",
        "raise_at_second_piece_of_known_length",
        "write_then_raise",
        "exc_info_after_first_piece",
    ],
)
def test_an_exception_after_the_head_cuts_the_response(server, path):
    """Too late for a 500: the client must notice that the response is incomplete."""
    with server.connect() as connection:
        with pytest.raises(Closed):
            connection.ask(get(f"/{path}"))
        assert connection.rest() == b""
    assert_alive(server)


def test_exc_info_after_the_head_is_raised_again(server):
    with server.connect() as connection, pytest.raises(Closed):
        connection.ask(get("/exc_info_after_first_piece"))
    server.wait_for_log(r"EVENT re-raised too late")


def test_an_exception_in_close_is_logged_and_no_more(server, name):
    with server.connect() as connection:
        assert connection.ask(get(f"/raise_in_close?{name}")).text == "whole"
        assert connection.ask(get("/plain")).text == "plain"
    server.wait_for_log(rf"EVENT closed {name} 1")
    server.wait_for_log(r"ValueError: in close")


# start_response


@pytest.mark.parametrize("path", ["no_start", "no_start_no_body", "start_twice"])
def test_misuse_of_start_response_is_a_500(server, path, name):
    assert_internal_error(server, f"/{path}?{name}")


def test_a_second_call_raises(server):
    answer = server.ask("/start_twice_caught")
    assert answer.text.startswith("refused: ")
    assert answer.status == 200
    assert answer.headers["X-Which"] == "first"


def test_exc_info_replaces_what_has_not_left(server):
    answer = server.ask("/start_again_with_exc_info")
    assert (answer.status, answer.reason, answer.text) == (503, "Changed", "replaced")
    assert answer.headers.get_all("X-Which") == ["second"]


def test_exc_info_in_the_first_call(server):
    answer = server.ask("/exc_info_first")
    assert (answer.status, answer.reason, answer.text) == (500, "My Own", "my own page")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("exc_info_none", "none"),
        ("exc_info_keyword", "keyword"),
        ("start_late", "late"),
        ("start_in_generator", "in the generator"),
    ],
)
def test_start_response_is_called_in_many_ways(server, path, text):
    # Keywords are not PEP 3333's (the arguments are positional), but they do no harm and some
    # middleware has them.
    answer = server.ask(f"/{path}")
    assert (answer.status, answer.text) == (200, text)


def test_what_the_app_keeps_is_dead_but_harmless(server):
    """environ, start_response, write and wsgi.input of an earlier request: no crash, and no byte of
    it leaves.
    """
    server.ask("/start_kept?1")
    for number in (2, 3):
        answer = server.ask(f"/start_kept?{number}")
        assert answer.status == 200
        assert answer.headers.get("X-Stale") is None
        path, start, write, read = answer.text.split("; ")
        assert path == f"path /start_kept {number - 1}"
        assert start.startswith("start_response raised")
        assert write.startswith("write raised")
        assert read.startswith("read raised") or read == "read gave b''"
    server.wait_for_log(r"EVENT stale errors")
    assert_alive(server)


def some_request(rng):
    """A request of random fields, and what the application should see of it beside what never
    changes.
    """
    names = ["Accept", "Cookie", "Authorization", "User-Agent", "X-Forwarded-For", "Content-Type"]
    # More names than any cache of them has places.
    names += [f"X-{number}" for number in rng.sample(range(600), 3)]
    fields = {
        name: rng.choice(["", "a", "b", "v" * 256, "v" * 257, "\xe9"])
        for name in rng.sample(names, rng.randint(0, 6))
    }
    query, path = rng.choice(["", "?q=1", "?q=2"]), rng.choice(["/", "/x", "/%41", "/" + "p" * 300])
    lines = [f"{rng.choice([name, name.lower()])}: {value}" for name, value in fields.items()]
    version, body = rng.choice(["1.1", "1.0"]), rng.choice([b"", b"body", None])
    lines += ["Connection: keep-alive"] if version == "1.0" else []
    sent = (
        get(path + query, *lines, version=version)
        if body is None
        else post(path + query, body, *lines, version=version)
    )
    expected = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in fields.items()}
    expected["HTTP_HOST"] = "example.com"
    if version == "1.0":
        expected["HTTP_CONNECTION"] = "keep-alive"
    if "HTTP_CONTENT_TYPE" in expected:
        expected["CONTENT_TYPE"] = expected.pop("HTTP_CONTENT_TYPE")
    if body is not None:
        expected["CONTENT_LENGTH"] = str(len(body))
    expected["QUERY_STRING"], expected["REQUEST_URI"] = query[1:], path + query
    expected["PATH_INFO"] = path.replace("%41", "A")
    expected["REQUEST_METHOD"] = "GET" if body is None else "POST"
    expected["SERVER_PROTOCOL"] = "HTTP/" + version
    return sent, expected


def test_an_environ_has_nothing_of_the_requests_before(serve):
    server = serve(app="echo.py")
    never_changes = set()
    rng = random.Random("environ")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(3)]
        for number in range(600):
            connection = connections[number // 4 % 3]
            # Some come twice in a row, as most of a client's do.
            if number % 3 != 2:
                sent, expected = some_request(rng)
            environ = connection.ask(sent).json()["environ"]
            expected["REMOTE_ADDR"], expected["REMOTE_PORT"] = (
                "127.0.0.1",
                str(connection.socket.getsockname()[1]),
            )
            rest = {(key, environ.pop(key)) for key in set(environ) - set(expected)}
            assert environ == expected
            never_changes = never_changes or rest
            assert rest == never_changes


def test_the_environ_is_the_requests_own(server):
    for _ in range(3):
        assert server.ask("/mutate_environ").text == "nothing"
        assert server.ask("/clear_environ").text == "cleared"


# Invalid statuses and fields


@pytest.mark.parametrize(
    "number", range(len(faults.BAD_STATUSES)), ids=[repr(status) for status in faults.BAD_STATUSES]
)
def test_a_bad_status_is_a_500(server, number):
    answer = assert_internal_error(server, f"/bad_status?{number}")
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    "number", range(len(faults.BAD_HEADERS)), ids=[repr(header) for header in faults.BAD_HEADERS]
)
def test_a_bad_header_is_a_500(server, number):
    answer = assert_internal_error(server, f"/bad_header?{number}")
    assert "Set-Cookie" not in answer.headers
    assert "X" not in answer.headers


@pytest.mark.parametrize(
    "number",
    range(len(faults.BAD_HEADER_LISTS)),
    ids=[repr(item) for item in faults.BAD_HEADER_LISTS],
)
def test_a_bad_header_list_is_a_500(server, number):
    assert_internal_error(server, f"/bad_headers_type?{number}")


@pytest.mark.parametrize(
    "number", range(len(faults.HOP_BY_HOP)), ids=[header[0] for header in faults.HOP_BY_HOP]
)
def test_hop_by_hop_fields_are_the_servers(server, number):
    """PEP 3333 forbids these fields to applications: the server sets them. They are dropped without
    an error.
    """
    name, value = faults.HOP_BY_HOP[number]
    with server.connect() as connection:
        response = connection.ask(get(f"/hop_by_hop?{number}"))
        assert (response.status, response.text) == (200, "body")
        assert value not in response.all(name)
        assert connection.ask(get("/plain")).text == "plain"


@pytest.mark.parametrize(
    "number",
    range(len(faults.BAD_PIECES)),
    ids=[type(piece).__name__ for piece in faults.BAD_PIECES],
)
def test_a_piece_that_is_not_bytes_is_a_500(server, number):
    assert_internal_error(server, f"/bad_piece?{number}")
    server.wait_for_log(rf"EVENT closed piece-{number} 1")


def test_the_log_names_the_type_of_a_bad_piece(server):
    server.ask("/bad_piece?2")
    server.wait_for_log(r"float")


# str


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("text_pieces", "Hello, W\u00f6rld \u20ac"),
        ("text_list_of_one", "caf\u00e9"),
        ("text_itself", "text"),
        ("write_text", "t\u00e9xt"),
    ],
)
def test_text_goes_out_as_utf_8(server, path, text):
    answer = server.ask(f"/{path}")
    assert (answer.status, answer.body) == (200, text.encode())


def test_text_that_has_no_utf_8_is_a_500(server):
    assert_internal_error(server, "/text_surrogate")


def test_text_is_warned_of_once(serve):
    server = serve(app="faults.py")
    for path in ("/text_pieces", "/text_list_of_one", "/text_pieces", "/text_itself"):
        assert server.ask(path).status == 200
    server.wait_for_log(r"(?i)\bstr\b.*")
    server.stop()
    warnings = [line for line in server.log().splitlines() if re.search(r"\bstr\b", line)]
    assert len(warnings) == 1, warnings


@pytest.mark.parametrize("path", ["text_pieces", "text_list_of_one", "text_itself", "write_text"])
def test_wsgi_strict_refuses_text(serve, path):
    server = serve("--wsgi-strict", app="faults.py")
    assert_internal_error(server, f"/{path}")
    server.wait_for_log(r"\bstr\b")


def test_bytes_like_pieces_are_sent_or_refused_whole(server):
    answer = server.ask("/bytes_like")
    assert (answer.status, answer.text) == (200, "array view") or answer.status == INTERNAL_ERROR
    assert_alive(server)


def test_bytes_instead_of_a_list_are_the_body(server):
    """bytes iterate as numbers, which PEP 3333 does not define; uWSGI sends them, and so does this
    server.
    """
    assert server.ask("/bytes_itself").text == "bytes"


def test_a_tuple_is_an_iterable(server):
    assert server.ask("/tuple_of_pieces").text == "abc"


# write()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("write_only", "one two"),
        ("write_and_return", "written returned"),
        ("write_with_length", "written"),
    ],
)
def test_write(server, path, text):
    with server.connect() as connection:
        assert connection.ask(get(f"/{path}")).text == text
        head = connection.ask(get(f"/{path}", method="HEAD"))
        assert (head.status, head.body) == (200, b"")
        assert connection.ask(get("/plain")).text == "plain"


def test_write_of_anything_else_is_a_500(server):
    assert_internal_error(server, "/write_number")


def test_write_leaves_at_once(serve, gate):
    source = """
        from knock import knock

        def application(environ, start_response):
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"before ")
            knock("written")
            return [b"after"]
    """
    server = serve(source=source, gate=gate)
    with server.connect() as connection:
        connection.send(get())
        visitor = gate.visitor()
        response = connection.head()
        assert connection._chunk_size() == 7 and connection._exactly(9) == b"before \r\n"
        visitor.release()
        assert connection.body(response).text == "after"


def test_a_yielded_piece_leaves_at_once(serve, gate):
    source = """
        from knock import knock

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b"before "
            knock("yielded")
            yield b"after"
    """
    server = serve(source=source, gate=gate)
    with server.connect() as connection:
        connection.send(get())
        visitor = gate.visitor()
        response = connection.head()
        assert connection._chunk_size() == 7 and connection._exactly(9) == b"before \r\n"
        visitor.release()
        assert connection.body(response).text == "after"


# close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "closing",
        "closing_no_content",
        "closing_raise",
        "closing_bad_header",
        "no_start",
        "no_start_no_body",
        "subclass_of_list",
        "closing_file",
    ],
)
def test_close_is_called_once(server, name, path, method):
    with server.connect() as connection:
        try:
            connection.ask(get(f"/{path}?{name}", method=method))
        except Closed:
            assert path == "closing_raise"
    server.wait_for_log(rf"EVENT closed {name} 1")
    assert_alive(server)
    assert f"closed {name} 2" not in server.log()


@pytest.mark.parametrize("path", ["closing_endless", "generator_finally", "closing_file"])
@pytest.mark.parametrize(
    "leave",
    [
        "before the response",
        "after the first byte",
        "after a megabyte",
        "half closed first",
        "reset",
    ],
)
def test_close_is_called_when_the_client_is_gone(server, name, path, leave):
    with server.connect() as connection:
        connection.send(get(f"/{path}?{name}"))
        if leave == "after the first byte":
            assert connection.socket.recv(1) == b"H"
        elif leave == "after a megabyte":
            connection._exactly(1_000_000)
        elif leave == "half closed first":
            connection.end_of_sending()
            connection._exactly(100_000)
        elif leave == "reset":
            connection._exactly(1000)
            connection.abort()
    if leave == "before the response":
        # A request whose client has gone may be dropped before the app sees it: then there is
        # nothing to close.
        assert_alive(server)
        if f"/{path}?{name}" not in server.log() and f"closed {name}" not in server.log():
            return
    server.wait_for_log(rf"EVENT closed {name} 1")
    assert_alive(server)


# wsgi.errors


def test_errors_reach_the_log(server, name):
    assert server.ask(f"/errors?{name}").text == "errors"
    for kind in ("write", "lines-1", "lines-2", "print"):
        server.wait_for_log(rf"EVENT errors-{kind} {name}")


def test_stdout_and_stderr_of_the_app_reach_the_log(serve):
    source = """
        import sys

        print("EVENT import stdout")
        print("EVENT import stderr", file=sys.stderr)

        def application(environ, start_response):
            print("EVENT request stdout")
            print("EVENT request stderr", file=sys.stderr)
            start_response("200 OK", [])
            return [b""]
    """
    server = serve(source=source)
    assert server.ask("/").status == 200
    for event in ("import stdout", "import stderr", "request stdout", "request stderr"):
        server.wait_for_log(f"EVENT {event}")


# Callables of every kind


CALLABLES = {
    "function": "def application(environ, start_response):\n    return respond(start_response)\n",
    "class": """
class application:
    def __init__(self, environ, start_response):
        self.pieces = respond(start_response)

    def __iter__(self):
        yield from self.pieces
""",
    "instance": """
class Application:
    def __call__(self, environ, start_response):
        return respond(start_response)

application = Application()
""",
    "method": """
class Application:
    def run(self, environ, start_response):
        return respond(start_response)

application = Application().run
""",
    "partial": "import functools\n\ndef run(x, environ, start_response):\n    return respond(start_response)\n\napplication = functools.partial(run, 1)\n",
    "lambda": "application = lambda environ, start_response: respond(start_response)\n",
    "generator": "def application(environ, start_response):\n    yield from respond(start_response)\n",
    "decorated": """
import functools

def middleware(app):
    @functools.wraps(app)
    def wrapped(environ, start_response):
        def started(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Middleware", "1")], exc_info)
        return app(environ, started)
    return wrapped

@middleware
@middleware
def application(environ, start_response):
    return respond(start_response)
""",
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_callables(serve, kind):
    respond = "def respond(start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'called']\n\n"
    server = serve(source=respond + CALLABLES[kind])
    for _ in range(2):
        answer = server.ask("/")
        assert (answer.status, answer.text) == (200, "called")
        assert answer.headers.get_all("X-Middleware", []) == (
            ["1", "1"] if kind == "decorated" else []
        )
