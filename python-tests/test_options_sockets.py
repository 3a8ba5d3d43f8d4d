"""Socket options: every form of address, modes and owners, the backlog, and what is left behind at
the end.
"""

import grp
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from client import Connection
from requests_raw import get

from server import binary, environment, virtualenv_arguments

HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"hello {environ['SERVER_NAME']} {environ['SERVER_PORT']} {environ['REMOTE_ADDR']}".encode()]
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# Forms of addresses


def test_every_address_of_both_kinds(serve):
    server = serve(source=HELLO, listen=("[::]:0",))
    port = int(re.search(r"listening on http://\[::\]:(\d+)", server.log())[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(get("/", "Connection: close"))
        # As the client is known everywhere else, and not as ::ffff:127.0.0.1.
        assert client.makefile("rb").read().endswith(b" 127.0.0.1")


def test_both_kinds_apart(serve):
    with socket.create_server(("0.0.0.0", 0)) as probe:
        port = probe.getsockname()[1]
    serve(source=HELLO, listen=(f"[::]:{port}", f"0.0.0.0:{port}"))
    for host in ["127.0.0.1", "::1"]:
        with socket.create_connection((host, port)) as client:
            client.sendall(get("/", "Connection: close"))
            assert client.makefile("rb").read().endswith(b" " + host.encode())


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0", ":0"])
def test_tcp(serve, address):
    server = serve(source=HELLO, listen=(address,))
    assert server.ask("/").text.startswith("hello ")


def test_several_at_once(serve):
    server = serve(source=HELLO, listen=("127.0.0.1:0", "one.sock", "unix:two"))
    for listener in range(3):
        address = server.addresses()[listener]
        if isinstance(address, str):
            address = str(server.directory / address)
        with Connection(address) as connection:
            assert connection.ask(get()).text.startswith("hello")


@linux
def test_an_abstract_socket(serve):
    name = f"singlemalt-test-{os.getpid()}"
    server = serve(source=HELLO, listen=(f"@{name}",))
    assert server.addresses() == [f"@{name}"]
    with Connection(f"\0{name}") as connection:
        assert connection.ask(get()).text.startswith("hello")
    assert not list(server.directory.glob("*singlemalt-test*"))


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_an_inherited_descriptor(serve, tmp_path, family):
    if family == "tcp":
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
    else:
        address = str(tmp_path / "inherited.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
    # A connection from before the server's time waits for it.
    early = Connection(address)
    early.send(get("/early"))
    (tmp_path / "app.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n"
    )
    number = listener.fileno()
    command = [str(binary()), "app.py", "--http-socket", f"fd://{number}", *virtualenv_arguments()]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), pass_fds=[number], stderr=subprocess.DEVNULL
    )
    try:
        listener.close()
        with early:
            assert early.receive().text == "hello"
        with Connection(address) as connection:
            assert connection.ask(get()).text == "hello"
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a_descriptor_that_is_not_open(serve):
    server = serve(source=HELLO, listen=("fd://77",), wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert "cannot listen on descriptor 77" in server.log()
    assert "--http-socket" in server.log()


# Modes and owners


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        (["--chmod-socket"], 0o666),
        (["--chmod-socket=660"], 0o660),
        (["-C"], 0o666),
        (["--chmod", "--umask", "077"], 0o666),
    ],
)
def test_chmod_socket(serve, arguments, mode):
    server = serve(*arguments, source=HELLO, listen=("app.sock",))
    assert mode_of(server.directory / "app.sock") == mode


def test_umask_decides_without_chmod_socket(serve):
    server = serve("--umask", "077", source=HELLO, listen=("app.sock",))
    assert mode_of(server.directory / "app.sock") == 0o700


