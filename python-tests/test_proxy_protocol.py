"""The PROXY protocol: versions 1 and 2 from trusted peers, with and without TLS behind it;
everything else is closed.
"""

import ipaddress
import re
import socket
import struct

import pytest
from certificates import Authority, HandMadeTls
from client import Connection
from requests_raw import get, post

LINE = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(source="192.0.2.1", port=56324, command=1, additions=b"", family=None, length=None):
    if source is None:
        family, body = family or 0, b""
    else:
        source = ipaddress.ip_address(source)
        family = family or (0x11 if source.version == 4 else 0x21)
        body = source.packed + source.packed + struct.pack("!HH", port, 443)
    body += additions
    return (
        SIGNATURE
        + struct.pack("!BBH", 0x20 | command, family, len(body) if length is None else length)
        + body
    )


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("--http-enable-proxy-protocol", "--header-timeout", "2", app="echo.py")


def client_of(response):
    environ = response.json()["environ"]
    return environ["REMOTE_ADDR"], environ["REMOTE_PORT"]


@pytest.mark.parametrize(
    "header, client",
    [
        (LINE, ("192.0.2.1", "56324")),
        (b"PROXY TCP6 2001:db8::7 ::1 1 443\r\n", ("2001:db8::7", "1")),
        (version_2(), ("192.0.2.1", "56324")),
        (version_2("2001:db8::7", 80), ("2001:db8::7", "80")),
        (version_2("::ffff:192.0.2.9", 80), ("192.0.2.9", "80")),
        (version_2(additions=b"\x05\x00\x04abcd\x20\x00\x05\x01\0\0\0\0"), ("192.0.2.1", "56324")),
        (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), ("", "")),
    ],
)
def test_the_client_is_whom_the_proxy_names(server, header, client):
    with Connection(server.address) as connection:
        connection.send(header)
        # The same for every request of the connection.
        for _ in range(2):
            assert client_of(connection.ask(get("/"))) == client
    with Connection(server.address) as connection:
        response = connection.ask(header + post("/", b"together"), method="POST")
        assert client_of(response) == client
        assert response.json()["body"] == "together"


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b c d\r\n", version_2(None), version_2(command=0)],
)
def test_a_proxy_that_speaks_for_itself(server, header):
    with Connection(server.address) as connection:
        own = connection.socket.getsockname()
        assert client_of(connection.ask(header + get("/"), method="GET")) == (own[0], str(own[1]))


@pytest.mark.parametrize("header", [LINE, version_2()])
def test_in_single_bytes(server, header):
    with Connection(server.address) as connection:
        for at in range(len(header)):
            connection.send(header[at : at + 1])
        assert client_of(connection.ask(get("/"))) == ("192.0.2.1", "56324")


@pytest.mark.parametrize(
    "start",
    [
        get("/smuggled"),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n" + get("/smuggled"),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 99999 443\r\n" + get("/smuggled"),
        b"PROXY TCP4 example.org 198.51.100.1 1 443\r\n" + get("/smuggled"),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 443\n" + get("/smuggled"),
        b"PROXY " + b"x" * 200,
        version_2(length=11) + get("/smuggled"),
        version_2(length=5000) + get("/smuggled"),
        version_2(family=0x12) + get("/smuggled"),
        version_2(command=7) + get("/smuggled"),
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12) + get("/smuggled"),
        b"\x16\x03\x01\x00\x05hello",
    ],
)
def test_what_is_no_header_is_closed(server, start):
    with Connection(server.address) as connection:
        connection.send(start)
        connection.assert_closed()
    with Connection(server.address) as connection:
        assert "/smuggled" not in connection.ask(LINE + get("/seen"), method="GET").json()


def test_a_second_header_is_no_request(server):
    with Connection(server.address) as connection:
        connection.send(LINE + LINE + get("/smuggled"))
        assert connection.receive().status == 400
        connection.assert_closed()


def test_a_header_that_never_ends_is_cut(server):
    for start in (b"", b"PROXY TCP4 ", version_2()[:20]):
        with Connection(server.address) as connection:
            connection.send(start)
            connection.assert_closed()


