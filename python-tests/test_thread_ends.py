"""At the end of an interpreter its threads leave their waits: each kind of wait that Python code can be in."""

import re
import signal

import pytest
from versions import reload

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="there are no signals, and no waits for descriptors end"
)

# What a thread does, in an interpreter that ends meanwhile.
WAITS = {
    "sleep": "time.sleep(3600)",
    "sleep by name": "sleep(3600.5)",
    "event": "threading.Event().wait()",
    "event with a timeout": "threading.Event().wait(3600)",
    "condition": "with condition: condition.wait()",
    "semaphore": "threading.Semaphore(0).acquire()",
    "barrier": "threading.Barrier(2).wait()",
    "queue": "queue.Queue().get()",
    "full queue": "full.put(2)",
    "simple queue": "queue.SimpleQueue().get()",
    "lock": "held.acquire()",
    "lock with a timeout": "held.acquire(timeout=3600)",
    "lock that a sleeper holds": "with held_by_sleeper: raise AssertionError",
    "rlock": "held_by_nobody.acquire()",
    "join": "sleeper.join()",
    "select": "select.select([pipe[0]], [], [])",
    "select with a timeout": "select.select([pipe[0]], [], [], 3600)",
    "poll": "poll = select.poll(); poll.register(pipe[0]); poll.poll()",
    "epoll": "epoll = select.epoll(); epoll.register(pipe[0]); epoll.poll()",
    "selector": "selectors.DefaultSelector().select()",
    "poll selector": "selectors.PollSelector().select(3600)",
    "event loop": "asyncio.new_event_loop().run_forever()",
    "recv": "pair[0].recv(1)",
    "recv with a timeout": "pair_with_timeout[0].recv(1)",
    "read of a socket": "pair[0].makefile('rb').read()",
    "accept": "listener.accept()",
    "read of a pipe": "pipe_file.read()",
    "future": "concurrent.futures.Future().result()",
    "bare except": "swallow()",
}

SOURCE = """\
import _thread, asyncio, concurrent.futures, os, queue, select, selectors, socket, threading, time
from time import sleep

condition = threading.Condition()
full = queue.Queue(1)
full.put(1)
held = threading.Lock()
held.acquire()
held_by_nobody = threading.RLock()
held_by_sleeper = threading.Lock()
pipe = os.pipe()
pipe_file = os.fdopen(os.dup(pipe[0]), "rb")
pair, pair_with_timeout = socket.socketpair(), socket.socketpair()
pair_with_timeout[0].settimeout(3600)
listener = socket.create_server(("127.0.0.1", 0))

def hold():
    with held_by_sleeper:
        taken.set()
        time.sleep(3600)

def swallow():
    for _ in range(5):
        try:
            time.sleep(3600)
        except BaseException:
            pass

def wait(name, code):
    try:
        started.release()
        exec(code, globals())
    finally:
        print("left:", name, flush=True)

started, taken = threading.Semaphore(0), threading.Event()
"""

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"1"]
"""

PREPARE = {
    "rlock": "keeper = threading.Thread(target=held_by_nobody.acquire)\nkeeper.start(); keeper.join()\n",
    "lock that a sleeper holds": "threading.Thread(target=hold, daemon=True).start(); taken.wait()\n",
    "join": "sleeper = threading.Thread(target=time.sleep, args=(3600,), daemon=True)\nsleeper.start()\n",
}


def source(names, start):
    """`start`: starts a thread, by the names `name` and `code`."""
    parts = [SOURCE]
    for name in names:
        code = PREPARE.get(name, "") + f"name, code = {name!r}, {WAITS[name]!r}\n{start}\n"
        parts.append(code + "started.acquire()\n")
    return "if True:\n" + re.sub("(?m)^(?=.)", "    ", "".join(parts) + APP)


DAEMON = "threading.Thread(target=wait, args=(name, code), daemon=True).start()"
NO_DAEMON = "threading.Thread(target=wait, args=(name, code)).start()"
RAW = "_thread.start_new_thread(wait, (name, code))"
AVAILABLE = [name for name in WAITS if name != "epoll" or hasattr(__import__("select"), "epoll")]


def ends(serve, names, start, isolation="own-gil"):
    server = serve(*("--isolation", isolation, "--reload-mercy", "2"), source=source(names, start))
    reload(server)
    server.wait_for_log(r"generation 1 ended \(")
    for name in names:
        assert f"left: {name}" in server.log()
    assert "parked" not in server.log()
    assert server.ask("/").text == "1"
    return server


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_thread_leaves_its_wait(serve, name):
    server = ends(serve, [name], DAEMON)
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("isolation", ["own-gil", "shared-gil"])
@pytest.mark.parametrize("start", [DAEMON, NO_DAEMON, RAW], ids=["daemon", "no daemon", "raw"])
def test_all_kinds_at_once(serve, start, isolation):
    ends(serve, AVAILABLE, start, isolation)
