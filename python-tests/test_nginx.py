"""Debian's nginx in front, with the sample configurations of docs/deploy/nginx: uwsgi_pass,
proxy_pass, fastcgi_pass and scgi_pass, over ports and unix sockets.
"""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from web_servers import SAMPLES, Nginx

from server import APPS, environment

SOCKETS = {
    "uwsgi": "--socket",
    "http": "--http-socket",
    "fastcgi": "--fastcgi-socket",
    "scgi": "--scgi-socket",
}
PROTOCOLS = list(SOCKETS)
WAYS = [(protocol, kind) for protocol in PROTOCOLS for kind in ("tcp", "unix")]

BODIES = """
    import hashlib

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/digest":
            digest = hashlib.sha256()
            while data := environ["wsgi.input"].read(65536):
                digest.update(data)
            body = [digest.hexdigest().encode()]
        elif path == "/stream":
            body = (bytes([number]) * 50_000 for number in range(100))
        elif path == "/file":
            body = environ["wsgi.file_wrapper"](open("large", "rb"))
        elif path == "/bytes":
            body = [open("large", "rb").read()]
        elif path == "/empty":
            start_response("204 No Content", [])
            return []
        elif path == "/not-modified":
            start_response("304 Not Modified", [("ETag", '"x"')])
            return []
        elif path == "/fails":
            raise RuntimeError("on purpose")
        else:
            body = [b"hello"]
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return body
"""


@pytest.fixture(scope="module")
def behind(serve_module, tmp_path_factory):
    """behind("uwsgi", "tcp", app=...) gives nginx with that server behind it; all are stopped at
    the end.
    """
    running = []

    def start(protocol, kind, *arguments, **options):
        folder = tmp_path_factory.mktemp("nginx")
        listen = "127.0.0.1:0" if kind == "tcp" else str(folder / "app.sock")
        # Asked for first: a skipped test starts nothing.
        Nginx.command(type("", (), {"folder": folder}))
        server = serve_module(SOCKETS[protocol], listen, *arguments, listen=(), **options)
        nginx = Nginx(folder, f"nginx/{protocol}.conf", server.address)
        nginx.server = server
        running.append(nginx)
        return nginx

    yield start
    for nginx in running:
        nginx.stop()


@pytest.fixture(scope="module", params=WAYS, ids=["-".join(way) for way in WAYS])
def bodies(request, behind):
    nginx = behind(*request.param, "--processes", "1", "--threads", "4", source=BODIES)
    nginx.data = os.urandom(8_000_000)
    (nginx.server.directory / "large").write_bytes(nginx.data)
    return nginx


@pytest.fixture(scope="module", params=PROTOCOLS)
def echo(request, behind):
    nginx = behind(request.param, "tcp", app="echo.py")
    nginx.protocol = request.param
    return nginx


def test_large_bodies_both_ways(bodies):
    digest = hashlib.sha256(bodies.data).hexdigest()
    assert bodies.ask("/digest", "POST", bodies.data).text == digest
    for path in ("/file", "/bytes"):
        response = bodies.ask(path)
        assert hashlib.sha256(response.body).hexdigest() == digest
        assert response.header("Content-Length") == str(len(bodies.data))


def test_a_chunked_upload(bodies):
    with bodies.connect() as connection:
        head = b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"x" * 100_000, b"y"))
        response = connection.ask(head + chunks + b"0\r\n\r\n", "POST")
    assert response.text == hashlib.sha256(b"x" * 100_000 + b"y").hexdigest()


def test_streams_and_empty_answers(bodies):
    assert bodies.ask("/stream").body == b"".join(bytes([number]) * 50_000 for number in range(100))
    assert bodies.ask("/empty").status == 204
    assert bodies.ask("/not-modified").status == 304
    head = bodies.ask("/", "HEAD")
    assert (head.status, head.header("Content-Length"), head.body) == (200, "5", b"")
    assert bodies.ask("/fails").status == 500
    assert bodies.ask("/").text == "hello"


def test_many_at_once(bodies):
    failures = []

    def ask():
        for _ in range(25):
            response = bodies.ask("/digest", "POST", b"x" * 20_000)
            if (response.status, response.text) != (200, hashlib.sha256(b"x" * 20_000).hexdigest()):
                failures.append(response)

    together(ask, 8)
    assert not failures


def together(work, count):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_reload_of_nginx_loses_nothing(behind, protocol):
    nginx = behind(protocol, "unix", "--threads", "4", source=BODIES)
    failures, answered, enough = [], [], threading.Event()

    def ask():
        while not enough.is_set():
            try:
                response = nginx.ask("/digest", "POST", b"x" * 1000)
            except (OSError, EOFError, AssertionError) as error:
                failures.append(error)
                continue
            answered.append(response.status)
            if response.status != 200:
                failures.append(response)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for reload in range(1, 6):
        nginx.reload()
        nginx.server.wait_until(
            lambda: nginx.log().count("reconfiguring") >= reload, what=f"reload {reload}"
        )
        before = len(answered)
        nginx.server.wait_until(
            lambda: len(answered) >= before + 40, what="requests behind a reload"
        )
    enough.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