def test_abrupt_ends_hurt_nobody(server):
    for start in (b"", b"PROX", version_2()[:17], LINE):
        connection = Connection(server.address)
        connection.send(start)
        connection.abort()
        with Connection(server.address) as connection:
            connection.send(start)
            connection.end_of_sending()
            connection.assert_closed()
    with Connection(server.address) as connection:
        assert connection.ask(LINE + get("/"), method="GET").status == 200


def test_strangers_are_refused(serve):
    server = serve(
        "--enable-proxy-protocol",
        "--trusted-proxies",
        "192.0.2.0/24,unix",
        app="echo.py",
        listen=("127.0.0.1:0", "proxy.sock"),
    )
    for _ in range(2):
        with Connection(server.address) as connection:
            connection.send(LINE + get("/"))
            assert connection.rest() == b""
    with Connection(str(server.directory / "proxy.sock")) as connection:
        assert client_of(connection.ask(LINE + get("/"), method="GET")) == ("192.0.2.1", "56324")
    server.wait_for_log("refused a connection from 127.0.0.1.*--trusted-proxies")
    server.stop()
    assert len(re.findall("refused a connection", server.log())) == 1


def test_on_one_address_only(serve):
    server = serve(
        "--proxy-protocol", "proxied.sock", app="echo.py", listen=("127.0.0.1:0", "proxied.sock")
    )
    with server.connect() as connection:
        assert client_of(connection.ask(get("/")))[0] == "127.0.0.1"
    with Connection(str(server.directory / "proxied.sock")) as connection:
        assert client_of(connection.ask(LINE + get("/"), method="GET"))[0] == "192.0.2.1"
    assert "the PROXY protocol is taken from this machine only" in server.log()


def test_the_request_line_has_the_client(serve):
    server = serve("--enable-proxy-protocol", app="echo.py")
    with server.connect() as connection:
        assert connection.ask(LINE + get("/logged"), method="GET").status == 200
    server.wait_for_log(r"\] 192\.0\.2\.1 \(\) .*GET /logged")


@pytest.mark.parametrize(
    "header",
    [LINE, version_2(), version_2(additions=b"\x04" + struct.pack("!H", 3000) + bytes(3000))],
)
@pytest.mark.parametrize("cut", ["apart", "together", "single bytes"])
# One server for all cases: the default argument keeps it.
def test_before_tls(serve_module, tmp_path_factory, header, cut, tls={}):  # noqa: B006
    if not tls:
        authority = Authority()
        certificate, key = authority.files(tmp_path_factory.mktemp("tls"))
        arguments = ["--https", f"127.0.0.1:0,{certificate},{key}", "--enable-proxy-protocol"]
        tls["authority"], tls["server"] = (
            authority,
            serve_module(*arguments, app="echo.py", listen=()),
        )
    with HandMadeTls(tls["server"].address, tls["authority"].context()) as client:
        pending = [header]

        def send(data):
            data = b"".join([*pending, data])
            pending.clear()
            (client.send_single_bytes if cut == "single bytes" else client.send)(data)

        if cut == "apart":
            client.send(pending.pop())
        client.handshake(send)
        send(client.records() + client.write(get("/")))
        answer = client.read_until(b"input_terminated")
        assert b'"REMOTE_ADDR": "192.0.2.1"' in answer and b'"HTTPS": "on"' in answer


def test_fields_count_by_whom_the_proxy_names(serve):
    # A proxy that passes bytes on says who its client is, and the client's fields are the client's
    # own.
    server = serve(
        "--enable-proxy-protocol", "--trusted-proxies", "127.0.0.1,192.0.2.7", app="echo.py"
    )
    field = "X-Forwarded-For: 203.0.113.5"
    with server.connect() as connection:
        response = connection.ask(LINE + get("/", field), method="GET")
        assert client_of(response)[0] == "192.0.2.1"
        assert "HTTP_X_FORWARDED_FOR" not in response.json()["environ"]
    with server.connect() as connection:
        line = LINE.replace(b"192.0.2.1", b"192.0.2.7")
        assert client_of(connection.ask(line + get("/", field), method="GET"))[0] == "203.0.113.5"


def test_a_stop_does_not_wait_for_silence(serve):
    server = serve("--enable-proxy-protocol", app="echo.py")
    with socket.create_connection(server.address) as silent:
        silent.sendall(b"PROXY")
        with server.connect() as connection:
            assert connection.ask(LINE + get("/"), method="GET").status == 200
        assert server.stop() == 0
