"""A free-threaded CPython: its GIL is off while the server serves, and an extension that turns it on
is named. On other Pythons only the last test runs.
"""

import subprocess
import sysconfig
import threading

import pytest
from client import together
from conftest import FREE_THREADED
from stacks import read as read_stacks

free_threaded_only = pytest.mark.skipif(
    not FREE_THREADED, reason="this Python always has a GIL: build for python3.14t"
)
IN_PARALLEL = "free-threaded CPython runs its threads in parallel"
# Says nothing of the GIL, so CPython takes it for one that needs it.
NEEDS_GIL = """
    static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "needs_gil", 0, -1};
    return PyModule_Create(&module);
"""
DOES_WITHOUT = """
    static PyModuleDef_Slot slots[] = {{Py_mod_gil, Py_MOD_GIL_NOT_USED}, {0}};
    static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "does_without", 0, 0, 0, slots};
    return PyModuleDef_Init(&module);
"""
APP = """
    import sys, threading
    {imports}
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/late":
            import needs_gil
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(sys._is_gil_enabled()).encode()]
"""


@pytest.fixture
def site(tmp_path):
    """A folder with the two extensions."""
    for name, body in (("needs_gil", NEEDS_GIL), ("does_without", DOES_WITHOUT)):
        source = tmp_path / f"{name}.c"
        source.write_text(f"#include <Python.h>\nPyMODINIT_FUNC PyInit_{name}(void) {{ {body} }}\n")
        library = tmp_path / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        include = ["-I", sysconfig.get_paths()["include"]]
        try:
            done = subprocess.run(
                ["cc", "-shared", "-fPIC", *include, "-o", library, source],
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            pytest.skip("no C compiler")
        if done.returncode != 0:
            pytest.skip("no headers of this Python")
    return tmp_path


def start(serve, site, imports, **others):
    source = APP.format(imports=imports)
    return serve("--pythonpath", site, "--threads", 4, source=source, **others)


@free_threaded_only
def test_the_gil_is_off_while_it_serves(serve, site):
    server = start(serve, site, "import does_without, datetime, json, socket, ssl, sqlite3, uwsgi")
    assert IN_PARALLEL in server.log()
    assert ", free-threaded (" in server.log()
    assert together(8, lambda _: server.ask("/").text) == ["False"] * 8


@free_threaded_only
def test_an_extension_that_turns_it_on_is_named_in_the_report(serve, site):
    server = start(serve, site, "import does_without, needs_gil")
    log = server.log()
    assert IN_PARALLEL not in log
    assert "its GIL is on: these extensions do not declare" in log
    assert "needs_gil, imported by uwsgi_file_app (app.py, line 3)" in log
    assert "does_without" not in log
    assert together(8, lambda _: server.ask("/").text) == ["True"] * 8


@free_threaded_only
def test_one_in_a_request_is_named_in_the_log(serve, site):
    server = start(serve, site, "")
    assert IN_PARALLEL in server.log()
    assert server.ask("/").text == "False"
    assert server.ask("/late").text == "True"
    server.wait_for_log(
        r"the extension needs_gil, imported by uwsgi_file_app \(app.py, line 6\) in GET /late does not declare"
    )
    # Threads that take turns still answer everything.
    answers = together(8, lambda _: [server.ask("/late").text for _ in range(25)])
    assert answers == [["True"] * 25] * 8
    assert server.log().count("does not declare") == 1


@free_threaded_only
@pytest.mark.parametrize(
    ("setting", "said"), [("1", "its GIL is on (PYTHON_GIL=1)"), ("0", IN_PARALLEL)]
)
def test_the_environment_decides(serve, site, setting, said):
    imports = "import needs_gil" if setting == "0" else ""
    server = start(serve, site, imports, environment={"PYTHON_GIL": setting})
    assert said in server.log()
    assert server.ask("/").text == str(setting == "1")


@free_threaded_only
@pytest.mark.parametrize("isolation", ["own-gil", "shared-gil"])
def test_subinterpreters_are_refused_with_a_sentence(serve, isolation):
    server = serve("--isolation", isolation, source=APP.format(imports=""), wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert "this Python was built without a GIL" in server.log()


def test_stacks_are_read_while_all_threads_run(serve, tmp_path):
    """Frames come and go while another thread walks them."""
    source = """
        import time

        def deep(n):
            return n and 1 + deep(n - 1)

        def application(environ, start_response):
            end = time.monotonic() + 0.02
            while time.monotonic() < end:
                deep(50)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
    """
    sockets = tmp_path / "tb"
    server = serve("--threads", 4, "--py-tracebacker", sockets, source=source)
    stop = threading.Event()

    def load(_):
        with server.connect() as connection:
            while not stop.is_set():
                assert connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
        return True

    def look(_):
        texts = [read_stacks(sockets) for _ in range(60)]
        stop.set()
        return any("in deep" in text for text in texts)

    done = together(5, lambda number: look(number) if number == 4 else load(number))
    assert done == [True] * 5


SHARES = """
    import os, threading, uwsgi

    COUNT = [0]
    KEPT = {}

    def application(environ, start_response):
        body, pieces, refused = environ["wsgi.input"], [], []

        def read():
            while piece := body.read(7):
                pieces.append(piece)

        def call():
            try:
                start_response("500 No", [])
            except RuntimeError:
                refused.append(1)

        others = [threading.Thread(target=work) for work in (read, read, call)]
        for other in others:
            other.start()
        read()
        for other in others:
            other.join()

        # What a thread kept of its last request is over.
        stale = 0
        last = KEPT.pop(threading.get_ident(), None)
        if last is not None:
            try:
                last[0]("200 OK", [])
            except RuntimeError:
                stale += 1
            try:
                last[1].read(1)
            except ValueError:
                stale += 1
        else:
            stale = 2
        if environ["PATH_INFO"] == "/kept":
            KEPT[threading.get_ident()] = start_response, body

        uwsgi.lock()
        COUNT[0] += 1
        number = COUNT[0]
        uwsgi.unlock()
        os.environ["SHARED"] = str(number)
        uwsgi.workers()
        total = sum(map(len, pieces))
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Number", str(number))])
        return [f"{total} {len(refused)} {stale}".encode()]
"""


def test_threads_share_an_input_and_keep_what_is_over(serve):
    server = serve("--isolation", "main", "--threads", 4, source=SHARES)
    numbers = []

    def client(number):
        for turn in range(40):
            length = 100 + 37 * number + turn
            path = "/kept" if turn % 3 == 0 else "/"
            answer = server.ask(path, method="POST", body=b"x" * length)
            assert answer.text == f"{length} 1 2", (number, turn)
            numbers.append(int(answer.headers["X-Number"]))

    together(8, client)
    assert sorted(numbers) == list(range(1, 321))
