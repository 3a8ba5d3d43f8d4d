"""Socket activation (LISTEN_FDS) and notification (NOTIFY_SOCKET): the test plays systemd."""

import os
import re
import signal
import socket
import struct
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import Authority, TlsConnection
from client import Connection
from front_end import exchange
from requests_raw import get

from server import FOLDER

DEPLOY = FOLDER.parent / "docs" / "deploy"
ECHO = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [])
        inherited = sorted(name for name in os.environ if name.startswith("LISTEN_"))
        return [f"{environ['PATH_INFO']} {environ['SERVER_PORT']} {inherited}".encode()]
"""


def opened(*addresses):
    """Listening sockets, as a socket unit opens them."""
    sockets = []
    for address in addresses:
        family = (
            socket.AF_UNIX
            if isinstance(address, (str, Path))
            else socket.AF_INET6
            if ":" in address[0]
            else socket.AF_INET
        )
        one = socket.socket(family, socket.SOCK_STREAM)
        one.bind(str(address) if family == socket.AF_UNIX else address)
        one.listen(16)
        sockets.append(one)
    return sockets


def handed_over(serve, sockets, *arguments, environment=None, **how):
    numbers = [one.fileno() for one in sockets]
    launcher = [sys.executable, FOLDER / "hand_over.py", ",".join(map(str, numbers))]
    how = {"source": ECHO, "listen": (), **how}
    return serve(*arguments, wrapper=launcher, pass_fds=numbers, environment=environment, **how)


def test_all_of_them_are_served(serve, tmp_path):
    sockets = opened(("127.0.0.1", 0), ("::1", 0), tmp_path / "handed.sock")
    with ExitStack() as stack:
        for one in sockets:
            stack.enter_context(one)
        # A connection from before the start waits.
        early = stack.enter_context(Connection(sockets[0].getsockname()))
        early.send(get("/early"))
        server = handed_over(serve, sockets)
        port, port6 = sockets[0].getsockname()[1], sockets[1].getsockname()[1]
        assert server.urls() == [
            f"http://127.0.0.1:{port}",
            f"http://[::1]:{port6}",
            f"http+unix:{tmp_path}/handed.sock",
        ]
        # Children of the application do not inherit the server's variables.
        assert early.receive().text == f"/early {port} []"
        for address, expected in zip(server.addresses(), (port, port6, 80)):
            with Connection(address) as connection:
                assert connection.ask(get("/a")).text == f"/a {expected} []"
        assert "127.0.0.1:8000" not in server.log()


def test_addresses_that_are_configured_take_them(serve, tmp_path):
    sockets = opened(("127.0.0.1", 0), tmp_path / "handed.sock", ("127.0.0.1", 0))
    with ExitStack() as stack:
        for one in sockets:
            stack.enter_context(one)
        port = sockets[0].getsockname()[1]
        authority = Authority()
        certificate, key = authority.files(tmp_path)
        arguments = [
            "--https",
            f"127.0.0.1:{port},{certificate},{key}",
            "--uwsgi-socket",
            "handed.sock",
            "--http",
            "own.sock",
        ]
        server = handed_over(serve, sockets, *arguments, directory=tmp_path)
        assert sorted(server.urls()) == sorted(
            [
                f"https://127.0.0.1:{port}",
                f"uwsgi+unix:{tmp_path}/handed.sock",
                "http+unix:own.sock",
            ]
        )
        with TlsConnection(("127.0.0.1", port), authority.context()) as connection:
            assert connection.ask(get("/tls")).text.startswith("/tls")
        with Connection(str(tmp_path / "own.sock")) as connection:
            assert connection.ask(get("/own")).text.startswith("/own")
        assert re.search(
            "descriptor 5 was handed over .* none of the configured addresses", server.log()
        )


def test_the_protocol_that_is_asked_for(serve):
    (one,) = opened(("127.0.0.1", 0))
    with one:
        server = handed_over(serve, [one], "--protocol", "scgi")
        assert server.urls() == [f"scgi://127.0.0.1:{one.getsockname()[1]}"]
        body = b"CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_METHOD\x00GET\x00REQUEST_URI\x00/x\x00PATH_INFO\x00/x\x00"
        assert b"/x" in exchange(server.address, b"%d:%s," % (len(body), body))


def test_what_is_for_another_process_is_left_alone(serve):
    (one,) = opened(("127.0.0.1", 0))
    with one:
        server = handed_over(serve, [one], environment={"LISTEN_PID": "1"}, listen=("127.0.0.1:0",))
        assert len(server.urls()) == 1 and server.port != one.getsockname()[1]
        with server.connect() as connection:
            assert connection.ask(get("/")).text.endswith(" []")


def test_what_is_no_socket_is_an_error(serve, tmp_path):
    with open(tmp_path / "file", "w") as file:
        server = handed_over(serve, [file], wait=False)
        server.exit_code_expected = 1
        assert server.wait_for_exit() == 1
        assert re.search(
            "error: LISTEN_FDS says that descriptor 3 is a socket .* cannot be used", server.log()
        )


def test_descriptor_0(serve, tmp_path):
    # As inetd does it: the socket is standard input.
    (one,) = opened(("127.0.0.1", 0))
    with one:
        launcher = [
            sys.executable,
            "-c",
            "import os, sys; os.dup2(int(sys.argv[1]), 0); os.execv(sys.argv[2], sys.argv[2:])",
            one.fileno(),
        ]
        server = serve(
            "--http-socket",
            "fd://0",
            source=ECHO,
            listen=(),
            wrapper=launcher,
            pass_fds=[one.fileno()],
        )
        with Connection(one.getsockname()) as connection:
            assert connection.ask(get("/zero")).text.startswith("/zero")
        assert server.stop() == 0


# Telling


class Manager:
    """The notification socket of the service manager."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(60)
        self.sender = None
        if sys.platform == "linux":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def hear(self):
        message, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS:
                self.sender, _, _ = struct.unpack("3i", data)
        return dict(line.split("=", 1) for line in message.decode().splitlines())

    def hear_until(self, word):
        while word not in (heard := self.hear()):
            pass
        return heard


