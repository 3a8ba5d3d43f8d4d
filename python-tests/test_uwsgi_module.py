"""The `uwsgi` module: attributes, functions, hooks, locks."""

import ast
import os
import re
import subprocess
import sys

import pytest
from client import together
from conftest import ISOLATIONS

EVALUATE = """
    import urllib.parse
    import uwsgi

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [repr(eval(urllib.parse.unquote(environ["QUERY_STRING"]))).encode()]
"""


@pytest.fixture(params=ISOLATIONS)
def isolation(request):
    return request.param


def value(server, expression):
    from urllib.parse import quote

    answer = server.ask("/?" + quote(expression, safe=""))
    assert answer.status == 200, answer.text
    return ast.literal_eval(answer.text)


def test_attributes(serve, isolation):
    server = serve(
        "--processes",
        "2",
        "--threads",
        "3",
        "--isolation",
        isolation,
        "--set-placeholder",
        "my-key=7",
        "--pidfile",
        "server.pid",
        source=EVALUATE,
    )
    assert value(server, "uwsgi.version").startswith(b"2.0.")
    assert value(server, "uwsgi.version_info")[:2] == (2, 0)
    assert len(value(server, "uwsgi.version_info")) == 5
    assert re.fullmatch(rb"\d+\.\d+\.\d+.*", value(server, "uwsgi.singlemalt_version"))
    assert value(server, "uwsgi.hostname") == os.uname().nodename.encode()
    assert value(server, "(uwsgi.numproc, uwsgi.cores, uwsgi.has_threads)") == (2, 3, 1)
    assert value(server, "uwsgi.buffer_size") > 4096
    assert value(server, "uwsgi.started_on + 100 > __import__('time').time()")
    assert value(server, "uwsgi.pidfile") == b"server.pid"
    assert value(server, "(uwsgi.SPOOL_OK, uwsgi.SPOOL_RETRY, uwsgi.SPOOL_IGNORE)") == (-2, -1, 0)
    assert value(server, "uwsgi.is_a_reload") is False
    assert value(server, "uwsgi.magic_table[b'h']") == os.uname().nodename.encode()
    assert value(server, "uwsgi.applications[''] is application")
    assert value(server, "hasattr(uwsgi, 'no_such_function')") is False


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="threads have ids of the system on Linux")
def test_one_interpreter_takes_itself_for_the_master(serve, gate, isolations):
    """A library that compares masterpid() with getpid() does its work once; a signal to any of them
    reaches the server.
    """
    source = """
        import os, signal, uwsgi
        from knock import knock

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            if environ["PATH_INFO"] == "/hang-up" and uwsgi.worker_id() > 1:
                os.kill(uwsgi.masterpid(), signal.SIGHUP)
            knock(f"{uwsgi.worker_id()} {uwsgi.masterpid()} {os.getpid()}")
            return [b"done"]
    """
    for isolation in isolations:
        server = serve("--processes", 3, "--isolation", isolation, source=source, gate=gate)
        count = 1 if isolation == "main" else 3
        connections = [server.connect() for _ in range(count)]
        for connection in connections:
            connection.send(b"GET /hang-up HTTP/1.1\r\nHost: a\r\n\r\n")
        visitors = gate.visitors(count)
        told = sorted(tuple(map(int, visitor.word.split())) for visitor in visitors)
        for visitor in visitors:
            visitor.release()
        for connection in connections:
            assert connection.receive().text == "done"
        assert [worker for worker, _, _ in told] == list(range(1, count + 1))
        masters = [worker for worker, master, pid in told if master == pid]
        assert masters == [1]
        assert 0 not in [master for _, master, _ in told]
        if count > 1:
            server.wait_for_log("SIGHUP: reloading")


def test_the_app_can_always_start_threads(serve):
    """APScheduler, newrelic and sentry-sdk look there."""
    server = serve("--threads", 1, source=EVALUATE)
    assert value(server, "(uwsgi.has_threads, uwsgi.opt['enable-threads'])") == (1, True)


def test_what_is_missing_raises_and_is_told_once(serve):
    source = """
        import uwsgi

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            if environ["PATH_INFO"] == "/hook":
                return [str(getattr(uwsgi, "spooler", None)).encode()]
            uwsgi.mule_msg(b"comment")
            return [b"sent"]
    """
    server = serve("--processes", 2, source=source)
    for _ in range(4):
        assert server.ask("/").status == 500
    assert server.ask("/hook").text == "None"
    server.wait_for_log(r"uwsgi\.mule_msg is not in this version of singlemalt \(app\.py, line 8\)")
    assert server.log().count("is not in this version") == 1
    assert "AttributeError: module 'uwsgi' has no attribute 'mule_msg'" in server.log()


def test_the_module_can_be_hidden(serve):
    source = """
        failed = []
        for name in ("uwsgi", "uwsgidecorators"):
            try:
                __import__(name)
            except ImportError as error:
                failed.append(error.name)

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(failed).encode()]
    """
    server = serve("--no-uwsgi-module", source=source)
    assert server.ask("/").text == "['uwsgi', 'uwsgi']"


