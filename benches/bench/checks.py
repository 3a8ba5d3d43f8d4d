"""Checks once, before anything is measured, that a server answers a scenario's request correctly."""

import http.client
import select
import socket
import time

from .server import Failed, ask, connect

PROBES = 32
CLOSES = "closes after each answer"


def check(server, scenario):
    """Returns remarks for the server's row; raises Failed if its figures would be meaningless."""
    load = scenario.load
    headers = dict(field.split(": ", 1) for field in load.headers)
    body = b"x" * load.body if load.body else None
    connection = connect(server.port, server.tls)
    remarks = []
    asks_to_close = headers.get("Connection") == "close"
    try:
        for turn in (1, 2):
            try:
                answer = ask(
                    server.port, load.path, load.method, body, headers, connection=connection
                )
            except (OSError, http.client.HTTPException) as error:
                server.must_live()
                raise Failed(
                    f"no whole answer to {load.method} {load.path}: {error or type(error).__name__}"
                ) from None
            judge(answer, scenario)
            closed = connection.sock is None
            if turn == 1 and not asks_to_close and closed:
                remarks.append(CLOSES)
            if asks_to_close:
                if turn == 1 and not closed and not ends(connection.sock):
                    remarks.append("ignores Connection: close, so this is keep-alive")
                connection.close()
    finally:
        connection.close()
    if load.pipelined > 1:
        pipelined(server, load)
    elif load.method == "GET" and load.connections > 1 and not server.tls and load.body == 0:
        answered = at_once(
            server, load, min(load.connections, PROBES), asks_to_close or CLOSES in remarks
        )
        if answered < min(load.connections, PROBES):
            remarks.append(
                f"answers on {answered} of {min(load.connections, PROBES)} connections, the others wait"
            )
    return remarks


def judge(answer, scenario):
    if answer.status != 200:
        raise Failed(f"answers {answer.status}: {answer.body[:80]!r}")
    if scenario.answer is not None and answer.body != scenario.answer:
        raise Failed(
            f"answers with the wrong body ({len(answer.body)} bytes, {answer.body[:40]!r})"
        )


def ends(sock):
    """Whether the other side closes within a second."""
    readable, _, _ = select.select([sock], [], [], 1)
    return bool(readable) and not sock.recv(1, socket.MSG_PEEK)


def pipelined(server, load):
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * load.pipelined)
        received, expected = b"", load.pipelined
        try:
            while received.count(b"HTTP/1.1 200") < expected:
                data = sock.recv(65536)
                if not data:
                    break
                received += data
        except TimeoutError:
            pass
    answered = received.count(b"HTTP/1.1 200")
    if answered < expected:
        raise Failed(f"answers {answered} of {expected} requests that come in one packet")


def at_once(server, load, count, closes):
    """How many of `count` connections, all kept open unless the server `closes`, have an answer
    within two seconds.
    """
    socks = [socket.create_connection(("127.0.0.1", server.port), timeout=2) for _ in range(count)]
    try:
        fields = "".join(f"{field}\r\n" for field in load.headers)
        for sock in socks:
            sock.sendall(f"GET {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n".encode())
        waiting, deadline = set(socks), time.monotonic() + 2
        while waiting and time.monotonic() < deadline:
            readable, _, _ = select.select(list(waiting), [], [], deadline - time.monotonic())
            waiting -= set(readable)
            for sock in readable if closes else ():
                sock.close()
        return count - len(waiting)
    finally:
        for sock in socks:
            sock.close()
