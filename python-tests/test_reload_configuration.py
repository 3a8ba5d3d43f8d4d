"""A reload reads the configuration again: what has changed takes effect, or is named in the log."""

import os
import re
import signal

import pytest
from client import ask
from conftest import HAS_OWN_GIL
from versions import reload, rewrite

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a reload is asked for by SIGHUP"),
    pytest.mark.skipif(
        not HAS_OWN_GIL, reason="two generations in one process need own-GIL interpreters"
    ),
]

APP = """\
    import os
    import sys
    import time
    import uwsgi

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/long":
            while True:
                time.sleep(0.01)
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("as asked")
        start_response("200 OK", [("Content-Type", "text/plain")])
        expression = environ["QUERY_STRING"].replace("%20", " ").replace("%22", '"')
        return [str(eval(expression)).encode()]
"""
OTHER = """\
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the other application"]
"""


def start(serve, tmp_path, lines="", *arguments, **how):
    files = {
        "site.ini": settings(lines),
        "app.py": APP,
        "other.py": OTHER,
        "static/a.txt": "a static file",
        "lib/in_lib.py": "NAME = 'in lib'",
        "500.html": "a page of its own",
    }
    return serve("site.ini", *arguments, directory=tmp_path, files=files, **how)


def settings(lines):
    return "[uwsgi]\nwsgi-file = app.py\nisolation = own-gil\n" + lines


def edit(server, lines, outcome=r"generation \d+ serves \("):
    before = server.log().count("reloading; generation")
    outcomes = len(re.findall(outcome, server.log()))
    reload_with(server, lines)
    server.wait_for_log("reloading; generation", count=before + 1)
    server.wait_for_log(outcome, count=outcomes + 1)


def reload_with(server, lines):
    rewrite(server, settings(lines), "site.ini")
    reload(server)


def evaluate(server, expression):
    return server.ask("/?" + expression.replace(" ", "%20").replace('"', "%22")).text


def header(server, name):
    with server.connect() as connection:
        return connection.ask(b"GET /?1 HTTP/1.1\r\nHost: a\r\n\r\n").header(name)


def test_workers_and_their_limits(serve, tmp_path):
    server = start(serve, tmp_path, "processes = 1\nmax-requests = 1000\n")
    pid = server.process.pid
    assert evaluate(server, "uwsgi.numproc") == "1"
    edit(server, "processes = 3\nthreads = 2\n")
    server.wait_for_log(r"the configuration has changed: processes \(site.ini line 4\), threads ")
    server.wait_for_log(r"generation 2 serves \(3 interpreters")
    assert evaluate(server, '(uwsgi.numproc, uwsgi.opt["threads"])') == "(3, b'2')"
    assert len(evaluate_workers(server)) == 3
    edit(server, "processes = 2\nharakiri = 1\nharakiri-graceful-timeout = 1\n")
    server.wait_for_log(r"generation 3 serves \(2 interpreters")
    assert server.ask("/long").status == 504
    edit(server, "processes = 1\nmax-requests = 3\nmin-worker-lifetime = 0\n")
    for _ in range(4):
        assert evaluate(server, "1") == "1"
    server.wait_for_log("it gets a fresh interpreter")
    # All of it in the one process.
    assert evaluate(server, "os.getpid()") == str(pid)


def evaluate_workers(server):
    return eval(evaluate(server, '[worker["id"] for worker in uwsgi.workers()]'))


def test_paths_mounts_and_static_files(serve, tmp_path):
    server = start(serve, tmp_path, "")
    assert server.ask("/static/a.txt?1").text == "1"
    edit(
        server,
        "static-map = /static=static\npythonpath = l*\nadd-header = X-One: 1\n"
        "error-page-500 = 500.html\nmount = /other=other.py\nmanage-script-name = true\n",
    )
    assert server.ask("/static/a.txt").text == "a static file"
    assert evaluate(server, '__import__("in_lib").NAME') == "in lib"
    assert header(server, "x-one") == "1"
    assert server.ask("/fails").text == "a page of its own"
    assert server.ask("/other/x").text == "the other application"
    # And away again.
    edit(server, "add-header = X-One: 2\n")
    assert server.ask("/static/a.txt?1").text == "1"
    assert server.ask("/other/x?1").text == "1"
    assert header(server, "x-one") == "2"
    assert server.ask("/fails").text != "a page of its own"


