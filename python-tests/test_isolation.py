"""Interpreters and threads: each mode, M x T, extensions that refuse, and set-ups that crashed
CPython.
"""

import os
import re
import sys
import textwrap

import pytest
from client import together
from conftest import HAS_OWN_GIL, ISOLATIONS, PYTHON
from test_frameworks import needs

MODES = [*ISOLATIONS, "auto"]
COUNTS = [(1, 1), (1, 4), (2, 1), (2, 2), (4, 2), (2, 8), (8, 1)]
own_gil_only = pytest.mark.skipif(
    not HAS_OWN_GIL, reason="own-GIL interpreters need CPython 3.13 (3.12's crash)"
)
HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


def interpreters_expected(mode, processes):
    if mode == "main" or (mode == "auto" and not HAS_OWN_GIL):
        return 1
    return processes


# Modes and counts


@pytest.mark.parametrize(("processes", "threads"), COUNTS, ids=[f"{m}x{t}" for m, t in COUNTS])
@pytest.mark.parametrize("mode", MODES)
def test_all_workers_work_at_once(serve, gate, mode, processes, threads):
    """As many requests as there are workers are in the app at the same time, distributed as
    configured.
    """
    count = processes * threads
    server = serve(
        "--processes", processes, "--threads", threads, "--isolation", mode, app="who.py", gate=gate
    )
    connections = [server.connect() for _ in range(count)]
    for connection in connections:
        connection.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    visitors = gate.visitors(count)
    words = [visitor.word.split() for visitor in visitors]
    for visitor in visitors:
        visitor.release()
    answers = [connection.receive().text.split() for connection in connections]
    assert sorted(words) == sorted(answers)

    interpreters = {word[0] for word in words}
    expected = interpreters_expected(mode, processes)
    assert len(interpreters) == expected
    for interpreter in interpreters:
        assert len([word for word in words if word[0] == interpreter]) == count // expected
    assert len({word[1] for word in words}) == count, "each on a thread of its own"
    assert {word[2] for word in words} == {str(server.process.pid)}, "one process"
    assert {word[3] for word in words} == {str(count // expected > 1)}, "wsgi.multithread"
    assert {word[4] for word in words} == {str(expected > 1)}, "wsgi.multiprocess"


@pytest.mark.parametrize("mode", MODES)
def test_many_requests_through_every_mode(serve, gate, mode):
    server = serve("--processes", 2, "--threads", 4, "--isolation", mode, app="who.py", gate=gate)

    def work(_):
        with server.connect() as connection:
            return [connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status for _ in range(50)]

    assert together(16, work) == [[200] * 50] * 16


@pytest.mark.parametrize("mode", MODES)
def test_the_report_names_the_mode_and_the_python(serve, gate, mode):
    server = serve("--processes", 2, "--isolation", mode, app="who.py", gate=gate)
    log = server.log()
    assert "{}.{}.{}".format(*sys.version_info) in log
    chosen = mode if mode != "auto" else "own-gil" if HAS_OWN_GIL else "main"
    assert chosen in log


@pytest.mark.skipif(PYTHON >= (3, 13), reason="3.12 only")
def test_own_gil_is_refused_on_3_12_with_the_reason(serve):
    server = serve("--isolation", "own-gil", source=HELLO, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert "3.12" in server.log() and "main" in server.log()


@pytest.mark.parametrize("mode", MODES)
def test_interpreters_share_nothing(serve, mode):
    source = """
        import threading

        count = 0
        lock = threading.Lock()

        def application(environ, start_response):
            global count
            with lock:
                count += 1
                mine = count
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(mine).encode()]
    """
    server = serve("--processes", 2, "--threads", 2, "--isolation", mode, source=source)
    answers = [
        int(text)
        for texts in together(8, lambda _: [server.ask("/").text for _ in range(25)])
        for text in texts
    ]
    # Each interpreter counts for itself, without a gap: all the runs 1, 2, 3 ... add up to the
    # requests.
    runs = [answers.count(number) for number in range(1, max(answers) + 1)]
    assert sum(runs) == 200
    assert runs == sorted(runs, reverse=True), "a number came without the one before it"
    assert runs[0] <= interpreters_expected(mode, 2)
    if interpreters_expected(mode, 2) == 1:
        assert sorted(answers) == list(range(1, 201))


# Extensions that refuse subinterpreters

REFUSING = {
    "numpy": ("numpy", "import numpy\n\nVALUE = str(int(numpy.arange(10).sum()))", "45"),
    "pydantic": (
        "pydantic",
        "import pydantic\n\nclass Model(pydantic.BaseModel):\n    x: int\n\nVALUE = str(Model(x='7').x)",
        "7",
    ),
    "_testsinglephase": (
        "_testsinglephase",
        "import _testsinglephase\n\nVALUE = _testsinglephase.__name__",
        "_testsinglephase",
    ),
}
USES = """
import sys
import {library}

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{library}.VALUE.encode()]
"""


def refusing(name):
    package, text, value = REFUSING[name]
    return {"uses_it.py": text + "\n", "app.py": USES.format(library="uses_it")}, value


EXTENSIONS = [pytest.param(name, marks=needs(REFUSING[name][0])) for name in REFUSING]


@own_gil_only
@pytest.mark.parametrize("name", EXTENSIONS)
def test_auto_serves_it_in_main_and_explains(serve, name):
    files, value = refusing(name)
    server = serve("app.py", "--processes", 2, "--threads", 2, files=files)
    assert together(8, lambda _: server.ask("/").text) == [value] * 8
    log = server.log()
    module = {"numpy": "_multiarray_umath", "pydantic": "_pydantic_core"}.get(name, name)
    assert module in log, "which module refused"
    assert "uses_it" in log, "who imported it"
    assert "main" in log, "what was chosen"
    assert "--isolation" in log, "what to do about it"


@pytest.mark.parametrize("name", EXTENSIONS)
def test_main_serves_it_without_a_word(serve, name):
    files, value = refusing(name)
    server = serve("app.py", "--processes", 2, "--threads", 2, "--isolation", "main", files=files)
    assert together(8, lambda _: server.ask("/").text) == [value] * 8
    assert "refuse" not in server.log()


@own_gil_only
@pytest.mark.parametrize("name", EXTENSIONS)
def test_own_gil_refuses_it_and_says_why(serve, name):
    files, _ = refusing(name)
    server = serve("app.py", "--isolation", "own-gil", "--need-app", files=files, wait=False)
    server.exit_code_expected = 22
    assert server.wait_for_exit() == 22
    log = server.log()
    assert {"numpy": "_multiarray_umath", "pydantic": "_pydantic_core"}.get(name, name) in log
    assert "uses_it" in log
    assert "main" in log, "the way out"


@own_gil_only
@needs("_testsinglephase")
@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import _testsinglephase\nexcept ImportError as error:\n    raise RuntimeError('broken') from error\n",
        "try:\n    import _testsinglephase\nexcept ImportError:\n    raise NameError('name Series is not defined')\n",
        "try:\n    import _testsinglephase\nexcept ImportError:\n    raise NameError('hidden') from None\n",
        "try:\n    import _testsinglephase\nexcept ImportError:\n    pass\n_testsinglephase.sum(1, 2)\n",
    ],
    ids=["cause", "context", "suppressed", "caught, then missed"],
)
def test_auto_finds_the_refusal_behind_another_error(serve, text):
    server = serve("app.py", files={"app.py": text + textwrap.dedent(HELLO)})
    assert server.ask("/").text == "hello"
    assert "_testsinglephase" in server.log()


@own_gil_only
@needs("_testsinglephase")
def test_a_fallback_of_the_app_is_left_alone_and_mentioned(serve):
    """The package works without its extension: the app stays in own-gil, and the report says that
    it is slower.
    """
    source = """
        try:
            import _testsinglephase
        except ImportError:
            _testsinglephase = None

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(_testsinglephase).encode()]
    """
    server = serve("--isolation", "own-gil", source=source)
    assert server.ask("/").text == "None"
    assert "_testsinglephase" in server.log()


@own_gil_only
@needs("_testsinglephase")
def test_a_late_import_is_a_500_with_the_explanation_once(serve):
    source = """
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/late":
                import _testsinglephase
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"fine"]
    """
    server = serve("--isolation", "own-gil", source=source)
    for _ in range(3):
        assert server.ask("/late").status == 500
        assert server.ask("/").text == "fine"
    server.wait_for_log(r"--isolation")
    assert len(re.findall(r"--isolation", server.log())) <= 2


@own_gil_only
def test_no_mixture(serve):
    """All workers use one mode: the choice is made once."""
    files, _ = refusing("_testsinglephase")
    files["app.py"] = (
        "import sys, threading, uses_it\n"
        + """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(id(sys.modules)).encode()]
"""
    )
    server = serve("app.py", "--processes", 4, files=files)
    assert len(set(together(16, lambda _: server.ask("/").text))) == 1


# Regressions: set-ups that crashed


IMPORTS = """
    import datetime
    import email
    import sqlite3
    import zoneinfo

    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.create_function("twice", 1, lambda x: x * 2)

    def application(environ, start_response):
        value = connection.execute("select twice(21)").fetchone()[0]
        zone = datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("UTC")).isoformat()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{value} {zone}".encode()]
"""


@pytest.mark.stress
@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("auto", "main")])
def test_eight_interpreters_import_at_once(serve, mode, part):
    """30 starts (in three parts, for parallel runs) of 8 interpreters that import at the same time,
    serve and end.
    """
    starts = 10 if mode == "own-gil" or not HAS_OWN_GIL else 2
    for _ in range(starts):
        server = serve("--processes", 8, "--isolation", mode, source=IMPORTS)
        assert together(8, lambda _: server.ask("/").text) == ["42 2024-07-01T00:00:00+00:00"] * 8
        assert server.stop() == 0


