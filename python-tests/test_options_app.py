"""Options about the application: where it comes from, where it is mounted, what is imported before
it, what is added to its answers, and where its threads run.
"""

import os
import sys
from pathlib import Path

import pytest
from conftest import HAS_OWN_GIL
from requests_raw import get

# The two extremes: separate interpreters, and only the main one. CPython 3.12 has shared-gil at the
# most.
ISOLATIONS = ["own-gil" if HAS_OWN_GIL else "shared-gil", "main"]

HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
PATHS = """
    import json

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps([environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]]).encode()]

    other = application
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


def refused(serve, *arguments, code=1, **keywords):
    """The log of a server that does not start."""
    server = serve(*arguments, wait=False, **keywords)
    server.exit_code_expected = code
    assert server.wait_for_exit() == code
    return server.log()


# Mounts


@pytest.mark.parametrize(
    "mount",
    ["/shop=shop.py", "/shop/=shop.py", "/shop=shop", "/shop=shop:other", "/shop=shop.py:other"],
)
@pytest.mark.parametrize(
    ("target", "script", "path"),
    [
        ("/shop/cart", "/shop", "/cart"),
        ("/shop", "/shop", ""),
        ("/shop/", "/shop", "/"),
        ("/sh%6fp/a%20b?x=1", "/shop", "/a b"),
        # It is the default application too, as in uWSGI: other paths are not split.
        ("/shopping", "", "/shopping"),
        ("/", "", "/"),
    ],
)
def test_a_mount_that_manages_script_name(serve_mounts, mount, target, script, path):
    assert serve_mounts(mount).ask(target).json() == [script, path, target]


@pytest.fixture(scope="module")
def serve_mounts(serve_module):
    servers = {}

    def start(mount):
        if mount not in servers:
            servers[mount] = serve_module(
                "--mount", mount, "--manage-script-name", files={"shop.py": PATHS}
            )
        return servers[mount]

    return start


def test_a_mount_without_manage_script_name(serve):
    """The proxy in front may have taken the prefix away, or the application wants it."""
    server = serve("--mount", "/shop=shop.py", files={"shop.py": PATHS})
    assert server.ask("/shop/cart").json() == ["", "/shop/cart", "/shop/cart"]


def test_manage_script_name_without_a_mount(serve):
    server = serve("--manage-script-name", source=PATHS)
    assert server.ask("/shop/cart").json() == ["", "/shop/cart", "/shop/cart"]


# Code on the command line


def test_eval(serve):
    code = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [__name__.encode()]\n"
    server = serve("--eval", code)
    assert server.ask("/").text == "uwsgi_eval_config"
    assert "app: --eval, callable 'application'" in server.log()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("x = 1", "--eval has no `application`"),
        ("1 +", "SyntaxError"),
        ("raise KeyError('gone')", "KeyError: 'gone'"),
    ],
)
def test_code_that_leaves_no_application(serve, code, why):
    assert why in refused(serve, "--need-app", "--eval", code, code=22)


# Imports


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_imports(serve, isolation):
    files = {
        "first.py": "import order\norder.seen.append('first')\n",
        "tasks/second.py": "import order\norder.seen.append('second')\n",
        "shared.py": "import order\norder.seen.append('shared')\n",
        "order.py": "seen = []\n",
    }
    source = """
        import order

        seen = list(order.seen)

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [" ".join(seen).encode()]
    """
    server = serve(
        "--import",
        "first",
        "--import",
        "tasks/second.py",
        "--shared-import",
        "shared.py",
        "--processes",
        2,
        "--isolation",
        isolation,
        source=source,
        files=files,
    )
    for _ in range(8):
        assert server.ask("/").text == "shared first second"


def test_an_import_that_fails_is_told_and_passed_over(serve):
    server = serve(
        "--import",
        "nowhere",
        "--import",
        "nowhere.py",
        "--import",
        "broken",
        "--import",
        "good",
        source=HELLO,
        files={"broken.py": "1 / 0\n", "good.py": "print('good is there')\n"},
    )
    assert server.ask("/").text == "hello"
    log = server.log()
    assert "[ERROR] cannot import nowhere: there is no such module" in log
    assert "[ERROR] cannot import nowhere.py: there is no such file" in log
    assert "[ERROR] importing broken failed:" in log
    assert "ZeroDivisionError" in log
    assert "good is there" in log


# Fields that are added to responses


def test_add_header(serve):
    server = serve("--add-header", "X-One: 1", "--add-header", "X-Two: a: b", source=HELLO)
    with server.connect() as connection:
        for _ in range(2):
            response = connection.ask(get())
            assert (response.header("X-One"), response.header("X-Two"), response.text) == (
                "1",
                "a: b",
                "hello",
            )
            assert response.header("Server") == "singlemalt"


def test_add_header_to_answers_without_the_application(serve):
    server = serve(
        "--add-header",
        "X-One: 1",
        source="def application(environ, start_response):\n    raise KeyError\n",
    )
    assert server.ask("/").headers["X-One"] == "1"
    with server.connect() as connection:
        response = connection.send(b"nonsense\r\n\r\n").receive()
        assert (response.status, response.header("X-One")) == (400, "1")


def test_added_headers_in_place_of_the_servers_own(serve):
    server = serve(
        "--add-header", "Server: shop", "--add-header", "Connection: close", source=HELLO
    )
    with server.connect() as connection:
        response = connection.ask(get())
        assert response.header("Server") == "shop"
        assert not response.keeps_alive
        connection.assert_closed()


@pytest.mark.parametrize(
    "field", ["Content-Length: 5", "Transfer-Encoding: chunked", "Connection: keep-alive"]
)
def test_headers_that_are_the_servers(serve, field):
    log = refused(serve, "--add-header", field, source=HELLO)
    assert "--add-header (command line): " in log
    assert "so the server says it" in log


# Exceptions


def test_catch_exceptions(serve):
    source = """
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/late":
                start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "1000")])
            raise KeyError("the reason")
    """
    server = serve("--catch-exceptions", source=source)
    for path in ["/", "/late"]:
        response = server.ask(path)
        assert (response.status, response.headers["Content-Type"]) == (
            500,
            "text/plain; charset=utf-8",
        )
        assert "Traceback" in response.text
        assert "KeyError: 'the reason'" in response.text
    # The traceback is in the log too.
    server.wait_for_log("KeyError: 'the reason'", count=2)


def test_exceptions_are_not_shown_unless_asked_for(serve):
    server = serve(
        source="def application(environ, start_response):\n    raise KeyError('secret')\n"
    )
    response = server.ask("/")
    assert response.status == 500
    assert "secret" not in response.text


def test_an_exception_behind_the_head_breaks_off(serve):
    source = """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b"begun"
            raise KeyError("the reason")
    """
    server = serve("--catch-exceptions", source=source)
    with server.connect() as connection:
        connection.send(get())
        assert b"the reason" not in connection.rest()


# Threads


def tasks(server):
    """For each thread: its name and the cores it may run on."""
    found = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        found.append(((task / "comm").read_text().strip(), os.sched_getaffinity(int(task.name))))
    return found


@linux
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_names_of_workers(serve, isolation):
    server = serve(
        "--auto-procname", "--processes", 2, "--threads", 2, "--isolation", isolation, source=HELLO
    )
    expected = {"uWSGI master": 1, "uWSGI worker 1": 2, "uWSGI worker 2": 2}

    def are_named():
        # A thread has the name of the one that started it until it has given itself its own.
        names = [name for name, _ in tasks(server)]
        return {name: names.count(name) for name in expected} == expected

    server.wait_until(are_named, what="the names of all threads")


@linux
@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("each", [1, 2])
def test_cpu_affinity(serve, isolation, each):
    server = serve(
        "--cpu-affinity",
        each,
        "--auto-procname",
        "--processes",
        3,
        "--threads",
        2,
        "--isolation",
        isolation,
        source=HELLO,
    )
    ours = sorted(os.sched_getaffinity(0))
    for name, cores in tasks(server):
        if name.startswith("uWSGI worker "):
            first = (int(name.split()[-1]) - 1) * each % len(ours)
            assert cores == {
                ours[(first + step) % len(ours)] for step in range(min(each, len(ours)))
            }
        else:
            assert cores == set(ours), name
    assert server.ask("/").text == "hello"


# Fields in every response and keys in every environ

PAGES = """
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/fail":
            raise ValueError("no")
        status = "404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK"
        start_response(status, [("X-Powered-By", "me"), ("x-other", "1"), ("Server", "mine")])
        return [repr(environ.get("DEPLOYMENT")).encode(), b" ", repr(environ.get("EMPTY")).encode()]
