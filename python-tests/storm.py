"""Reloads under load: every kind of client at once, and an application that changes all the time.

    storm.py [--reloads N] [--seed N] [--isolation MODE] [--processes N] [--threads N] [--import-seconds S] [--flask]
             [--mode swap|rolling|exec] [--poll shared|acceptor]

What must hold: every request is answered, whole, with 200; and once an answer of a version has come, no request that is sent
after it is answered by an older one (in rolling mode versions may mix meanwhile). Every fifth version is broken and must change
nothing. Prints how long the longest time without any answer was, and what memory did. `just storm` runs it; test_reload.py
runs a small one.
"""

import argparse
import random
import re
import signal
import tempfile
import threading
import time
from pathlib import Path

from client import Connection
from server import Server, virtualenv_arguments

#: Bytes of the body that a slow reader reads; more than the kernel's buffers of it hold.
BIG_BYTES = 600_000

APP = """\
import time
{framework}
time.sleep({import_seconds})
VERSION = {version}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    word = b"%d;" % VERSION
    headers = [("Content-Type", "text/plain")]
    if path == "/stream":
        start_response("200 OK", headers)
        return pieces(word)
    if path == "/big":
        body = word * ({big} // len(word))
    elif path == "/echo":
        body = word + b"%d" % len(environ["wsgi.input"].read())
    elif path == "/busy":
        time.sleep(0.01)
        body = word
    else:
        body = word
    start_response("200 OK", headers)
    return [body]


def pieces(word):
    for _ in range(5):
        time.sleep(0.002)
        yield word
"""

FLASK = "import flask, sqlite3\napp = flask.Flask(__name__)\ndatabase = sqlite3.connect(':memory:')\n"

BROKEN = {
    "a syntax error": "def application(environ, start_response:\n",
    "an exception": "raise RuntimeError('broken on purpose')\n",
    "nothing to call": "apple = 1\n",
    "an import that is not there": "import surely_not_there\n",
}


class Site:
    """The application's file. Always whole: a new text takes the old one's place by a rename."""

    def __init__(self, folder, import_seconds=0.0, flask=False):
        self.path = Path(folder) / "app.py"
        self.facts = {"import_seconds": import_seconds, "framework": FLASK if flask else "", "big": BIG_BYTES}

    def write(self, text):
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.replace(self.path)

    def version(self, number):
        self.write(APP.format(version=number, **self.facts))


