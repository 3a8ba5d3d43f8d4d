"""FastCGI over real sockets: the connection's life, hostile records, large bodies and files, limits
and deadlines.
"""

import hashlib
import json
import os
import struct

import pytest
from front_end import (
    ABORT,
    BEGIN,
    END,
    GET_VALUES,
    GET_VALUES_RESULT,
    PARAMS,
    STDIN,
    STDOUT,
    UNKNOWN_TYPE,
    FastCgi,
    answer,
    ask_fastcgi,
    begin,
    connect,
    exchange,
    fastcgi_request,
    name_values,
    read_to_the_end,
    record,
    stream,
    variables,
)
from options import limits

LISTEN = ("--fastcgi-socket", "127.0.0.1:0")


@pytest.fixture(scope="module")
def echo(serve_module):
    """One worker, so that its list has every request that got through."""
    return serve_module(*LISTEN, app="echo.py", listen=())


def seen(server):
    return json.loads(ask_fastcgi(server.address, "/seen").body)


def test_the_environ_is_what_the_front_end_sent(echo):
    sent = {
        "SCRIPT_NAME": "/shop",
        "HTTPS": "on",
        "REMOTE_USER": "anna",
        "HTTP_LONG": "v" * 300,
        "N" * 200: "x",
    }
    environ = json.loads(ask_fastcgi(echo.address, "/shop/x?a=1", **sent).body)["environ"]
    expected = variables("/shop/x?a=1", **sent)
    assert environ == {**expected, "wsgi.url_scheme": "https"}


def test_the_answer_is_that_of_cgi(echo):
    response = ask_fastcgi(echo.address, "/answer")
    assert response.first_line == "Status: 200 OK"
    assert {name for name, _ in response.headers} == {"Content-Type", "Content-Length"}


def test_nph_answers_begin_with_the_status_line(serve):
    server = serve(
        "--fastcgi-nph-socket",
        "127.0.0.1:0",
        "--socket",
        "127.0.0.1:0",
        "--protocol",
        "fastcgi",
        app="echo.py",
        listen=(),
    )
    lines = [ask_fastcgi(address).first_line for address in server.addresses()]
    assert lines == ["HTTP/1.1 200 OK", "Status: 200 OK"]
    assert [url.split(":")[0] for url in server.urls()] == ["fastcgi", "fastcgi"]


def test_a_kept_connection_carries_requests(echo):
    with FastCgi(echo.address) as connection:
        for number in (1, 1, 2, 65535):
            body = f"{number}".encode() * 1000
            wire = fastcgi_request(
                variables(f"/kept/{number}", "POST", body), body, number, keep=True
            )
            response = connection.send(wire).receive(number)
            assert json.loads(response.body)["body"].encode() == body
        # Sent ahead: one after the other, in order.
        wire = [
            fastcgi_request(variables(f"/ahead/{number}"), number=number, keep=True)
            for number in (1, 2, 3)
        ]
        connection.send(b"".join(wire))
        for number in (1, 2, 3):
            environ = json.loads(connection.receive(number).body)["environ"]
            assert environ["PATH_INFO"] == f"/ahead/{number}"
        connection.send(fastcgi_request(variables("/last"))).receive()
        connection.assert_closed()


def test_streams_in_small_padded_records(echo):
    body = os.urandom(3000)
    wire = fastcgi_request(variables("/small", "POST", body), body, size=100, padding=77)
    with FastCgi(echo.address) as connection:
        response = connection.send(wire).receive()
    assert json.loads(response.body)["body"].encode("latin-1") == body


def test_a_request_byte_by_byte(echo):
    wire = fastcgi_request(variables("/bytes", "POST", b"hello"), b"hello", padding=3)
    with FastCgi(echo.address) as connection:
        for at in range(len(wire)):
            connection.send(wire[at : at + 1])
        assert json.loads(connection.receive().body)["body"] == "hello"


def test_a_body_whose_length_was_not_said(echo):
    sent = variables("/unsaid", "POST", CONTENT_LENGTH="")
    with FastCgi(echo.address) as connection:
        told = json.loads(connection.send(fastcgi_request(sent, b"hello")).receive().body)
    assert (told["body"], told["environ"]["CONTENT_LENGTH"]) == ("hello", "5")


def test_large_bodies_answers_and_files(serve, tmp_path):
    data = os.urandom(3_000_001)
    path = tmp_path / "file"
    path.write_bytes(data)
    source = f"""
        import hashlib
        PATH = {str(path)!r}
        def application(environ, start_response):
            if environ["REQUEST_METHOD"] == "POST":
                digest = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [digest.encode()]
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            if environ["PATH_INFO"] == "/file":
                return environ["wsgi.file_wrapper"](open(PATH, "rb"))
            data = open(PATH, "rb").read()
            if environ["PATH_INFO"] == "/pieces":
                return (data[at:at + 100_000] for at in range(0, len(data), 100_000))
            return [data]
    """
    server = serve(*LISTEN, source=source, listen=())
    with FastCgi(server.address) as connection:
        for _ in range(2):
            response = connection.send(
                fastcgi_request(variables("/", "POST", data), data, keep=True)
            ).receive()
            assert response.body.decode() == hashlib.sha256(data).hexdigest()
            for target in ("/file", "/bytes", "/pieces"):
                response = connection.send(fastcgi_request(variables(target), keep=True)).receive()
                assert response.body == data
                length = None if target == "/pieces" else str(len(data))
                assert response.header("Content-Length") == length


