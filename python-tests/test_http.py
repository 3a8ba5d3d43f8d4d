"""HTTP/1.1 and 1.0 as a client meets them: connections, framing of responses, forms of requests."""

import re
from email.utils import parsedate_to_datetime

import pytest
from client import Connection
from requests_raw import chunked, get, post


@pytest.fixture(scope="module")
def echo(serve_module):
    return serve_module(app="echo.py")


@pytest.fixture(scope="module")
def responses(serve_module):
    return serve_module("--threads", "2", app="responses.py")


# The connection


def test_a_connection_serves_one_request_after_the_other(echo):
    with echo.connect() as connection:
        for number in range(5):
            response = connection.ask(get(f"/{number}"))
            assert response.status == 200
            assert response.keeps_alive
            assert response.json()["environ"]["PATH_INFO"] == f"/{number}"


def test_close_is_answered_with_close(echo):
    with echo.connect() as connection:
        response = connection.ask(get("/", "Connection: close"))
        assert response.status == 200
        assert response.header("Connection").lower() == "close"
        connection.assert_closed()


@pytest.mark.parametrize(
    "value", ["close", "Close", "CLOSE", "keep-alive, close", "close , x", "x,close"]
)
def test_close_is_found_in_every_spelling(echo, value):
    with echo.connect() as connection:
        assert not connection.ask(get("/", f"Connection: {value}")).keeps_alive
        connection.assert_closed()


def test_http_1_0_closes(echo):
    with echo.connect() as connection:
        response = connection.ask(get("/", version="1.0"))
        assert response.status == 200
        assert response.json()["environ"]["SERVER_PROTOCOL"] == "HTTP/1.0"
        connection.assert_closed()


def test_http_1_0_stays_open_when_it_asks_for_it(echo):
    with echo.connect() as connection:
        for _ in range(2):
            response = connection.ask(get("/", "Connection: keep-alive", version="1.0"))
            assert response.header("Connection").lower() == "keep-alive"
        assert connection.ask(get("/", version="1.0")).status == 200
        connection.assert_closed()


def test_http_1_0_needs_no_host(echo):
    with echo.connect() as connection:
        response = connection.ask(b"GET /old HTTP/1.0\r\n\r\n")
        environ = response.json()["environ"]
        assert response.status == 200
        assert "HTTP_HOST" not in environ
        assert environ["SERVER_NAME"] and environ["SERVER_PORT"] == str(echo.port)


def test_half_closed_client_gets_its_answer(echo):
    with echo.connect() as connection:
        connection.send(get("/half")).end_of_sending()
        assert connection.receive().status == 200
        connection.assert_closed()


def test_pipelined_requests_are_answered_in_order(echo):
    paths = [f"/pipelined/{number}" for number in range(20)]
    with echo.connect() as connection:
        connection.send(b"".join(get(path) for path in paths))
        assert [connection.receive().json()["environ"]["PATH_INFO"] for _ in paths] == paths


def test_pipelined_bodies_stay_apart(echo):
    bodies = [b"x" * size for size in (0, 1, 10, 1000, 70_000, 3)]
    requests = [post("/length", body) for body in bodies] + [
        chunked("/chunked", [body or b"-", b"end"]) for body in bodies
    ]
    expected = [body.decode() for body in bodies] + [
        (body or b"-").decode() + "end" for body in bodies
    ]
    with echo.connect() as connection:
        connection.send(b"".join(requests))
        assert [connection.receive().json()["body"] for _ in requests] == expected


def test_pipelined_requests_stay_in_order_when_the_first_is_slow(serve, gate):
    source = """
        from knock import knock

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/slow":
                knock("slow")
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [environ["PATH_INFO"].encode()]
    """
    server = serve("--threads", "4", source=source, gate=gate)
    with server.connect() as connection:
        connection.send(get("/slow") + get("/quick") + get("/quicker"))
        visitor = gate.visitor()
        # Other connections are served meanwhile; this one keeps its order.
        assert server.ask("/other").text == "/other"
        visitor.release()
        assert [connection.receive().text for _ in range(3)] == ["/slow", "/quick", "/quicker"]


def test_a_request_in_single_bytes(echo):
    with echo.connect() as connection:
        for wire in (
            post("/bytes?x=1", b"hello"),
            chunked("/bytes", [b"hel", b"lo"], trailers=b"X-T: 1\r\n"),
        ):
            for position in range(len(wire)):
                connection.send(wire[position : position + 1])
            response = connection.receive("POST").json()
            assert response["body"] == "hello"
            assert response["environ"]["PATH_INFO"] == "/bytes"


