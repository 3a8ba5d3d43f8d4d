"""uwsgi's signals: timers, cron entries, file monitors and uwsgi.signal(), run by workers between
requests.
"""

import re

import pytest
from client import together
from conftest import ISOLATIONS

# Handlers write whole lines: several interpreters share one standard output.
SAY = """
    import os, threading
    import uwsgi

    def say(*words):
        os.write(1, (" ".join(str(word) for word in words) + "\\n").encode())

    def respond(start_response, *words):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [" ".join(str(word) for word in words).encode()]
"""


several_interpreters = pytest.mark.skipif(
    ISOLATIONS == ["main"], reason="this Python has the main interpreter alone"
)


@pytest.fixture(params=ISOLATIONS)
def isolation(request):
    return request.param


def app(code):
    return SAY + code


HELLO = """
    def application(environ, start_response):
        return respond(start_response, "hello")
"""

RAISE = """
    def handler(number):
        say("handled", number, "by", uwsgi.worker_id())

    for number, target in enumerate(["", "worker", "worker0", "workers", "active-workers", "worker1", "worker2", "worker9", "mules", "subscribed"]):
        uwsgi.register_signal(number, target, handler)

    def application(environ, start_response):
        if environ["QUERY_STRING"]:
            uwsgi.signal(int(environ["QUERY_STRING"]))
        return respond(start_response, uwsgi.worker_id())
"""


def handled(server, number):
    return re.findall(rf"^handled {number} by (\d)$", server.log(), re.MULTILINE)


@pytest.mark.parametrize("poll", ["shared", "acceptor"])
def test_targets(serve, isolation, poll):
    server = serve(
        "--processes",
        "3",
        "--threads",
        "2",
        "--isolation",
        isolation,
        "--poll",
        poll,
        source=app(RAISE),
    )
    all_workers = ["1"] if isolation == "main" else ["1", "2", "3"]
    for number in range(3):
        server.ask(f"/?{number}")
        server.wait_for_log(rf"^handled {number} by \d$")
    for number in (3, 4):
        server.ask(f"/?{number}")
        server.wait_for_log(rf"^handled {number} by \d$", count=len(all_workers))
        assert sorted(handled(server, number)) == all_workers
    for number, worker in ((5, "1"), (6, "1" if isolation == "main" else "2")):
        server.ask(f"/?{number}")
        server.wait_for_log(rf"^handled {number} by {worker}$")
    server.ask("/?7")
    server.wait_for_log(r"signal 7 was raised for worker 9")
    server.ask("/?8")
    server.wait_for_log(r"UNSUPPORTED SIGNAL TARGET: mules")
    server.ask("/?77")
    server.wait_for_log(r"signal 77 was raised, but nothing is registered")
    # Nothing was run twice.
    assert all(len(handled(server, number)) == 1 for number in (0, 1, 2, 5, 6))
    assert handled(server, 8) == handled(server, 9) == []


def test_signals_while_requests_run(serve, isolation):
    """A thousand signals from requests: each is handled once, and every request is answered."""
    source = app("""
    import itertools

    def handler(number):
        say("one", number)

    def each(number):
        say("each", number, uwsgi.worker_id())

    uwsgi.register_signal(1, "", handler)
    uwsgi.register_signal(2, "workers", each)

    def application(environ, start_response):
        for _ in range(5):
            uwsgi.signal(1)
        if environ["QUERY_STRING"] == "each":
            uwsgi.signal(2)
        return respond(start_response, "done")
""")
    server = serve(
        "--processes",
        "3",
        "--threads",
        "2",
        "--isolation",
        isolation,
        "--disable-logging",
        source=source,
    )
    workers = 1 if isolation == "main" else 3

    def client(number):
        return [server.ask("/?each" if turn == 0 else "/").text for turn in range(25)]

    answers = [answer for answers in together(8, client) for answer in answers]
    assert answers == ["done"] * 200
    server.wait_for_log(r"^one 1$", count=1000, seconds=60)
    server.wait_for_log(r"^each 2 \d$", count=8 * workers, seconds=60)
    # A signal that comes after all of them is the last one.
    server.ask("/?each")
    server.wait_for_log(r"^one 1$", count=1005)
    server.wait_for_log(r"^each 2 \d$", count=9 * workers)
    assert len(re.findall(r"^one 1$", server.log(), re.MULTILINE)) == 1005
    assert len(re.findall(r"^each 2 \d$", server.log(), re.MULTILINE)) == 9 * workers


def test_a_tick_is_handled_once(serve, isolation):
    """Four interpreters import the module; the handler numbers the ticks, and their times
    distinguish them.
    """
    source = app("""
    import time
    from uwsgidecorators import mstimer

    @mstimer(100)
    def tick(number):
        say("tick", number, uwsgi.worker_id(), time.monotonic())

    def application(environ, start_response):
        return respond(start_response, "hello")
""")
    server = serve("--processes", "4", "--threads", "2", "--isolation", isolation, source=source)
    server.wait_for_log(r"^tick 0 \d \S+$", count=20)
    times = [float(stamp) for stamp in re.findall(r"^tick 0 \d (\S+)$", server.log(), re.MULTILINE)]
    # Four timers instead of one would make four ticks at a time. A delay of the machine makes a
    # gap, never another tick.
    assert len(times) <= (times[-1] - times[0]) / 0.1 + 3, times