THREADS = {
    "daemon asleep": "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
    "daemon busy": "threading.Thread(target=spin, daemon=True).start()",
    "daemon loop": "threading.Thread(target=loop, daemon=True).start()",
    "raw thread": "_thread.start_new_thread(time.sleep, (1000,))",
    "timer": "timer = threading.Timer(1000, print); timer.daemon = True; timer.start()",
    "pool": "pool = concurrent.futures.ThreadPoolExecutor(2); pool.submit(time.sleep, 0.05); pool.submit(time.sleep, 0.05)",
    "pool at rest": "pool = concurrent.futures.ThreadPoolExecutor(2); pool.submit(int).result()",
    "thread at exit": "atexit.register(lambda: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start())",
    "exit raises": "atexit.register(lambda: 1 / 0)",
    "exit speaks": "atexit.register(lambda: print('EVENT at exit', file=sys.stderr, flush=True))",
    "non-daemon that ends": "threading.Thread(target=time.sleep, args=(0.05,)).start()",
    "non-daemon for ever": "threading.Thread(target=loop).start()",
    "sentry-like": "queue_ = queue.Queue(); threading.Thread(target=lambda: [queue_.get() for _ in iter(int, 1)], daemon=True).start(); atexit.register(queue_.put, 1)",
}


@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.parametrize("mode", MODES)
def test_threads_of_the_app_do_not_hinder_the_end(serve, mode, thread):
    if thread == "daemon busy" and mode == "shared-gil" and PYTHON < (3, 13):
        pytest.skip(
            "CPython 3.12 asks its own interpreter, not the holder's, to let go of a shared GIL: a busy thread of another keeps it"
        )
    source = f"""
        import _thread, atexit, concurrent.futures, queue, sys, threading, time

        def loop():
            while True:
                time.sleep(0.01)

        def spin():
            while True:
                pass

        {THREADS[thread]}

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"fine"]
    """
    server = serve("--processes", 2, "--isolation", mode, "--reload-mercy", "2", source=source)
    assert server.ask("/").text == "fine"
    assert server.stop(seconds=20) == 0
    if thread == "exit speaks":
        assert "EVENT at exit" in server.log()


