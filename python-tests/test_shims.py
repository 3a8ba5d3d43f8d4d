"""What takes an interpreter for a process, and is changed when it is imported."""

import json
import os
import sys

import pytest
from conftest import HAS_OWN_GIL
from versions import reload

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
OWN_GIL = pytest.mark.skipif(not HAS_OWN_GIL, reason="needs own-GIL interpreters")
EVERY = pytest.mark.parametrize("isolation", [pytest.param("own-gil", marks=OWN_GIL), "main"])

POOLS = """\
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    def double(number):
        return 2 * number

    def pool(context):
        with context.Pool(2) as pool:
            return pool.map(double, [1, 2, 3])

    def executor(context):
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            return list(executor.map(double, [1, 2, 3]))

    def process(context):
        process = context.Process(target=double, args=(1,))
        process.start()
        process.join(30)
        return process.exitcode

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        way = globals()[environ["PATH_INFO"].strip("/")]
        try:
            return [repr(way(multiprocessing.get_context(environ["QUERY_STRING"]))).encode()]
        except RuntimeError as error:
            return [str(error).encode()]
"""


@EVERY
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_find_the_functions_of_an_application_that_is_a_file(serve, isolation, method):
    server = serve(
        *("--wsgi-file", "site.wsgi", "--isolation", isolation, "--threads", "2"),
        files={"site.wsgi": POOLS},
    )
    assert server.ask(f"/pool?{method}", timeout=60).text == "[2, 4, 6]"
    assert server.ask(f"/executor?{method}", timeout=60).text == "[2, 4, 6]"
    assert server.ask(f"/process?{method}", timeout=60).text == "0"


@OWN_GIL
@pytest.mark.parametrize("way", ["pool", "executor", "process"])
def test_multiprocessing_by_fork_says_what_to_do(serve, way):
    server = serve("--isolation", "own-gil", source=POOLS)
    text = server.ask(f"/{way}?fork", timeout=60).text
    assert "os.fork() does not work" in text
    assert "--isolation main" in text and "get_context('spawn')" in text


@OWN_GIL
def test_a_function_before_exec_says_what_to_do(serve):
    source = """\
        import subprocess

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                subprocess.run(["true"], preexec_fn=print)
            except RuntimeError as error:
                return [str(error).encode()]
    """
    text = serve("--isolation", "own-gil", source=source).ask("/").text
    assert "preexec_fn does not work" in text and "--isolation main" in text


# What prometheus_client 0.25 has, as far as it matters: files by process, kept in memory.
CLIENT = """\
    import json, os
    from threading import Lock


    def MultiProcessValue(process_identifier=os.getpid):
        pid = {"value": process_identifier()}

        class MmapedValue:
            def __init__(self, name):
                assert pid["value"] == process_identifier()
                self.path = os.path.join(
                    os.environ["PROMETHEUS_MULTIPROC_DIR"], f"counter_{pid['value']}.db"
                )
                try:
                    self.value = json.load(open(self.path))
                except FileNotFoundError:
                    self.value = 0

            def inc(self, amount):
                self.value += amount
                with open(self.path, "w") as file:
                    json.dump(self.value, file)

        return MmapedValue


    def get_value_class():
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            return MultiProcessValue()


    ValueClass = get_value_class()
"""
COUNTING = """\
    from threading import Lock
    from prometheus_client import values

    VALUE, LOCK = values.ValueClass("requests"), Lock()

    def application(environ, start_response):
        with LOCK:
            VALUE.inc(1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"counted"]
"""


@OWN_GIL
def test_prometheus_counts_each_interpreter_in_a_file_of_its_own(serve, tmp_path):
    numbers = tmp_path / "numbers"
    numbers.mkdir()
    server = serve(
        *("--isolation", "own-gil", "--processes", "3"),
        source=COUNTING,
        files={"prometheus_client/__init__.py": "", "prometheus_client/values.py": CLIENT},
        environment={"PROMETHEUS_MULTIPROC_DIR": str(numbers)},
    )
    for _ in range(60):
        assert server.ask("/").text == "counted"
    reload(server)
    server.wait_for_log("generation 1 ended")
    for _ in range(60):
        assert server.ask("/").text == "counted"
    counted = {path.name: json.loads(path.read_text()) for path in numbers.iterdir()}
    assert sum(counted.values()) == 120
    pid = server.process.pid
    assert f"counter_{pid}-1.db" in counted and f"counter_{pid}.db" not in counted


@OWN_GIL
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such locks")
def test_lockf_excludes_another_interpreter(serve):
    source = """\
        import fcntl, uwsgi

        FILE = open("lock", "a+")

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                fcntl.lockf(FILE, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # What other files of this process do does not end the lock.
                open("lock").close()
                return [f"{uwsgi.worker_id()}".encode()]
            except BlockingIOError:
                return [b"held"]
    """
    server = serve("--isolation", "own-gil", "--processes", "3", source=source)
    first = server.ask("/").text
    assert first != "held"
    answers = {server.ask("/").text for _ in range(30)}
    assert answers == {first, "held"}
