"""The uwsgi protocol over real sockets: requests, hostile packets, modifiers, limits and deadlines."""

import hashlib
import json
import os
import re
import struct
import threading

import pytest
from front_end import answer, ask_uwsgi, connect, exchange, packet, read_to_the_end, variables
from options import limits

LISTEN = ("--uwsgi-socket", "127.0.0.1:0")


@pytest.fixture(scope="module")
def echo(serve_module):
    """One worker, so that its list has every request that got through."""
    return serve_module(*LISTEN, "--http-socket", "127.0.0.1:0", app="echo.py", listen=())


@pytest.fixture(scope="module")
def small(serve_module):
    arguments = limits(body_bytes=5000, body_memory_bytes=1000)
    return serve_module(*LISTEN, *arguments, app="echo.py", listen=())


def assert_it_serves(server):
    response = ask_uwsgi(server.address, "/alive")
    assert response.status == 200


def seen(server):
    return json.loads(ask_uwsgi(server.address, "/seen").body)


# What arrives


def test_the_environ_is_what_the_front_end_sent(echo):
    sent = {
        "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/caf\xc3\xa9\n",
        "HTTPS": "on",
        "REMOTE_USER": "anna",
        "UWSGI_SCRIPT": "evil:app",
        "HTTP_X_ODD_name": "kept",
        "odd.lower": "kept",
        "CONTENT_TYPE": "",
    }
    response = ask_uwsgi(echo.address, "/shop/x?a=1", **sent)
    environ = json.loads(response.body)["environ"]
    expected = variables("/shop/x?a=1", **sent)
    assert {name: environ.get(name) for name in expected} == expected
    assert environ["wsgi.url_scheme"] == "https"
    assert set(environ) == {*expected, "wsgi.url_scheme"}


def test_the_answer_is_as_uwsgi_sends_it(echo):
    response = ask_uwsgi(echo.address, "/answer")
    assert response.first_line == "HTTP/1.1 200 OK"
    assert int(response.header("Content-Length")) == len(response.body)
    names = {name for name, _ in response.headers}
    assert names == {"Content-Type", "Content-Length"}, (
        "framing, Date and Server are the front end's"
    )


def test_the_last_of_a_repeated_name_counts(echo):
    sent = [*variables("/twice").items(), ("HTTP_X", "1"), ("HTTP_X", "2")]
    response = answer(exchange(echo.address, packet(sent)))
    assert json.loads(response.body)["environ"]["HTTP_X"] == "2"


def test_what_is_not_sent_is_not_there(echo):
    sent = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/a%20b?x=%20"}
    environ = json.loads(answer(exchange(echo.address, packet(sent))).body)["environ"]
    assert environ["PATH_INFO"] == "/a b", "PEP 3333 wants one, and it can be found"
    assert environ["SCRIPT_NAME"] == "" and environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert environ["SERVER_NAME"] and environ["SERVER_PORT"] == str(echo.port)
    for name in ("QUERY_STRING", "CONTENT_LENGTH", "REMOTE_ADDR", "HTTP_HOST"):
        assert name not in environ


def test_modifier_30_takes_the_script_off_the_path(echo):
    sent = {"SCRIPT_NAME": "/shop", "PATH_INFO": "/shop/cart"}
    for modifier, path in ((0, "/shop/cart"), (30, "/cart")):
        environ = json.loads(
            ask_uwsgi(echo.address, "/shop/cart", modifier1=modifier, **sent).body
        )["environ"]
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", path)


def test_the_scheme_follows_the_front_end(echo):
    for sent, scheme in [
        ({}, "http"),
        ({"HTTPS": "1"}, "https"),
        ({"HTTPS": "off"}, "http"),
        ({"UWSGI_SCHEME": "https"}, "https"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, "http"),
    ]:
        environ = json.loads(ask_uwsgi(echo.address, "/scheme", **sent).body)["environ"]
        assert environ["wsgi.url_scheme"] == scheme, sent


SERVERS_OWN = """
    import wsgiref.validate

    def check(environ, start_response):
        assert type(environ["wsgi.input"]).__name__ != "str" and environ["wsgi.version"] == (1, 0)
        assert environ["wsgi.errors"].write and environ["wsgi.run_once"] is False
        assert isinstance(environ["uwsgi.version"], bytes)
        assert "HTTP_PROXY" not in environ and "wsgi.evil" not in environ
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"clean ", environ["wsgi.url_scheme"].encode()]

    application = wsgiref.validate.validator(check)
"""


