"""A response that ends before its end is never taken for a whole one: over connections that say
with their end where a body ends, the end is a reset.
"""

import os
import signal

import pytest
from front_end import (
    connect,
    fastcgi_request,
    netstring,
    packet,
    read_to_the_end,
    variables,
)
from test_nginx import SOCKETS
from web_servers import Nginx

SOURCE = """
    import time

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        fields = [("Content-Type", "text/plain")]
        if "length" in path:
            fields.append(("Content-Length", "1000"))
        start_response("200 OK", fields)
        if path == "/length/short":
            return [b"a part"]
        return pieces(path)

    def pieces(path):
        yield b"a part"
        if "whole" in path:
            return
        if "raises" in path:
            raise ValueError("on purpose")
        while True:
            time.sleep(0.05)
"""
PROTOCOLS = ["uwsgi", "fastcgi", "scgi", "http/1.0"]
CUT = bytes([1, 11, 0, 0, 0, 8, 0, 0]) + bytes(8)


def wire(protocol, path):
    """A request for `path`, whose connection ends with its answer."""
    if protocol == "uwsgi":
        return packet(variables(path))
    if protocol == "scgi":
        return netstring(variables(path))
    if protocol == "fastcgi":
        return fastcgi_request(variables(path))
    return f"GET {path} HTTP/1.0\r\n\r\n".encode()


def start(serve, protocol, listen, *arguments):
    option = SOCKETS[protocol.partition("/")[0]]
    return serve(option, listen, *arguments, listen=(), source=SOURCE)


def outcome(connection):
    """What came, and whether the connection ended with a reset."""
    parts = []
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return b"".join(parts), True
        if not data:
            return b"".join(parts), False
        parts.append(data)


def begun(server, protocol, path):
    """A connection on which the response has begun."""
    connection = connect(server.address)
    connection.sendall(wire(protocol, path))
    data = b""
    while b"a part" not in data:
        data += connection.recv(65536)
    return connection


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture
def server(serve, protocol):
    return start(serve, protocol, "127.0.0.1:0")


@pytest.mark.parametrize("path", ["/length/short", "/length/raises", "/raises"])
def test_a_part_ends_with_a_reset(server, protocol, path):
    is_told = protocol != "fastcgi" and "length" in path
    with connect(server.address) as connection:
        connection.sendall(wire(protocol, path))
        _, is_reset = outcome(connection)
    assert is_reset != is_told, "a length tells"
    with connect(server.address) as connection:
        connection.sendall(wire(protocol, "/whole"))
        data, is_reset = outcome(connection)
    assert b"a part" in data and not is_reset


def test_harakiri_resets(serve, protocol):
    server = start(serve, protocol, "127.0.0.1:0", "--harakiri", "300ms")
    with begun(server, protocol, "/hangs") as connection:
        assert outcome(connection) == (b"", True)


def test_the_end_of_the_process_resets(serve, protocol):
    server = start(serve, protocol, "127.0.0.1:0")
    with begun(server, protocol, "/hangs") as connection:
        os.kill(server.process.pid, signal.SIGKILL)
        server.exit_code_expected = -signal.SIGKILL
        assert outcome(connection) == (b"", True)


@pytest.mark.parametrize("path", ["/length/short", "/length/raises", "/raises", "/hangs"])
def test_fastcgi_over_a_unix_socket_breaks_off(serve, tmp_path, path):
    """Such a socket has no reset: a record follows at which front ends break off."""
    server = start(serve, "fastcgi", str(tmp_path / "app.sock"), "--harakiri", "300ms")
    with connect(server.address) as connection:
        connection.sendall(wire("fastcgi", path))
        assert read_to_the_end(connection).endswith(CUT)


WAYS = [(protocol, "tcp") for protocol in ("uwsgi", "fastcgi", "scgi")] + [("fastcgi", "unix")]


@pytest.mark.parametrize("keep", ["on", "off"])
@pytest.mark.parametrize("way", WAYS, ids=["-".join(way) for way in WAYS])
def test_nginx_ends_its_clients_connection(serve, tmp_path, way, keep):
    protocol, kind = way
    if keep == "off" and protocol != "fastcgi":
        pytest.skip("nothing to turn off")

    class OneRequestEach(Nginx):
        def write(self):
            self.sample = self.sample.replace("fastcgi_keep_conn on", f"fastcgi_keep_conn {keep}")
            super().write()

    OneRequestEach.command(type("", (), {"folder": tmp_path}))
    listen = "127.0.0.1:0" if kind == "tcp" else str(tmp_path / "app.sock")
    server = start(serve, protocol, listen, "--harakiri", "300ms")
    nginx = OneRequestEach(tmp_path, f"nginx/{protocol}.conf", server.address)
    try:
        for path in ("/length/short", "/length/raises", "/raises", "/hangs"):
            with nginx.connect() as connection:
                connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                data, _ = outcome(connection.socket)
            assert not data.endswith(b"0\r\n\r\n"), path
    finally:
        nginx.stop()
