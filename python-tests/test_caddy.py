"""Caddy in front, with the configurations of docs/deploy/caddy.md; only addresses and paths are put
in their place.
"""

import os
import re
import shutil
import subprocess
import time

import pytest
from client import Closed, Connection
from requests_raw import get, post
from web_servers import free_port

from server import FOLDER, environment

PAGE = FOLDER.parent / "docs" / "deploy" / "caddy.md"
CADDY = shutil.which("caddy", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
if CADDY is None:
    pytestmark = (
        pytest.mark.skip(reason="caddy is not here")
        if not os.environ.get("CI")
        else pytest.mark.usefixtures("caddy_is_missing")
    )

# No certificates from the network, and no port for administration.
GLOBAL = "{\n\tauto_https off\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n"


@pytest.fixture
def caddy_is_missing():
    pytest.fail("caddy is not here: tools/front-ends installs it")


def samples(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


class Caddy:
    def __init__(self, folder, config, upstream):
        """`upstream`: what stands for the server's address in the sample."""
        self.port = free_port()
        assert "shop.example.com {" in config
        # Without a host: the tests name another one.
        text = config.replace("shop.example.com", f"http://:{self.port}")
        text = (
            text.replace("127.0.0.1:8000", upstream)
            .replace("unix//run/shop/shop.sock", upstream)
            .replace("/srv/shop/static", f"{folder}/static")
        )
        (folder / "Caddyfile").write_text(GLOBAL + text)
        self._log = open(folder / "caddy.log", "w+b")
        homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        command = [CADDY, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        self.process = subprocess.Popen(
            command, stdout=self._log, stderr=subprocess.STDOUT, env=environment(homes)
        )

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def log(self):
        self._log.seek(0)
        return self._log.read().decode()

    def wait(self):
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            try:
                with Connection(self.address) as connection:
                    assert connection.ask(get("/")).status == 200
                return self
            except (OSError, Closed, AssertionError):
                time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.fixture
def caddy(tmp_path):
    started = []

    def start(config, upstream):
        started.append(Caddy(tmp_path, config, upstream))
        return started[-1].wait()

    yield start
    for one in started:
        one.stop()


def served(serve, sample, folder):
    """The server of a documented configuration, with this suite's application."""
    text = re.sub(r"127\.0\.0\.1:8000", "127.0.0.1:0", sample).replace(
        "/run/shop/shop.sock", str(folder / "shop.sock")
    )
    # The users of the sample are not on every machine.
    kept = [
        line
        for line in text.splitlines(keepends=True)
        if not line.startswith(("module", "chown-socket"))
    ]
    return serve(
        "shop.ini", app="echo.py", files={"shop.ini": "".join(kept)}, listen=(), directory=folder
    )


def check(front, own):
    """A client cannot forge its address, and bodies arrive."""
    with Connection(front.address) as connection:
        for spoofed in (
            "X-Forwarded-For: 6.6.6.6",
            "Forwarded: for=6.6.6.6;proto=https",
            "X-Forwarded-Proto: https",
        ):
            environ = connection.ask(get("/a%20b/c?x=1", spoofed)).json()["environ"]
            assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (own, "http")
            assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (
                "example.com",
                "/a b/c",
                "x=1",
            )
        body = os.urandom(2_000_000)
        assert connection.ask(post("/", body)).json()["body"].encode("latin-1") == body


def test_tcp(serve, caddy, tmp_path):
    server = served(serve, samples("ini")[0], tmp_path)
    check(caddy(samples("caddy")[0], f"127.0.0.1:{server.port}"), "127.0.0.1")


def test_a_unix_socket(serve, caddy, tmp_path):
    served(serve, samples("ini")[1], tmp_path)
    check(caddy(samples("caddy")[1], f"unix/{tmp_path}/shop.sock"), "127.0.0.1")


def test_static_files(serve, caddy, tmp_path):
    server = served(serve, samples("ini")[0], tmp_path)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("from a file")
    front = caddy(samples("caddy")[2], f"127.0.0.1:{server.port}")
    with Connection(front.address) as connection:
        assert connection.ask(get("/static/a.txt")).text == "from a file"
        assert connection.ask(get("/other")).json()["environ"]["PATH_INFO"] == "/other"


def test_fastcgi(serve, caddy, tmp_path):
    server = served(serve, samples("ini")[2], tmp_path)
    check(caddy(samples("caddy")[3], f"127.0.0.1:{server.port}"), "127.0.0.1")
