"""Reload: the next version takes over without a lost request, or the old one keeps serving."""

import operator
import os
import re
import signal
import subprocess

import pytest
from conftest import HAS_OWN_GIL
from storm import BROKEN, Load, Site, reload_often
from versions import reload, rewrite

from server import binary

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a reload is asked for by SIGHUP"),
    pytest.mark.skipif(
        not HAS_OWN_GIL, reason="two generations in one process need own-GIL interpreters"
    ),
]

HELLO = """\
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{}"]
"""

# Requests for /held, and the import if GATED is in the environment, wait at the test's gate.
GATED = """\
    import os
    from knock import knock
    VERSION = "{version}"
    if {held_import}:
        knock("import " + VERSION)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/held":
            knock("request " + VERSION)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [VERSION.encode()]
"""


def threads(server):
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


# Under load


@pytest.mark.parametrize(
    "arguments",
    [
        ("--isolation", "own-gil", "--processes", "2", "--threads", "2"),
        ("--isolation", "own-gil", "--processes", "3", "--poll", "acceptor"),
        ("--isolation", "shared-gil", "--processes", "2"),
        ("--processes", "1"),
    ],
    ids=lambda arguments: " ".join(arguments).replace("--", ""),
)
def test_twenty_reloads_under_load_lose_nothing(serve, tmp_path, arguments):
    site = Site(tmp_path)
    site.version(1)
    server = serve("app.py", *arguments, directory=tmp_path)
    # Without an isolation of its own a row takes the one of the run: the main interpreter is renewed
    # with its process.
    mode = "exec" if "isolation: main" in server.log() else "swap"
    with Load(server.address, seed=arguments) as load:
        last = reload_often(server, site, reloads=20, seed=arguments, mode=mode)
    assert not load.failures, load.failures[:5]
    assert load.newest == last
    assert load.answered > 100
    # Every old generation has ended, so nothing of it is left.
    if mode == "swap":
        server.wait_for_log(r"generation \d+ ended \(", count=16)
    assert "parked" not in server.log()


def test_old_generations_leave_no_threads_and_no_descriptors(serve):
    server = serve("--processes", "2", "--threads", "2", source=HELLO.format("a"))

    def reload_and_settle(count):
        reload(server)
        server.wait_for_log(r"generation \d+ ended \(", count=count)

    for count in range(1, 4):
        reload_and_settle(count)
    before = threads(server), server.open_descriptors()
    for count in range(4, 10):
        reload_and_settle(count)
    # Fewer is possible: the thread that told of the third one's end may still have been counted.
    now = lambda: (threads(server), server.open_descriptors())
    server.wait_until(
        lambda: all(map(operator.le, now(), before)),
        what=f"no more threads and descriptors than {before}",
    )


# One after the other


def test_requests_in_the_old_version_are_finished_by_it(serve, gate):
    server = serve("--processes", "2", gate=gate, source=GATED.format(version=1, held_import=False))
    with server.connect() as held:
        held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        visitor = gate.visitor()
        assert visitor.word == "request 1"
        reload(server, GATED.format(version=2, held_import=False))
        server.wait_for_log(r"generation 2 serves \(2 interpreters in ")
        assert server.ask("/").text == "2"
        assert "generation 1 ended" not in server.log()
        visitor.release()
        assert held.receive().text == "1"
        # The connection lives on, in the new version.
        assert held.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text == "2"
    server.wait_for_log(r"generation 1 ended \(1 request finished\)")


def test_queued_requests_are_not_lost(serve, gate):
    """One worker, busy; three requests wait in its queue when the generation is retired."""
    server = serve(gate=gate, source=GATED.format(version=1, held_import=False))
    connections = [server.connect() for _ in range(4)]
    for connection in connections:
        connection.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
    first = gate.visitor()
    # A request behind them that is answered at once by the old version would have to wait: so ask
    # for the count.
    reload(server, GATED.format(version=2, held_import=False))
    server.wait_for_log(r"generation 2 serves")
    first.release()
    # Whether the queue or the kernel held them, each comes to the gate, in whatever version.
    for _ in range(3):
        gate.visitor().release()
    texts = [connection.receive().text for connection in connections]
    assert texts[0] == "1" and set(texts) <= {"1", "2"}
    for connection in connections:
        assert connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text == "2"
        connection.close()
    server.wait_for_log(r"generation 1 ended")


