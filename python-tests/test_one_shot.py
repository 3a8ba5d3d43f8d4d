"""One-shot commands: one request from the command line, an import test, a script, and a server that
answers one request and stops.
"""

import subprocess
import sys

import pytest
from conftest import HAS_OWN_GIL
from requests_raw import get
from test_isolation import MODES

from server import APPS, binary, environment, virtualenv_arguments

pytestmark = pytest.mark.wheel

APP = """
    import atexit, sys
    print("printed while it is loaded")
    print("and as an error", file=sys.stderr)
    atexit.register(print, "goodbye", file=sys.stderr)

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        print("printed while it is called")
        if path == "/broken":
            raise KeyError("the reason")
        if path == "/file":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return environ["wsgi.file_wrapper"](open(__file__, "rb"))
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return iter([b"one ", b"two"])
        status = {"/missing": "404 Not Found", "/unwell": "503 Service Unavailable"}.get(path, "200 OK")
        start_response(status, [("Content-Type", "text/plain")])
        told = [environ["REQUEST_METHOD"], environ["SCRIPT_NAME"], path, environ["QUERY_STRING"], environ["HTTP_HOST"]]
        return [repr(told).encode()]
"""


@pytest.fixture
def run(tmp_path):
    """Runs the binary to its end; returns the process."""
    import textwrap

    def run(*arguments, files=None, code=0, variables=None):
        for name, text in (files or {"app.py": APP}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        done = subprocess.run(
            [binary(), *virtualenv_arguments(), *map(str, arguments)],
            cwd=tmp_path,
            env=environment(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr.decode()
        return done

    return run


# One request


@pytest.mark.parametrize("mode", MODES)
def test_one_request(run, mode):
    done = run("app.py", "--test-request", "GET /hello?a=b", "--isolation", mode)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    assert body == b"['GET', '', '/hello', 'a=b', 'localhost']"
    # The answer is alone on standard output.
    for line in [
        "printed while it is loaded",
        "and as an error",
        "printed while it is called",
        "goodbye",
    ]:
        assert line in done.stderr.decode()


@pytest.mark.parametrize(
    ("request_line", "code", "status", "body"),
    [
        ("/", 0, b"200 OK", b"['GET', '', '/', '', 'localhost']"),
        ("POST /x", 0, b"200 OK", b"['POST', '', '/x', '', 'localhost']"),
        ("HEAD /x", 0, b"200 OK", b""),
        ("GET /missing", 0, b"404 Not Found", None),
        ("GET /unwell", 1, b"503 Service Unavailable", None),
        ("GET /broken", 1, b"500 Internal Server Error", None),
        ("GET /stream", 0, b"200 OK", b"one two"),
        ("GET http://shop.example/a", 0, b"200 OK", b"['GET', '', '/a', '', 'shop.example']"),
    ],
)
def test_the_exit_code_is_the_applications(run, request_line, code, status, body):
    done = run("app.py", "--test-request", request_line, code=code)
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 " + status
    if body is not None:
        assert rest == body
    if request_line == "GET /broken":
        assert b"KeyError: 'the reason'" in done.stderr


def test_a_file_is_sent_whole(run, tmp_path):
    done = run("app.py", "--test-request", "GET /file")
    assert done.stdout.partition(b"\r\n\r\n")[2] == (tmp_path / "app.py").read_bytes()


def test_one_request_of_several_applications(run):
    files = {"app.py": APP, "broken.py": "1 / 0\n"}
    arguments = [
        "app.py",
        "--mount",
        "/shop=app.py",
        "--mount",
        "/bad=broken.py",
        "--manage-script-name",
    ]
    done = run(*arguments, "--test-request", "GET /shop/cart", files=files)
    assert done.stdout.endswith(b"['GET', '/shop', '/cart', '', 'localhost']")
    # Only the application of the request is loaded.
    assert b"ZeroDivisionError" not in done.stderr
    done = run(*arguments, "--test-request", "GET /bad/x", files=files, code=22)
    assert b"ZeroDivisionError" in done.stderr and done.stdout == b""
    arguments = ["--mount", "a.example=app.py"]
    done = run(*arguments, "--test-request", "GET /", files=files, code=1)
    assert b"no application is mounted there" in done.stderr


def test_an_application_that_cannot_be_loaded(run):
    done = run("nowhere.py", "--test-request", "GET /", code=22)
    assert b"there is no file nowhere.py" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("text", ["GET", "GET / HTTP/1.1", "GET nowhere", ""])
def test_requests_that_cannot_be_meant(run, text):
    assert (
        b"error: --test-request wants a method and a path"
        in run("app.py", "--test-request", text, code=1).stderr
    )


def test_no_socket_is_bound_and_nothing_else_is_done(run, tmp_path):
    arguments = [
        "--http-socket",
        "app.sock",
        "--pidfile",
        "pid",
        "--daemonize",
        "log",
        "--hook-asap",
        "write:hook x",
    ]
    run("app.py", *arguments, "--test-request", "/")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == [
        "app.py"
    ]


# A module


@pytest.mark.parametrize(
    ("module", "code", "why"),
    [
        ("json", 0, ""),
        ("app", 0, "printed while it is loaded"),
        ("app.py", 0, "printed while it is loaded"),
        ("jsonn", 1, "error: there is no module jsonn"),
        ("nowhere.py", 1, "error: there is no file nowhere.py"),
        ("broken", 1, "ZeroDivisionError"),
        ("leaves", 1, "SystemExit"),
    ],
)
@pytest.mark.parametrize("option", ["-J", "--test"])
def test_whether_a_module_can_be_imported(run, option, module, code, why):
    files = {"app.py": APP, "broken.py": "1 / 0\n", "leaves.py": "raise SystemExit(3)\n"}
    done = run(option, module, files=files, code=code)
    assert why in (done.stdout + done.stderr).decode()


def test_an_extension_that_refuses(run):
    pytest.importorskip("numpy")
    run("--test", "numpy")
    if HAS_OWN_GIL:
        assert (
            b"--isolation main can"
            in run("--test", "numpy", "--isolation", "own-gil", code=1).stderr
        )


# A script


@pytest.mark.parametrize("option", ["--pyrun", "--python", "--py"])
def test_a_script(run, option):
    script = """
        import os, sys
        import beside
        assert __name__ == "__main__"
        print(sys.argv, os.environ["WORD"], beside.VALUE)
        sys.exit(3)
    """
    files = {"tools/script.py": script, "tools/beside.py": "VALUE = 7\n"}
    done = run(
        option, "tools/script.py", "--pyargv", "one two", "--env", "WORD=said", files=files, code=3
    )
    assert done.stdout.decode().strip() == "['tools/script.py', 'one', 'two'] said 7"


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("", 0, ""),
        ("import sys\nsys.exit()", 0, ""),
        ("import sys\nsys.exit('in words')", 1, "in words\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_how_a_script_ends(run, source, code, said):
    done = run("--pyrun", "script.py", files={"script.py": source}, code=code)
    assert done.stderr.decode().endswith(said)
    assert "runpy" not in done.stderr.decode()


def test_a_script_of_django(run):
    pytest.importorskip("django")
    done = run(
        "--pyrun",
        APPS / "django_project" / "manage.py",
        "--pyargv",
        "check",
        variables={"DJANGO_DATA": "/tmp"},
    )
    assert b"System check identified no issues" in done.stdout


def test_the_version_of_python(run):
    done = run("--python-version")
    assert done.stdout.decode().strip() == ".".join(map(str, sys.version_info[:3]))


# One request, then the end


def test_once(serve):
    server = serve("--once", "--processes", 2, source=APP)
    with server.connect() as connection:
        assert connection.ask(get("/hello")).status == 200
    assert server.wait_for_exit() == 0
    assert "--once: stopping" in server.log()
    assert "stopped (requests: 1, connections: 1)" in server.log()


def test_once_counts_a_refusal(serve):
    server = serve("--once", source=APP)
    with server.connect() as connection:
        assert connection.send(b"nonsense\r\n\r\n").receive().status == 400
    assert server.wait_for_exit() == 0