@as_root
@pytest.mark.parametrize("form", ["names", "numbers", "user"])
def test_chown_socket(serve, form):
    user, group = pwd.getpwnam("nobody"), grp.getgrgid(pwd.getpwnam("nobody").pw_gid)
    text = {
        "names": f"{user.pw_name}:{group.gr_name}",
        "numbers": f"{user.pw_uid}:{group.gr_gid}",
        "user": user.pw_name,
    }[form]
    server = serve("--chown-socket", text, source=HELLO, listen=("app.sock",))
    found = os.stat(server.directory / "app.sock")
    assert found.st_uid == user.pw_uid
    assert found.st_gid == (0 if form == "user" else group.gr_gid)


def test_chown_socket_to_nobody_known(serve):
    server = serve(
        "--chown-socket", "no-such-user-here", source=HELLO, listen=("app.sock",), wait=False
    )
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert "there is no user 'no-such-user-here'" in server.log()
    assert "--chown-socket (command line)" in server.log()


# The backlog and other options of the socket


def somaxconn():
    return int(Path("/proc/sys/net/core/somaxconn").read_text())


def backlog_of(server):
    table = subprocess.run(
        ["ss", "-ltnH", f"sport = :{server.port}"], capture_output=True, text=True, check=True
    ).stdout
    return int(table.split()[2])


@linux
def test_listen_is_lowered_to_what_the_system_allows(serve):
    server = serve("--listen", "65535", source=HELLO)
    assert re.search(rf"--listen \(command line\): .*only {somaxconn()}.*somaxconn", server.log())
    assert server.ask("/").status == 200


@linux
def test_a_backlog_that_nobody_asked_for_is_no_news(serve):
    server = serve("--listen", "64", source=HELLO)
    assert "somaxconn" not in server.log()


def test_reuse_port_lets_two_servers_share(serve):
    first = serve("--reuse-port", source=HELLO)
    second = serve("--reuse-port", source=HELLO, listen=(f"127.0.0.1:{first.port}",))
    assert second.port == first.port
    # The remaining server serves.
    assert first.stop() == 0
    assert second.ask("/").status == 200


def test_without_reuse_port_they_do_not(serve):
    first = serve(source=HELLO)
    second = serve("--reuse-port", source=HELLO, listen=(f"127.0.0.1:{first.port}",), wait=False)
    second.exit_code_expected = 1
    assert second.wait_for_exit() == 1
    assert "is in use" in second.log()


@linux
def test_so_keepalive_and_buffers(serve):
    server = serve(
        "--so-keepalive",
        "--tcp-nodelay",
        "--socket-sndbuf",
        "65536",
        "--socket-rcvbuf",
        "64K",
        source=HELLO,
    )
    with server.connect() as connection:
        assert connection.ask(get()).status == 200
        table = Path(f"/proc/{server.process.pid}/net/tcp").read_text()
        local = f":{server.port:04X}"
        mine = [
            line.split()
            for line in table.splitlines()
            if local in line.split()[1] and line.split()[3] == "01"
        ]
        # The kernel's timer of this connection: 02 is keepalive.
        assert any(fields[5].startswith("02:") for fields in mine), table


# What is left behind


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("is_wanted", [True, False])
def test_vacuum(serve, number, is_wanted):
    vacuum = ["--vacuum"] if is_wanted else []
    server = serve(
        "--pidfile",
        "one.pid",
        "--safe-pidfile",
        "two.pid",
        *vacuum,
        source=HELLO,
        listen=("app.sock",),
    )
    left = ["app.sock", "one.pid", "two.pid"]
    assert all((server.directory / name).exists() for name in left)
    assert server.stop(number) == 0
    assert [name for name in left if (server.directory / name).exists()] == (
        [] if is_wanted else left
    )


def test_vacuum_after_a_change_of_directory(serve):
    server = serve(
        "--vacuum",
        "--chdir2",
        "elsewhere",
        "--pidfile",
        "one.pid",
        source=HELLO,
        files={"elsewhere/x": ""},
        listen=("app.sock",),
    )
    assert server.stop() == 0
    assert not (server.directory / "app.sock").exists()
    assert not (server.directory / "one.pid").exists()