def test_an_idle_keep_alive_connection_meets_the_new_version(serve):
    server = serve("--processes", "2", source=HELLO.format("old"))
    with server.connect() as connection:
        assert connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text == "old"
        reload(server, HELLO.format("new"))
        server.wait_for_log("generation 2 serves")
        assert connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text == "new"


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_version_that_does_not_load_changes_nothing(serve, what):
    server = serve("--processes", "2", source=HELLO.format("good"))
    reload(server, BROKEN[what])
    server.wait_for_log(
        r"\[ERROR\] reload failed: the application could not be loaded, see above; generation 1 serves on"
    )
    expected = {
        "a syntax error": "SyntaxError",
        "an exception": "broken on purpose",
        "nothing to call": "no `application`",
    }
    assert expected.get(what, "surely_not_there") in server.log()
    assert server.ask("/").text == "good"
    reload(server, HELLO.format("mended"))
    server.wait_for_log("generation 3 serves")
    assert server.ask("/").text == "mended"


def test_signals_that_come_meanwhile_become_one_reload(serve, gate):
    server = serve(gate=gate, source=GATED.format(version=1, held_import=False))
    reload(server, GATED.format(version=2, held_import=True))
    visitor = gate.visitor()
    assert visitor.word == "import 2"
    # What is asked for now is loaded now: the running reload has read its file already.
    rewrite(server, GATED.format(version=3, held_import=False))
    for count in range(1, 4):
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(
            "SIGHUP: (a reload is under way; one more follows|one more reload waits already)",
            count=count,
        )
    assert server.ask("/").text == "1"
    visitor.release()
    server.wait_for_log("generation 3 serves")
    server.wait_for_log(r"generation 2 ended")
    assert server.ask("/").text == "3"
    assert server.log().count(": reloading;") == 2


def test_an_application_that_takes_too_long_to_load(serve, gate):
    server = serve(
        "--reload-timeout", "0.3", gate=gate, source=GATED.format(version=1, held_import=False)
    )
    reload(server, GATED.format(version=2, held_import=True))
    visitor = gate.visitor()
    server.wait_for_log(
        r"reload failed: the application was still loading .*--reload-timeout\); generation 1 serves on"
    )
    assert server.ask("/").text == "1"
    visitor.release()
    reload(server, GATED.format(version=3, held_import=False))
    server.wait_for_log("generation 3 serves")
    assert server.ask("/").text == "3"


def test_an_application_that_was_missing_comes_by_reload(serve):
    server = serve("app.py", "--processes", "2", files={"other.py": ""})
    assert server.ask("/").status == 500
    reload(server, HELLO.format("here"))
    server.wait_for_log(r"generation 2 serves \(2 interpreters")
    assert server.ask("/").text == "here"


# Reload and stop


def test_a_stop_gives_a_reload_up(serve, gate):
    server = serve(gate=gate, source=GATED.format(version=1, held_import=False))
    reload(server, GATED.format(version=2, held_import=True))
    gate.visitor()
    assert server.stop() == 0
    assert "the reload is abandoned" in server.log()


def test_a_reload_during_a_stop_is_nothing(serve, gate):
    server = serve(gate=gate, source=GATED.format(version=1, held_import=False))
    with server.connect() as held:
        held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        visitor = gate.visitor()
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("SIGHUP: the server stops; there is nothing to reload")
        visitor.release()
        assert held.receive().text == "1"
    assert server.wait_for_exit() == 0


def test_a_stop_waits_for_requests_of_an_old_generation(serve, gate):
    server = serve(gate=gate, source=GATED.format(version=1, held_import=False))
    with server.connect() as held:
        held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        visitor = gate.visitor()
        reload(server, GATED.format(version=2, held_import=False))
        server.wait_for_log("generation 2 serves")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        visitor.release()
        assert held.receive().text == "1"
    assert server.wait_for_exit() == 0


# Threads and exit hooks of the application


def test_exit_hooks_of_the_old_version_run(serve):
    source = """\
    import atexit, threading, time
    VERSION = "{}"
    atexit.register(lambda: print("goodbye from", VERSION, flush=True))
    def idle():
        while True:
            time.sleep(0.01)
    threading.Thread(target=idle, daemon=True).start()
    """ + HELLO.lstrip()
    server = serve(source=source.format("old", "old"))
    reload(server, source.format("new", "new"))
    server.wait_for_log("goodbye from old")
    server.wait_for_log(r"generation 1 ended \(0 requests finished\)")
    assert "goodbye from new" not in server.log()