def test_empty_lines_before_a_request_are_skipped(echo):
    with echo.connect() as connection:
        assert (
            connection.ask(b"\r\n\r\n" + get("/after"), "GET").json()["environ"]["PATH_INFO"]
            == "/after"
        )
        assert (
            connection.ask(b"\r\n" + get("/again"), "GET").json()["environ"]["PATH_INFO"]
            == "/again"
        )


# Bodies of requests


def test_a_chunked_body_is_decoded_and_measured(echo):
    with echo.connect() as connection:
        response = connection.ask(
            chunked("/", [b"a", b"bc" * 8, b"d" * 300], extension=b";name=value")
        ).json()
        assert response["body"] == "a" + "bc" * 8 + "d" * 300
        assert response["environ"]["CONTENT_LENGTH"] == "317"
        assert response["input_terminated"] is True
        assert connection.assert_open().status == 200


def test_chunk_sizes_in_upper_case_and_with_zeros(echo):
    wire = (
        get("/", "Transfer-Encoding: Chunked", method="POST")
        + b"00A\r\n0123456789\r\n0a\r\n0123456789\r\n000\r\n\r\n"
    )
    with echo.connect() as connection:
        assert connection.ask(wire).json()["body"] == "0123456789" * 2


def test_an_empty_chunked_body(echo):
    with echo.connect() as connection:
        response = connection.ask(chunked("/", [])).json()
        assert response["body"] == ""
        assert response["environ"]["CONTENT_LENGTH"] in ("", "0")
        connection.assert_open()


def test_trailers_are_read_and_dropped(echo):
    trailers = b"X-Trailer: 1\r\nX-Checksum: abc\r\n"
    with echo.connect() as connection:
        response = connection.ask(chunked("/", [b"body"], trailers=trailers)).json()
        assert response["body"] == "body"
        assert not [key for key in response["environ"] if "TRAILER" in key or "CHECKSUM" in key]
        connection.assert_open()


def test_a_get_may_have_a_body(echo):
    with echo.connect() as connection:
        wire = get("/", "Content-Length: 4") + b"body"
        assert connection.ask(wire).json()["body"] == "body"
        connection.assert_open()


def test_no_body_means_no_length(echo):
    with echo.connect() as connection:
        environ = connection.ask(get("/")).json()["environ"]
        assert environ.get("CONTENT_LENGTH", "") == ""
        assert connection.ask(post("/", b"")).json()["environ"]["CONTENT_LENGTH"] == "0"


