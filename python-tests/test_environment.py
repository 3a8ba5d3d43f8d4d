"""The environment of the process: interpreters change it and read it at the same time, and each
version of the application starts from that of the start.
"""

import re
import signal
import threading

import pytest
from conftest import HAS_OWN_GIL
from versions import reload, rewrite

pytestmark = pytest.mark.wheel

OWN_GIL = pytest.mark.skipif(not HAS_OWN_GIL, reason="needs own-GIL interpreters")

# Each request works for a moment, so that the interpreters work side by side.
BUSY = """\
    import os, socket, subprocess, time

    def write(number):
        for at in range(40):
            os.environ[f"MADE_{number}_{at}"] = str(at) * (at % 7)
        os.putenv(f"PUT_{number}", "x" * number)
        for at in range(0, 40, 3):
            del os.environ[f"MADE_{number}_{at}"]
        os.unsetenv(f"PUT_{number}")

    def read(number):
        for _ in range(50):
            time.tzset()
            time.localtime()
        try:
            socket.getaddrinfo("127.0.0.1", number)
        except OSError:
            pass

    def start(number):
        told = subprocess.run(["env"], capture_output=True, text=True).stdout
        assert "STAYS=here" in told.splitlines(), told

    def application(environ, start_response):
        work = {"/write": write, "/read": read, "/start": start}[environ["PATH_INFO"]]
        end = time.monotonic() + 0.15
        number = 1
        while time.monotonic() < end:
            work(number % 50)
            number += 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [os.environ["STAYS"].encode()]
"""


@OWN_GIL
@pytest.mark.parametrize("isolation", ["own-gil", "shared-gil"])
def test_one_interpreter_writes_what_another_reads(serve, isolation):
    server = serve(
        *("--isolation", isolation, "--processes", "4", "--env", "STAYS=here", "--env", "TZ=UTC"),
        source=BUSY,
    )
    wrong = []

    def visit(path):
        for _ in range(12):
            response = server.ask(path)
            if (response.status, response.text) != (200, "here"):
                wrong.append((path, response))

    paths = ["/write", "/write", "/read", "/start"]
    visitors = [threading.Thread(target=visit, args=(path,)) for path in paths]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert not wrong, wrong[:3]


# A generation's own variables

DOTENV = """\
    import ctypes, json, os, subprocess

    FIRST = dict(os.environ)
    # As load_dotenv() does, and many settings modules.
    for line in open("dotenv"):
        name, value = line.strip().split("=")
        os.environ.setdefault(name, value)
    os.environ.pop("DELETED", None)
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p

    def application(environ, start_response):
        names = environ["QUERY_STRING"].split(",")
        told = subprocess.run(["env", "-0"], capture_output=True).stdout.split(b"\\0")
        child = dict(line.decode().split("=", 1) for line in told if line)
        c = [getenv(name.encode()) for name in names]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({
            "first": [FIRST.get(name) for name in names],
            "now": [os.environ.get(name) for name in names],
            "child": [child.get(name) for name in names],
            "c": [value and value.decode() for value in c],
        }).encode()]
"""


def variables(server, *names):
    answers = [server.ask("/?" + ",".join(names)).json() for _ in range(4)]
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]


def swap(server, number):
    reload(server)
    server.wait_for_log(rf"generation {number} serves \(")
    server.wait_for_log(rf"generation {number - 1} ended")


RELOADS = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="a reload is asked for by SIGHUP"
)


@OWN_GIL
@RELOADS
@pytest.mark.parametrize("isolation", ["own-gil", "shared-gil"])
def test_a_version_does_not_see_what_the_one_before_has_set(serve, isolation):
    names = ("ADDED", "INHERITED", "DELETED", "NEW")
    server = serve(
        *("--isolation", isolation, "--processes", "2"),
        source=DOTENV,
        files={"dotenv": "ADDED=one\nINHERITED=one\n"},
        environment={"INHERITED": "from outside", "DELETED": "from outside"},
    )
    at_start = [None, "from outside", "from outside", None]
    loaded = ["one", "from outside", None, None]
    expected = {"first": at_start, "now": loaded, "child": loaded, "c": loaded}
    assert variables(server, *names) == expected
    rewrite(server, "NEW=two\n", "dotenv")
    swap(server, 2)
    loaded = [None, "from outside", None, "two"]
    expected = {"first": at_start, "now": loaded, "child": loaded, "c": loaded}
    assert variables(server, *names) == expected
    rewrite(server, "ADDED=three\n", "dotenv")
    swap(server, 3)
    loaded = ["three", "from outside", None, None]
    expected = {"first": at_start, "now": loaded, "child": loaded, "c": loaded}
    assert variables(server, *names) == expected


@OWN_GIL
@RELOADS
def test_the_serving_version_keeps_its_variables_while_another_fails_to_load(serve):
    server = serve("--isolation", "own-gil", source=DOTENV, files={"dotenv": "ADDED=one\nTZ=UTC\n"})
    before = variables(server, "ADDED", "TZ")
    assert before["c"] == ["one", "UTC"]
    rewrite(server, "import os\nos.environ['NEW'] = '1'\n1 / 0\n")
    reload(server)
    server.wait_for_log("reload failed")
    assert variables(server, "ADDED", "TZ") == before


@OWN_GIL
@RELOADS
def test_the_configuration_changes_variables(serve, tmp_path):
    settings = "[uwsgi]\nwsgi-file = app.py\nisolation = own-gil\nprocesses = 2\n"
    server = serve(
        "site.ini",
        source=None,
        directory=tmp_path,
        files={
            "site.ini": settings + "env = A=one\nenv = B=one\nenvdir = variables\n",
            "variables/C": "one",
            "app.py": DOTENV,
            "dotenv": "",
        },
        environment={"B": "outside", "D": "outside"},
    )
    names = ("A", "B", "C", "D")
    every = ("first", "now", "child", "c")
    expected = ["one", "one", "one", "outside"]
    assert variables(server, *names) == dict.fromkeys(every, expected)
    (tmp_path / "variables/C").write_text("two")
    rewrite(server, settings + "env = A=two\nunenv = D\nenvdir = variables\n", "site.ini")
    swap(server, 2)
    expected = ["two", "outside", "two", None]
    assert variables(server, *names) == dict.fromkeys(every, expected)
    rewrite(server, settings, "site.ini")
    swap(server, 3)
    expected = [None, "outside", None, "outside"]
    assert variables(server, *names) == dict.fromkeys(every, expected)
    assert re.search(r"has changed: unenv \(.*\)|has changed: .*env", server.log())


@OWN_GIL
def test_every_interpreter_begins_with_the_variables_of_the_start(serve):
    source = """\
        import os
        BEFORE = os.environ.get("COUNT")
        os.environ["COUNT"] = "1" if BEFORE is None else str(int(BEFORE) + 1)

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [repr(BEFORE).encode()]
    """
    server = serve(
        *("--isolation", "own-gil", "--processes", "3"),
        *("--max-requests", "3", "--min-worker-lifetime", "0"),
        source=source,
    )
    assert {server.ask("/").text for _ in range(30)} == {"None"}
    server.wait_for_log("has a fresh interpreter")
    assert {server.ask("/").text for _ in range(10)} == {"None"}
