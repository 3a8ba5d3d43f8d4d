"""Apache in front, with the sample configurations of docs/deploy/apache: mod_proxy_uwsgi,
mod_proxy_http and mod_proxy_fcgi, over ports and unix sockets.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from test_nginx import BODIES
from web_servers import SAMPLES, Apache

SOCKETS = {"uwsgi": "--socket", "http": "--http-socket", "fastcgi": "--fastcgi-socket"}
PROTOCOLS = list(SOCKETS)
WAYS = [(protocol, kind) for protocol in PROTOCOLS for kind in ("tcp", "unix")]


@pytest.fixture(scope="module")
def behind(serve_module):
    """behind("uwsgi", "tcp", app=...) gives Apache with that server behind it; all are stopped at
    the end.
    """
    running = []

    def start(protocol, kind, *arguments, **options):
        # Not below pytest's folder, because Apache's workers, which are not root, must reach the
        # socket.
        folder = Path(tempfile.mkdtemp(prefix="apache-"))
        folder.chmod(0o755)
        listen = "127.0.0.1:0" if kind == "tcp" else str(folder / "app.sock")
        # Asked for first: a skipped test starts nothing.
        Apache.command(type("", (), {"folder": folder}))
        server = serve_module(
            SOCKETS[protocol], listen, "--chmod-socket=666", *arguments, listen=(), **options
        )
        apache = Apache(folder, f"apache/{protocol}.conf", server.address)
        apache.server = server
        running.append(apache)
        return apache

    yield start
    for apache in running:
        apache.stop()
        shutil.rmtree(apache.folder)


@pytest.fixture(scope="module", params=WAYS, ids=["-".join(way) for way in WAYS])
def bodies(request, behind):
    apache = behind(*request.param, "--threads", "4", source=BODIES)
    apache.protocol = request.param[0]
    apache.data = os.urandom(4_000_000)
    (apache.server.directory / "large").write_bytes(apache.data)
    return apache


def test_large_bodies_both_ways(bodies):
    digest = hashlib.sha256(bodies.data).hexdigest()
    assert bodies.ask("/digest", "POST", bodies.data).text == digest
    for path in ("/file", "/bytes"):
        assert hashlib.sha256(bodies.ask(path).body).hexdigest() == digest


def test_a_chunked_upload(bodies):
    with bodies.connect() as connection:
        head = b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"x" * 100_000, b"y"))
        response = connection.ask(head + chunks + b"0\r\n\r\n", "POST")
    if bodies.protocol == "uwsgi":
        assert response.status == 411, "mod_proxy_uwsgi wants a length"
    else:
        assert response.text == hashlib.sha256(b"x" * 100_000 + b"y").hexdigest()


def test_streams_and_empty_answers(bodies):
    assert bodies.ask("/stream").body == b"".join(bytes([number]) * 50_000 for number in range(100))
    assert bodies.ask("/empty").status == 204
    assert bodies.ask("/not-modified").status == 304
    assert (bodies.ask("/", "HEAD").status, bodies.ask("/", "HEAD").body) == (200, b"")
    assert bodies.ask("/fails").status == 500
    assert bodies.ask("/").text == "hello"


def test_many_at_once(bodies):
    failures = []

    def ask():
        for _ in range(20):
            response = bodies.ask("/digest", "POST", b"x" * 20_000)
            if (response.status, response.text) != (200, hashlib.sha256(b"x" * 20_000).hexdigest()):
                failures.append(response)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(("protocol", "kind"), WAYS)
def test_what_an_application_sees(behind, protocol, kind):
    apache = behind(protocol, kind, app="echo.py")
    hostile = {"Proxy": "http://evil", "Remote-User": "root", "X-Forwarded-For": "203.0.113.9"}
    environ = json.loads(
        apache.ask("/caf%C3%A9/b?x=%20", headers={"X-Word": "h\u00e9llo", **hostile}).body
    )["environ"]
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ.get("SCRIPT_NAME") == ""
    assert environ["PATH_INFO"] == "/caf\xc3\xa9/b"
    assert environ["QUERY_STRING"] == "x=%20"
    assert environ["REQUEST_URI"] == "/caf%C3%A9/b?x=%20"
    assert environ["HTTP_HOST"] == "example.com"
    assert environ["HTTP_X_WORD"] == "h\xc3\xa9llo"
    assert environ["wsgi.url_scheme"] == "http"
    assert "HTTP_PROXY" not in environ and not environ.get("REMOTE_USER")
    if protocol == "http":
        assert (
            environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
            and environ["HTTP_X_FORWARDED_PROTO"] == "http"
        )
    else:
        assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"]) == ("127.0.0.1", "example.com")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_refusals_reach_the_client(behind, protocol):
    apache = behind(protocol, "tcp", "--buffer-size", "4096", "--limit-post", "1000", app="echo.py")
    assert apache.ask("/head", headers={"X-Fill": "x" * 6000}).status == 431
    assert apache.ask("/body", "POST", b"x" * 1001).status == 413
    assert apache.ask("/body", "POST", b"x" * 1000).status == 200
    assert json.loads(apache.ask("/seen").body) == ["/body"]


def test_the_page_shows_what_the_tests_run():
    page = (SAMPLES / "apache.md").read_text()
    blocks = re.findall(r"```apache\n(.*?)```", page, re.S)
    samples = [path.read_text() for path in (SAMPLES / "apache").glob("*.conf")]
    assert len(blocks) >= 2 and len(samples) == len(PROTOCOLS)
    for block in blocks:
        wanted = [line.strip() for line in block.splitlines() if line.strip()]
        kept = [[line.strip() for line in sample.splitlines()] for sample in samples]
        assert any(all(line in lines for line in wanted) for lines in kept), block