def test_the_limits_of_requests_and_connections(serve, tmp_path):
    server = start(serve, tmp_path)
    assert server.ask("/?1", "POST", body=b"x" * 2000).status == 200
    edit(server, "limit-post = 1000\nready-path = /ready\nbuffer-size = 2048\n")
    assert server.ask("/?1", "POST", body=b"x" * 2000).status == 413
    assert server.ask("/ready").text.strip() != "1"
    assert server.ask("/?1", headers={"X-Long": "x" * 3000}).status in (400, 431)


def test_request_logging(serve, tmp_path):
    server = start(serve, tmp_path)
    assert server.ask("/?1").text == "1"
    server.wait_for_log(r"GET /\?1 ")
    edit(server, "disable-logging = true\n")
    assert server.ask("/?2").text == "2"
    edit(server, "")
    assert server.ask("/?3").text == "3"
    server.wait_for_log(r"GET /\?3 ")
    assert "GET /?2 " not in server.log()


def test_where_the_log_goes(serve, tmp_path):
    server = start(serve, tmp_path)
    reload_with(server, "logto = logs/one.log\n")
    # There is no such folder: everything else is as the new configuration says.
    server.wait_for_log(r"logto \(site.ini line 4\): cannot log to .*one.log")
    (tmp_path / "logs").mkdir()
    for name, line in (("two", "logto = logs/two.log\n"), ("three", "logto2 = logs/three.log\n")):
        reload_with(server, line)
        log = tmp_path / "logs" / f"{name}.log"
        server.wait_until(log.exists, what=f"{log} is there")
        assert evaluate(server, f"print('from the app, {name}')") == "None"
        server.wait_until(
            lambda text=f"from the app, {name}", log=log: text in log.read_text(),
            what="the output of the application is in it",
        )
    # One process all the while.
    assert evaluate(server, "os.getpid()") == str(server.process.pid)


def test_commands_of_cron_and_how_to_reload(serve, tmp_path):
    server = start(serve, tmp_path, "cron = 0 0 1 1 -1 true\n")
    edit(server, "cron = 0 0 2 1 -1 true\nreload-mercy = 7\nshutdown-delay = 0\n")
    server.wait_for_log(r"has changed: reload-mercy \(.*cron \(site.ini line 4\)$")
    # A minute that never comes is refused before anything changes.
    edit(server, "cron = 99 0 1 1 -1 true\n", "reload failed: .*cron.*; generation 2 serves on")
    edit(server, "exit-on-reload = true\n")
    assert evaluate(server, "os.getpid()") == str(server.process.pid)
    reload(server)
    assert server.wait_for_exit() == 0
    assert "a reload is a stop here" in server.log()


def test_touching_the_file_itself_reads_it(serve, tmp_path):
    server = start(serve, tmp_path, "touch-reload = %p\n")
    (tmp_path / "site.ini").write_text(settings("touch-reload = %p\nprocesses = 2\n"))
    server.wait_for_log(r"generation 2 serves \(2 interpreters")


def test_what_needs_another_process_gets_one(serve, tmp_path):
    server = start(serve, tmp_path, "http-socket = 127.0.0.1:0\n", listen=())
    first = evaluate(server, "os.getpid()")
    reload_with(server, "http-socket = 127.0.0.1:0\nhttp-socket = 127.0.0.1:0\nlocks = 3\n")
    server.wait_for_log(
        r"the configuration has changed: http-socket \(site.ini line 5\), "
        r"locks \(site.ini line 6\) needs another process"
    )
    server.wait_for_log("process [0-9]+ is the server now")
    assert len(set(server.addresses())) == 2
    for address in set(server.addresses()[-2:]):
        assert ask(address, "/?os.getpid()", "GET", None, {}, 30).text != first


def test_what_only_a_start_can_change_is_named(serve, tmp_path):
    server = start(serve, tmp_path)
    edit(server, "processes = 2\nmax-fd = 512\n")
    server.wait_for_log(
        r"WARN.* the configuration has changed: max-fd \(site.ini line 5\) cannot change while the "
        r"server runs"
    )
    server.wait_for_log(r"generation 2 serves \(2 interpreters")
    # It is said once for each change.
    edit(server, "processes = 2\nmax-fd = 512\n")
    assert server.log().count("cannot change while the server runs") == 1


