"""HAProxy in front, with the configurations of docs/deploy/haproxy.md: fields in HTTP mode, the
PROXY protocol in TCP mode.
"""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest
from certificates import Authority, TlsConnection
from client import Closed, Connection
from requests_raw import get, post

from server import FOLDER, environment

PAGE = FOLDER.parent / "docs" / "deploy" / "haproxy.md"
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
if HAPROXY is None:
    pytestmark = (
        pytest.mark.skip(reason="haproxy is not here")
        if not os.environ.get("CI")
        else pytest.mark.usefixtures("haproxy_is_missing")
    )


@pytest.fixture
def haproxy_is_missing():
    pytest.fail("haproxy is not here: tools/front-ends installs it")


def samples(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


class HAProxy:
    def __init__(self, folder, config, port, server_port):
        self.port = port
        text = re.sub(r"bind :\d+", f"bind 127.0.0.1:{port}", config)
        # Tests may run with a low limit of descriptors.
        text = re.sub(r"maxconn \d+", "maxconn 100", text)
        text = re.sub(r"127\.0\.0\.1:8\d+", f"127.0.0.1:{server_port}", text)
        (folder / "haproxy.cfg").write_text(text)
        command = [HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")]
        checked = subprocess.run([*command, "-c"], capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stderr
        self._log = open(folder / "haproxy.log", "w+b")
        self.process = subprocess.Popen(
            command, stdout=self._log, stderr=subprocess.STDOUT, env=environment()
        )

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def log(self):
        self._log.seek(0)
        return self._log.read().decode()

    def wait(self, is_ready):
        """Waits until HAProxy finds the server healthy."""
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            try:
                if is_ready():
                    return self
            except (OSError, Closed, AssertionError):
                pass
            time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.fixture
def haproxy(tmp_path):
    started = []

    def start(config, server_port):
        folder = tmp_path / f"haproxy{len(started)}"
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        started.append(HAProxy(folder, config, port, server_port))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def served(serve, sample, folder):
    """The server of a documented configuration, with a free port and this suite's application."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", sample)
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("module"))
    return serve("shop.ini", app="echo.py", files={"shop.ini": text}, listen=(), directory=folder)


def test_http_mode(serve, haproxy, tmp_path):
    server = served(serve, samples("ini")[0], tmp_path)
    front = haproxy(samples("haproxy")[0], server.port)

    def answers():
        with Connection(front.address) as connection:
            return connection.ask(get("/")).status == 200

    front.wait(answers)
    with Connection(front.address) as connection:
        own = connection.socket.getsockname()[0]
        for spoofed in (
            "X-Forwarded-For: 6.6.6.6",
            "Forwarded: for=6.6.6.6;proto=https",
            "X-Forwarded-Proto: https",
        ):
            environ = connection.ask(get("/", spoofed)).json()["environ"]
            assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (own, "http")
            assert environ["HTTP_X_FORWARDED_HOST"] == environ["HTTP_HOST"] == "example.com"
        body = os.urandom(2_000_000)
        assert connection.ask(post("/", body)).json()["body"].encode("latin-1") == body


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_tcp_mode(serve, haproxy, tmp_path, version):
    authority = Authority()
    certificate, key = authority.files(tmp_path)
    certificate.rename(tmp_path / "cert.pem")
    key.rename(tmp_path / "key.pem")
    server = served(serve, samples("ini")[1], tmp_path)
    config = samples("haproxy")[1]
    assert "send-proxy-v2" in config
    front = haproxy(config.replace("send-proxy-v2", version), server.port)

    def answers():
        with TlsConnection(front.address, authority.context()) as connection:
            return connection.ask(get("/")).status == 200

    front.wait(answers)
    # The client is on another address of this machine than HAProxy, so that the two can be told
    # apart.
    with socket.create_connection(
        front.address, source_address=("127.0.0.9", 0), timeout=20
    ) as raw:
        port = raw.getsockname()[1]
        with authority.context().wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(get("/", "Connection: close"))
            answer = b""
            while data := tls.recv(65536):
                answer += data
    assert b'"REMOTE_ADDR": "127.0.0.9"' in answer and b'"HTTPS": "on"' in answer
    assert f'"REMOTE_PORT": "{port}"'.encode() in answer
    with TlsConnection(front.address, authority.context()) as connection:
        body = os.urandom(2_000_000)
        assert connection.ask(post("/", body)).json()["body"].encode("latin-1") == body