def test_a_slow_handler_does_not_hold_up_requests(serve, isolation):
    source = app("""
    released = threading.Event()

    def slow(number):
        say("slow begins")
        # Any interpreter may be told to go on; the file tells this one.
        while not os.path.exists("go"):
            released.wait(0.01)
        say("slow ends")

    uwsgi.register_signal(5, "", slow)

    def application(environ, start_response):
        if environ["QUERY_STRING"] == "raise":
            uwsgi.signal(5)
        return respond(start_response, "hello")
""")
    server = serve("--processes", "2", "--threads", "2", "--isolation", isolation, source=source)
    server.ask("/?raise")
    server.wait_for_log(r"^slow begins$")
    for _ in range(20):
        assert server.ask("/").text == "hello"
    assert "slow ends" not in server.log()
    (server.directory / "go").write_text("")
    server.wait_for_log(r"^slow ends$")


def test_signals_wait_for_a_busy_worker(serve):
    source = app("""
    import time

    def handler(number):
        say("handled", number)

    uwsgi.register_signal(9, "", handler)

    def application(environ, start_response):
        for _ in range(3):
            uwsgi.signal(9)
        say("request goes on")
        time.sleep(0.3)
        say("request ends")
        return respond(start_response, "hello")
""")
    server = serve("--processes", "1", "--threads", "1", source=source)
    assert server.ask("/").text == "hello"
    server.wait_for_log(r"^handled 9$", count=3)
    lines = re.findall(r"^(handled 9|request \w+(?: on)?)$", server.log(), re.MULTILINE)
    assert lines == ["request goes on", "request ends", *["handled 9"] * 3]


def test_a_handler_that_raises_is_logged(serve, isolation):
    source = app("""
    def handler(number):
        raise KeyError("what the handler wanted")

    def after(number):
        say("after")

    uwsgi.register_signal(3, "worker", handler)
    uwsgi.register_signal(4, "worker", after)

    def application(environ, start_response):
        uwsgi.signal(3)
        uwsgi.signal(4)
        return respond(start_response, "hello")
""")
    server = serve("--isolation", isolation, source=source)
    assert server.ask("/").text == "hello"
    server.wait_for_log(r"the handler of signal 3 failed")
    server.wait_for_log(r"KeyError: 'what the handler wanted'")
    server.wait_for_log(r"^after$")


@several_interpreters
def test_only_one_interpreter_registers(serve):
    source = app("""
    def handler(number):
        say("handled by", uwsgi.worker_id())

    if uwsgi.worker_id() == 2:
        uwsgi.register_signal(3, "", handler)

    def application(environ, start_response):
        if environ["QUERY_STRING"]:
            uwsgi.signal(3)
        return respond(start_response, "hello")
""")
    isolation = ISOLATIONS[-1]
    server = serve("--processes", "3", "--isolation", isolation, source=source)
    for count in range(1, 6):
        server.ask("/?x")
        server.wait_for_log(r"^handled by 2$", count=count)


def test_an_idle_server_wakes_the_right_interpreter(serve, isolation):
    """Timers for each interpreter tick while there are no requests."""
    source = app("""
    def handler(number):
        say("worker", uwsgi.worker_id(), "number", number)

    for worker in range(1, 5):
        uwsgi.register_signal(worker, f"worker{worker}", handler)
        uwsgi.add_ms_timer(worker, 50 + worker)

    def application(environ, start_response):
        return respond(start_response, "hello")
""")
    server = serve("--processes", "4", "--threads", "2", "--isolation", isolation, source=source)
    for number in range(1, 5):
        worker = 1 if isolation == "main" else number
        server.wait_for_log(rf"^worker {worker} number {number}$", count=10)


def test_rb_timer_with_an_end(serve):
    source = app("""
    def handler(number):
        say("signal", number)

    uwsgi.register_signal(30, "", handler)
    uwsgi.add_rb_timer(30, 0.2, 2)
    uwsgi.register_signal(31, "", handler)
    uwsgi.add_rb_timer(31, 0.2)

    def application(environ, start_response):
        return respond(start_response, "hello")
""")
    server = serve("--processes", "2", source=source)
    server.wait_for_log(r"^signal 31$", count=8)
    assert len(re.findall(r"^signal 30$", server.log(), re.MULTILINE)) == 2


def test_timers_added_by_a_request(serve):
    source = app("""
    def handler(number):
        say("signal", number)

    def application(environ, start_response):
        uwsgi.register_signal(7, "", handler)
        uwsgi.add_rb_timer(7, 0.05, 1)
        return respond(start_response, "hello")
""")
    server = serve(source=source)
    server.ask("/")
    server.wait_for_log(r"^signal 7$")
    server.ask("/")
    server.wait_for_log(r"^signal 7$", count=2)


