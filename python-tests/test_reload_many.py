"""Resources that an application does not release, over many reloads: threads, an event loop,
connections, files, exit hooks.

Everything that Python can end is ended with its generation, and the process holds no more threads
and descriptors after the last reload than after the first few. What it cannot end, a thread that is
stuck in C, parks its interpreter: counted, and no more than that.
"""

import operator
import os
import signal

import pytest
from conftest import HAS_OWN_GIL

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a reload is asked for by SIGHUP"),
    pytest.mark.skipif(
        not HAS_OWN_GIL, reason="two generations in one process need own-GIL interpreters"
    ),
]

RELOADS = 50

#: None of these is stopped or closed by the application.
CARELESS = """\
    import asyncio, atexit, concurrent.futures, os, queue, sqlite3, tempfile, threading, time

    LIVES = os.environ["LIVES"]

    def note(word):
        with open(LIVES, "a") as lives:
            lives.write(word + "\\n")

    note("begun")
    atexit.register(note, "ended")

    def beat():
        while True:
            time.sleep(0.001)

    def waits_for_work(jobs):
        while True:
            jobs.get(timeout=0.05) if jobs.qsize() else time.sleep(0.001)

    threading.Thread(target=beat, daemon=True).start()
    threading.Thread(target=waits_for_work, args=(queue.Queue(),), daemon=True).start()
    threading.Timer(0.001, note, ["timer"]).start()

    pool = concurrent.futures.ThreadPoolExecutor(3)
    assert list(pool.map(len, ["a", "bb", "ccc"])) == [1, 2, 3]

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "slept"), loop).result() == "slept"
    atexit.register(loop.call_soon_threadsafe, loop.stop)

    database = sqlite3.connect(os.environ["DATABASE"], check_same_thread=False)
    one_at_a_time = threading.Lock()
    database.create_function("twice", 1, lambda number: number * 2)
    files = [open(__file__), tempfile.TemporaryFile()]
    pipe = os.pipe()
    pipe = [os.fdopen(pipe[0], "rb", 0), os.fdopen(pipe[1], "wb", 0)]

    def application(environ, start_response):
        with one_at_a_time:
            assert database.execute("select twice(21)").fetchone() == (42,)
        assert pool.submit(len, "four").result() == 4
        assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 1), loop).result() == 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"whole"]
"""


def threads(server):
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


def reload_and_settle(server, count):
    """The `count`th reload, to the end of the generation before it."""
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(r"generation \d+ serves \(", count=count)
    assert server.ask("/").text == "whole"
    server.wait_for_log(r"generation \d+ ended \(", count=count)


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="threads and descriptors are counted in /proc"
)
@pytest.mark.parametrize("isolation", ["own-gil", "shared-gil"])
def test_what_an_application_leaves_lying_about_ends_with_its_generation(
    serve, tmp_path, isolation
):
    lives = tmp_path / "lives"
    environment = {"LIVES": str(lives), "DATABASE": str(tmp_path / "database")}
    # An own GIL for each costs more to make, and more to get wrong.
    reloads = RELOADS if isolation == "own-gil" else RELOADS // 5
    server = serve(
        "--isolation", isolation, "--threads", "2", source=CARELESS, environment=environment
    )
    for count in range(1, 4):
        reload_and_settle(server, count)
    before = threads(server), server.open_descriptors()
    for count in range(4, reloads + 1):
        reload_and_settle(server, count)
    # The thread that told of the last generation's end may still be leaving.
    server.wait_until(
        lambda: threads(server) <= before[0], what=f"no more than {before[0]} threads"
    )
    server.wait_until(
        lambda: server.open_descriptors() <= before[1], what=f"no more than {before[1]} descriptors"
    )
    assert "parked" not in server.log()
    words = lives.read_text().split()
    assert words.count("begun") == reloads + 1
    assert words.count("ended") == reloads, (
        "every generation but the one that serves has run its exit hooks"
    )
    assert server.stop() == 0
    assert lives.read_text().split().count("ended") == reloads + 1


def test_a_thread_that_is_stuck_in_c_parks_its_interpreter_and_nothing_else(serve, tmp_path):
    """It waits for a pipe that the test holds: no exception reaches it there."""
    held = tmp_path / "held"
    os.mkfifo(held)
    source = f"""\
        import os, threading
        STUCK = os.path.exists("stuck")
        if STUCK:
            threading.Thread(target=lambda: open("{held}", "rb").read(), daemon=True).start()
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"whole"]
    """
    server = serve(
        *("--reload-mercy", "0.5", "--max-parked-interpreters", "0"),
        source=source,
        files={"stuck": ""},
    )
    for count in range(1, 4):
        reload_and_settle(server, count)
    server.wait_for_log("an interpreter is parked", count=3)
    (server.directory / "stuck").unlink()
    reload_and_settle(server, 4)
    server.wait_for_log("an interpreter is parked", count=4)
    before = threads(server), server.open_descriptors()
    # The new version leaves nothing, so nothing more is parked.
    for count in range(5, 10):
        reload_and_settle(server, count)
    server.wait_until(
        lambda: all(map(operator.le, (threads(server), server.open_descriptors()), before)),
        what=f"no more threads and descriptors than {before}",
    )
    assert server.log().count("an interpreter is parked") == 4
