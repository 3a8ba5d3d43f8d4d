"""--py-tracebacker: the stacks of all workers, also if the GIL of an interpreter is not free."""

import os
import re
import signal
import stat
import threading
import time

import pytest
from client import together
from conftest import PYTHON
from stacks import read
from test_isolation import own_gil_only

APP = """
    import _thread
    import ctypes
    import os
    import sys
    import threading
    import time

    release = threading.Event()

    def flush_for_ever():
        release.wait()

    threading.Thread(target=flush_for_ever, name="Flusher", daemon=True).start()
    _thread.start_new_thread(flush_for_ever, ())

    def wait_for_it(environ, path):
        while not os.path.exists(path):
            time.sleep(0.01)

    def deep(depth, path):
        return deep(depth - 1, path) if depth else wait_for_it(None, path)

    def application(environ, start_response):
        word, _, path = environ["PATH_INFO"][1:].partition("/")
        path = "/" + path
        if word == "wait":
            wait_for_it(environ, path)
        elif word == "deep":
            deep(250, path)
        elif word == "gil":
            # PyDLL keeps the GIL, and a pipe opens when somebody opens its other end.
            os.close(ctypes.PyDLL(None).open(path.encode(), os.O_RDONLY))
        elif word == "stream":
            def pieces():
                yield b"one"
                wait_for_it(environ, path)
                yield b"two"
            start_response("200 OK", [])
            return pieces()
        elif word == "frames":
            start_response("200 OK", [])
            frames = sys._current_frames()
            own = frames[threading.get_ident()].f_code.co_name
            strangers = [frame for frame in frames.values() if frame.f_builtins is not sys._getframe().f_builtins]
            names = sorted(thread.name for thread in threading.enumerate() if thread.ident in frames)
            return [f"{own} {len(strangers)} {names} {len(sys._current_exceptions())}".encode()]
        start_response("200 OK", [])
        return [b"done"]
"""


@pytest.fixture(params=["own-gil", "shared-gil", "main"])
def mode(request, isolations):
    if request.param not in isolations:
        pytest.skip(f"this Python has no {request.param}")
    return request.param


def read_until(path, pattern):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        text = read(path)
        if re.search(pattern, text):
            return text
        time.sleep(0.01)
    raise AssertionError(f"never {pattern} in\n{text}")


@pytest.fixture
def waiting():
    """Requests that are sent on their own threads and answered when `let_go` is touched."""
    threads = []

    def ask(server, path):
        thread = threading.Thread(target=server.ask, args=(path,))
        thread.start()
        threads.append(thread)

    yield ask
    for thread in threads:
        thread.join(30)


def test_requests_and_threads(serve, mode, tmp_path, waiting):
    """The request and stack of each worker, and the application's own threads."""
    sockets, go = tmp_path / "tb", tmp_path / "go"
    server = serve(
        "--isolation",
        mode,
        "--processes",
        2,
        "--threads",
        2,
        "--py-tracebacker",
        sockets,
        source=APP,
    )
    text = read(sockets)
    assert text.count(": idle\n") == 4
    assert re.search(
        r"thread Flusher of the application, in worker 1 .*\n(?s:.*)in flush_for_ever\n    release.wait\(\)",
        text,
    )
    assert "thread (without a name) of the application" in text
    try:
        waiting(server, f"/wait{go}?why=not")
        text = read_until(sockets, r"GET /wait(?s:.*)in wait_for_it")
        assert re.search(
            rf"worker \d core \d \(generation 1, interpreter \d+\): GET /wait{go}\?why=not for \d+\.\d{{3}} s\n",
            text,
        )
        assert re.search(
            r'File ".*app.*\.py", line \d+, in application\n    wait_for_it\(environ, path\)\n'
            r'  File ".*", line \d+, in wait_for_it\n',
            text,
        )
        assert text.count(": idle\n") == 3
    finally:
        go.touch()
    assert read_until(sockets, "(?s)(: idle\n.*){4}")


def test_a_stream_and_a_deep_stack(serve, tmp_path, waiting):
    sockets, go = tmp_path / "tb", tmp_path / "go"
    server = serve("--threads", 2, "--py-tracebacker", sockets, source=APP)
    try:
        waiting(server, f"/stream{go}")
        assert read_until(sockets, f"GET /stream{go} for (?s:.*)in application.<locals>.pieces")
        waiting(server, f"/deep{go}")
        text = read_until(sockets, r"\[\d+ outer calls\]")
        assert text.count("in deep\n") < 250
    finally:
        go.touch()


