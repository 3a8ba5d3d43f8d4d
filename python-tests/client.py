"""A strict HTTP client: sends raw bytes, parses responses, and limits every wait.

The parser follows RFC 9112 section 6.3 and accepts nothing a careful client would refuse: it is the
judge of the server's framing, so it does not guess.
"""

import http.client
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 20.0

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})")


class Closed(EOFError):
    """The server closed before the response was whole; `args[1]` is what came."""


@dataclass
class Response:
    status: int
    reason: str
    headers: list
    body: bytes = b""
    chunks: list = field(default_factory=list)
    #: "none", "length", "chunked" or "close": how the body was delimited.
    framing: str = "none"

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def keeps_alive(self):
        return "close" not in (self.header("Connection") or "").lower()


class Connection:
    """A raw connection. `receive` reads exactly one response and keeps what follows for the next."""

    def __init__(self, address, timeout=TIMEOUT_SECONDS, receive_buffer_bytes=None):
        family = (
            socket.AF_UNIX
            if isinstance(address, str)
            else socket.AF_INET6
            if ":" in address[0]
            else socket.AF_INET
        )
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect(address)
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.socket.close()

    def abort(self):
        """Closes with RST, as a crashed client does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def end_of_sending(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def ask(self, data, method=None):
        """Sends one request and reads its response. The method decides whether a body may follow."""
        self.send(data)
        return self.receive(method or data.split(b" ", 1)[0].decode("latin-1"))

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(f"closed after {self.buffer[:200]!r}", self.buffer)
        self.buffer += data

    def _line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            self._more()
        line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
        assert b"\n" not in line and b"\r" not in line, line
        return line

    def _exactly(self, count):
        parts, missing = [], count
        while missing:
            if not self.buffer:
                try:
                    self._more()
                except Closed:
                    raise Closed(
                        f"closed {missing} bytes before the end", b"".join(parts)
                    ) from None
            part, self.buffer = self.buffer[:missing], self.buffer[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def head(self):
        """Reads one status line and its fields, interim or final."""
        status = STATUS_LINE.fullmatch(line := self._line())
        assert status, f"not a status line: {line!r}"
        headers = []
        while line := self._line():
            match = FIELD_LINE.fullmatch(line)
            assert match, f"not a field line: {line!r}"
            headers.append((match[1].decode(), match[2].decode("latin-1")))
        return Response(int(status[1]), status[2].decode("latin-1"), headers)

    def receive(self, method="GET"):
        """Reads one final response; tests read interim ones with `head`."""
        response = self.head()
        assert response.status >= 200, f"an interim response that nobody asked for: {response}"
        return self.body(response, method)

    def body(self, response, method="GET"):
        lengths, codings = response.all("Content-Length"), response.all("Transfer-Encoding")
        assert len(lengths) <= 1 and not (lengths and codings), response.headers
        if response.status == 204:
            assert not lengths and not codings, f"204 with framing: {response.headers}"
        if method == "HEAD" or response.status in (204, 304):
            return response
        if codings:
            assert codings == ["chunked"], codings
            response.framing = "chunked"
            while size := self._chunk_size():
                response.chunks.append(self._exactly(size))
                assert self._exactly(2) == b"\r\n"
            assert self._line() == b"", "trailers that nobody asked for"
            response.body = b"".join(response.chunks)
        elif lengths:
            assert re.fullmatch("[0-9]+", lengths[0]), lengths
            response.framing = "length"
            response.body = self._exactly(int(lengths[0]))
        else:
            response.framing = "close"
            assert not response.keeps_alive, (
                f"nothing tells where the body ends: {response.headers}"
            )
            response.body = self.rest()
        return response

    def _chunk_size(self):
        line = self._line()
        assert CHUNK_LINE.fullmatch(line), f"not a chunk line: {line!r}"
        return int(line, 16)

    def rest(self):
        """Reads until the server closes and returns it all."""
        try:
            while True:
                self._more()
        except (Closed, ConnectionResetError):
            rest, self.buffer = self.buffer, b""
            return rest

    def assert_closed(self):
        """Asserts that the server closes this connection without sending more."""
        rest = self.rest()
        assert rest == b"", f"more bytes before the close: {rest[:300]!r}"

    def assert_open(self, request=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
        """The connection serves one more request."""
        assert self.buffer == b"", self.buffer[:300]
        return self.ask(request)


@dataclass
class Answer:
    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


def ask(address, path, method, body, headers, timeout):
    """One request by http.client, to check the parser above."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.reason, response.headers, response.read())
    finally:
        connection.close()


def together(count, work):
    """Runs work(0) .. work(count - 1) on a thread each and returns the results in order."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))