def test_an_unread_body_does_not_disturb_the_next_request(responses):
    with responses.connect() as connection:
        for size in (10, 100_000, 3_000_000):
            assert (
                connection.ask(
                    post("/plain", b"GET /smuggled HTTP/1.1\r\n\r\n" * (size // 26))
                ).text
                == "plain"
            )
            assert connection.ask(get("/length")).text == "length"


# Expect: 100-continue


def test_continue_comes_before_the_body(echo):
    with echo.connect() as connection:
        connection.send(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        assert connection.head().status == 100
        connection.send(b"hello")
        assert connection.receive("POST").json()["body"] == "hello"
        connection.assert_open()


def test_continue_for_a_chunked_body(echo):
    with echo.connect() as connection:
        connection.send(
            get("/", "Transfer-Encoding: chunked", "Expect: 100-Continue", method="POST")
        )
        assert connection.head().status == 100
        connection.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert connection.receive("POST").json()["body"] == "hello"


def test_no_continue_without_a_body(echo):
    with echo.connect() as connection:
        assert connection.ask(get("/", "Expect: 100-continue")).status == 200
        assert (
            connection.ask(
                get("/", "Content-Length: 0", "Expect: 100-continue", method="POST")
            ).status
            == 200
        )


def test_no_continue_for_http_1_0(echo):
    with echo.connect() as connection:
        wire = get("/", "Content-Length: 5", "Expect: 100-continue", method="POST", version="1.0")
        assert connection.ask(wire + b"hello").json()["body"] == "hello"


def test_a_client_that_does_not_wait_is_served(echo):
    with echo.connect() as connection:
        connection.send(post("/", b"hello", "Expect: 100-continue"))
        response = connection.head()
        if (
            response.status == 100
        ):  # RFC 9110, 10.1.1: it may be left out when the body is already here
            response = connection.head()
        assert connection.body(response).json()["body"] == "hello"
        connection.assert_open()


# Forms of the target


def test_absolute_form(echo):
    with echo.connect() as connection:
        wire = b"GET http://absolute.example:81/a%20b?q=1 HTTP/1.1\r\nHost: other.example\r\n\r\n"
        environ = connection.ask(wire).json()["environ"]
        assert environ["PATH_INFO"] == "/a b"
        assert environ["QUERY_STRING"] == "q=1"
        # RFC 9112, 3.2.2: the authority of the target replaces Host.
        assert environ["HTTP_HOST"] == "absolute.example:81"


@pytest.mark.parametrize(
    "target", ["http://a.example", "http://a.example/", "HTTP://a.example/", "https://a.example?q"]
)
def test_absolute_form_without_a_path(echo, target):
    with echo.connect() as connection:
        environ = connection.ask(get(target)).json()["environ"]
        assert environ["PATH_INFO"] == "/"
        assert environ["QUERY_STRING"] == ("q" if target.endswith("?q") else "")


def test_asterisk_form(echo):
    with echo.connect() as connection:
        environ = connection.ask(get("*", method="OPTIONS")).json()["environ"]
        assert environ["REQUEST_METHOD"] == "OPTIONS"
        assert environ["REQUEST_URI"] == "*"
        connection.assert_open()


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a%2Fb", "/a/b", ""),
        ("/caf%C3%A9", "/caf\u00c3\u00a9", ""),
        ("/%ff", "/\u00ff", ""),
        ("/100%", "/100%", ""),
        ("/%zz%4", "/%zz%4", ""),
        ("//double//slash", "//double//slash", ""),
        ("/a;p=1/b", "/a;p=1/b", ""),
        ("/a+b?c+d", "/a+b", "c+d"),
        ("/a/../b/./c", "/a/../b/./c", ""),
        ("/x?a=%20&b=?&c", "/x", "a=%20&b=?&c"),
        ("/~user/%7Euser", "/~user/~user", ""),
    ],
)
def test_path_and_query(echo, target, path, query):
    with echo.connect() as connection:
        environ = connection.ask(get(target)).json()["environ"]
        assert environ["PATH_INFO"] == path
        assert environ["QUERY_STRING"] == query
        assert environ["REQUEST_URI"] == target
        assert environ["SCRIPT_NAME"] == ""


@pytest.mark.parametrize(
    "method",
    ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get"],
)
def test_methods_pass_through(echo, method):
    with echo.connect() as connection:
        assert connection.ask(get("/", method=method)).json()["environ"]["REQUEST_METHOD"] == method


# Fields of requests


def test_repeated_fields_are_joined(echo):
    with echo.connect() as connection:
        wire = get(
            "/", "X-Many: 1", "x-many: 2", "X-Between: 0", "X-MANY:3", "Cookie: a=1", "cookie: b=2"
        )
        environ = connection.ask(wire).json()["environ"]
        assert environ["HTTP_X_MANY"].replace(", ", ",") == "1,2,3"
        assert environ["HTTP_COOKIE"] == "a=1; b=2"
        assert environ["HTTP_X_BETWEEN"] == "0"


def test_values_are_trimmed_and_latin_1(echo):
    with echo.connect() as connection:
        wire = get(
            "/", "X-Space: \t padded value\t ", "X-Empty:", "X-Latin: caf\xe9", "X-Colon: a:b: c"
        )
        environ = connection.ask(wire).json()["environ"]
        assert environ["HTTP_X_SPACE"] == "padded value"
        assert environ["HTTP_X_EMPTY"] == ""
        assert environ["HTTP_X_LATIN"] == "caf\xe9"
        assert environ["HTTP_X_COLON"] == "a:b: c"


def test_content_fields_have_no_prefix(echo):
    with echo.connect() as connection:
        environ = connection.ask(post("/", b"{}", "Content-Type: application/json")).json()[
            "environ"
        ]
        assert environ["CONTENT_TYPE"] == "application/json"
        assert environ["CONTENT_LENGTH"] == "2"
        assert "HTTP_CONTENT_TYPE" not in environ
        assert "HTTP_CONTENT_LENGTH" not in environ


# Framing of responses


def test_one_piece_has_a_length(responses):
    with responses.connect() as connection:
        for path in ("/plain", "/length", "/nothing"):
            response = connection.ask(get(path))
            assert response.framing == "length", response
            assert response.text == path.strip("/").replace("nothing", "")


def test_a_stream_is_chunked(responses):
    with responses.connect() as connection:
        response = connection.ask(get("/pieces?3"))
        assert response.framing == "chunked"
        assert response.text == "piece 0\npiece 1\npiece 2\n"
        assert connection.assert_open().status == 200


def test_empty_pieces_do_not_end_a_chunked_response(responses):
    with responses.connect() as connection:
        assert connection.ask(get("/empty_pieces")).text == "ab"
        assert connection.ask(get("/plain")).text == "plain"


def test_a_stream_for_http_1_0_ends_with_the_connection(responses):
    for fields in ([], ["Connection: keep-alive"]):
        with responses.connect() as connection:
            response = connection.ask(get("/pieces?3", *fields, version="1.0"))
            assert response.framing == "close"
            assert response.text == "piece 0\npiece 1\npiece 2\n"


@pytest.mark.parametrize(
    "path", ["/plain", "/length", "/pieces?3", "/big?3000000", "/nothing", "/one_piece"]
)
def test_head_is_get_without_the_body(responses, path):
    with responses.connect() as connection:
        got, head = connection.ask(get(path)), connection.ask(get(path, method="HEAD"))
        assert head.status == 200
        assert head.header("Content-Type") == got.header("Content-Type")
        if path in ("/length", "/big?3000000"):  # the app said it: it must be told (RFC 9110, 8.6)
            assert head.header("Content-Length") == got.header("Content-Length")
        elif head.header("Content-Length") is not None:
            assert head.header("Content-Length") == str(len(got.body))
        assert connection.ask(get("/plain")).text == "plain"


@pytest.mark.parametrize("status", ["204+No+Content", "304+Not+Modified"])
@pytest.mark.parametrize("path", ["/status_bare", "/status", "/length_of_absent_body"])
def test_no_body_where_none_may_be(responses, path, status):
    with responses.connect() as connection:
        response = connection.ask(get(f"{path}?{status}"))
        assert response.status == int(status[:3])
        assert response.header("Transfer-Encoding") is None
        # Anything that leaked would stand before this answer.
        assert connection.ask(get("/plain")).text == "plain"


def test_an_interim_status_from_the_app_has_no_body(responses):
    with responses.connect() as connection:
        connection.send(get("/status?103+Early+Hints", "Connection: close"))
        assert b"the body" not in connection.rest()


@pytest.mark.parametrize(
    "status",
    ["201+Created", "299+Whatever", "404+Not+Found", "418+I'm+a+teapot", "599+Odd", "200+"],
)
def test_status_lines_pass_through(responses, status):
    with responses.connect() as connection:
        response = connection.ask(get(f"/status?{status}"))
        assert response.status == int(status[:3])
        assert response.reason == status[4:].replace("+", " ")
        assert response.text == "the body"


def test_fields_pass_through_in_order(responses):
    with responses.connect() as connection:
        response = connection.ask(get("/headers"))
        own = [
            (name, value)
            for name, value in response.headers
            if name not in ("Date", "Server", "Content-Length", "Connection")
        ]
        assert response.reason == "Fine, thank you"
        assert own == [
            ("Content-Type", "text/plain"),
            ("Set-Cookie", "a=1; Path=/"),
            ("X-First", "1"),
            ("Set-Cookie", "b=2; Path=/"),
            ("x-lower-CASE", "kept"),
            ("X-Latin", "caf\xe9"),
            ("X-Empty", ""),
        ]


def test_date_and_server(responses):
    with responses.connect() as connection:
        response = connection.ask(get("/plain"))
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.header("Date"))
        assert parsedate_to_datetime(response.header("Date")).year >= 2024
        # No version is given away.
        assert not re.search(r"\d", response.header("Server") or "")