def test_a_reader_that_is_slow_gets_everything(serve, tmp_path):
    path = tmp_path / "file"
    data = os.urandom(2_000_000)
    path.write_bytes(data)
    source = f"""
        def application(environ, start_response):
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](open({str(path)!r}, "rb"))
    """
    server = serve(*LISTEN, "--socket-sndbuf", "4096", source=source, listen=())
    with connect(server.address) as connection:
        connection.sendall(fastcgi_request(variables("/")))
        parts = []
        while part := connection.recv(3333):
            parts.append(part)
    records = b"".join(parts)
    body, at = b"", 0
    while at < len(records):
        kind, length, padding = struct.unpack(">xBxxHBx", records[at : at + 8])
        body += records[at + 8 : at + 8 + length] if kind == STDOUT else b""
        at += 8 + length + padding
    assert answer(body).body == data


def test_head_204_304_and_failures(serve):
    source = """
        def application(environ, start_response):
            status = environ["QUERY_STRING"].replace("+", " ")
            if status == "500":
                raise RuntimeError("on purpose")
            start_response(status, [("Content-Type", "text/plain"), ("Connection", "close")])
            return broken() if environ["PATH_INFO"] == "/midway" else [b"body"]
        def broken():
            yield b"half"
            raise RuntimeError("on purpose")
    """
    server = serve(*LISTEN, source=source, listen=())
    for method, status, length, body in [
        ("GET", "200+OK", "4", b"body"),
        ("HEAD", "200+OK", "4", b""),
        ("GET", "204+No Content", None, b""),
        ("GET", "304+Not Modified", None, b""),
    ]:
        response = ask_fastcgi(server.address, f"/?{status}", method)
        assert (response.status, response.header("Content-Length"), response.body) == (
            int(status[:3]),
            length,
            body,
        )
    assert ask_fastcgi(server.address, "/?500").first_line == "Status: 500 Internal Server Error"
    # An aborted response has no END_REQUEST, so that the web server notices.
    with FastCgi(server.address) as connection:
        connection.send(fastcgi_request(variables("/midway?200+OK"), keep=True))
        with pytest.raises(EOFError):
            connection.receive()


# The protocol's own records


def test_questions_are_answered(echo):
    asked = name_values(
        {"FCGI_MAX_CONNS": "", "FCGI_MAX_REQS": "", "FCGI_MPXS_CONNS": "", "FCGI_OTHER": ""}
    )
    with FastCgi(echo.address) as connection:
        kind, number, content = connection.send(record(GET_VALUES, asked, 0, padding=5)).record()
        assert (kind, number) == (GET_VALUES_RESULT, 0)
        answers = {"FCGI_MAX_CONNS": "10000", "FCGI_MAX_REQS": "10000", "FCGI_MPXS_CONNS": "0"}
        assert content == name_values(answers)
        assert connection.send(record(200, b"what?", 0)).record() == (
            UNKNOWN_TYPE,
            0,
            b"\xc8" + bytes(7),
        )
        assert connection.send(fastcgi_request(variables("/after"))).receive().status == 200


def test_a_second_request_at_the_same_time_is_refused(echo):
    first = fastcgi_request(variables("/first"), number=1, keep=True)
    with FastCgi(echo.address) as connection:
        connection.send(begin(1, keep=True) + begin(2, keep=True))
        assert connection.record() == (END, 2, struct.pack(">IB3x", 0, 1))
        connection.send(
            stream(PARAMS, name_values(variables("/second")), 2) + stream(STDIN, b"", 2)
        )
        assert connection.send(first[16:]).receive().status == 200
    assert "/second" not in seen(echo)


def test_other_roles_are_refused(echo):
    with FastCgi(echo.address) as connection:
        connection.send(begin(1, role=2, keep=True))
        assert connection.record() == (END, 1, struct.pack(">IB3x", 0, 3))
        assert connection.send(fastcgi_request(variables("/after"))).receive().status == 200
    with FastCgi(echo.address) as connection:
        connection.send(begin(1, role=3))
        assert connection.record() == (END, 1, struct.pack(">IB3x", 0, 3))
        connection.assert_closed()