# The environ


def environ_of(nginx, path="/", **request):
    return json.loads(nginx.ask(path, **request).body)["environ"]


def test_what_an_application_sees(echo):
    environ = environ_of(
        echo, "/caf%C3%A9/a%2Fb?x=%20", headers={"X-Word": "h\u00e9llo", "Cookie": "a=1"}
    )
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/caf\xc3\xa9/a/b"
    assert environ["QUERY_STRING"] == "x=%20"
    assert environ["REQUEST_URI"] == "/caf%C3%A9/a%2Fb?x=%20"
    assert environ["HTTP_HOST"] == "example.com"
    assert environ["HTTP_X_WORD"] == "h\xc3\xa9llo"
    assert environ["HTTP_COOKIE"] == "a=1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    if echo.protocol != "http":
        assert environ["SERVER_NAME"] == "example.com" and environ["SERVER_PORT"] == str(echo.port)


def test_hostile_fields_do_not_become_variables(echo):
    hostile = {
        "Proxy": "http://evil",
        "Remote-User": "root",
        "Script-Name": "/evil",
        "Https": "on",
        "Uwsgi-Scheme": "https",
    }
    environ = environ_of(echo, "/hostile", headers=hostile)
    assert "HTTP_PROXY" not in environ and not environ.get("REMOTE_USER")
    assert environ["SCRIPT_NAME"] == "" and environ["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_refusals_reach_the_client(behind, protocol):
    """The answers of the server itself, in the form of each protocol."""
    nginx = behind(protocol, "tcp", "--buffer-size", "4096", "--limit-post", "1000", app="echo.py")
    assert nginx.ask("/head", headers={"X-Fill": "x" * 6000}).status == 431
    assert nginx.ask("/body", "POST", b"x" * 1001).status == 413
    assert nginx.ask("/body", "POST", b"x" * 1000).status == 200
    assert json.loads(nginx.ask("/seen").body) == ["/body"]


def sockets_of(port):
    """Lines of the kernel's table about connections to this port: their states."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [columns[3] for columns in map(str.split, lines) if columns[1] == f"0100007F:{port:04X}"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's table of connections")
@pytest.mark.parametrize("protocol", ["http", "fastcgi"])
def test_connections_to_the_server_are_kept(behind, protocol):
    nginx = behind(protocol, "tcp", app="echo.py")
    for number in range(30):
        assert nginx.ask(f"/kept/{number}", "POST", b"x" * number).status == 200
    states = sockets_of(nginx.server.port)
    established, time_wait, listening = "01", "06", "0A"
    assert states.count(established) == 1 and time_wait not in states and listening in states, (
        states
    )


# The samples


def test_the_page_shows_what_the_tests_run():
    page = (SAMPLES / "nginx.md").read_text()
    blocks = re.findall(r"```nginx\n(.*?)```", page, re.S)
    samples = [path.read_text() for path in (SAMPLES / "nginx").glob("*.conf")]
    assert len(blocks) >= 3 and len(samples) == len(PROTOCOLS)
    for block in blocks:
        wanted = [line.strip() for line in block.splitlines() if line.strip()]
        kept = [[line.strip() for line in sample.splitlines()] for sample in samples]
        assert any(all(line in lines for line in wanted) for lines in kept), block


@pytest.mark.skipif(
    importlib.util.find_spec("django") is None,
    reason="Django is not installed for this Python: see requirements.txt",
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_django_project(behind, tmp_path, protocol):
    project = APPS / "django_project"
    variables = {
        "DJANGO_DATA": str(tmp_path),
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for command in (
        ["migrate", "-v0"],
        [
            "createsuperuser",
            "--noinput",
            "--username",
            "root",
            "--email",
            "root@example.com",
            "-v0",
        ],
    ):
        subprocess.run(
            [sys.executable, project / "manage.py", *command],
            env=environment(variables),
            cwd=tmp_path,
            check=True,
            timeout=120,
        )
    nginx = behind(
        protocol,
        "unix",
        "--module",
        "site_app.wsgi",
        "--threads",
        "2",
        "--chdir",
        project,
        environment={"DJANGO_DATA": str(tmp_path)},
    )
    assert nginx.ask("/hello/").text == "Hello from Django"
    moved = nginx.ask("/hello")
    assert (moved.status, moved.header("Location")) == (301, "/hello/")
    assert nginx.ask("/users/").json() == {"users": ["root"]}
    assert len(nginx.ask("/cookies/").all("Set-Cookie")) > 1
    login = nginx.ask("/admin/login/?next=/admin/")
    assert "Django administration" in login.text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', login.text)[1]
    cookie = login.header("Set-Cookie").split(";")[0]
    form = f"csrfmiddlewaretoken={token}&username=root&password=secret&next=/admin/".encode()
    fields = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    entered = nginx.ask("/admin/login/", "POST", form, fields)
    assert (entered.status, entered.header("Location")) == (302, "/admin/")
    assert nginx.ask("/nowhere/").status == 404
    assert nginx.ask("/broken/").status == 500