def test_a_gil_that_c_code_holds(serve, mode, tmp_path, waiting):
    """After a bounded time the state of the thread is shown; with own GILs the other workers are
    shown as usual.
    """
    if mode == "shared-gil" and PYTHON < (3, 13):
        pytest.skip("harakiri is refused with shared-gil on 3.12")
    sockets, go = tmp_path / "tb", tmp_path / "go"
    os.mkfifo(go)
    server = serve(
        "--isolation",
        mode,
        "--processes",
        2,
        "--harakiri",
        600,
        "--py-tracebacker",
        sockets,
        source=APP,
    )
    try:
        waiting(server, f"/gil{go}")
        silence = "  no Python stack: the interpreter's GIL did not become free within 1 s; code outside of Python holds it"
        told = rf"GET /gil{go} for \d+\.\d+ s\n  thread \d+ \".*\": sleeping in open(at)?, .*\n{silence}"
        text = read_until(
            sockets, told if mode == "own-gil" else rf"(?s){told}.*{silence}|{silence}.*{told}"
        )
        assert text.count(silence) == (1 if mode == "own-gil" else 2)
        # Looks do not pile up.
        together(4, lambda _: read(sockets))
        server.wait_until(
            lambda: names_of_threads(server).count("sm-look") <= 2,
            what="one look at an interpreter",
        )
        text = read(f"{sockets}1") + read(f"{sockets}2")
        assert "has no stack: code outside of Python holds the GIL (GET /gil" in text
    finally:
        os.close(os.open(go, os.O_WRONLY | os.O_NONBLOCK))
    assert read_until(sockets, "(?s)(: idle\n.*){2}")
    assert server.ask("/").text == "done"


def names_of_threads(server):
    tasks = f"/proc/{server.process.pid}/task"
    names = []
    for task in os.listdir(tasks):
        try:
            with open(f"{tasks}/{task}/comm") as comm:
                names.append(comm.read().strip())
        except OSError:  # it has just ended
            pass
    return names


def test_an_import_that_does_not_end(serve, tmp_path):
    sockets, go = tmp_path / "tb", tmp_path / "go"
    source = f"""
        import os
        import time

        def connect_to_the_database():
            while not os.path.exists({str(go)!r}):
                time.sleep(0.01)

        connect_to_the_database()

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"done"]
    """
    server = serve("--py-tracebacker", sockets, source=source, wait=False)
    server.wait_for_log("the Python tracebacker is available")
    try:
        assert read_until(sockets, r"loading the application\n(?s:.*)in connect_to_the_database\n")
    finally:
        go.touch()
    server.wait_until_ready()
    assert ": idle\n" in read(sockets)


def test_uwsgis_format(serve, mode, tmp_path, waiting):
    """One socket for each worker, as its tools expect."""
    sockets, go = tmp_path / "tb", tmp_path / "go"
    server = serve("--isolation", mode, "--processes", 2, "--py-tracebacker", sockets, source=APP)
    for path in [sockets, f"{sockets}1", f"{sockets}2"]:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not os.path.exists(f"{sockets}3")
    try:
        waiting(server, f"/wait{go}")
        read_until(sockets, "GET /wait")
        texts = [read(f"{sockets}{worker}") for worker in (1, 2)]
    finally:
        go.touch()
    for text in texts:
        assert text.startswith("*** uWSGI Python tracebacker output ***\n\nthread_id = ")
        assert re.search(
            r"^thread_id = Flusher filename = .*threading.py lineno = \d+ function = Thread._bootstrap line = ",
            text,
            re.M,
        )
        assert re.search(
            r"^thread_id = <UnnamedPythonThread> filename = .* function = flush_for_ever line = release.wait\(\)$",
            text,
            re.M,
        )
    lines = [
        re.findall(
            r"^thread_id = (uWSGIWorker\dCore\d) .* function = wait_for_it line = .*$", text, re.M
        )
        for text in texts
    ]
    assert sorted(map(len, lines)) == [0, 1]
    for worker, found in enumerate(lines, 1):
        assert found in ([], [f"uWSGIWorker{worker}Core0"])


def test_sys_current_frames_stays_at_home(serve, mode):
    """CPython's own function makes objects of frames of other interpreters, and crashes."""
    server = serve("--isolation", mode, "--processes", 2, "--threads", 2, source=APP)
    answers = together(4, lambda _: {server.ask("/frames").text for _ in range(200)})
    for text in set().union(*answers):
        own, strangers, names, exceptions = re.fullmatch(
            r"(\w+) (\d+) \[(.*)\] (\d+)", text
        ).groups()
        assert (own, strangers) == ("application", "0")
        assert "'Flusher'" in names and "'uWSGIWorker" in names
        assert int(exceptions) >= 1


@own_gil_only
def test_looks_and_reloads(serve, tmp_path):
    """Reading stacks again and again does no harm while interpreters are made and ended."""
    sockets = tmp_path / "tb"
    server = serve("--processes", 2, "--py-tracebacker", sockets, source=APP)
    done = threading.Event()

    def look():
        count = 0
        while not done.is_set() or count < 20:
            assert "generation" in read(sockets)
            count += 1

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for generation in range(2, 6):
            server.send_signal(signal.SIGHUP)
            server.wait_for_log(rf"generation {generation} serves")
            assert server.ask("/").text == "done"
    finally:
        done.set()
        looker.join(60)
    assert not looker.is_alive()
    assert server.stop() == 0