def test_file_monitor(serve, isolation):
    source = app("""
    from uwsgidecorators import filemon

    @filemon("watched")
    def changed(number):
        say("watched changed")

    @filemon("folder", target="workers")
    def folder(number):
        say("folder changed", uwsgi.worker_id())

    def application(environ, start_response):
        return respond(start_response, "hello")
""")
    server = serve(
        "--processes", "2", "--isolation", isolation, source=source, files={"folder/a": ""}
    )
    (server.directory / "watched").write_text("1")
    server.wait_for_log(r"^watched changed$")
    (server.directory / "watched").write_text("22")
    server.wait_for_log(r"^watched changed$", count=2)
    (server.directory / "folder" / "a").write_text("changed")
    workers = 1 if isolation == "main" else 2
    server.wait_for_log(r"^folder changed \d$", count=workers)


def test_cron(serve):
    source = app("""
    from uwsgidecorators import cron

    @cron(-1, -1, -1, -1, -1)
    def minute(number):
        say("a minute")

    @cron(-1, -1, 31, 2, -1)
    def never(number):
        say("the 31st of February")

    def application(environ, start_response):
        return respond(start_response, "hello")
""")
    server = serve("--processes", "2", source=source)
    # An entry for every minute is due in this one.
    server.wait_for_log(r"^a minute$")
    assert "February" not in server.log()


def test_cron_command(serve):
    server = serve(
        "--cron",
        "-1 -1 -1 -1 -1 echo the $((40+2)); exit 3",
        "--cron2",
        "unique=1,minute=-1 echo second",
        source=app(HELLO),
    )
    server.wait_for_log(r"^the 42$")
    server.wait_for_log(r'cron: "echo the \$\(\(40\+2\)\); exit 3" ended \(exit status: 3\)')
    server.wait_for_log(r"^second$")


def test_bad_arguments(serve):
    source = app("""
    def application(environ, start_response):
        found = []
        for call in ("uwsgi.signal(256)", "uwsgi.signal(-1)", "uwsgi.signal('x')", "uwsgi.signal()", "uwsgi.register_signal(1, '', 7)",
                     "uwsgi.register_signal(1, 'x' * 64, print)", "uwsgi.add_timer(1, 0)", "uwsgi.add_timer(1, -1)",
                     "uwsgi.add_timer(1, float('nan'))", "uwsgi.add_cron(1, 60, -1, -1, -1, -1)", "uwsgi.add_cron(1, 2)",
                     "uwsgi.add_rb_timer(1, 1, -1)", "uwsgi.register_signal(1, 7, print)", "uwsgi.add_cron(1, 2**40, 1, 1, 1, 1)",
                     "uwsgi.add_timer(1, 1e300)", "uwsgi.add_timer(1, float('inf'))"):
            try:
                eval(call)
            except Exception as error:
                found.append(type(error).__name__)
            else:
                found.append("nothing")
        return respond(start_response, *found)
""")
    server = serve(source=source)
    assert server.ask("/").text.split() == [
        *["ValueError"] * 2,
        *["TypeError"] * 3,
        *["ValueError"] * 5,
        "TypeError",
        "ValueError",
        "TypeError",
        "ValueError",
        "nothing",
        "ValueError",
    ]


def test_pending_signals_are_dropped_at_the_stop(serve):
    source = app("""
    import time

    def handler(number):
        say("handled")
        time.sleep(0.2)

    uwsgi.register_signal(1, "", handler)

    def application(environ, start_response):
        for _ in range(200):
            uwsgi.signal(1)
        return respond(start_response, "hello")
""")
    server = serve("--processes", "1", source=source)
    server.ask("/")
    server.wait_for_log(r"^handled$")
    assert server.stop() == 0
    assert len(re.findall(r"^handled$", server.log(), re.MULTILINE)) < 150


@several_interpreters
def test_timers_over_a_reload(serve):
    """The new version's timers replace the old one's: no tick is doubled, and none is raised in the
    old version.
    """
    source = app("""
    import time
    from uwsgidecorators import mstimer

    @mstimer(100)
    def tick(number):
        say("tick", uwsgi.is_a_reload, time.monotonic())

    def application(environ, start_response):
        if environ["QUERY_STRING"]:
            uwsgi.reload()
        return respond(start_response, uwsgi.is_a_reload)
""")
    server = serve("--processes", "2", "--isolation", ISOLATIONS[-1], source=source)
    server.wait_for_log(r"^tick False \S+$", count=5)
    assert server.ask("/?reload").text == "False"
    server.wait_for_log(r"^tick True \S+$", count=20)
    assert server.ask("/").text == "True"
    ticks = re.findall(r"^tick (True|False) (\S+)$", server.log(), re.MULTILINE)
    versions = [version for version, _ in ticks]
    # A signal that was raised before the swap may arrive in between.
    first_new = versions.index("True")
    assert versions[first_new:].count("False") <= 1
    times = [float(stamp) for _, stamp in ticks]
    assert len(times) <= (times[-1] - times[0]) / 0.1 + 3, times
