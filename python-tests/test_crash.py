"""The process crashes: the last lines of the log are the requests that were in progress."""

import os
import re
import signal
import sys

import pytest
from conftest import PYTHON

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix"),
]

CRASHES = """
    import ctypes, os, signal, sys, threading
    from knock import knock

    def application(environ, start_response):
        how = environ["PATH_INFO"][1:]
        if how == "wait":
            knock("waits")
        elif how == "segv":
            ctypes.string_at(1)
        elif how == "abort":
            os.abort()
        elif how == "fatal":
            ctypes.pythonapi.Py_FatalError(b"no way on")
        elif how == "exit":
            os._exit(0)
        elif how == "c_exit":
            ctypes.CDLL(None).exit(0)
        elif how == "overflow":
            overflow()
        elif how == "thread":
            thread = threading.Thread(target=ctypes.string_at, args=(1,))
            thread.start()
            thread.join()
        elif how:
            os.kill(os.getpid(), getattr(signal, how))
            signal.pause()
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]

    def overflow():
        # A stack that C code uses up.
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        @compare
        def again(a, b):
            numbers = (ctypes.c_int * 2)(2, 1)
            ctypes.CDLL(None).qsort(numbers, 2, 4, again)
            return 0
        sys.setrecursionlimit(10 ** 9)
        again(None, None)
"""
HOW = {
    "segv": (-signal.SIGSEGV, "the process crashes: SIGSEGV"),
    "abort": (-signal.SIGABRT, "the process crashes: SIGABRT"),
    "fatal": (-signal.SIGABRT, "the process crashes: SIGABRT"),
    "SIGSEGV": (-signal.SIGSEGV, "the process crashes: SIGSEGV"),
    "SIGBUS": (-signal.SIGBUS, "the process crashes: SIGBUS"),
    "SIGFPE": (-signal.SIGFPE, "the process crashes: SIGFPE"),
    "SIGILL": (-signal.SIGILL, "the process crashes: SIGILL"),
    "overflow": (-signal.SIGSEGV, "the process crashes: SIGSEGV"),
    "thread": (-signal.SIGSEGV, "the process crashes: SIGSEGV"),
    "exit": (0, "the application ends the process: os._exit(0)"),
    "c_exit": (0, "code outside of Python ends the process: exit()"),
}
TIME = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, for \d+\.\d{3} s"


def crash(serve, gate, how, *arguments):
    if how == "overflow" and PYTHON != (3, 13):
        pytest.skip("this CPython looks after the stack of C, too, and ends the calls in time")
    server = serve("--threads", 3, *arguments, source=CRASHES, gate=gate)
    server.exit_code_expected, said = HOW[how]
    server.never = re.compile("panicked")
    assert server.ask("/").text == "hello"
    with server.connect() as waiting, server.connect() as connection:
        waiting.send(b"POST /wait?\xc3\xa9=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        gate.visitors(1)
        connection.send(f"GET /{how}?some=query HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert server.wait_for_exit() == server.exit_code_expected
    return server.log().splitlines(), said


@pytest.mark.parametrize("isolation", ["main", "own-gil"])
@pytest.mark.parametrize("how", HOW)
def test_the_last_lines_are_the_requests_in_progress(serve, gate, isolations, isolation, how):
    if isolation not in isolations:
        pytest.skip("not with this Python")
    lines, said = crash(serve, gate, how, "--isolation", isolation)
    assert said in lines[-3]
    first, second = sorted(lines[-2:], key=lambda line: "POST" in line)
    place = r"\(worker 1, core [0-2]\)"
    assert re.search(rf"in progress: GET /{how}\?some=query {place}, {TIME}", first), lines
    # What a client sends is escaped.
    assert re.search(rf"in progress: POST /wait\?\\xc3\\xa9=1 {place}, {TIME}$", second), lines
    own = how not in ("thread",) and not how.startswith("SIG")
    assert first.endswith(", in the thread that ends the process") == own or how.startswith("SIG")
    # The request before is there too, although lines are written in batches.
    assert any("GET / =>" in line for line in lines)


def test_python_still_prints_its_stacks(serve, gate):
    lines, _ = crash(serve, gate, "segv", "--isolation", "main")
    text = "\n".join(lines)
    assert "Fatal Python error: Segmentation fault" in text
    assert "in application" in text


def test_a_crash_without_a_request(serve):
    source = """
        import ctypes, threading

        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            threading.Timer(0.5, ctypes.string_at, (1,)).start()
            return [b"hello"]
    """
    server = serve("--isolation", "main", source=source)
    server.exit_code_expected = -signal.SIGSEGV
    server.never = re.compile("panicked")
    assert server.ask("/").text == "hello"
    assert server.wait_for_exit() == -signal.SIGSEGV
    lines = server.log().splitlines()
    assert "the process crashes: SIGSEGV, at 2" in lines[-2]
    assert lines[-1].endswith("in progress: no request")


@pytest.mark.parametrize("where", ["import", "signal"])
def test_a_crash_outside_of_requests_says_where(serve, where):
    source = """
        import ctypes, uwsgi
        if "import" in str(uwsgi.opt):
            ctypes.string_at(1)
        uwsgi.register_signal(7, "", lambda number: ctypes.string_at(1))
        uwsgi.add_ms_timer(7, 100)

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"hello"]
    """
    server = serve("--isolation", "main", "--set", f"where={where}", source=source, wait=False)
    server.exit_code_expected = -signal.SIGSEGV
    server.never = re.compile("panicked")
    assert server.wait_for_exit() == -signal.SIGSEGV
    what = {"import": "the start of the application", "signal": "signal 7"}[where]
    last = server.log().splitlines()[-1]
    assert f"in progress: {what} (worker 1, core 0)" in last


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_crashes_reports_nothing(serve):
    source = """
        import ctypes, os

        def application(environ, start_response):
            child = os.fork()
            if child == 0:
                if environ["PATH_INFO"] == "/exit":
                    os._exit(3)
                ctypes.string_at(1)
            _, status = os.waitpid(child, 0)
            start_response("200 OK", [])
            return [str(os.waitstatus_to_exitcode(status)).encode()]
    """
    server = serve("--isolation", "main", source=source)
    server.never = re.compile("panicked")
    assert server.ask("/").text == str(-signal.SIGSEGV)
    assert server.ask("/exit").text == "3"
    assert server.stop() == 0
    assert "in progress:" not in server.log()


def test_a_crash_after_a_reload_reaches_the_waiter(serve, gate):
    """The first process ends by the same signal, and the lines are in the log."""
    server = serve("--isolation", "main", "--threads", 2, source=CRASHES, gate=gate)
    server.exit_code_expected = -signal.SIGSEGV
    server.never = re.compile("panicked")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("is the server now")
    with server.connect() as connection:
        connection.send(b"GET /segv HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.wait_for_exit() == -signal.SIGSEGV
    log = server.log()
    assert re.search(rf"in progress: GET /segv \(worker 1, core \d\), {TIME}", log)
    assert "the server was killed by signal 11" in log