@pytest.mark.parametrize(
    "lines, why",
    [
        ("processes = many\n", "processes wants a number"),
        ("chdir = /no/such/folder\n", "cannot change to /no/such/folder"),
        ("no-such-option-at-all = 1\nstrict = true\n", "no-such-option-at-all"),
        ("static-map = /s=static\nmime-file = none.types\n", "none.types"),
    ],
)
def test_a_configuration_that_cannot_be_used_changes_nothing(serve, tmp_path, lines, why):
    server = start(serve, tmp_path, "processes = 2\n")
    edit(server, lines, f"reload failed: .*{why}.*; generation 1 serves on")
    assert evaluate(server, "uwsgi.numproc") == "2"
    edit(server, "processes = 3\n")
    assert evaluate(server, "uwsgi.numproc") == "3"


def test_a_version_that_does_not_load_leaves_the_settings_alone(serve, tmp_path):
    server = start(serve, tmp_path, "limit-post = 1000\n")
    rewrite(server, "1 / 0\n")
    edit(server, "static-map = /static=static\n", "reload failed")
    assert server.ask("/static/a.txt?1").text == "1"
    assert server.ask("/?1", "POST", body=b"x" * 2000).status == 413


def test_a_rolling_reload_with_changes_is_a_swap(serve, tmp_path):
    server = start(serve, tmp_path, "processes = 2\nreload-mode = rolling\n")
    reload(server)
    server.wait_for_log("every interpreter of generation 1 is new")
    edit(server, "processes = 2\nreload-mode = rolling\npythonpath = lib\n")
    assert evaluate(server, '__import__("in_lib").NAME') == "in lib"
    reload(server)
    server.wait_for_log("every interpreter of generation 2 is new")


def test_standard_input_is_read_once(serve, tmp_path):
    server = start(serve, tmp_path, "", "--ini", "-", stdin="[uwsgi]\nprocesses = 2\n")
    reload(server)
    server.wait_for_log(r"generation 2 serves \(2 interpreters")


def test_the_file_is_found_from_where_the_server_was_started(serve, tmp_path):
    """The process has changed its directory, and so has the application."""
    server = serve(
        "site.ini",
        directory=tmp_path,
        files={
            "site.ini": "[uwsgi]\nchdir = inner\nwsgi-file = app.py\nini = more.ini\n",
            "more.ini": "[uwsgi]\nprocesses = 1\nif-exists = more.ini\nthreads = 2\nendif =\n",
            "inner/app.py": APP.replace("def app", "os.chdir('/')\n\n    def app"),
        },
    )
    (tmp_path / "more.ini").write_text("[uwsgi]\nprocesses = 2\n")
    os.utime(tmp_path / "more.ini")
    reload(server)
    server.wait_for_log(r"generation 2 serves \(2 interpreters")


def test_a_rollback_brings_the_settings_back(serve, tmp_path):
    common = "keep-previous = 60\ntouch-rollback = back\n"
    server = start(serve, tmp_path, common)
    edit(server, common + "static-map = /static=static\nlimit-post = 1000\n")
    assert server.ask("/static/a.txt").text == "a static file"
    (tmp_path / "back").touch()
    server.wait_for_log("generation 1 serves again")
    assert server.ask("/static/a.txt?1").text == "1"
    assert server.ask("/?1", "POST", body=b"x" * 2000).status == 200


def test_an_application_in_the_main_interpreter(serve, tmp_path):
    """Another process reads the configuration; the log names what it cannot take up either."""
    server = start(serve, tmp_path, "processes = 2\n")
    in_main = "[uwsgi]\nwsgi-file = app.py\nisolation = main\nenv = NAME=main\n"
    rewrite(server, in_main, "site.ini")
    reload(server)
    server.wait_for_log(r"generation 2 serves \(")
    assert evaluate(server, 'os.environ["NAME"]') == "main"
    # From the main interpreter on a reload needs another process.
    rewrite(server, in_main + "processes = many\n", "site.ini")
    reload(server)
    server.wait_for_log("reload failed: .*; generation 2 serves on")
    rewrite(server, in_main + "max-fd = 512\nlocks = 3\n", "site.ini")
    reload(server)
    server.wait_for_log(r"max-fd \(site.ini line 5\) cannot change while the server runs")
    server.wait_for_log("is the server now")
    assert evaluate(server, 'os.environ["NAME"]') == "main"