def test_the_front_end_cannot_replace_what_is_the_servers(serve):
    server = serve(*LISTEN, source=SERVERS_OWN, listen=())
    posing = [
        "wsgi.input",
        "wsgi.errors",
        "wsgi.version",
        "wsgi.run_once",
        "wsgi.url_scheme",
        "wsgi.file_wrapper",
        "wsgi.multithread",
        "wsgi.input_terminated",
        "wsgi.evil",
        "uwsgi.version",
        "uwsgi.core",
    ]
    sent = {name: "evil" for name in posing} | {"HTTP_PROXY": "http://evil", "SCRIPT_NAME": ""}
    # wsgiref's validator does not take an empty CONTENT_LENGTH.
    sent["CONTENT_LENGTH"] = "0"
    response = ask_uwsgi(server.address, "/", **sent)
    assert (response.status, response.body) == (200, b"clean http")


def test_variables_that_load_code_in_uwsgi_are_plain_text(serve, tmp_path):
    marker = tmp_path / "loaded"
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(marker)!r}, 'w').close()\napplication = None\n")
    (tmp_path / "post").write_text("not a body")
    source = """
        import os
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [repr((os.environ.get("EVIL"), os.getcwd(), environ["wsgi.input"].read())).encode()]
    """
    server = serve(*LISTEN, source=source, listen=())
    before = ask_uwsgi(server.address).body
    sent = {
        "UWSGI_FILE": str(evil),
        "UWSGI_SCRIPT": "evil",
        "UWSGI_MODULE": "evil",
        "UWSGI_CALLABLE": "application",
        "UWSGI_PYHOME": str(tmp_path),
        "UWSGI_CHDIR": str(tmp_path),
        "UWSGI_APPID": "evil",
        "UWSGI_TOUCH_RELOAD": str(evil),
        "UWSGI_SETENV": "EVIL=1",
        "UWSGI_POSTFILE": str(tmp_path / "post"),
    }
    assert ask_uwsgi(server.address, **sent).body == before
    assert not marker.exists()


# Bodies and answers


def test_bodies_of_every_size(echo):
    for size in (1, 1000, 65_536, 300_000):
        body = os.urandom(size)
        response = ask_uwsgi(echo.address, f"/body/{size}", "POST", body)
        assert json.loads(response.body)["body"].encode("latin-1") == body


def test_a_request_in_pieces(echo):
    body = b"hello"
    wire = packet(variables("/pieces", "POST", body)) + body
    with connect(echo.address) as connection:
        for at in range(len(wire)):
            connection.sendall(wire[at : at + 1])
        assert json.loads(answer(read_to_the_end(connection)).body)["body"] == "hello"


def test_what_follows_the_request_is_not_read_as_another(echo):
    wire = packet(variables("/one")) + packet(variables("/smuggled"))
    assert answer(exchange(echo.address, wire)).status == 200
    wire = packet(variables("/one", "POST", b"x")) + b"x" + packet(variables("/smuggled"))
    assert answer(exchange(echo.address, wire)).status == 200
    assert "/smuggled" not in seen(echo)


ANSWERS = """
    def application(environ, start_response):
        status = environ["QUERY_STRING"]
        start_response(status.replace("+", " "), [("Content-Type", "text/plain"), ("Connection", "close"), ("Upgrade", "x")])
        if environ["PATH_INFO"] == "/stream":
            return iter([b"one ", b"", b"two ", b"three"])
        return [b"body"]
"""


def test_head_204_304_and_streams(serve):
    server = serve(*LISTEN, source=ANSWERS, listen=())
    for method, status, length, body in [
        ("GET", "200+OK", "4", b"body"),
        ("HEAD", "200+OK", "4", b""),
        ("GET", "204+No Content", None, b""),
        ("GET", "304+Not Modified", None, b""),
        ("GET", "404", "4", b"body"),
    ]:
        response = ask_uwsgi(server.address, f"/x?{status}", method)
        assert (response.status, response.header("Content-Length"), response.body) == (
            int(status[:3]),
            length,
            body,
        )
        assert response.header("Connection") is None and response.header("Upgrade") is None
    response = ask_uwsgi(server.address, "/stream?200+OK")
    assert response.body == b"one two three", "no chunks: the end of the connection is the end"
    assert (
        response.header("Transfer-Encoding") is None and response.header("Content-Length") is None
    )


