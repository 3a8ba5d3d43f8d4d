"""The command line: how an app is named, where the server listens, what goes wrong, how it stops."""

import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from conftest import HAS_OWN_GIL
from requests_raw import get

from server import STOP_SECONDS, binary, is_script

NAMED = """
    def make(name):
        def run(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{name} {__name__}".encode()]
        return run

    application = make("application")
    app = make("app")
    other = make("other")

    class Holder:
        inner = make("inner")

    def create_app(word="created", *, loud=False):
        return make(word.upper() if loud else word)
"""
HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
GATED = """
    from knock import knock

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            knock("waiting")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
FAILURE = 1
NEED_APP = 22


# How an app is named


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["app.py"], "application"),
        (["./app.py"], "application"),
        (["app.py:app"], "app"),
        (["app.py:create_app()"], "created"),
        (["app.py:create_app('x')"], "x"),
        (['app.py:create_app("x", loud=True)'], "X"),
        (["app.py", "--callable", "other"], "other"),
        (["--wsgi-file", "app.py"], "application"),
        (["--wsgi-file", "app.py", "--callable", "app"], "app"),
        (["--wsgi-file=app.py", "--callable=app"], "app"),
        (["--file", "app.py", "--callable", "create_app()"], "created"),
        (["--module", "app"], "application"),
        (["--module", "app:app"], "app"),
        (["--module", "app", "--callable", "other"], "other"),
        (["--wsgi", "app:app"], "app"),
        (["-w", "app:create_app()"], "created"),
        (["app:app"], "app"),
        (["package.inside:app"], "app"),
        (["--module", "package.inside"], "application"),
        (["package/inside.py:other"], "other"),
        (["--app", "app.py:other"], "other"),
    ],
    ids=" ".join,
)
def test_spellings(serve, arguments, name):
    server = serve(
        *arguments, files={"app.py": NAMED, "package/__init__.py": "", "package/inside.py": NAMED}
    )
    assert server.ask("/").text.split()[0] == name


def test_only_app_is_found(serve):
    server = serve(
        "app.py", files={"app.py": NAMED.replace('    application = make("application")\n', "")}
    )
    assert server.ask("/").text.startswith("app ")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["app.py"], "uwsgi_file_app"),
        (["--wsgi-file", "package/inside.py"], "uwsgi_file_package_inside"),
        (["--module", "app"], "app"),
    ],
)
def test_module_names(serve, arguments, name):
    server = serve(*arguments, files={"app.py": NAMED, "package/inside.py": NAMED})
    assert server.ask("/").text.split()[1] == name


def test_the_folder_of_the_start_is_importable(serve):
    server = serve(
        "app.py",
        files={"app.py": "import beside\n\napplication = beside.application\n", "beside.py": HELLO},
    )
    assert server.ask("/").text == "hello"


def test_chdir(serve):
    source = """
        import os

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [os.getcwd().encode()]
    """
    server = serve("app.py", "--chdir", "inside", files={"inside/app.py": source})
    assert server.ask("/").text == str(server.directory / "inside")


@pytest.mark.parametrize("option", ["--pythonpath", "--pp", "--python-path"])
def test_pythonpath(serve, option):
    files = {
        "app.py": "import one, two\n\napplication = one.application\n",
        "first/one.py": HELLO,
        "second/two.py": "",
    }
    server = serve("app.py", option, "first", option, "second", files=files)
    assert server.ask("/").text == "hello"


@pytest.mark.parametrize("option", ["--virtualenv", "--home", "--venv", "-H"])
@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="the suite does not run in a virtualenv")
def test_virtualenv(serve, option):
    source = """
        import sys

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{sys.prefix} {sys.base_prefix}".encode()]
    """
    server = serve(option, sys.prefix, source=source, virtualenv=False)
    assert server.ask("/").text == f"{sys.prefix} {sys.base_prefix}"


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="the suite does not run in a virtualenv")
@pytest.mark.skipif(is_script(), reason="the wheel has an environment of its own (test_wheel.py)")
def test_an_active_virtualenv_is_used(serve):
    source = "import sys\n\n" + HELLO.replace("\n    ", "\n").replace(
        'b"hello"', "sys.prefix.encode()"
    )
    server = serve(source=source, virtualenv=False, environment={"VIRTUAL_ENV": sys.prefix})
    assert server.ask("/").text == sys.prefix


def test_argv_and_environment(serve):
    source = """
        import os, sys

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{sys.argv[1:]} {os.environ.get('MINE')} {os.environ.get('GONE')}".encode()]
    """
    server = serve(
        "--pyargv",
        "a b",
        "--env",
        "MINE=1",
        "--unenv",
        "GONE",
        source=source,
        environment={"GONE": "still here"},
    )
    assert server.ask("/").text == "['a', 'b'] 1 None"


# Where it listens


@pytest.mark.parametrize("option", ["--http", "--http-socket"])
@pytest.mark.parametrize(
    ("address", "shown", "connect"),
    [
        ("127.0.0.1:0", r"127\.0\.0\.1", "127.0.0.1"),
        (":0", r"(0\.0\.0\.0|\[::\])", "127.0.0.1"),
        ("0.0.0.0:0", r"0\.0\.0\.0", "127.0.0.1"),
        ("[::1]:0", r"\[::1\]", "::1"),
        ("localhost:0", r"(127\.0\.0\.1|\[::1\]|localhost)", "localhost"),
    ],
)
def test_addresses(serve, option, address, shown, connect):
    if connect == "::1":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this system has no IPv6")
    server = serve(option, address, source=HELLO, listen=())
    match = re.search(rf"listening on http://{shown}:([0-9]+)", server.log())
    assert match, server.log()
    port = int(match.groups()[-1])
    assert port > 0, "the real port is told"
    with socket.create_connection((connect, port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"hello")


def test_the_default_address(serve):
    """127.0.0.1:8000 is served, or reported as in use if another program listens there."""
    server = serve(source=HELLO, listen=(), wait=False)
    server.exit_code_expected = None
    assert server.wait_for_log(r"listening on http://127\.0\.0\.1:8000$|127\.0\.0\.1:8000.*in use")


def test_several_listeners(serve, tmp_path):
    path = str(tmp_path / "app.sock")
    server = serve(source=HELLO, listen=("127.0.0.1:0", "127.0.0.1:0", path))
    assert len(server.urls()) == 3
    for listener in range(3):
        with server.connect(listener=listener) as connection:
            assert connection.ask(get()).text == "hello"


def test_unix_socket(serve, tmp_path):
    path = tmp_path / "app.sock"
    server = serve("--vacuum", "--chmod-socket=660", source=HELLO, listen=(str(path),))
    assert server.address == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with server.connect() as connection:
        for _ in range(2):
            assert connection.ask(get()).text == "hello"
    assert server.stop() == 0
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(serve, tmp_path):
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = serve(source=HELLO, listen=(str(path),))
    with server.connect() as connection:
        assert connection.ask(get()).text == "hello"


def test_a_living_unix_socket_is_not_stolen(serve, tmp_path):
    path = tmp_path / "app.sock"
    first = serve(source=HELLO, listen=(str(path),))
    second = serve(source=HELLO, listen=(str(path),), wait=False)
    second.exit_code_expected = FAILURE
    assert second.wait_for_exit() == FAILURE
    assert str(path) in second.log()
    with first.connect() as connection:
        assert connection.ask(get()).text == "hello"


def test_a_file_in_the_place_of_a_unix_socket_is_kept(serve, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    server = serve(source=HELLO, listen=(str(path),), wait=False)
    server.exit_code_expected = FAILURE
    assert server.wait_for_exit() == FAILURE
    assert path.read_text() == "data"


def test_port_in_use(serve):
    first = serve(source=HELLO)
    second = serve(source=HELLO, listen=(f"127.0.0.1:{first.port}",), wait=False)
    second.exit_code_expected = FAILURE
    assert second.wait_for_exit() == FAILURE
    assert f"127.0.0.1:{first.port}" in second.log()
    assert "in use" in second.log()
    assert str(first.process.pid) in second.log(), "which process has it"


def test_a_port_is_free_again_at_once(serve):
    first = serve(source=HELLO)
    port = first.port
    with first.connect() as connection:
        assert connection.ask(get()).status == 200
        assert first.stop() == 0
    second = serve(source=HELLO, listen=(f"127.0.0.1:{port}",))
    assert second.ask("/").text == "hello"


# Errors


BROKEN = {
    "import error": ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
    "syntax error": ("def application(\n", "SyntaxError"),
    "exception": ("raise RuntimeError('at import')\n", "at import"),
    "no callable": ("value = 1\ndef helper(x): pass\n", "application"),
    "not callable": ("application = 5\n", "application"),
    "exit": ("import sys\nsys.exit(3)\n", "SystemExit"),
    "keyboard interrupt": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_app_is_a_500_that_says_so(serve, fault):
    source, word = BROKEN[fault]
    server = serve(source=source)
    for _ in range(2):
        assert server.ask("/").status == 500
    assert word in server.log()
    assert "app.py" in server.log()


@pytest.mark.parametrize("fault", BROKEN)
def test_need_app_leaves_with_22(serve, fault):
    source, word = BROKEN[fault]
    server = serve("--need-app", source=source, wait=False)
    server.exit_code_expected = NEED_APP
    assert server.wait_for_exit() == NEED_APP
    assert word in server.log()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], ["nowhere.py"]),
        (["--module", "nowhere"], ["nowhere"]),
        (["app.py:nowhere"], ["nowhere", "application"]),
        (["app.py:create()"], ["create"]),
        (["app.py:application("], ["application("]),
    ],
    ids=["file", "module", "name", "factory", "spelling"],
)
def test_an_app_that_is_not_there(serve, arguments, words):
    server = serve(*arguments, "--need-app", files={"app.py": HELLO}, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() in (NEED_APP, FAILURE, 2)
    for word in words:
        assert word in server.log()


def test_the_traceback_is_trimmed_to_the_users_frames(serve):
    server = serve(
        "app.py",
        files={
            "app.py": "import helper\n",
            "helper.py": "def f():\n    raise KeyError('deep')\n\nf()\n",
        },
    )
    log = server.log()
    assert re.search(r'app\.py", line 1', log)
    assert re.search(r'helper\.py", line 2, in f', log)
    assert "KeyError: 'deep'" in log
    assert "importlib._bootstrap" not in log


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["--threads", "many"],
        ["--threads", "0"],
        ["--isolation", "none"],
        ["--http-socket", "1.2.3.4.5:x"],
    ],
)
def test_bad_options(serve, arguments):
    server = serve(*arguments, source=HELLO, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() not in (0, None)
    assert arguments[0] in server.log()
    assert len(server.log().splitlines()) < 10, "short, for a person"


def test_nothing_to_serve(serve):
    server = serve(listen=(), wait=False, virtualenv=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert "app.py" in server.log() or "--help" in server.log()


@pytest.mark.parametrize("version", ["3.8", "3.11", "3.99"])
def test_a_virtualenv_of_another_python(serve, tmp_path, version):
    home = tmp_path / "venv"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(sys.executable)
    (home / "lib" / f"python{version}" / "site-packages").mkdir(parents=True)
    (home / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}.1\n")
    server = serve("--virtualenv", home, source=HELLO, virtualenv=False, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() not in (0, None)
    assert version in server.log()
    assert "{}.{}".format(*sys.version_info) in server.log()


def test_a_virtualenv_that_is_none(serve, tmp_path):
    server = serve("--virtualenv", tmp_path / "nowhere", source=HELLO, virtualenv=False, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() not in (0, None)
    assert str(tmp_path / "nowhere") in server.log()


# uWSGI's common words


def test_common_uwsgi_words_are_accepted(serve):
    server = serve(
        "--master",
        "--enable-threads",
        "--lazy-apps",
        "--thunder-lock",
        "--single-interpreter",
        "--workers=2",
        "--die-on-term",
        source=HELLO,
    )
    assert server.ask("/").text == "hello"
    # The mounted applications share an interpreter anyway; the workers keep theirs.
    isolation = "own-gil" if HAS_OWN_GIL else "main"
    assert f"isolation: {isolation}" in server.log()


@pytest.mark.parametrize("arguments", [["-p", "2"], ["-p2"], ["--workers", "2"], ["--processes=2"]])
def test_spellings_of_the_number_of_workers(serve, arguments):
    server = serve(
        *arguments,
        "--isolation",
        "shared-gil",
        source="import sys\n\n"
        + HELLO.replace("\n    ", "\n").replace('b"hello"', "str(id(sys.modules)).encode()"),
    )
    assert re.search(r"\b2\b[^\n]*interpreter|interpreters?[^\n]*\b2\b", server.log())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(serve, option):
    server = serve(option, listen=(), virtualenv=False, wait=False)
    assert server.wait_for_exit() == 0
    assert ("--http-socket" if option == "--help" else "singlemalt") in server.log()


# How it stops


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_progress_is_finished(serve, gate, number):
    server = serve("--threads", 2, source=GATED, gate=gate)
    connection, idle = server.connect(), server.connect()
    assert idle.ask(get()).text == "hello"
    connection.send(get("/wait"))
    visitor = gate.visitor()
    server.send_signal(number)
    # The server has begun to stop: it closes an idle connection.
    idle.assert_closed()
    assert server.process.poll() is None
    visitor.release()
    response = connection.receive()
    assert response.text == "hello"
    assert not response.keeps_alive
    assert server.wait_for_exit() == 0


def test_requests_in_the_queue_are_finished(serve, gate):
    server = serve(source=GATED, gate=gate)
    connections = [server.connect() for _ in range(5)]
    connections[0].send(get("/wait"))
    visitor = gate.visitor()
    idle = server.connect()
    for connection in connections[1:]:
        connection.send(get("/queued"))
    # A bad request is answered without a worker, after the earlier ones were read.
    with server.connect() as bad:
        bad.send(b"nonsense\r\n\r\n")
        assert bad.receive().status == 400
    server.send_signal(signal.SIGTERM)
    idle.assert_closed()
    visitor.release()
    assert [connection.receive().text for connection in connections] == ["hello"] * 5
    assert server.wait_for_exit() == 0


def test_a_stream_in_progress_is_finished(serve, gate):
    source = """
        from knock import knock

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b"before "
            knock("streaming")
            yield b"after"
    """
    server = serve(source=source, gate=gate)
    with server.connect() as connection:
        connection.send(get())
        visitor = gate.visitor()
        server.send_signal(signal.SIGTERM)
        server.wait_for_log(r"(?i)stop|shut|drain|SIGTERM")
        visitor.release()
        assert connection.receive().text == "before after"
    assert server.wait_for_exit() == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
    ],
)
def test_a_second_signal_stops_now(serve, gate, first, second):
    server = serve(source=GATED, gate=gate)
    server.exit_code_expected = None
    connection, idle = server.connect(), server.connect()
    assert idle.ask(get()).text == "hello"
    connection.send(get("/wait"))
    gate.visitor()
    server.send_signal(first)
    idle.assert_closed()
    server.send_signal(second)
    server.wait_for_exit(seconds=10)
    assert connection.rest() == b""


def test_mercy_has_an_end(serve, gate):
    server = serve("--reload-mercy", "1", source=GATED, gate=gate)
    connection = server.connect()
    connection.send(get("/wait"))
    gate.visitor()
    assert server.stop(seconds=15) == 0
    assert connection.rest() == b""


def test_stop_without_a_request(serve):
    server = serve("--processes", 4, "--threads", 2, source=HELLO)
    assert server.stop() == 0


def test_stop_before_it_is_ready(serve, gate):
    source = "from knock import knock\nknock('importing')\n" + HELLO.replace("\n    ", "\n")
    server = serve(source=source, gate=gate, wait=False)
    visitor = gate.visitor()
    server.send_signal(signal.SIGTERM)
    visitor.release()
    server.exit_code_expected = None
    server.wait_for_exit(STOP_SECONDS)


def test_new_connections_are_refused_while_it_stops(serve, gate):
    server = serve(source=GATED, gate=gate)
    connection, idle = server.connect(), server.connect()
    assert idle.ask(get()).text == "hello"
    connection.send(get("/wait"))
    visitor = gate.visitor()
    server.send_signal(signal.SIGTERM)
    idle.assert_closed()
    with pytest.raises(OSError):
        late = server.connect(timeout=3)
        late.send(get())
        late.receive()
    visitor.release()
    assert connection.receive().text == "hello"
    assert server.wait_for_exit() == 0


def test_the_binary_starts_from_anywhere(serve, tmp_path):
    """No LD_LIBRARY_PATH, no particular folder: the binary finds its Python by itself."""
    (tmp_path / "app.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n"
    )
    assert Path(binary()).is_absolute()
    server = serve(
        "app.py", directory=tmp_path, environment={"LD_LIBRARY_PATH": "", "PATH": os.defpath}
    )
    assert server.ask("/").text == "hello"


@pytest.mark.stress
@pytest.mark.parametrize("threads", [1, 3])
def test_a_stop_right_after_a_request_that_took_its_time(serve, threads):
    """While the worker was busy another thread polled: the stop must still reach the worker."""
    source = """
        import time

        def application(environ, start_response):
            time.sleep(0.05)  # long enough for the acceptor to take over
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
    """
    for _ in range(25):
        server = serve("--threads", threads, source=source)
        with server.connect() as connection:
            assert connection.ask(get()).text == "hello"
        assert server.stop(seconds=10) == 0