@pytest.mark.parametrize(
    "kind",
    [
        "path",
        pytest.param(
            "abstract",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it"),
        ),
    ],
)
def test_the_service_manager_hears_of_everything(serve, tmp_path, kind):
    name = str(tmp_path / "notify") if kind == "path" else f"@singlemalt-notify-{os.getpid()}"
    with Manager("\0" + name[1:] if kind == "abstract" else name) as manager:
        server = serve(source=ECHO, environment={"NOTIFY_SOCKET": name})
        ready = manager.hear()
        assert ready["READY"] == "1" and int(ready["MAINPID"]) == server.process.pid
        server.send_signal(signal.SIGHUP)
        reloading = manager.hear()
        assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
        assert manager.hear()["READY"] == "1"
        with server.connect() as connection:
            assert connection.ask(get("/again")).text.startswith("/again")
        server.send_signal(signal.SIGTERM)
        assert manager.hear_until("STOPPING")["STOPPING"] == "1"
        assert server.wait_for_exit() == 0


def test_a_process_that_starts_anew_keeps_what_it_was_handed(serve, tmp_path):
    (one,) = opened(("127.0.0.1", 0))
    with one, Manager(str(tmp_path / "notify")) as manager:
        notify = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        server = handed_over(serve, [one], "--isolation", "main", environment=notify)
        assert manager.hear()["READY"] == "1"
        for _number in range(2):
            with Connection(one.getsockname()) as connection:
                assert connection.ask(get("/before")).text == f"/before {one.getsockname()[1]} []"
                server.send_signal(signal.SIGHUP)
                assert manager.hear()["RELOADING"] == "1"
                ready = manager.hear()
                assert ready["READY"] == "1" and int(ready["MAINPID"]) == server.process.pid
                # With NotifyAccess=main a service manager ignores every other process.
                assert manager.sender in (None, server.process.pid)
                # The connection is one of those that stay.
                assert connection.ask(get("/after")).text == f"/after {one.getsockname()[1]} []"


def test_a_reload_that_fails_is_over_too(serve, tmp_path):
    with Manager(str(tmp_path / "notify")) as manager:
        server = serve(source=ECHO, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        manager.hear()
        (server.directory / "app.py").write_text("broken(")
        server.send_signal(signal.SIGHUP)
        assert manager.hear()["RELOADING"] == "1"
        ready = manager.hear()
        assert ready["READY"] == "1"
        assert ready["STATUS"].startswith("serving; the last reload failed: ")
        assert "was never closed" in ready["STATUS"]
        (server.directory / "app.py").write_text(textwrap.dedent(ECHO))
        server.send_signal(signal.SIGHUP)
        assert manager.hear()["RELOADING"] == "1"
        assert manager.hear()["STATUS"] == "serving"


@pytest.mark.parametrize("name", ["relative", "/nowhere/at/all", "", "@"])
def test_nobody_to_tell(serve, name):
    server = serve(source=ECHO, environment={"NOTIFY_SOCKET": name})
    with server.connect() as connection:
        assert connection.ask(get("/")).status == 200


# The documented units


def units():
    """The files of docs/deploy/systemd.md, by name, their lines by section and key."""
    text = (DEPLOY / "systemd.md").read_text()
    found = {}
    for name, unit in re.findall(
        r"^`/etc/systemd/system/([a-z.@]+)`:\n\n```ini\n(.*?)```", text, re.MULTILINE | re.DOTALL
    ):
        lines = [line for line in unit.splitlines() if "=" in line and not line.startswith("#")]
        found[name] = [tuple(part.strip() for part in line.split("=", 1)) for line in lines]
    return found


def test_the_documented_units_start_the_server(serve, tmp_path):
    service, sockets = units()["shop.service"], units()["shop.socket"]
    assert ("Type", "notify-reload") in service
    streams = [value for key, value in sockets if key == "ListenStream"]
    assert streams, "the socket unit listens somewhere"
    command = dict(service)["ExecStart"].split()
    assert Path(command[0]).name == "singlemalt"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/wsgi.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'shop']\n"
    )
    # The paths of the unit are replaced by those of the test.
    arguments = [
        str(tmp_path) if word == dict(service)["WorkingDirectory"] else word for word in command[1:]
    ]
    (tmp_path / ".venv").symlink_to(sys.prefix)
    listening = opened(
        *[
            tmp_path / "shop.sock" if stream.startswith("/") else ("127.0.0.1", 0)
            for stream in streams
        ]
    )
    with ExitStack() as stack:
        for one in listening:
            stack.enter_context(one)
        manager = stack.enter_context(Manager(str(tmp_path / "notify")))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        server = handed_over(
            serve,
            listening,
            *arguments,
            source=None,
            directory=tmp_path,
            environment=environment,
            virtualenv=False,
        )
        assert manager.hear()["READY"] == "1"
        for address in server.addresses():
            with Connection(address) as connection:
                assert connection.ask(get("/")).text == "shop"
