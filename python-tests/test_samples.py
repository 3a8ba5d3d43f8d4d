"""The sample programs that uWSGI's users bring, run as they are written there."""

import re

import pytest

from client import ask, together
from test_frameworks import needs

BOOTSTRAP = """
    def application(env, start_response):
        start_response('200 OK', [('Content-Type', 'text/html')])
        return ["Hello", "World"]
"""
FOOBAR = """
    def application(env, start_response):
        start_response('200 OK', [('Content-Type', 'text/html')])
        return ['Hello, {}\\n'.format(__name__)]
"""
FLASK = """
    from flask import Flask

    app = Flask(__name__)

    @app.route('/hello')
    def hello_world():
        return 'Hello World!'

    application = app
"""


def test_bootstrap(serve):
    server = serve(
        "--http", ":0", "--wsgi-file", "bootstrap.py", "--master", "--processes", "4", "--threads", "2", files={"bootstrap.py": BOOTSTRAP}, listen=()
    )
    port = int(re.search(r"listening on http://\S*:(\d+)", server.log())[1])
    for _ in range(3):
        answer = ask(("127.0.0.1", port), "/", "GET", None, {}, 20)
        assert (answer.status, answer.text) == (200, "HelloWorld")
        assert answer.headers["Content-Type"] == "text/html"


def test_bootstrap_is_warned_of_str_once(serve):
    server = serve("--wsgi-file", "bootstrap.py", files={"bootstrap.py": BOOTSTRAP})
    for _ in range(3):
        assert server.ask("/").text == "HelloWorld"
    server.wait_for_log(r"\bstr\b")
    server.stop()
    assert len([line for line in server.log().splitlines() if re.search(r"\bstr\b", line)]) == 1


def test_bootstrap_under_strict(serve):
    server = serve("--wsgi-file", "bootstrap.py", "--wsgi-strict", files={"bootstrap.py": BOOTSTRAP})
    assert server.ask("/").status == 500


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(["--wsgi-file", "foobar.py"], "uwsgi_file_foobar"), (["testapp.py"], "uwsgi_file_testapp"), (["--module", "foobar"], "foobar")],
    ids=" ".join,
)
def test_foobar(serve, arguments, name):
    server = serve(*arguments, files={"foobar.py": FOOBAR, "testapp.py": FOOBAR})
    assert server.ask("/").text == f"Hello, {name}\n"


@needs("flask")
@pytest.mark.parametrize(
    "arguments", [["--module", "myapp"], ["--module", "myapp:app"], ["--module", "myapp", "--callable", "app"], ["--wsgi-file", "myapp.py"]], ids=" ".join
)
def test_flask(serve, arguments):
    server = serve(*arguments, files={"myapp.py": FLASK})
    answer = server.ask("/hello?id=123")
    assert (answer.status, answer.text) == (200, "Hello World!")
    assert server.ask("/nowhere").status == 404


def test_wsgiref_demo_app(serve):
    server = serve("--module", "wsgiref.simple_server:demo_app")
    answer = server.ask("/xyz?abc")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    hello, _, environ = answer.text.partition("\n\n")
    assert hello == "Hello world!"
    lines = [line.partition(" = ") for line in environ.splitlines() if " = " in line]
    found = {key: value for key, _, value in lines}
    assert list(found) == sorted(found)
    assert found["PATH_INFO"] == "'/xyz'"
    assert found["QUERY_STRING"] == "'abc'"
    assert found["wsgi.version"] == "(1, 0)"
    assert found["wsgi.run_once"] == "False"
    assert found["SERVER_PROTOCOL"] == "'HTTP/1.1'"


def test_start_response_is_called_uwsgi_spit(serve):
    source = """
        def application(env, start_response):
            start_response('200 OK', [('Content-Type', 'text/plain')])
            return [repr(start_response).encode()]
    """
    assert "uwsgi_spit" in serve("--wsgi-file", "spit.py", files={"spit.py": source}).ask("/").text


def test_environ_of_uwsgi(serve):
    source = """
        import json

        def application(env, start_response):
            keys = ("wsgi.version", "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "REQUEST_URI", "REMOTE_ADDR",
                    "SERVER_PORT", "SCRIPT_NAME", "HTTP_HOST", "QUERY_STRING", "uwsgi.version", "uwsgi.node")
            start_response('200 OK', [('Content-Type', 'application/json')])
            return [json.dumps({key: repr(env.get(key)) for key in keys}).encode()]
    """
    server = serve("--wsgi-file", "env.py", "--isolation", "main", files={"env.py": source})
    found = server.ask("/a%20b?id=123", headers={"Host": "example.com:81"}).json()
    assert re.fullmatch(r"b'[0-9.]+\w*'", found.pop("uwsgi.version"))
    assert found.pop("uwsgi.node").startswith("b'")
    assert found == {
        "wsgi.version": "(1, 0)",
        "wsgi.url_scheme": "'http'",
        "wsgi.multithread": "False",
        "wsgi.multiprocess": "False",
        "wsgi.run_once": "False",
        "REQUEST_URI": "'/a%20b?id=123'",
        "REMOTE_ADDR": "'127.0.0.1'",
        "SERVER_PORT": f"'{server.port}'",
        "SCRIPT_NAME": "''",
        "HTTP_HOST": "'example.com:81'",
        "QUERY_STRING": "'id=123'",
    }


def test_counter_in_a_global_with_threads(serve):
    """One interpreter, several threads: a global is shared, as it was in a uWSGI process."""
    source = """
        import threading

        hits, lock = [], threading.Lock()

        def application(env, start_response):
            with lock:
                hits.append(env["QUERY_STRING"])
            start_response('200 OK', [('Content-Type', 'text/plain')])
            return [str(len(hits)).encode()]
    """
    server = serve("--wsgi-file", "hits.py", "--threads", "4", files={"hits.py": source})
    together(8, lambda number: [server.ask(f"/?{number}") for _ in range(10)])
    assert server.ask("/").text == "81"