def test_date_and_server_of_the_app_win(responses):
    with responses.connect() as connection:
        response = connection.ask(get("/own_date"))
        assert response.header("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"
        assert response.header("Server") == "mine"


def test_never_more_than_the_length_the_app_gave(responses):
    with responses.connect() as connection:
        assert connection.ask(get("/too_long")).text == "12345"
        assert connection.ask(get("/plain")).text == "plain"


def test_a_short_response_closes(responses):
    with responses.connect() as connection:
        connection.send(get("/too_short"))
        wire = connection.rest()
        assert wire.startswith(b"HTTP/1.1 200 OK\r\n") and wire.endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize("path", ["/big?20000000", "/big_pieces?20000000"])
def test_a_big_response_is_whole(responses, path):
    with Connection(responses.address, receive_buffer_bytes=8192) as connection:
        body = connection.ask(get(path)).body
        assert len(body) == 20_000_000
        assert all(
            body[position : position + 8] == b"%07d\n" % (position // 8)
            for position in range(0, 20_000_000, 79_992)
        )
        assert connection.ask(get("/plain")).text == "plain"


def test_chunks_are_as_the_app_yields_them(responses):
    # A piece is a promise to the client (PEP 3333, "Buffering and Streaming"): it is not held back
    # for the next.
    with responses.connect() as connection:
        assert connection.ask(get("/pieces?4")).chunks == [
            b"piece %d\n" % number for number in range(4)
        ]