def test_a_thread_that_cannot_be_ended_parks_its_interpreter(serve):
    source = """\
    import _thread, os
    _thread.start_new_thread(os.read, (os.pipe()[0], 1))
    """ + HELLO.lstrip()
    server = serve("--reload-mercy", "0.5", source=source.format("old"))
    reload(server, HELLO.format("new"))
    server.wait_for_log(r"an interpreter is parked: .*generation=1 worker=1 threads_left=1")
    server.wait_for_log(
        r"generation 1 ended \(0 requests finished, 1 interpreter parked, 1 in all\)"
    )
    assert server.ask("/").text == "new"


# Files


def test_saves_of_the_same_second_and_size_are_all_seen(serve):
    """Python's bytecode files tell versions apart by whole seconds and size only."""
    package = {"package/__init__.py": "", "package/version.py": "VERSION = b'00'\n"}
    source = """\
        from package.version import VERSION
        def application(environ, start_response):
            start_response("200 OK", [])
            return [VERSION]
    """
    server = serve(source=source, files=package)
    for number in range(1, 8):
        (server.directory / "package/version.py").write_text(f"VERSION = b'{number:02}'\n")
        reload(server)
        server.wait_for_log(rf"generation {number + 1} serves")
        assert server.ask("/").text == f"{number:02}"


def test_bytecode_that_was_made_before_the_last_save_is_not_trusted(serve, tmp_path):
    """As another Python would leave it: the same second, the same size, another text."""
    import py_compile

    second = 1_600_000_000
    source = tmp_path / "app.py"
    # The server's Python finds the file that this one makes: both are the same version.
    texts = [
        f"def application(e, s):\n    s('200 OK', [])\n    return [b'{word}']\n"
        for word in ("stale", "fresh")
    ]
    source.write_text(texts[0])
    os.utime(source, ns=(0, second * 10**9 + 100_000_000))
    bytecode = py_compile.compile(
        str(source), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP
    )
    os.utime(bytecode, ns=(0, second * 10**9 + 500_000_000))
    source.write_text(texts[1])
    os.utime(source, ns=(0, second * 10**9 + 900_000_000))
    assert serve("app.py", directory=tmp_path).ask("/").text == "fresh"


def test_a_directory_that_was_changed_after_the_load_is_no_obstacle(serve):
    server = serve(
        "--chdir2", "elsewhere", source=HELLO.format("old"), files={"elsewhere/empty": ""}
    )
    reload(server, HELLO.format("new"))
    server.wait_for_log("generation 2 serves")
    assert server.ask("/").text == "new"


def test_hooks_run_again(serve):
    hooks = [
        "--hook-post-app",
        "print:loaded",
        "--hook-accepting-once",
        "print:once",
        "--hook-accepting1",
        "print:accepting",
    ]
    server = serve(*hooks, source=HELLO.format("a"))
    reload(server)
    server.wait_for_log("generation 2 serves")
    log = server.log()
    assert [
        len(re.findall(f"^{word}$", log, re.MULTILINE)) for word in ("loaded", "once", "accepting")
    ] == [2, 1, 2]