def test_opt(serve):
    ini = """
        [uwsgi]
        my-key = %(other)2
        other = 1
        static-map = /a=/b
        static-map = /c=/d
        master = true
        processes = 1
    """
    server = serve("--ini", "uwsgi.ini", source=EVALUATE, files={"uwsgi.ini": ini})
    opt = value(server, "uwsgi.opt")
    assert all(type(key) is str for key in opt)
    assert opt["static-map"] == [b"/a=/b", b"/c=/d"]
    assert opt["master"] is True
    assert opt["other"] == b"1"
    assert opt["lazy-apps"] is True and opt["enable-threads"] is True


def test_there_is_no_such_module_elsewhere():
    code = "import uwsgi"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in done.stderr


def test_each_interpreter_has_its_own(serve, isolation):
    source = """
        import uwsgi

        mine = []
        uwsgi.shared = mine

        def application(environ, start_response):
            import sys
            assert uwsgi.shared is mine and sys.modules["uwsgi"] is uwsgi
            start_response("200 OK", [])
            return [str(uwsgi.worker_id()).encode()]
    """
    server = serve("--processes", "3", "--isolation", isolation, source=source)
    found = {
        answer
        for answers in together(8, lambda _: [server.ask("/").text for _ in range(5)])
        for answer in answers
    }
    assert found <= ({"1"} if isolation == "main" else {"1", "2", "3"})


def test_counters(serve, isolation):
    server = serve("--processes", "2", "--isolation", isolation, source=EVALUATE)
    for _ in range(9):
        server.ask("/?1")
    server.ask("/?1/0")
    assert value(server, "uwsgi.total_requests()") == 11
    # Another worker may answer before the one that failed has counted it.
    server.wait_until(
        lambda: value(server, "sum(worker['exceptions'] for worker in uwsgi.workers())") == 1,
        what="an exception is counted",
    )
    workers = value(server, "uwsgi.workers()")
    assert [worker["id"] for worker in workers] == list(range(1, len(workers) + 1))
    assert sum(worker["requests"] for worker in workers) >= 13
    assert sum(worker["tx"] for worker in workers) > 500
    assert {worker["pid"] for worker in workers} == {server.process.pid}
    # The one that answers this; another one may be on its way out of the request before.
    server.wait_until(
        lambda: (
            value(server, "[worker['status'] for worker in uwsgi.workers()].count(b'busy')") == 1
        ),
        what="one worker is busy",
    )
    assert set(workers[0]) >= {
        "id",
        "pid",
        "requests",
        "delta_requests",
        "signals",
        "exceptions",
        "status",
        "rss",
        "vsz",
        "running_time",
        "last_spawn",
        "respawn_count",
        "tx",
        "avg_rt",
        "apps",
    }
    rss, vsz = value(server, "uwsgi.mem()")
    assert 1_000_000 < rss < vsz
    assert value(server, "uwsgi.micros()") > 1_700_000_000_000_000
    assert value(server, "uwsgi.listen_queue()") == 0
    assert value(server, "uwsgi.request_id() >= 1")
    assert value(
        server,
        "(uwsgi.mule_id(), uwsgi.i_am_the_spooler(), uwsgi.i_am_the_lord('x'), uwsgi.ready())",
    ) == (0, None, False, True)


def test_log(serve):
    server = serve(source=EVALUATE)
    assert value(server, "uwsgi.log('Hello World')") is True
    assert value(server, "uwsgi.log(b'bytes, too')") is True
    server.wait_for_log(r"^(?:\[INFO\] )?Hello World$")
    server.wait_for_log(r"^(?:\[INFO\] )?bytes, too$")


def test_stop(serve):
    server = serve("--processes", "2", source=EVALUATE)
    assert value(server, "uwsgi.stop()") is True
    assert server.wait_for_exit() == 0
    assert "uwsgi.stop()" in server.log()


@pytest.mark.skipif(sys.platform != "linux", reason="what the process is called is Linux's")
def test_setprocname(serve):
    server = serve(source=EVALUATE)
    value(server, "uwsgi.setprocname('renamed')")
    with open(f"/proc/{server.process.pid}/comm") as name:
        assert name.read().strip() == "renamed"


HOOKS = """
    import os
    import uwsgi

    def say(*words):
        os.write(1, (" ".join(str(word) for word in words) + "\\n").encode())

    assert uwsgi.ready() is None
    uwsgi.post_fork_hook = lambda: say("post fork", uwsgi.worker_id())
    uwsgi.atexit = lambda: say("at exit", uwsgi.worker_id())

    def application(environ, start_response):
        query = environ["QUERY_STRING"]
        if query == "set":
            uwsgi.after_req_hook = lambda: say("after request")
        elif query == "fail":
            uwsgi.after_req_hook = lambda: 1 / 0
        elif query == "unset":
            uwsgi.after_req_hook = None
        elif query == "delete":
            del uwsgi.after_req_hook
        start_response("200 OK", [])
        return [b"hello"]
"""


