"""Sample programs from uWSGI's documentation, unchanged."""

import re
import time

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
        "--http",
        ":0",
        "--wsgi-file",
        "bootstrap.py",
        "--master",
        "--processes",
        "4",
        "--threads",
        "2",
        files={"bootstrap.py": BOOTSTRAP},
        listen=(),
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
    server = serve(
        "--wsgi-file", "bootstrap.py", "--wsgi-strict", files={"bootstrap.py": BOOTSTRAP}
    )
    assert server.ask("/").status == 500


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--wsgi-file", "foobar.py"], "uwsgi_file_foobar"),
        (["testapp.py"], "uwsgi_file_testapp"),
        (["--module", "foobar"], "foobar"),
    ],
    ids=" ".join,
)
def test_foobar(serve, arguments, name):
    server = serve(*arguments, files={"foobar.py": FOOBAR, "testapp.py": FOOBAR})
    assert server.ask("/").text == f"Hello, {name}\n"


@needs("flask")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--module", "myapp"],
        ["--module", "myapp:app"],
        ["--module", "myapp", "--callable", "app"],
        ["--wsgi-file", "myapp.py"],
    ],
    ids=" ".join,
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


MYTASKS = """
    from uwsgidecorators import *

    @timer(3)
    def three_seconds(signum):
        print("3 seconds elapsed")
"""
RAW_TIMERS = """
    import uwsgi

    def hello_timer(num):
        print("2 seconds elapsed, signal %d raised" % num)

    def oneshot_timer(num):
        print("40 seconds elapsed, signal %d raised. You will never see me again." % num)

    uwsgi.register_signal(26, "worker", hello_timer)
    uwsgi.register_signal(30, "", oneshot_timer)

    uwsgi.add_timer(26, 2) # never-ending timer every 2 seconds
    uwsgi.add_rb_timer(30, 40, 1) # one shot timer after 40 seconds
"""
MASTER = ("--master", "--processes", "4", "--threads", "2")


@pytest.mark.parametrize("imported", ["mytasks.py", "mytasks"])
def test_mytasks(serve, imported):
    """One line for each tick, though four interpreters import the module."""
    server = serve(
        "--wsgi-file",
        "bootstrap.py",
        *MASTER,
        "--import",
        imported,
        files={"bootstrap.py": BOOTSTRAP, "mytasks.py": MYTASKS},
    )
    server.wait_for_log("^3 seconds elapsed$")
    began = time.monotonic()
    server.wait_for_log("^3 seconds elapsed$", count=2)
    # Four timers would have made four lines of one tick.
    assert len(re.findall("3 seconds elapsed", server.log())) == 2 + int(
        (time.monotonic() - began) / 3.5
    )
    assert server.ask("/").text == "HelloWorld"


def test_raw_timers(serve):
    server = serve(
        "--wsgi-file",
        "bootstrap.py",
        *MASTER,
        "--import",
        "timers.py",
        files={"bootstrap.py": BOOTSTRAP, "timers.py": RAW_TIMERS},
    )
    server.wait_for_log("^2 seconds elapsed, signal 26 raised$", count=2)
    assert "40 seconds" not in server.log()


def test_python_2_code_is_told_what_it_is(serve):
    source = """
        import uwsgi

        def hello_timer(num):
            print "2 seconds elapsed, signal %d raised" % num
    """
    server = serve(
        "--wsgi-file",
        "bootstrap.py",
        "--import",
        "timers.py",
        files={"bootstrap.py": BOOTSTRAP, "timers.py": source},
    )
    server.wait_for_log(r"importing timers.py failed")
    server.wait_for_log(
        r"this is Python 2 code \(print without parentheses\).*write print\(\.\.\.\)"
    )
    assert server.ask("/").text == "HelloWorld"


PLUGIN = """
    import uwsgi

    def init():
        uwsgi.log("Hello World")
"""


def test_a_plugin_of_ones_own(serve):
    """uWSGI's foobar.c, as a Python file."""
    server = serve(
        "--plugin",
        "./foobar.py",
        "--wsgi-file",
        "bootstrap.py",
        *MASTER,
        files={"bootstrap.py": BOOTSTRAP, "foobar.py": PLUGIN},
    )
    assert server.ask("/").text == "HelloWorld"
    assert len(re.findall("Hello World", server.log())) == 1
    assert "foobar" not in server.log()


def test_plugins_of_uwsgi(serve):
    server = serve(
        "--plugin", "python3,http", "--wsgi-file", "bootstrap.py", files={"bootstrap.py": BOOTSTRAP}
    )
    assert server.ask("/").text == "HelloWorld"
    server = serve(
        "--plugin",
        "./foobar_plugin.so",
        "--wsgi-file",
        "bootstrap.py",
        files={"bootstrap.py": BOOTSTRAP},
        wait=False,
    )
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert "./foobar_plugin.so" in server.log() and "plugin of uWSGI in C" in server.log()


def test_a_plugin_that_is_not_there_is_told(serve):
    server = serve(
        "--plugin", "./nowhere.py", "--wsgi-file", "bootstrap.py", files={"bootstrap.py": BOOTSTRAP}
    )
    server.wait_for_log(r"cannot import ./nowhere.py")