def test_the_command_line_reloads_by_pidfile(serve):
    server = serve("--pidfile", "app.pid", source=HELLO.format("old"))
    rewrite(server, HELLO.format("new"))
    done = subprocess.run(
        [binary(), "--reload", "app.pid"],
        cwd=server.directory,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    server.wait_for_log("generation 2 serves")
    assert server.ask("/").text == "new"


# One interpreter after the other

COUNTING = """\
    import threading
    ANSWERS = iter(range(1, 10**9))
    LOCK = threading.Lock()

    def application(environ, start_response):
        with LOCK:
            number = next(ANSWERS)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % number]
"""


@pytest.mark.parametrize(
    "arguments",
    [("--processes", "3", "--threads", "2"), ("--isolation", "shared-gil", "--processes", "2")],
    ids=["own-gil", "shared-gil"],
)
def test_a_rolling_reload_loses_nothing(serve, tmp_path, arguments):
    site = Site(tmp_path)
    site.version(1)
    server = serve("app.py", "--reload-mode", "rolling", *arguments, directory=tmp_path)
    with Load(server.address, seed=arguments, monotonous=False) as load:
        last = reload_often(server, site, reloads=10, seed=arguments, mode="rolling")
    assert not load.failures, load.failures[:5]
    assert load.newest == last
    assert server.ask("/").text == f"{last};"
    assert "generation 2" not in server.log()


def test_a_rolling_reload_stops_where_it_fails(serve, gate):
    source = """\
        from knock import knock
        word = knock("import {version}")
        if word == "-":
            raise RuntimeError("no more of this")
        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"{version}"]
    """
    server = serve(
        "--reload-mode",
        "rolling",
        "--processes",
        "2",
        gate=gate,
        source=source.format(version=1),
        wait=False,
    )
    for _ in range(2):
        gate.visitor().release()
    server.wait_until_ready()
    reload(server, source.format(version=2))
    gate.visitor().release()
    gate.visitor().release(b"-")
    server.wait_for_log("reload failed at worker 2: .*1 of 2 interpreters have the new version")
    assert server.ask("/").text in "12"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_max_requests_replaces_interpreters_and_loses_nothing(serve, threads):
    server = serve(
        "--processes",
        "2",
        "--threads",
        threads,
        "--max-requests",
        "50",
        "--min-worker-lifetime",
        "0",
        source=COUNTING,
    )
    numbers = []
    with server.connect() as connection:
        # One client is served by the interpreter that is warm; the other one has its turn while
        # that is replaced.
        while server.log().count("has a fresh interpreter") < 3 and len(numbers) < 100_000:
            numbers.append(int(connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text))
    server.wait_for_log(
        r"worker \d: \d+ requests \(--max-requests\); it gets a fresh interpreter", count=3
    )
    server.wait_for_log(r"worker \d has a fresh interpreter", count=3)
    assert numbers.count(1) >= 2, "a fresh interpreter counts from 1"


def test_interpreters_younger_than_their_least_lifetime_are_not_replaced(serve):
    server = serve("--max-requests", "5", source=COUNTING)
    for number in range(1, 21):
        assert server.ask("/").text == str(number)
    assert "fresh interpreter" not in server.log()


def test_a_replacement_that_does_not_load_leaves_the_old_one(serve):
    server = serve("--max-requests", "5", "--min-worker-lifetime", "0", source=COUNTING)
    rewrite(server, BROKEN["an exception"])
    for number in range(1, 21):
        assert server.ask("/").text == str(number)
    server.wait_for_log("worker 1 gets no fresh interpreter and serves on: .*")
    assert int(server.ask("/").text) == 21


def test_max_worker_lifetime(serve):
    server = serve(
        "--processes",
        "2",
        "--max-worker-lifetime",
        "1",
        "--min-worker-lifetime",
        "0",
        source=COUNTING,
    )
    for worker in (1, 2):
        server.wait_for_log(rf"worker {worker}: \d+ s old \(--max-worker-lifetime\)")
    server.wait_for_log(r"worker \d has a fresh interpreter", count=2)
    assert server.ask("/").status == 200


def test_memory_makes_the_oldest_interpreter_due(serve):
    server = serve(
        "--processes", "2", "--reload-on-rss", "1", "--min-worker-lifetime", "0", source=COUNTING
    )
    server.wait_for_log(
        r"worker 1: \d+ MB resident for 2 x 1 MB \(--reload-on-rss\); it gets a fresh interpreter"
    )
    server.wait_for_log("worker 1 has a fresh interpreter")
    assert server.ask("/").status == 200


# What starts a reload


def touch(path):
    os.utime(path)


@pytest.mark.parametrize("option", ["--touch-reload", "--fs-reload"])
def test_a_touched_file_reloads(serve, option):
    server = serve(
        option, "touched", source=HELLO.format("old"), files={"touched": "", "other": ""}
    )
    rewrite(server, HELLO.format("new"))
    touch(server.directory / "other")
    touch(server.directory / "touched")
    server.wait_for_log(rf"{option[2:]}: .*/touched has changed: reloading")
    server.wait_for_log("generation 2 serves")
    assert server.ask("/").text == "new"


def test_a_touch_file_may_come_later(serve):
    server = serve("--touch-reload", "later", source=HELLO.format("old"))
    server.wait_for_log(
        "--touch-reload: later is not there; when it appears, that counts as a touch"
    )
    (server.directory / "later").write_text("")
    server.wait_for_log("generation 2 serves")
    touch(server.directory / "later")
    server.wait_for_log("generation 3 serves")


@pytest.mark.parametrize("option", ["--touch-chain-reload", "--touch-workers-reload"])
def test_a_touched_file_reloads_one_after_the_other(serve, option):
    server = serve(
        option, "touched", "--processes", "2", source=HELLO.format("old"), files={"touched": ""}
    )
    rewrite(server, HELLO.format("new"))
    touch(server.directory / "touched")
    server.wait_for_log(r"every interpreter of generation 1 is new \(2 in ")
    assert server.ask("/").text == "new"


def test_a_folder_that_changes_reloads(serve):
    server = serve(
        "--fs-reload", "settings", source=HELLO.format("a"), files={"settings/deep/a.json": "{}"}
    )
    (server.directory / "settings/deep/a.json").write_text("[]")
    server.wait_for_log("generation 2 serves")


def test_touch_logreopen(serve, tmp_path):
    log = tmp_path / "app.log"
    server = serve(
        "app.py",
        "--logto",
        "app.log",
        "--touch-logreopen",
        "again",
        directory=tmp_path,
        wait=False,
        files={"app.py": HELLO.format("a"), "again": ""},
    )
    server.wait_until(
        lambda: log.exists() and "ready " in log.read_text(), what="ready in the log file"
    )
    log.rename(tmp_path / "app.log.1")
    touch(tmp_path / "again")
    server.wait_until(
        lambda: log.exists() and "opened again" in log.read_text(), what="a new log file"
    )
    assert "reloading" not in log.read_text()


AUTORELOAD = {
    "package/__init__.py": "",
    "package/early.py": "WORD = 'early 1'\n",
    "package/late.py": "WORD = 'late 1'\n",
    "package/never.py": "WORD = 'never'\n",
    "package/ignored.py": "WORD = 'ignored'\n",
}

AUTORELOAD_APP = """\
    from package import early, ignored
    def application(environ, start_response):
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/late":
            from package import late
            return [late.WORD.encode()]
        return [early.WORD.encode()]
"""


def test_py_autoreload_sees_what_was_imported(serve):
    arguments = ["--py-autoreload", "1", "--py-auto-reload-ignore", "package.ignored"]
    server = serve(*arguments, source=AUTORELOAD_APP, files=AUTORELOAD)
    package = server.directory / "package"
    # This one is not imported, and that one is excluded.
    (package / "never.py").write_text("WORD = 'changed'\n")
    (package / "ignored.py").write_text("WORD = 'changed'\n")
    (package / "early.py").write_text("WORD = 'early 2'\n")
    server.wait_for_log(r"py-autoreload: .*/early.py has changed: reloading")
    server.wait_for_log("generation 2 serves")
    assert server.ask("/").text == "early 2"
    # Imported by a request only.
    assert server.ask("/late").text == "late 1"
    (package / "late.py").write_text("WORD = 'late 2'\n")
    server.wait_for_log("generation 3 serves")
    assert server.ask("/late").text == "late 2"
    assert "never.py" not in server.log() and "ignored.py" not in server.log()


def test_py_autoreload_recovers_from_a_broken_save(serve):
    server = serve("--py-autoreload", "1", source=AUTORELOAD_APP, files=AUTORELOAD)
    fresh = server.directory / "package/fresh.py"
    fresh.write_text("this is no Python\n")
    rewrite(server, AUTORELOAD_APP.replace("import early, ignored", "import early, fresh"))
    server.wait_for_log("SyntaxError")
    server.wait_for_log("reload failed: .*; generation 1 serves on")
    # A file that no version that served has imported: it is in the traceback.
    fresh.write_text("WORD = 'mended'\n")
    server.wait_for_log("generation 3 serves")


def test_exceptions_replace_an_interpreter(serve):
    source = """\
        ANSWERS = iter(range(1, 100))
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/divide":
                1 / 0
            if environ["PATH_INFO"] == "/key":
                {}["no such key"]
            start_response("200 OK", [])
            return [b"%d" % next(ANSWERS)]
    """
    arguments = ["--reload-on-exception-type", "ZeroDivisionError", "--min-worker-lifetime", "0"]
    server = serve(*arguments, source=source)
    assert [server.ask("/").text for _ in range(3)] == ["1", "2", "3"]
    assert server.ask("/key").status == 500
    assert server.ask("/").text == "4"
    assert server.ask("/divide").status == 500
    server.wait_for_log(
        "worker 1: the application raised ZeroDivisionError; it gets a fresh interpreter"
    )
    server.wait_for_log("worker 1 has a fresh interpreter")
    assert server.ask("/").text == "1"
