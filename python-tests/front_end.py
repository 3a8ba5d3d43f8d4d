"""A client for uwsgi, FastCGI and SCGI, as a web server in front is one. Every wait has a limit."""

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
    """Parses a response."""
    head, found, body = data.partition(b"\r\n\r\n")
    assert found, f"no answer: {data[:200]!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    return Answer(first, [tuple(line.split(": ", 1)) for line in lines], body)


def connect(address):
    family = (
        socket.AF_UNIX
        if isinstance(address, str)
        else socket.AF_INET6
        if ":" in address[0]
        else socket.AF_INET
    )
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
    """Sends bytes on a new connection and returns everything until the server closes it."""
    with connect(address) as connection:
        connection.sendall(wire)
        return read_to_the_end(connection)


def variables(target="/", method="GET", body=b"", **more):
    """The variables that nginx's parameter files send for a request."""
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


# SCGI


def netstring(mapping):
    """CONTENT_LENGTH comes first, whatever the order of the mapping is."""
    mapping = dict(mapping)
    mapping = {"CONTENT_LENGTH": mapping.pop("CONTENT_LENGTH") or "0", "SCGI": "1"} | mapping
    text = b"".join(
        as_bytes(name) + b"\0" + as_bytes(value) + b"\0" for name, value in mapping.items()
    )
    return b"%d:%s," % (len(text), text)


def ask_scgi(address, target="/", method="GET", body=b"", **more):
    wire = netstring(variables(target, method, body, **more)) + body
    return answer(exchange(address, wire))


# FastCGI

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11


def record(kind, content=b"", number=1, padding=0):
    return struct.pack(">BBHHBx", 1, kind, number, len(content), padding) + content + b"P" * padding


def begin(number=1, role=1, keep=False):
    return record(BEGIN, struct.pack(">HB5x", role, keep), number)


def name_values(mapping):
    out = b""
    for name, value in pairs(mapping):
        texts = as_bytes(name), as_bytes(value)
        for text in texts:
            out += bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 1 << 31)
        out += b"".join(texts)
    return out


def stream(kind, data, number=1, size=65535, padding=0):
    """A stream in records of at most `size` bytes, and its end."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(record(kind, part, number, padding) for part in [*parts, b""])


def fastcgi_request(mapping, body=b"", number=1, keep=False, size=65535, padding=0):
    params = stream(PARAMS, name_values(mapping), number, size, padding)
    return begin(number, keep=keep) + params + stream(STDIN, body, number, size, padding)


class FastCgi:
    """A connection of a front end."""

    def __init__(self, address):
        self.socket = connect(address)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def _exactly(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(262144)
            if not data:
                raise EOFError(f"closed after {self.buffer!r}")
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def record(self):
        """Kind, request and content of the next record."""
        version, kind, number, length, padding = struct.unpack(">BBHHBx", self._exactly(8))
        assert version == 1
        content = self._exactly(length)
        self._exactly(padding)
        return kind, number, content

    def receive(self, number=1):
        """Reads one response up to END_REQUEST. The stream must have been ended before, as the
        specification requires.
        """
        parts, is_ended = [], False
        while True:
            kind, request, content = self.record()
            assert request == number
            if kind == END:
                assert is_ended and struct.unpack(">IB3x", content) == (0, 0)
                return answer(b"".join(parts))
            assert kind == STDOUT and not is_ended
            is_ended = not content
            parts.append(content)

    def assert_closed(self):
        assert self.buffer == b"" and self.socket.recv(1) == b""


def ask_fastcgi(address, target="/", method="GET", body=b"", **more):
    with FastCgi(address) as connection:
        response = connection.send(
            fastcgi_request(variables(target, method, body, **more), body)
        ).receive()
        connection.assert_closed()
        return response
