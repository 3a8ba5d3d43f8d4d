"""--reload-on-cgroup: interpreters are replaced before the container's memory is used up.

All but the last test take a made-up cgroup: a build with debug assertions reads the files of the
folder that _SINGLEMALT_CGROUP names.
"""

import contextlib
import re
import signal
import sys
import threading
import uuid
from pathlib import Path

import pytest
from conftest import HAS_OWN_GIL
from requests_raw import get
from storm import BROKEN
from versions import rewrite

from server import binary

CGROUP = b"_SINGLEMALT_CGROUP"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")
made_up = pytest.mark.skipif(
    CGROUP not in binary().read_bytes(),
    reason="the made-up cgroup is for builds with debug assertions",
)

MANY = "own-gil" if HAS_OWN_GIL else "shared-gil"
GROUP = ("--isolation", MANY, "--processes", "2")
AT_ONCE = ("--min-worker-lifetime", "0")
MB = 1 << 20

# Holds 64 MB, and more when asked.
APP = """
    import atexit
    import os
    import uwsgi
    BALLAST = [b"x" * (64 << 20)]
    worker = uwsgi.worker_id()
    os.write(1, f"loaded by {worker}\\n".encode())
    atexit.register(lambda: os.write(1, f"left by {worker}\\n".encode()))

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/grow/"):
            BALLAST.append(b"y" * (int(path[6:]) << 20))
        if path == "/held":
            from knock import knock
            knock(str(worker))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(worker).encode()]
"""


class Cgroup:
    """A simulated cgroup of version 2."""

    def __init__(self, folder, limit):
        self.folder = folder
        self.write("memory.stat", "anon 1\nfile 2\ninactive_file 0\n")
        self.write("memory.max", limit)
        self.write("memory.current", 0)
        self.environment = {CGROUP.decode(): str(folder), "SINGLEMALT_LOG": "debug"}

    def write(self, name, value):
        """Replaced by a rename, so that it is complete at every moment."""
        (self.folder / "fresh").write_text(f"{value}\n")
        (self.folder / "fresh").replace(self.folder / name)

    def use(self, megabytes):
        self.write("memory.current", megabytes * MB)


@pytest.fixture
def cgroup(tmp_path):
    return lambda megabytes: Cgroup(tmp_path, megabytes if megabytes == "max" else megabytes * MB)


def start(serve, cgroup, *arguments, source=APP, environment=None, **more):
    return serve(
        *arguments, source=source, environment={**cgroup.environment, **(environment or {})}, **more
    )


LOOK = r"memory: \d+ of \d+ MB are used in the cgroup"


def looks(server, count):
    """Waits until the server has looked at the cgroup so often from now on."""
    before = len(re.findall(LOOK, server.log()))
    server.wait_for_log(LOOK, count=before + count)


def grow(server, megabytes=100):
    assert server.ask(f"/grow/{megabytes}").status == 200


def steps(server, worker):
    """The log lines about a worker's interpreters, in order."""
    return re.findall(rf"^(loaded|left) by {worker}$", server.log(), re.MULTILINE)


@contextlib.contextmanager
def clients(server):
    """Two clients that send requests all the time, one of them on new connections; no request may
    fail.
    """
    failures, answers, stopping = [], [], threading.Event()

    def keep(ask):
        while not stopping.is_set():
            try:
                answer = ask()
                assert answer.status == 200
                answers.append(answer.text)
            except Exception as failure:
                failures.append(repr(failure))
                return

    with server.connect() as kept:
        asking = [lambda: kept.ask(get()), lambda: server.ask("/")]
        threads = [threading.Thread(target=keep, args=[ask]) for ask in asking]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
    assert not failures, failures


# With room for one more