def test_hooks(serve, isolation):
    server = serve("--processes", "2", "--isolation", isolation, source=HOOKS)
    workers = 1 if isolation == "main" else 2
    server.wait_for_log(r"^post fork \d$", count=workers)
    assert server.stop() == 0
    assert sorted(re.findall(r"^at exit (\d)$", server.log(), re.MULTILINE)) == ["1", "2"][:workers]
    assert len(re.findall(r"^post fork \d$", server.log(), re.MULTILINE)) == workers


def test_after_req_hook(serve):
    server = serve(source=HOOKS)
    server.ask("/")
    server.ask("/?set")
    server.wait_for_log("^after request$")
    server.ask("/")
    server.wait_for_log("^after request$", count=2)
    assert server.ask("/?unset").text == "hello"
    server.ask("/?delete")
    assert server.ask("/?fail").text == "hello"
    server.wait_for_log("uwsgi.after_req_hook failed")
    server.wait_for_log("ZeroDivisionError")
    assert len(re.findall("^after request$", server.log(), re.MULTILINE)) == 2


LOCKS = """
    import os
    import time
    import uwsgi

    inside = []

    def application(environ, start_response):
        query = environ["QUERY_STRING"]
        answer = "done"
        if query == "count":
            # A file that all interpreters write to: only a lock keeps the numbers right.
            uwsgi.lock()
            with open("counter") as file:
                number = int(file.read())
            time.sleep(0.002)
            with open("counter", "w") as file:
                file.write(str(number + 1))
            uwsgi.unlock()
        elif query == "leave":
            uwsgi.lock(1)
        elif query == "is":
            answer = repr((uwsgi.is_locked(), uwsgi.is_locked(1)))
        elif query == "twice":
            uwsgi.lock()
            try:
                uwsgi.lock()
            except RuntimeError as error:
                answer = str(error)
            uwsgi.unlock()
        elif query == "strange":
            uwsgi.unlock()
        elif query == "number":
            found = []
            for call in (uwsgi.lock, uwsgi.unlock, uwsgi.is_locked):
                for number in (2, -1):
                    try:
                        call(number)
                    except ValueError:
                        found.append(number)
            answer = repr(found)
        start_response("200 OK", [])
        return [answer.encode()]
"""


def test_locks(serve, isolation):
    server = serve(
        "--processes",
        "2",
        "--threads",
        "2",
        "--locks",
        "1",
        "--isolation",
        isolation,
        source=LOCKS,
        files={"counter": "0"},
    )
    together(6, lambda _: [server.ask("/?count") for _ in range(10)])
    assert (server.directory / "counter").read_text() == "60"
    server.ask("/?leave")
    server.wait_for_log("lock 1 was left locked at the end of a request")
    assert server.ask("/?is").text == "(False, False)"
    assert "for ever" in server.ask("/?twice").text
    server.ask("/?strange")
    server.wait_for_log(r"uwsgi.unlock\(0\): this thread does not hold that lock")
    assert server.ask("/?number").text == "[2, -1, 2, -1, 2, -1]"


DECORATORS = """
    import os
    import uwsgi
    import uwsgidecorators
    from uwsgidecorators import *

    def say(*words):
        os.write(1, (" ".join(str(word) for word in words) + "\\n").encode())

    @postfork
    def everywhere():
        say("postfork", uwsgi.worker_id())

    @postfork(2)
    def in_two():
        say("postfork in two", uwsgi.worker_id())

    @signal(50, target="workers")
    def fifty(number):
        say("fifty", number)

    @lock
    def locked():
        return uwsgi.is_locked()

    @thread
    def threaded(word, more=""):
        say("thread", word, more)

    def refused(make):
        try:
            make()
        except Exception as error:
            return str(error)

    def application(environ, start_response):
        query = environ["QUERY_STRING"]
        answer = "done"
        if query == "names":
            answer = repr((get_free_signal(), locked(), uwsgi.is_locked(), locked.__name__, uwsgidecorators.__name__))
        elif query == "thread":
            threaded("hello", more="there")
        elif query == "refused":
            answer = "\\n".join(refused(make) for make in (lambda: spool(print), lambda: mule(1), lambda: rpc("x")(print)))
        elif query == "signal":
            uwsgi.signal(50)
        start_response("200 OK", [])
        return [answer.encode()]
"""


def test_decorators(serve, isolation):
    server = serve("--processes", "2", "--isolation", isolation, source=DECORATORS)
    workers = 1 if isolation == "main" else 2
    server.wait_for_log(r"^postfork \d$", count=workers)
    if workers == 2:
        server.wait_for_log(r"^postfork in two 2$")
    assert server.ask("/?names").text == "(0, True, False, 'locked', 'uwsgidecorators')"
    server.ask("/?thread")
    server.wait_for_log("^thread hello there$")
    server.ask("/?signal")
    server.wait_for_log("^fifty 50$", count=workers)
    spool, mule, rpc = server.ask("/?refused").text.splitlines()
    assert spool == "you have to enable the uWSGI spooler to use @spool decorator"
    assert "mules are not yet" in mule and "rpc is not yet" in rpc
    assert len(re.findall("postfork in two", server.log())) == workers - 1