class Load:
    """Clients of every kind, each on a thread, until told to stop."""

    KINDS = ("keep_alive", "new_connection", "half_sent_body", "stream", "slow_reader", "pipelined", "busy")

    def __init__(self, address, seed, monotonous=True, clients=len(KINDS)):
        self.address = address
        self.monotonous = monotonous
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.newest = 0
        self.answered = 0
        self.failures = []
        self.last_answer = None
        self.longest_gap = 0.0
        self.threads = [
            threading.Thread(target=self._run, args=(self.KINDS[index % len(self.KINDS)], random.Random(f"{seed} {index}")))
            for index in range(clients)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _run(self, kind, dice):
        state = {"connection": None}
        while not self.stopping.is_set():
            try:
                getattr(self, "_" + kind)(state, dice)
            except (OSError, AssertionError, EOFError, ValueError) as failure:
                with self.lock:
                    self.failures.append(f"{kind}: {type(failure).__name__}: {failure}")
                state["connection"] = None
                if len(self.failures) > 50:
                    return
        if state["connection"] is not None:
            state["connection"].close()

    def _kept(self, state, dice):
        """A connection that is kept for some requests; then another one."""
        if state["connection"] is None or dice.random() < 0.02:
            if state["connection"] is not None:
                state["connection"].close()
            state["connection"] = Connection(self.address)
        return state["connection"]

    def _begins(self):
        """A request is about to be sent: what its answer may not be older than."""
        return self.newest

    def _answered(self, response, floor):
        assert response.status == 200, response
        words = set(response.body.partition(b";")[0:1] if b";" not in response.body else response.body.rstrip(b"0123456789").split(b";")[:-1])
        assert len(words) == 1, f"one answer of several versions: {words}"
        version = int(words.pop())
        now = time.monotonic()
        with self.lock:
            if self.monotonous:
                assert version >= floor, f"version {version} answered a request that was sent after an answer of {floor}"
            self.newest = max(self.newest, version)
            self.answered += 1
            if self.last_answer is not None:
                self.longest_gap = max(self.longest_gap, now - self.last_answer)
            self.last_answer = now

    def _keep_alive(self, state, dice):
        floor = self._begins()
        self._answered(self._kept(state, dice).ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), floor)

    def _busy(self, state, dice):
        floor = self._begins()
        self._answered(self._kept(state, dice).ask(b"GET /busy HTTP/1.1\r\nHost: a\r\n\r\n"), floor)

    def _new_connection(self, state, dice):
        floor = self._begins()
        with Connection(self.address) as connection:
            self._answered(connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), floor)
            connection.assert_closed()

    def _half_sent_body(self, state, dice):
        length = dice.randrange(2, 200_000)
        connection = self._kept(state, dice)
        floor = self._begins()
        connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        connection.send(b"x" * (length // 2))
        self.stopping.wait(dice.random() * 0.1)
        connection.send(b"x" * (length - length // 2))
        response = connection.receive("POST")
        assert response.body.endswith(b";%d" % length), response.body[:100]
        self._answered(response, floor)

    def _stream(self, state, dice):
        floor = self._begins()
        response = self._kept(state, dice).ask(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert response.body.count(b";") == 5, response.body
        self._answered(response, floor)

    def _slow_reader(self, state, dice):
        floor = self._begins()
        with Connection(self.address, receive_buffer_bytes=16384) as connection:
            connection.send(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            response = connection.head()
            length, body = int(response.header("Content-Length")), b""
            body, connection.buffer = connection.buffer, b""
            while len(body) < length:
                part = connection.socket.recv(32768)
                assert part, f"closed after {len(body)} of {length} bytes"
                body += part
                self.stopping.wait(0.004)
            response.body = body
            self._answered(response, floor)

    def _pipelined(self, state, dice):
        count = dice.randrange(2, 6)
        connection = self._kept(state, dice)
        floor = self._begins()
        connection.send(b"GET /busy HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        for _ in range(count):
            self._answered(connection.receive(), floor)


def pss_kilobytes(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])


#: What the log says when a new version serves, by how the reload goes.
TAKEN_OVER = {
    "swap": r"generation \d+ serves \(",
    "rolling": r"every interpreter of generation \d+ is new",
    "exec": r"reloaded: the stand-in served for",
}


def reload_often(server, site, reloads, seed, first_version=2, during=None, mode="swap"):
    """Reloads `reloads` times, every fifth time a broken version. Returns the last version that was good."""
    dice = random.Random(f"{seed} reloads")
    good, failed, version = first_version - 1, 0, first_version - 1
    taken_over = TAKEN_OVER[mode]
    done = len(re.findall(taken_over, server.log()))
    for number in range(1, reloads + 1):
        if number % 5 == 0:
            what = dice.choice(sorted(BROKEN))
            site.write(BROKEN[what])
            server.send_signal(signal.SIGHUP)
            failed += 1
            server.wait_for_log(r"reload failed: ", count=failed, seconds=60)
        else:
            version += 1
            good = version
            site.version(version)
            server.send_signal(signal.SIGHUP)
            done += 1
            server.wait_for_log(taken_over, count=done, seconds=60)
        if during is not None:
            during(number)
    # The last text may be a broken one: whoever reloads next finds a good one.
    site.version(good)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--isolation", default="own-gil")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--import-seconds", type=float, default=0.5)
    parser.add_argument("--mode", default="swap", choices=list(TAKEN_OVER))
    parser.add_argument("--poll", default="shared", choices=["shared", "acceptor"])
    parser.add_argument("--flask", action="store_true", help="the application imports Flask and opens sqlite")
    given = parser.parse_args()
    print(f"seed {given.seed}: {given.reloads} reloads, {given.isolation}, {given.processes} x {given.threads}, "
          f"{given.import_seconds} s to import", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder, given.import_seconds, given.flask)
        site.version(1)
        mode = "exec" if given.isolation == "main" else given.mode
        server = Server(
            ["app.py", "--http-socket", "127.0.0.1:0", "--processes", given.processes, "--threads", given.threads, "--poll", given.poll,
             "--isolation", given.isolation, "--disable-logging", "--reload-mode", mode, *virtualenv_arguments()], folder,
        )
        server.wait_until_ready()
        memory = {}

        def note(number):
            memory[number] = pss_kilobytes(server.process.pid)
            if number % 20 == 0:
                print(f"{number:5} reloads: {load.answered} answers, {len(load.failures)} failed, longest gap {load.longest_gap * 1000:.0f} ms, "
                      f"PSS {memory[number] / 1024:.1f} MB", flush=True)

        began = time.monotonic()
        with Load(server.address, given.seed, monotonous=mode != "rolling") as load:
            last = reload_often(server, site, given.reloads, given.seed, during=note, mode=mode)
        seconds = time.monotonic() - began
        code = server.stop()
        print(f"{load.answered} answers in {seconds:.0f} s, {len(load.failures)} failed, newest version {load.newest} (last good one {last}), "
              f"longest time without an answer {load.longest_gap * 1000:.0f} ms, exit code {code}")
        if 20 in memory:
            print(f"PSS after the 20th reload {memory[20] / 1024:.1f} MB, after the last {memory[given.reloads] / 1024:.1f} MB")
        for failure in load.failures[:20]:
            print("FAILED:", failure)
        bad = server.never.search(server.log())
        if bad:
            print("FAILED: the log has", bad[0])
        raise SystemExit(bool(load.failures or code or bad or load.newest != last))


if __name__ == "__main__":
    main()