@made_up
def test_the_oldest_interpreter_is_renewed_and_the_fresh_one_comes_first(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, *GROUP, *AT_ONCE)
    server.wait_for_log(
        r"memory: the container \(cgroup\) may use 2000 MB; the oldest interpreter is renewed at 1800 MB \(--reload-on-cgroup 90\)"
    )
    grow(server)
    cgroup.use(1799)
    looks(server, 1)
    assert "fresh interpreter" not in server.log()
    with clients(server):
        cgroup.use(1800)
        server.wait_for_log(
            r"worker 1: 1800 of 2000 MB are used in the container \(--reload-on-cgroup 90\); it gets a fresh interpreter"
        )
        server.wait_for_log("worker 1 has a fresh interpreter")
        server.wait_until(lambda: len(steps(server, 1)) == 3, what="the end of the old one")
    assert steps(server, 1) == ["loaded", "loaded", "left"]
    # Memory comes back late: nothing is asked of the next one yet.
    looks(server, 2)
    assert server.log().count("fresh interpreter") == 2


@made_up
def test_files_that_the_kernel_would_drop_do_not_count(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, *GROUP, *AT_ONCE)
    grow(server)
    cgroup.write("memory.stat", f"anon 1\ninactive_file {500 * MB}\n")
    cgroup.use(1900)
    looks(server, 2)
    assert "fresh interpreter" not in server.log()
    cgroup.write("memory.stat", f"anon 1\ninactive_file {50 * MB}\n")
    server.wait_for_log(r"worker 1: 1850 of 2000 MB are used in the container")


@made_up
def test_an_interpreter_that_is_too_young_stays(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, *GROUP)
    grow(server)
    cgroup.use(1900)
    looks(server, 2)
    assert "fresh interpreter" not in server.log()


@made_up
def test_one_replacement_a_minute_for_all_rules_of_memory(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, *GROUP, *AT_ONCE, "--reload-on-rss", "1")
    server.wait_for_log(r"worker 1: .*\(--reload-on-rss\); it gets a fresh interpreter")
    server.wait_for_log("worker 1 has a fresh interpreter")
    grow(server)
    cgroup.use(1900)
    looks(server, 2)
    assert server.log().count("it gets a fresh interpreter") == 1


@made_up
def test_the_oldest_is_one_that_is_not_leaving_already(serve, cgroup, gate):
    cgroup = cgroup(2000)
    server = start(
        serve, cgroup, *GROUP, "--threads", "2", *AT_ONCE, "--max-requests", "5", gate=gate
    )
    held = []
    with contextlib.ExitStack() as stack:
        while not held or held[-1].word != "1":
            stack.enter_context(server.connect()).send(get("/held"))
            held.append(gate.visitor())
        while "worker 1: 5 requests (--max-requests)" not in server.log():
            assert server.ask("/").status == 200
        # The old one has a successor, and is still in its request.
        server.wait_for_log("worker 1 has a fresh interpreter")
        assert steps(server, 1) == ["loaded", "loaded"]
        grow(server)
        cgroup.use(1900)
        server.wait_for_log(r"worker \d: 1900 of 2000 MB are used in the container")
        for visitor in held:
            visitor.release()


# Without


@made_up
def test_without_room_the_old_one_leaves_first_and_nobody_notices(serve, cgroup):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *GROUP, *AT_ONCE)
    grow(server)
    with clients(server) as answers:
        cgroup.use(460)
        server.wait_for_log(
            r"worker 1: 460 of 500 MB are used in the container \(--reload-on-cgroup 90\); it leaves before it gets a fresh interpreter: "
            r"of the container's memory 40 MB are left, and a fresh interpreter may take \d+ MB"
        )
        server.wait_for_log(r"worker 1 has a fresh interpreter \(\d")
        cgroup.use(100)
        seen = len(answers)
        server.wait_until(lambda: len(answers) > seen + 20, what="answers afterwards")
    assert steps(server, 1) == ["loaded", "left", "loaded"]
    assert steps(server, 2) == ["loaded"]


@made_up
def test_whatever_makes_it_due_it_leaves_first_where_there_is_no_room(serve, cgroup):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *GROUP, *AT_ONCE, "--max-requests", "5")
    cgroup.use(490)
    with clients(server):
        server.wait_for_log(
            r"worker \d: \d+ requests \(--max-requests\); it leaves before it gets a fresh interpreter"
        )
        server.wait_for_log("has a fresh interpreter")


