"""The front end's side of uwsgi: requests as packets, answers as they come back until the connection closes."""

import socket
import struct
from dataclasses import dataclass

from client import TIMEOUT_SECONDS


@dataclass
class Answer:
    #: `HTTP/1.1 200 OK`, or `Status: 200 OK`.
    first_line: str
    headers: list
    body: bytes

    @property
    def status(self):
        return int(self.first_line.split(" ")[1])

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


def answer(data):
    """An answer from all of its bytes."""
    head, found, body = data.partition(b"\r\n\r\n")
    assert found, f"no answer: {data[:200]!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    return Answer(first, [tuple(line.split(": ", 1)) for line in lines], body)


def connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT_SECONDS)
    connection.connect(address)
    return connection


def read_to_the_end(connection):
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


def exchange(address, wire):
    """All that comes back for these bytes on a connection of their own, which the server has to close."""
    with connect(address) as connection:
        connection.sendall(wire)
        return read_to_the_end(connection)


def variables(target="/", method="GET", body=b"", **more):
    """What nginx's own parameter files send for a request."""
    path, _, query = target.partition("?")
    return {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "REQUEST_URI": target,
        "PATH_INFO": path,
        "DOCUMENT_ROOT": "/srv/www",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "5000",
        "SERVER_PORT": "80",
        "SERVER_NAME": "example.com",
        "HTTP_HOST": "example.com",
        **more,
    }


def as_bytes(text):
    return text if isinstance(text, bytes) else str(text).encode("latin-1")


def pairs(mapping):
    """`mapping` may also be a list of pairs, for names that repeat."""
    return mapping.items() if isinstance(mapping, dict) else mapping


# uwsgi


def packet(mapping, modifier1=0, modifier2=0):
    out = b""
    for name, value in pairs(mapping):
        name, value = as_bytes(name), as_bytes(value)
        out += struct.pack("<H", len(name)) + name + struct.pack("<H", len(value)) + value
    return struct.pack("<BHB", modifier1, len(out), modifier2) + out


def ask_uwsgi(address, target="/", method="GET", body=b"", modifier1=0, **more):
    wire = packet(variables(target, method, body, **more), modifier1) + body
    return answer(exchange(address, wire))