def test_vacuum_when_the_app_does_not_load(serve):
    server = serve(
        "--vacuum",
        "--need-app",
        "--pidfile",
        "one.pid",
        source="raise RuntimeError",
        listen=("app.sock",),
        wait=False,
    )
    server.exit_code_expected = 22
    assert server.wait_for_exit() == 22
    assert not (server.directory / "app.sock").exists()
    assert not (server.directory / "one.pid").exists()


def test_vacuum_leaves_a_successors_files(serve):
    server = serve("--vacuum", "--pidfile", "one.pid", source=HELLO, listen=("app.sock",))
    path, pidfile = server.directory / "app.sock", server.directory / "one.pid"
    path.unlink()
    successor = socket.socket(socket.AF_UNIX)
    successor.bind(str(path))
    pidfile.write_text("1\n")
    assert server.stop() == 0
    successor.close()
    assert path.exists()
    assert pidfile.read_text() == "1\n"
    assert "is not ours any more" in server.log()


def test_vacuum_of_what_is_gone_is_no_news(serve):
    server = serve("--vacuum", "--pidfile", "one.pid", source=HELLO, listen=("app.sock",))
    (server.directory / "app.sock").unlink()
    (server.directory / "one.pid").unlink()
    assert server.stop() == 0
    assert "vacuum" not in server.log()


def test_a_socket_that_a_killed_server_left_is_replaced(serve):
    first = serve(source=HELLO, listen=("app.sock",))
    first.kill()
    assert (first.directory / "app.sock").exists()
    second = serve(source=HELLO, listen=("app.sock",), directory=first.directory)
    with Connection(str(second.directory / "app.sock")) as connection:
        assert connection.ask(get()).status == 200


def failed_start(serve, directory, *arguments):
    server = serve(*arguments, source=HELLO, listen=(), directory=directory, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    return server.log()


def test_what_lies_in_the_way_of_a_unix_socket_stays(serve, tmp_path):
    (tmp_path / "file.sock").write_text("precious")
    (tmp_path / "folder.sock").mkdir()
    for name in ("file.sock", "folder.sock"):
        log = failed_start(serve, tmp_path, "--http-socket", name)
        assert re.search(f"^error: .*{name} exists and is not a socket", log, re.MULTILINE), log
    assert (tmp_path / "file.sock").read_text() == "precious"


def test_a_socket_that_another_server_answers_on_is_left_to_it(serve, tmp_path):
    first = serve(source=HELLO, listen=("live.sock",), directory=tmp_path)
    log = failed_start(serve, tmp_path, "--http-socket", "live.sock")
    assert re.search("^error: .*live.sock is in use by another process", log, re.MULTILINE), log
    with Connection(str(tmp_path / "live.sock")) as connection:
        assert connection.ask(get()).text.startswith("hello")
    assert first.stop() == 0


@linux
def test_abstract_socket_for_all(serve):
    name = f"singlemalt-test-a-{os.getpid()}.sock"
    server = serve("-a", source=HELLO, listen=(name,))
    assert server.addresses() == [f"@{name}"]
    with Connection(f"\0{name}") as connection:
        assert connection.ask(get()).text.startswith("hello")


def test_shared_sockets_by_number(serve, tmp_path):
    arguments = [
        "--shared-socket",
        "127.0.0.1:0",
        "--shared-socket",
        "shared.sock",
        "--http",
        "=1",
        "--http-socket",
        "=0",
    ]
    server = serve(*arguments, source=HELLO, listen=(), directory=tmp_path)
    unix, tcp = server.addresses()
    for address in (str(tmp_path / unix), tcp):
        with Connection(address) as connection:
            assert connection.ask(get()).text.startswith("hello")
    log = failed_start(serve, tmp_path, "--shared-socket", "127.0.0.1:0", "--http", "=1")
    assert "error: --http wants shared socket 1, and there are 1" in log


def test_an_address_can_be_listened_on_once(serve, tmp_path):
    log = failed_start(serve, tmp_path, "--http-socket", "one.sock", "--uwsgi-socket", "one.sock")
    assert (
        "error: --uwsgi-socket wants one.sock, which --http-socket (command line) has already"
        in log
    )