@made_up
def test_its_requests_are_finished_and_those_that_wait_are_answered(serve, cgroup, gate):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *GROUP, *AT_ONCE, gate=gate)
    grow(server)
    connections = [server.connect() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for connection in connections:
            stack.enter_context(connection).send(get("/held"))
        held = {visitor.word: visitor for visitor in gate.visitors(2)}
        assert sorted(held) == ["1", "2"]
        cgroup.use(480)
        server.wait_for_log("worker 1: .*; it leaves before")
        # The third request waits for the first free worker.
        held["2"].release()
        third = gate.visitor()
        assert third.word == "2" and steps(server, 1) == ["loaded"]
        held["1"].release()
        server.wait_for_log("worker 1 has a fresh interpreter")
        third.release()
        assert sorted(connection.receive().text for connection in connections) == ["1", "2", "2"]
    assert steps(server, 1) == ["loaded", "left", "loaded"]


@made_up
def test_one_that_does_not_leave_is_waited_for(serve, cgroup, gate):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *GROUP, *AT_ONCE, "--reload-mercy", "1", gate=gate)
    grow(server)
    with server.connect() as first, server.connect() as second:
        first.send(get("/held"))
        second.send(get("/held"))
        held = {visitor.word: visitor for visitor in gate.visitors(2)}
        cgroup.use(480)
        server.wait_for_log(
            r"worker 1 is still in a request after 1 s \(--reload-mercy\); it gets a fresh interpreter when it has left"
        )
        looks(server, 2)
        assert steps(server, 1) == ["loaded"]
        for visitor in held.values():
            visitor.release()
        assert {first.receive().text, second.receive().text} == {"1", "2"}
    server.wait_for_log(r"interpreters: 2 \(worker 1 is new")
    assert steps(server, 1) == ["loaded", "left", "loaded"]


@made_up
def test_a_place_that_stays_empty_is_filled_later(serve, cgroup):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *GROUP, *AT_ONCE)
    grow(server)
    rewrite(server, BROKEN["an exception"])
    cgroup.use(480)
    server.wait_for_log(
        r"worker 1 has left and has no fresh interpreter yet, those that there are \(1\) serve on: the application could not be loaded, "
        r"see above; the next attempt in 10 s or later"
    )
    assert server.ask("/").text == "2"
    rewrite(server, APP)
    server.wait_for_log("worker 1 is missing: starting 1 more", seconds=60)
    server.wait_for_log(r"interpreters: 2 \(worker 1 is new")
    looks(server, 2)
    assert server.log().count("is missing") == 1


@made_up
@pytest.mark.parametrize(
    "arguments", [("--isolation", "main"), ("--isolation", MANY)], ids=["main", "one of its own"]
)
def test_the_only_one_stays_where_there_is_no_room_and_the_log_says_so_once(
    serve, cgroup, arguments
):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *arguments, *AT_ONCE)
    grow(server)
    told = (
        r"memory: 480 of 500 MB are used in the container \(cgroup\), and this process cannot be relieved: what takes its place needs up to "
        r"\d+ MB beside it, 20 MB are left. Give the container more memory, renew earlier \(a lower --reload-on-cgroup\), or restart it"
    )
    cgroup.use(480)
    server.wait_for_log(told)
    looks(server, 2)
    assert len(re.findall(told, server.log())) == 1
    # Close is not over.
    cgroup.use(440)
    looks(server, 2)
    cgroup.use(480)
    looks(server, 2)
    assert len(re.findall(told, server.log())) == 1
    cgroup.use(100)
    looks(server, 1)
    cgroup.use(480)
    server.wait_for_log(told, count=2)
    assert "reloading" not in server.log() and "it gets a fresh" not in server.log()