@pytest.mark.parametrize("mode", MODES)
def test_threads_made_by_the_app_are_no_daemons_by_default(serve, mode):
    source = """
        import threading

        at_import = threading.Thread(target=int).daemon

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{at_import} {threading.Thread(target=int).daemon}".encode()]
    """
    assert serve("--isolation", mode, source=source).ask("/").text == "False False"


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("mode", MODES)
def test_signal_handlers_are_ignored_and_told_once(serve, mode):
    source = """
        import signal

        before = signal.getsignal(signal.SIGUSR2)
        returned = signal.signal(signal.SIGUSR2, lambda *_: None)
        assert returned == before, returned
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        try:
            signal.signal(9999, signal.SIG_IGN)
        except ValueError as error:
            wrong = str(error)

        def application(environ, start_response):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [wrong.encode()]
    """
    server = serve("--processes", 2, "--isolation", mode, source=source)
    for _ in range(3):
        assert "out of range" in server.ask("/").text
    server.wait_for_log(r"signal\.signal\(SIGALRM\) is ignored \(app\.py, line 14\)")
    told = re.findall(r"signal\.signal\((\w+)\) is ignored \((.*?)\)", server.log())
    assert told == [
        ("SIGUSR2", "app.py, line 5"),
        ("SIGUSR2", "app.py, line 7"),
        ("SIGALRM", "app.py, line 14"),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_subprocesses_work(serve, mode):
    source = f"""
        import subprocess

        def application(environ, start_response):
            out = subprocess.run([{sys.executable!r}, "-c", "print(6 * 7)"], capture_output=True, text=True, timeout=30).stdout
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [out.strip().encode()]
    """
    server = serve("--processes", 2, "--isolation", mode, source=source)
    assert together(4, lambda _: server.ask("/", timeout=60).text) == ["42"] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("call", ["os.fork()", "os.execv('/bin/true', ['true'])"])
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("auto", "main")])
def test_fork_and_exec_are_refused_and_nothing_breaks(serve, mode, call):
    source = f"""
        import os

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                return [str({call}).encode()]
            except RuntimeError as error:
                return [str(error).encode()]
    """
    server = serve("--isolation", mode, source=source)
    for _ in range(2):
        text = server.ask("/").text
        # The error says what to do instead.
        assert call.partition("(")[0] + "()" in text
        assert "--isolation main" in text and "subprocess" in text


