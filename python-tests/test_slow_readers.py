"""Clients that read slowly hold neither a worker nor memory: past a bound a response waits in a
temporary file, and those are bounded, too.
"""

import re
import sys
from pathlib import Path

import pytest
from client import Connection
from conftest import keeps_freed_memory
from front_end import connect, fastcgi_request, variables
from requests_raw import get

MB = 1 << 20
SIZE = 20 * MB

SOURCE = f"""
    PIECE = bytes(range(256)) * 256

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        count = {SIZE} // len(PIECE)
        if environ["PATH_INFO"] == "/stream":
            return (PIECE for _ in range(count))
        if environ["PATH_INFO"] == "/whole":
            return [PIECE * count]
        return [b"quick"]
"""
BODY = bytes(range(256)) * (SIZE // 256)


def slow(server):
    """A client whose buffer is small."""
    return Connection(server.address, receive_buffer_bytes=4096)


def rss(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024


def file_bytes(server):
    total = 0
    for path in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            if str(path.readlink()).endswith("(deleted)"):
                total += path.stat().st_size
        except OSError:
            pass
    return total


@pytest.mark.parametrize("isolation", ["own-gil", "main"])
def test_streams_hold_no_worker(serve, isolation, isolations):
    if isolation not in isolations:
        pytest.skip(f"this Python has no {isolation}")
    arguments = ("--isolation", isolation, "--processes", "1", "--threads", "2")
    server = serve(*arguments, source=SOURCE)
    readers = [slow(server) for _ in range(4)]
    for reader in readers:
        reader.send(get("/stream"))
    # Both workers are free again, although nothing was read.
    assert server.ask("/", timeout=10).text == "quick"
    for reader in readers:
        assert reader.receive().body == BODY
        assert reader.ask(get("/")).text == "quick", "the connection stays"
        reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is looked up in /proc")
@keeps_freed_memory
@pytest.mark.parametrize("path", ["/stream", "/whole"])
def test_memory_is_bounded_in_all(serve, path):
    arguments = ("--processes", "1", "--response-memory-total", "20M")
    server = serve(*arguments, source=SOURCE)
    before = rss(server)
    readers = [slow(server) for _ in range(12)]
    for reader in readers:
        reader.send(get(path))
    server.ask("/")
    # The Python objects of one response, its copy, and the memory for all responses.
    assert rss(server) < before + 3 * SIZE + 20 * MB
    assert file_bytes(server) > 5 * SIZE
    for reader in readers:
        assert reader.receive().body == BODY
        reader.close()
    server.wait_until(lambda: file_bytes(server) == 0)


@pytest.mark.parametrize("path", ["/stream", "/whole"])
def test_files_are_bounded_in_all(serve, path):
    """Past the bound workers wait for clients, and nothing is lost."""
    arguments = ("--processes", "1", "--threads", "4", "--response-memory-total", "1M")
    server = serve(*arguments, "--response-files-total", "30M", source=SOURCE)
    readers = [slow(server) for _ in range(3)]
    for reader in readers:
        reader.send(get(path))
    server.wait_for_log("--response-files-total")
    if sys.platform == "linux":
        assert file_bytes(server) <= 30 * MB
    assert server.ask("/").text == "quick"
    for reader in readers:
        assert reader.receive().body == BODY
        reader.close()


def test_no_files(serve):
    server = serve("--response-files-total", "0", "--processes", "1", source=SOURCE)
    with slow(server) as reader:
        assert reader.ask(get("/stream")).body == BODY


def test_over_fastcgi(serve):
    server = serve("--fastcgi-socket", "127.0.0.1:0", listen=(), source=SOURCE)
    with connect(server.address) as connection:
        connection.sendall(fastcgi_request(variables("/stream")))
        # Only then is anything read.
        with connect(server.address) as other:
            other.sendall(fastcgi_request(variables("/")))
            assert b"quick" in other.recv(65536)
        data = bytearray()
        while piece := connection.recv(1 << 20):
            data += piece
    body, at = bytearray(), 0
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 6], "big")
        if data[at + 1] == 6:
            body += data[at + 8 : at + 8 + length]
        at += 8 + length + data[at + 6]
    assert body.partition(b"\r\n\r\n")[2] == BODY