@made_up
def test_the_main_interpreter_is_renewed_with_the_process_where_there_is_room(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, "--isolation", "main", *AT_ONCE)
    server.wait_for_log("the process is renewed at 1800 MB")
    grow(server)
    cgroup.use(1801)
    server.wait_for_log(
        r"1801 of 2000 MB are used in the container \(--reload-on-cgroup 90\): reloading; generation 1 serves meanwhile"
    )
    cgroup.use(500)
    server.wait_for_log(r"reloaded: process \d+ is the server now")
    assert server.ask("/").status == 200


# Not


@made_up
def test_without_growth_nothing_is_renewed_and_the_log_says_so_once(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, *GROUP, *AT_ONCE)
    cgroup.use(1900)
    told = (
        r"memory: 1900 of 2000 MB are used in the container \(cgroup\), and fresh interpreters do not help: this process holds hardly more "
        r"than when it had loaded the application\. Take fewer interpreters \(--processes\), give the container more memory, or look"
    )
    server.wait_for_log(told)
    looks(server, 2)
    assert len(re.findall(told, server.log())) == 1
    assert "fresh interpreter " not in server.log()
    grow(server)
    server.wait_for_log("worker 1: 1900 of 2000 MB .*; it gets a fresh interpreter")


@made_up
def test_a_further_interpreter_is_no_growth(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(
        serve,
        cgroup,
        "--isolation",
        MANY,
        "--processes",
        "2",
        "--cheaper",
        "1",
        "--cheaper-algo",
        "manual",
        *AT_ONCE,
    )
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log(r"interpreters: 2 \(worker 2 is new")
    cgroup.use(1900)
    server.wait_for_log("fresh interpreters do not help: this process holds hardly more")
    looks(server, 1)
    assert steps(server, 1) == steps(server, 2) == ["loaded"]
    grow(server)
    server.wait_for_log("worker 1 has a fresh interpreter")


@made_up
@pytest.mark.parametrize(
    "limit, option", [("max", ()), (500, ("--reload-on-cgroup", "0"))], ids=["no limit", "option 0"]
)
@pytest.mark.skipif(not HAS_OWN_GIL, reason="a reload is a swap with own-GIL interpreters")
def test_without_a_limit_or_with_0_nothing_is_looked_at(serve, cgroup, limit, option):
    cgroup = cgroup(limit)
    cgroup.use(490)
    # With a limit, the reload would warn.
    server = start(serve, cgroup, *GROUP, *AT_ONCE, *option, "--max-worker-lifetime", "3600")
    grow(server)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("generation 1 ended")
    assert "memory:" not in server.log()


@made_up
def test_the_percentage_is_an_option(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, *GROUP, *AT_ONCE, "--reload-on-cgroup", "50")
    server.wait_for_log(r"renewed at 1000 MB \(--reload-on-cgroup 50\)")
    grow(server)
    cgroup.use(1000)
    server.wait_for_log(
        r"worker 1: 1000 of 2000 MB are used in the container \(--reload-on-cgroup 50\); it gets a fresh interpreter"
    )


# Reloads


@made_up
@pytest.mark.skipif(not HAS_OWN_GIL, reason="a reload is a swap with own-GIL interpreters")
def test_a_swap_without_room_is_warned_of_and_done(serve, cgroup):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *GROUP)
    cgroup.use(400)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(
        r"memory: a new generation may take \d{3} MB beside what serves, and of the container's 500 MB 100 MB are left; if that is too "
        r"little the kernel ends the process. --reload-mode rolling replaces one interpreter after the other"
    )
    server.wait_for_log("generation 1 ended")
    cgroup.use(100)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("generation 2 ended")
    assert server.log().count("may take") == 1