def test_a_large_answer_and_a_file(serve, tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    source = f"""
        PATH = {str(tmp_path / "file")!r}
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            if environ["PATH_INFO"] == "/file":
                return environ["wsgi.file_wrapper"](open(PATH, "rb"))
            return [open(PATH, "rb").read()]
    """
    server = serve(*LISTEN, source=source, listen=())
    for path in ("/file", "/bytes"):
        response = ask_uwsgi(server.address, path)
        assert hashlib.sha256(response.body).digest() == hashlib.sha256(data).digest()
        assert response.header("Content-Length") == str(len(data))


def test_an_app_that_fails(serve):
    source = """
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/midway":
                start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
                return broken()
            raise RuntimeError("on purpose")
        def broken():
            yield b"half"
            raise RuntimeError("on purpose")
    """
    server = serve(*LISTEN, source=source, listen=())
    response = ask_uwsgi(server.address)
    assert response.first_line == "HTTP/1.1 500 Internal Server Error"
    assert ask_uwsgi(server.address, "/midway").body == b"half"


# Hostile packets


def raw(body, modifier1=0, size=None):
    return struct.pack("<BHB", modifier1, len(body) if size is None else size, 0) + body


GOOD = packet(variables("/good"))[4:]

MALFORMED = {
    "an empty packet": raw(b""),
    "a name past the end": raw(GOOD + b"\xff\xffA"),
    "half a name's length": raw(GOOD + b"\x01"),
    "a name without a value": raw(GOOD + b"\x01\x00A"),
    "half a value's length": raw(GOOD + b"\x01\x00A\x01"),
    "a value past the end": raw(GOOD + b"\x01\x00A\x05\x00abcd"),
    "a value past 64 KiB": raw(GOOD + b"\x01\x00A\xff\xff"),
    "a name that is empty": raw(GOOD + b"\x00\x00\x01\x00x"),
    "a packet shorter than its variables": raw(GOOD, size=len(GOOD) - 1) + b"/",
    "no method": packet({"PATH_INFO": "/x"}),
    "an empty method": packet({"REQUEST_METHOD": ""}),
    "CONTENT_LENGTH +5": packet(variables("/x", CONTENT_LENGTH="+5")),
    "CONTENT_LENGTH -1": packet(variables("/x", CONTENT_LENGTH="-1")),
    "CONTENT_LENGTH 0x5": packet(variables("/x", CONTENT_LENGTH="0x5")),
    "CONTENT_LENGTH 2**64": packet(variables("/x", CONTENT_LENGTH=str(2**64))),
    "two lengths": packet([*variables("/x", CONTENT_LENGTH="5").items(), ("CONTENT_LENGTH", "6")]),
    "HTTP": b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_packet_is_refused(echo, name):
    before = seen(echo)
    response = answer(exchange(echo.address, MALFORMED[name]))
    assert response.status == 400
    assert seen(echo) == before, "nothing of it reached the app"


def test_a_packet_over_the_buffer_size(serve):
    server = serve(*LISTEN, "--buffer-size", "4096", app="echo.py", listen=())
    empty = len(packet(variables("/", HTTP_X="")))
    fits = {"HTTP_X": "x" * (4096 + 4 - empty)}
    assert ask_uwsgi(server.address, **fits).status == 200
    fits["HTTP_X"] += "x"
    assert ask_uwsgi(server.address, **fits).status == 431
    # The answer does not wait for the packet.
    assert answer(exchange(server.address, b"\x00\xff\xff\x00")).status == 431


def test_too_many_fields(echo):
    fields = {f"HTTP_X_{number}": "x" for number in range(127)}
    assert ask_uwsgi(echo.address, **fields).status == 200, "with HTTP_HOST they are 128"
    assert ask_uwsgi(echo.address, **fields, HTTP_ONE_MORE="x").status == 431


def test_a_body_over_its_bound(small):
    assert ask_uwsgi(small.address, "/fits", "POST", b"x" * 5000).status == 200
    wire = packet(variables("/over", "POST", b"x" * 5001))
    assert answer(exchange(small.address, wire)).status == 413
    assert "/over" not in seen(small)


# Modifiers


def test_a_ping_is_answered(echo):
    assert exchange(echo.address, b"\x64\x00\x00\x00") == b"\x64\x00\x00\x01"


@pytest.mark.parametrize("modifier1", [17, 110, 111, 173])
def test_what_is_not_enabled_is_refused_in_binary(echo, modifier1):
    assert exchange(echo.address, raw(GOOD, modifier1)) == b"\xff\x00\x00\x00"
    echo.wait_for_log(rf"refused modifier1 {modifier1} \(.*\) on a uwsgi socket: not enabled")


@pytest.mark.parametrize("modifier1", [5, 7, 9, 14, 18, 22, 123])
def test_other_languages_and_code_are_refused(echo, modifier1):
    code = b"open('/tmp/never', 'w')"
    body = code if modifier1 == 22 else GOOD
    assert answer(exchange(echo.address, raw(body, modifier1))).status == 501
    echo.wait_for_log(rf"refused modifier1 {modifier1} \(.*\) on a uwsgi socket: not enabled")
    assert_it_serves(echo)


# Clients that stop


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00",
        b"\x00\xff\x00",
        raw(GOOD)[:-1],
        packet(variables("/half", "POST", b"xx")) + b"x",
    ],
)
def test_a_client_that_leaves_in_the_middle(echo, sent):
    with connect(echo.address) as connection:
        connection.sendall(sent)
    assert_it_serves(echo)
    assert "/half" not in seen(echo)