@pytest.mark.stress
@pytest.mark.parametrize("mode", MODES)
def test_a_storm_of_exceptions_in_parallel(serve, mode):
    """Exceptions are made and dropped in several interpreters at once, without touching each other."""
    server = serve("--processes", 4, "--isolation", mode, app="faults.py")
    paths = [
        "raise_before_start",
        "raise_at_first_piece",
        "bad_header?0",
        "plain",
        "raise_unprintable",
        "no_start?x",
        "bad_piece?0",
    ]

    def work(number):
        with server.connect() as connection:
            for step in range(60):
                path = paths[(number + step) % len(paths)]
                response = connection.ask(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                assert response.status == (200 if path == "plain" else 500)
                if not response.keeps_alive:
                    connection.close()
                    connection.__init__(server.address)

    together(8, work)


@own_gil_only
def test_two_interpreters_compute_in_parallel(serve, gate):
    """While one interpreter computes without releasing its GIL, the other answers."""
    source = """
        from knock import knock

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/hold":
                knock("begun")
                sum(range(400_000_000))  # one C call: the GIL is held throughout
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"done"]
    """
    server = serve("--processes", 2, "--isolation", "own-gil", source=source, gate=gate)
    with server.connect(timeout=60) as holder:
        holder.send(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        gate.visitor().release()
        for _ in range(20):
            assert server.ask("/quick").text == "done"
        holder.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            holder.socket.recv(1)
        holder.socket.settimeout(60)
        assert holder.receive().text == "done"