@made_up
@pytest.mark.parametrize(
    "arguments, used, what",
    [
        (("--isolation", "main"), 450, "a second process"),
        (
            ("--isolation", MANY, "--processes", "2", "--reload-mode", "rolling"),
            480,
            "a fresh interpreter",
        ),
    ],
    ids=["exec", "rolling"],
)
def test_other_reloads_without_room_are_warned_of_too(serve, cgroup, arguments, used, what):
    cgroup = cgroup(500)
    server = start(serve, cgroup, *arguments)
    cgroup.use(used)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(
        rf"memory: {what} may take \d+ MB beside what serves, and of the container's 500 MB {500 - used} MB are left; .*"
        "Give the container more memory, or replace the container instead"
    )
    server.wait_for_log(
        r"reloaded: process \d+ is the server now|every interpreter of generation 1 is new"
    )


@made_up
@pytest.mark.skipif(
    not HAS_OWN_GIL, reason="a version is kept after a swap, with own-GIL interpreters"
)
def test_a_version_that_is_kept_goes_first(serve, cgroup):
    cgroup = cgroup(2000)
    server = start(serve, cgroup, *GROUP, *AT_ONCE, "--keep-previous", "1h")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("generation 1 is kept for")
    grow(server)
    cgroup.use(1900)
    server.wait_for_log(
        r"memory: 1900 of 2000 MB are used in the container \(--reload-on-cgroup\): generation 1 is not kept any longer"
    )
    server.wait_for_log("generation 1 ended")
    looks(server, 1)
    assert "gets a fresh interpreter" not in server.log()


# A real one


class RealCgroup:
    """A cgroup with a limit, made for one test at the top of what is mounted here."""

    def __init__(self, megabytes):
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        first = [
            point
            for _, point, kind, options, *_ in mounts
            if kind == "cgroup" and "memory" in options.split(",")
        ]
        second = [point for _, point, kind, *_ in mounts if kind == "cgroup2"]
        top, limit, used = (
            (first[:1], "memory.limit_in_bytes", "memory.usage_in_bytes")
            if first
            else (second[:1], "memory.max", "memory.current")
        )
        if not top:
            pytest.skip("no cgroups are mounted here")
        self.folder = Path(top[0]) / f"singlemalt-test-{uuid.uuid4().hex}"
        try:
            self.folder.mkdir()
        except OSError as error:
            pytest.skip(f"no cgroup can be made here: {error}")
        self.used, self.limit = self.folder / used, megabytes * MB
        try:
            (self.folder / limit).write_text(str(self.limit))
        except OSError as error:
            self.remove()
            pytest.skip(f"no memory limit can be set here: {error}")

    def remove(self):
        self.folder.rmdir()

    def working_set(self):
        stat = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        idle = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        return int(self.used.read_text()) - int(idle)


@pytest.fixture
def real_cgroup():
    cgroup = RealCgroup(400)
    yield cgroup
    cgroup.remove()


def test_a_leak_in_a_real_cgroup_is_met_before_the_kernel_acts(real_cgroup, serve, gate):
    enter = ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', real_cgroup.folder)
    server = serve(*GROUP, *AT_ONCE, source=APP, gate=gate, wrapper=enter)
    server.wait_for_log(
        r"memory: the container \(cgroup\) may use 400 MB; the oldest interpreter is renewed at 360 MB"
    )
    with server.connect() as one, server.connect() as other:
        # The second interpreter is kept busy, so that it is the oldest one that leaks.
        holder = one.send(get("/held"))
        held = gate.visitor()
        if held.word == "1":
            holder = other.send(get("/held"))
            first, held = held, gate.visitor()
            first.release()
        assert held.word == "2"
        while real_cgroup.working_set() < real_cgroup.limit * 0.92:
            assert server.ask("/grow/4").text == "1"
        server.wait_for_log(
            r"worker 1: \d+ of 400 MB are used in the container \(--reload-on-cgroup 90\); it leaves before it gets a fresh interpreter"
        )
        server.wait_for_log("worker 1 has a fresh interpreter")
        server.wait_until(
            lambda: real_cgroup.working_set() < real_cgroup.limit * 0.7, what="less memory"
        )
        assert server.ask("/").text == "1"
        held.release()
        assert holder.receive().text == "2"
    assert steps(server, 1) == ["loaded", "left", "loaded"] and steps(server, 2) == ["loaded"]