def test_half_a_packet_times_out(serve):
    server = serve(
        *LISTEN, "--header-timeout", "1", "--body-timeout", "1", app="echo.py", listen=()
    )
    assert answer(exchange(server.address, raw(GOOD)[:-1])).status == 408
    wire = packet(variables("/half", "POST", b"xx")) + b"x"
    assert answer(exchange(server.address, wire)).status == 408
    assert exchange(server.address, b"") == b"", "who says nothing is told nothing"


def test_many_at_once(echo):
    failures = []

    def ask(number):
        body = f"{number}".encode() * 1000
        for _ in range(20):
            response = ask_uwsgi(echo.address, f"/many/{number}", "POST", body)
            if json.loads(response.body)["body"].encode() != body:
                failures.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# Where it listens


def test_sockets_speak_what_they_are_told(serve, tmp_path):
    path = str(tmp_path / "app.sock")
    server = serve(
        "--socket",
        "127.0.0.1:0",
        "--uwsgi-socket",
        path,
        "--http-socket",
        "127.0.0.1:0",
        app="echo.py",
        listen=(),
    )
    assert [url.split(":")[0] for url in server.urls()] == ["uwsgi", "uwsgi+unix", "http"]
    for address in server.addresses()[:2]:
        assert ask_uwsgi(address, "/x").status == 200


def test_protocol_holds_for_sockets_wherever_it_stands(serve):
    server = serve(
        "--socket",
        "127.0.0.1:0",
        "--uwsgi-socket",
        "127.0.0.1:0",
        "--protocol",
        "http",
        app="echo.py",
        listen=(),
    )
    assert [url.split(":")[0] for url in server.urls()] == ["http", "uwsgi"]
    assert server.ask("/").status == 200


def test_an_open_address_is_warned_of(serve):
    server = serve("--socket", ":0", "--uwsgi-socket", "127.0.0.1:0", app="echo.py", listen=())
    found = re.findall(r"(\S+) speaks uwsgi to every client that reaches it", server.log())
    assert found == [f"0.0.0.0:{server.port}"]
    assert "whoever reaches" not in serve(app="echo.py", listen=("0.0.0.0:0",)).log()


def test_the_log_line_is_about_the_front_ends_client(echo):
    ask_uwsgi(echo.address, "/logged?x=1", REMOTE_ADDR="198.51.100.9", SERVER_PROTOCOL="HTTP/2.0")
    line = echo.wait_for_log(r"^.*GET /logged\?x=1 .*$")[0]
    assert " 198.51.100.9 () {28 vars in " in line and "(HTTP/2.0 200)" in line
    ask_uwsgi(echo.address, "/escaped", REMOTE_ADDR="\x1b[31m\n", SERVER_PROTOCOL="\n")
    assert r" \x1b[31m\x0a () " in echo.wait_for_log(r"^.*GET /escaped .*$")[0]
