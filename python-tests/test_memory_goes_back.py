"""Memory of uploads and large responses goes back to the system when they have ended."""

import re
import sys
from pathlib import Path

import pytest
from client import Connection
from conftest import keeps_freed_memory
from requests_raw import get

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other C libraries give memory back by themselves"
)

SOURCE = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x" * int(environ["QUERY_STRING"] or 1)]
"""
MB = 1 << 20
CONNECTIONS = 60


def private_bytes(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024


def goes_back(server, before):
    server.wait_until(lambda: private_bytes(server) < before + 10 * MB, what="memory goes back")


def test_uploads_that_break_off(serve):
    server = serve(source=SOURCE)
    server.ask()
    before = private_bytes(server)
    connections = [server.connect() for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.send(get("/", "Content-Length: 1000000", method="POST") + b"x" * 999_000)
    server.wait_until(lambda: private_bytes(server) > before + 45 * MB)
    for connection in connections[:-1]:
        connection.close()
    # One connection stays: the server is not deserted.
    goes_back(server, before)
    connections[-1].close()


@keeps_freed_memory
def test_large_responses_that_nobody_reads(serve):
    server = serve(source=SOURCE)
    server.ask()
    before = private_bytes(server)
    connections = [
        Connection(server.address, receive_buffer_bytes=4096) for _ in range(CONNECTIONS // 3)
    ]
    for connection in connections:
        connection.send(get("/?4000000"))
    server.wait_until(lambda: private_bytes(server) > before + 20 * MB)
    for connection in connections:
        connection.abort()
    goes_back(server, before)