"""


def test_del_header(serve):
    server = serve(
        "--del-header",
        "x-powered-by",
        "--rem-header",
        "Server",
        "--add-header",
        "X-Powered-By: us",
        source=PAGES,
    )
    answer = server.ask()
    assert answer.status == 200
    assert answer.headers.get_all("X-Powered-By") == ["us"]
    assert answer.headers.get("X-Other") == "1"
    assert answer.headers.get("Server") is None
    # The server's own answers too.
    assert server.ask("/fail").headers.get("Server") is None


def test_a_field_that_is_the_servers_cannot_be_removed(serve):
    server = serve("--del-header", "Content-Length", source=PAGES, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert "Content-Length is about one response" in server.log()


def test_http_var(serve):
    server = serve(
        "--http-var",
        "DEPLOYMENT=blue=1",
        "--http-var",
        "EMPTY",
        "--http-var",
        "REQUEST_METHOD=NONE",
        source=PAGES,
    )
    assert server.ask().text == "'blue=1' ''"


def test_error_pages(serve, tmp_path):
    (tmp_path / "500.html").write_text("<h1>Unwell</h1>")
    (tmp_path / "404.html").write_text("<h1>Not here</h1>")
    pages = [
        "--error-page-500",
        tmp_path / "none.html",
        "--error-page-500",
        tmp_path / "500.html",
        "--error-page-404",
        tmp_path / "404.html",
    ]
    server = serve(*pages, source=PAGES)
    answer = server.ask("/fail")
    assert (answer.status, answer.text) == (500, "<h1>Unwell</h1>")
    assert answer.headers.get("Content-Type") == "text/html"
    assert "none.html" in server.log()
    # Fields of the application are kept.
    assert server.ask("/missing").text == "None None"
    # A response to HEAD has no body.
    head = server.ask("/fail", method="HEAD")
    assert (head.status, head.body) == (500, b"")


def test_error_pages_of_answers_without_an_application(serve, tmp_path):
    (tmp_path / "500.html").write_text("<h1>Unwell</h1>")
    server = serve("--error-page-500", tmp_path / "500.html", source="1 / 0")
    answer = server.ask()
    assert (answer.status, answer.text, answer.headers.get("Content-Type")) == (
        500,
        "<h1>Unwell</h1>",
        "text/html",
    )


def test_py_sys_executable(serve):
    source = """
        import sys

        def application(environ, start_response):
            start_response("200 OK", [])
            return [sys.executable.encode()]
    """
    assert serve("--py-sys-executable", "/opt/python", source=source).ask().text == "/opt/python"
    assert (
        serve("--py-executable", "/opt/python", "--processes", "2", source=source).ask().text
        == "/opt/python"
    )