def test_an_aborted_request_never_runs(echo):
    params = stream(PARAMS, name_values(variables("/aborted", "POST", b"hello")))
    for sent in (
        begin(keep=True),
        begin(keep=True) + params,
        begin(keep=True) + params + record(STDIN, b"he"),
    ):
        with FastCgi(echo.address) as connection:
            connection.send(sent + record(ABORT))
            assert connection.record() == (END, 1, bytes(8))
            assert (
                connection.send(fastcgi_request(variables("/next"), b"", keep=True))
                .receive()
                .status
                == 200
            )
    with FastCgi(echo.address) as connection:
        connection.send(begin() + params + record(ABORT))
        assert connection.record() == (END, 1, bytes(8))
        connection.assert_closed()
    assert "/aborted" not in seen(echo)


# Hostile streams


def params_with(tail):
    return begin() + record(PARAMS, name_values(variables("/bad")) + tail) + record(PARAMS)


def with_body(body, **more):
    return fastcgi_request(variables("/bad", "POST", **more), body)


MALFORMED = {
    "a name past the end": params_with(b"\x05\x00A"),
    "half a pair of lengths": params_with(b"\x01"),
    "half a long length": params_with(b"\x80\x00\x00"),
    "a length of 2 GiB": params_with(b"\xff\xff\xff\xff\x00A"),
    "two lengths of 2 GiB": params_with(b"\xff\xff\xff\xff\xff\xff\xff\xffA"),
    "a name that is empty": params_with(b"\x00\x01x"),
    "no variables": begin() + record(PARAMS),
    "no method": fastcgi_request({"PATH_INFO": "/bad"}),
    "a request that begins twice": begin() + begin(),
    "STDIN before PARAMS": begin() + record(STDIN, b"x"),
    "PARAMS behind their end": begin()
    + stream(PARAMS, name_values(variables("/bad")))
    + record(PARAMS, b"x"),
    "a body that is too long": with_body(b"hello", CONTENT_LENGTH="4"),
    "a body that is too short": with_body(b"hello", CONTENT_LENGTH="6"),
    "CONTENT_LENGTH +5": with_body(b"hello", CONTENT_LENGTH="+5"),
    "CONTENT_LENGTH 2**64": with_body(b"hello", CONTENT_LENGTH=str(2**64)),
    "another version in the middle": begin() + b"\x02" + record(PARAMS)[1:],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_stream_is_refused(echo, name):
    with FastCgi(echo.address) as connection:
        response = connection.send(MALFORMED[name]).receive()
        assert response.first_line == "Status: 400 Bad Request"
        connection.assert_closed()
    assert "/bad" not in seen(echo), "nothing of it reached the app"


@pytest.mark.parametrize(
    "wire",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        record(BEGIN, b"short"),
        record(GET_VALUES, b"\x05", 0),
    ],
)
def test_what_is_no_fastcgi_is_told_in_plain_words(echo, wire):
    assert answer(exchange(echo.address, wire)).first_line == "HTTP/1.1 400 Bad Request"


def test_limits(serve):
    arguments = limits(body_bytes=5000, body_memory_bytes=1000, head_bytes=4096, fields=10)
    server = serve(*LISTEN, *arguments, app="echo.py", listen=())
    assert ask_fastcgi(server.address, "/fits", "POST", b"x" * 5000).status == 200
    for wire, status in [
        (fastcgi_request(variables("/over", "POST", b"x" * 5001), b"x" * 5001), 413),
        (with_body(b"x" * 5001, CONTENT_LENGTH=""), 413),
        (fastcgi_request(variables("/over", HTTP_X="x" * 4096)), 431),
        (
            fastcgi_request(variables("/over", **{f"HTTP_{number}": "" for number in range(10)})),
            431,
        ),
    ]:
        with FastCgi(server.address) as connection:
            assert connection.send(wire).receive().status == status
    assert not {"/over", "/bad"} & set(seen(server))


def test_records_that_mean_nothing_do_not_extend_the_deadline(serve):
    server = serve(
        *LISTEN, "--header-timeout", "1", "--body-timeout", "1", app="echo.py", listen=()
    )
    with FastCgi(server.address) as connection:
        connection.send(begin() + record(200, b"x" * 1000))
        assert connection.receive().status == 408
    with FastCgi(server.address) as connection:
        connection.send(
            begin()
            + stream(PARAMS, name_values(variables("/half", "POST", b"xx")))
            + record(STDIN, b"x")
        )
        assert connection.receive().status == 408
    with connect(server.address) as connection:
        assert read_to_the_end(connection) == b""


@pytest.mark.parametrize("cut", [1, 8, 15, 16, 20, 200, -8, -1])
def test_a_client_that_leaves_in_the_middle(echo, cut):
    with connect(echo.address) as connection:
        connection.sendall(fastcgi_request(variables("/left", "POST", b"hello"), b"hello")[:cut])
    assert ask_fastcgi(echo.address, "/alive").status == 200
    assert "/left" not in seen(echo)


def test_the_log_line_is_about_the_front_ends_client(echo):
    ask_fastcgi(echo.address, "/logged?x=1", REMOTE_ADDR="198.51.100.9")
    line = echo.wait_for_log(r"^.*GET /logged\?x=1 .*$")[0]
    assert " 198.51.100.9 () {" in line and "(HTTP/1.1 200) 2 headers in " in line
