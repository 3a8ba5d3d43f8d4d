"""Interpreters that come and go: --cheaper and its algorithms, --cheap, --idle, SIGTTIN and
SIGTTOU.
"""

import re
import signal
from pathlib import Path

import pytest
from client import together
from conftest import ISOLATIONS
from requests_raw import get

SUBINTERPRETERS = [mode for mode in ISOLATIONS if mode != "main"]
# Within so many seconds an algorithm decides.
FAST = ("--cheaper-overload", "0.05", "--cheaper-idle", "0.05")

APP = """
    import os
    import uwsgi
    from knock import knock

    os.write(1, f"loaded by {uwsgi.worker_id()}\\n".encode())

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/wait":
            knock("inside")
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/states":
            return [" ".join(worker["status"].decode() for worker in uwsgi.workers()).encode()]
        return [str(uwsgi.worker_id()).encode()]
"""


@pytest.fixture(params=SUBINTERPRETERS)
def isolation(request):
    return request.param


@pytest.fixture
def cheap(serve, gate, isolation):
    def start(*arguments, source=APP, **more):
        return serve("--isolation", isolation, *arguments, source=source, gate=gate, **more)

    return start


def states(server):
    return server.ask("/states").text.split()


def count_serving(server):
    return sum(state != "cheap" for state in states(server))


def loads(server):
    return re.findall(r"^loaded by (\d+)$", server.log(), re.MULTILINE)


# How many


def test_it_starts_with_the_least_number(cheap):
    server = cheap("--processes", "4", "--cheaper", "2")
    assert sorted(loads(server)) == ["1", "2"]
    assert "up to 4 when they are needed" in server.log()
    assert states(server).count("cheap") == 2


def test_it_starts_with_the_initial_number(cheap):
    server = cheap(
        "--processes", "4", "--cheaper", "1", "--cheaper-initial", "3", "--cheaper-algo", "manual"
    )
    assert len(loads(server)) == 3


@pytest.mark.parametrize("algorithm", ["spare", "spare2", "busyness"])
def test_busy_interpreters_bring_more_and_idle_ones_go(cheap, gate, algorithm):
    server = cheap(
        "--processes",
        "3",
        "--cheaper",
        "1",
        "--cheaper-algo",
        algorithm,
        "--cheaper-busyness-multiplier",
        "2",
        *FAST,
    )
    connections = []
    for number in (2, 3):
        connection = server.connect()
        connection.send(get("/wait"))
        connections.append((connection, gate.visitor()))
        # While it is in its request another one comes.
        server.wait_for_log(rf"interpreters: {number} \(worker \d is new")
    assert sorted(loads(server)) == ["1", "2", "3"]
    for connection, visitor in connections:
        visitor.release()
        assert connection.receive().status == 200
    server.wait_for_log(r"interpreters: 1 \(worker \d is cheap now")
    assert states(server).count("cheap") == 2
    assert server.ask("/").status == 200


def test_waiting_requests_bring_more(cheap, gate):
    """backlog: --cheaper-overload is a number of requests."""
    server = cheap(
        "--processes",
        "3",
        "--cheaper",
        "1",
        "--cheaper-algo",
        "backlog",
        "--cheaper-overload",
        "1",
        "--cheaper-step",
        "2",
    )
    connections = [server.connect() for _ in range(5)]
    for connection in connections:
        connection.send(get("/wait"))
    # One request is in the app and four wait; three are in the app when the other interpreters
    # serve.
    visitors = gate.visitors(3)
    assert sorted(loads(server)) == ["1", "2", "3"]
    for visitor in visitors:
        visitor.release()
    for visitor in gate.visitors(2):
        visitor.release()
    assert [connection.receive().status for connection in connections] == [200] * 5
    server.wait_for_log(r"interpreters: 1 \(worker \d is cheap now")


def test_requests_in_progress_are_finished_when_their_interpreter_goes(cheap, gate):
    server = cheap(
        "--processes", "2", "--cheaper", "1", "--cheaper-initial", "2", "--cheaper-algo", "manual"
    )
    connections = [server.connect() for _ in range(2)]
    for connection in connections:
        connection.send(get("/wait"))
    visitors = gate.visitors(2)
    server.send_signal(signal.SIGTTOU)
    server.wait_for_log("SIGTTOU: ending one")
    for visitor in visitors:
        visitor.release()
    assert sorted(connection.receive().text for connection in connections) == ["1", "2"]
    server.wait_for_log(r"interpreters: 1 \(worker . is cheap now")
    assert server.ask("/").status == 200


def test_the_operator_has_the_last_word(cheap):
    """gunicorn's SIGTTIN and SIGTTOU."""
    server = cheap("--processes", "3", "--cheaper", "1", "--cheaper-algo", "manual")
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log(r"interpreters: 2 \(worker 2 is new")
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log(r"interpreters: 3 \(worker 3 is new")
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log("SIGTTIN: there are 3 interpreters already")
    server.send_signal(signal.SIGTTOU)
    # The one that has lived longest, as in uWSGI.
    server.wait_for_log(r"interpreters: 2 \(worker 1 is cheap now")
    assert states(server)[0] == "cheap"
    server.send_signal(signal.SIGTTOU)
    server.wait_for_log(r"interpreters: 1 \(worker 2 is cheap now")
    server.send_signal(signal.SIGTTOU)
    server.wait_for_log("the last interpreter stays")
    assert server.ask("/").text == "3"


def test_a_reload_makes_as_many_as_serve(cheap):
    server = cheap("--processes", "4", "--cheaper", "1", "--cheaper-algo", "manual")
    for number in (2, 3):
        server.send_signal(signal.SIGTTIN)
        server.wait_for_log(rf"interpreters: {number} \(worker")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(r"generation 2 serves \(3 interpreters")
    server.wait_for_log("generation 1 ended")
    assert count_serving(server) == 3


def test_memory_keeps_it_small(cheap, gate):
    """The process uses more than a byte, so no interpreter is added, and all but one are removed."""
    server = cheap(
        "--processes",
        "3",
        "--cheaper",
        "1",
        "--cheaper-initial",
        "3",
        "--cheaper-rss-limit-soft",
        "1",
        "--cheaper-rss-limit-hard",
        "2",
        *FAST,
    )
    server.wait_for_log(r"bytes of memory \(--cheaper-rss-limit-hard\): ending one", count=2)
    server.wait_for_log(r"interpreters: 1 \(worker . is cheap now")


def test_one_that_cannot_be_made_costs_nobody_anything(cheap):
    server = cheap("--processes", "2", "--cheaper", "1", "--cheaper-algo", "manual")
    (server.directory / "app.py").write_text("raise RuntimeError('broken since')\n")
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log(
        r"no further interpreter, those that there are \(1\) serve on: .*the next attempt in 10 s or later"
    )
    assert "broken since" in server.log()
    assert server.ask("/").text == "1"
    assert states(server) == ["busy", "cheap"]


# Interpreters and what they have


def test_signals_go_to_those_that_serve(cheap):
    source = """
        import os
        import uwsgi

        def handler(number):
            os.write(1, f"handled by {uwsgi.worker_id()}\\n".encode())

        uwsgi.register_signal(1, "workers", handler)
        uwsgi.register_signal(2, "worker", handler)

        def application(environ, start_response):
            uwsgi.signal(int(environ["QUERY_STRING"]))
            start_response("200 OK", [])
            return []
    """
    server = cheap("--processes", "3", "--cheaper", "1", "--cheaper-algo", "manual", source=source)
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log(r"interpreters: 2 \(worker")
    server.ask("/?1")
    server.wait_for_log(r"^handled by \d", count=2)
    server.send_signal(signal.SIGTTOU)
    server.wait_for_log(r"interpreters: 1 \(worker")
    server.ask("/?1")
    server.wait_for_log(r"^handled by 2", count=2)
    server.ask("/?2")
    server.wait_for_log(r"^handled by 2", count=3)
    assert len(re.findall(r"^handled by", server.log(), re.MULTILINE)) == 4


def test_recycling_goes_on_beside_it(cheap):
    server = cheap(
        "--processes",
        "2",
        "--cheaper",
        "1",
        "--cheaper-algo",
        "manual",
        "--max-requests",
        "3",
        "--min-worker-lifetime",
        "0",
    )
    for _ in range(3):
        server.ask("/")
    server.wait_for_log("worker 1 has a fresh interpreter")
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log(r"interpreters: 2 \(worker 2 is new")
    assert count_serving(server) == 2


@pytest.mark.stress
def test_nobody_notices_that_they_come_and_go(cheap):
    """While interpreters are added and removed, every request is answered."""
    server = cheap(
        "--processes",
        "3",
        "--cheaper",
        "1",
        "--cheaper-algo",
        "manual",
        "--threads",
        "2",
        "--disable-logging",
    )
    stopped = []

    def ask_again_and_again():
        answers = 0
        with server.connect() as connection:
            while not stopped:
                assert connection.ask(get("/")).text in ("1", "2", "3")
                answers += 1
        return answers

    def change():
        for round_number in range(1, 9):
            server.send_signal(signal.SIGTTIN)
            server.wait_for_log(r"interpreters: 2 \(worker . is new", count=round_number)
            server.send_signal(signal.SIGTTOU)
            server.wait_for_log(r"interpreters: 1 \(worker . is cheap now", count=round_number)
        stopped.append(True)
        return 1

    assert all(together(4, lambda number: ask_again_and_again() if number else change()))


# No interpreter at all


def rests(server, count=1):
    server.wait_for_log(
        "cheap mode enabled: waiting for a request, no interpreter runs", count=count
    )


@pytest.mark.parametrize("poll", ["shared", "acceptor"])
def test_cheap_waits_for_the_first_request(cheap, poll):
    server = cheap("--processes", "2", "--cheap", "--poll", poll)
    rests(server)
    assert loads(server) == ["1"], "it was seen to load"
    assert server.ask("/").text == "1"
    server.wait_for_log("cheap mode disabled, interpreters: 2")
    assert sorted(loads(server)) == ["1", "1", "2"]


@pytest.mark.parametrize("poll", ["shared", "acceptor"])
def test_idle_ends_all_and_a_request_brings_them_back(cheap, poll):
    server = cheap("--processes", "3", "--cheaper", "2", "--idle", "0.1", "--poll", poll)
    for round_number in (1, 2, 3):
        rests(server, round_number)
        with server.connect() as kept:
            assert kept.ask(get("/")).status == 200
            server.wait_for_log("cheap mode disabled, interpreters: 2", count=round_number)
            if round_number == 1:
                # A connection that is kept brings them back as a new one does.
                rests(server, 2)
                assert kept.ask(get("/")).status == 200
                server.wait_for_log("cheap mode disabled, interpreters: 2", count=2)
                rests(server, 3)
                break
    assert server.ask("/").status == 200


def test_many_at_once_wait_for_the_first_interpreter(cheap):
    server = cheap("--processes", "2", "--threads", "2", "--cheap")
    rests(server)
    answers = together(12, lambda _: server.ask("/").status)
    assert answers == [200] * 12


def test_it_does_not_rest_while_something_is_under_way(cheap, gate):
    server = cheap("--idle", "0.05")
    connection = server.connect()
    connection.send(get("/wait"))
    visitor = gate.visitor()
    with pytest.raises(AssertionError, match="not within"):
        server.wait_for_log("cheap mode enabled", seconds=0.5, count=2)
    assert server.log().count("cheap mode enabled") <= server.log().count("cheap mode disabled")
    visitor.release()
    assert connection.receive().status == 200
    rests(server)


def test_nothing_wakes_a_server_at_rest(cheap):
    """No thread of an idle server runs: the kernel's count of context switches does not change."""
    server = cheap("--cheap", "--processes", "2")
    rests(server)

    def switches():
        total = 0
        for status in Path(f"/proc/{server.process.pid}/task").glob("*/status"):
            total += sum(
                int(number) for number in re.findall(r"ctxt_switches:\s+(\d+)", status.read_text())
            )
        return total

    seen = []

    def stands_still():
        seen.append(switches())
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    server.wait_until(stands_still, what="fifty looks at an unchanged count")


def test_an_app_that_is_broken_when_it_is_needed(cheap):
    server = cheap("--cheap")
    rests(server)
    good = (server.directory / "app.py").read_text()
    (server.directory / "app.py").write_text("raise RuntimeError('broken since')\n")
    answer = server.ask("/")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    server.wait_for_log(r"no interpreter could be started, requests are answered 503")
    assert "broken since" in server.log()
    (server.directory / "app.py").write_text(good)
    # After a pause it is tried again.
    server.wait_until(lambda: server.ask("/").status == 200, what="an answer")


def test_a_reload_at_rest_proves_the_new_version_and_rests_again(cheap):
    server = cheap("--processes", "2", "--cheap")
    rests(server)
    (server.directory / "app.py").write_text("raise RuntimeError('not this one')\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("reload failed: .*generation 1 serves on")
    (server.directory / "app.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'second']\n"
    )
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(r"generation \d serves \(1 interpreter in")
    rests(server, 2)
    assert server.ask("/").text == "second"


def test_a_request_that_comes_during_a_reload_at_rest_is_answered(cheap, gate):
    server = cheap("--cheap")
    rests(server)
    (server.directory / "app.py").write_text(
        "from knock import knock\nknock('importing')\ndef application(e, s):\n    s('200 OK', [])\n    return [b'second']\n"
    )
    server.send_signal(signal.SIGHUP)
    visitor = gate.visitor()
    connection = server.connect()
    connection.send(get("/"))
    visitor.release()
    assert connection.receive().text == "second"


def test_a_stop_at_rest(cheap):
    server = cheap("--cheap")
    rests(server)
    assert server.stop() == 0


def test_a_stop_while_the_first_interpreter_is_made(cheap, gate):
    """Requests that wait for an interpreter are answered."""
    server = cheap("--cheap")
    rests(server)
    good = (server.directory / "app.py").read_text()
    (server.directory / "app.py").write_text("from knock import knock\nknock('importing')\n" + good)
    connection = server.connect()
    connection.send(get("/"))
    visitor = gate.visitor()
    server.send_signal(signal.SIGTERM)
    server.wait_for_log("SIGTERM: stopping")
    visitor.release()
    assert connection.receive().text == "1"
    assert server.wait_for_exit() == 0


def test_die_on_idle(cheap):
    server = cheap("--idle", "0.2", "--die-on-idle")
    assert server.wait_for_exit() == 0
    assert "--die-on-idle: stopping" in server.log()


# Where it has no effect, and invalid values


def test_the_main_interpreter_stays(serve, gate):
    server = serve(
        "--isolation",
        "main",
        "--processes",
        "4",
        "--cheaper",
        "1",
        "--cheap",
        source=APP,
        gate=gate,
    )
    server.wait_for_log("the number of interpreters stays as it is")
    assert server.ask("/").text == "1"
    server.send_signal(signal.SIGTTOU)
    server.wait_for_log("SIGTTOU: the number of interpreters cannot be changed here")


def test_the_main_interpreter_dies_on_idle(serve, gate):
    server = serve("--isolation", "main", "--idle", "0.2", "--die-on-idle", source=APP, gate=gate)
    assert server.wait_for_exit() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--processes", "2", "--cheaper", "2"),
            "invalid cheaper value: must be lower than processes",
        ),
        (("--cheaper", "1"), "invalid cheaper value: must be lower than processes"),
        (("--processes", "2", "--cheaper", "many"), "cheaper"),
        (("--processes", "2", "--cheaper", "1", "--cheaper-step", "0"), "cheaper-step"),
        (
            ("--processes", "2", "--cheaper", "1", "--cheaper-rss-limit-hard", "5"),
            "wants cheaper-rss-limit-soft beside it",
        ),
        (
            (
                "--processes",
                "2",
                "--cheaper",
                "1",
                "--cheaper-rss-limit-soft",
                "5",
                "--cheaper-rss-limit-hard",
                "5",
            ),
            "has to be higher than cheaper-rss-limit-soft",
        ),
        (
            ("--processes", "2", "--cheaper", "1", "--cheaper-busyness-min", "60"),
            "the lower limit has to be the lower one",
        ),
    ],
)
def test_nonsense_is_refused(serve, gate, arguments, words):
    server = serve(*arguments, source=APP, gate=gate, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert words in server.log()


def test_what_uwsgi_only_warns_about(serve, gate):
    server = serve(
        "--processes",
        "3",
        "--cheaper",
        "2",
        "--cheaper-initial",
        "1",
        "--cheaper-algo",
        "magic",
        source=APP,
        gate=gate,
    )
    server.wait_for_log(
        r"cheaper-initial .*: 1 is not between cheaper \(2\) and processes \(3\); 2 interpreters run at start"
    )
    server.wait_for_log("there is no cheaper algorithm 'magic', falling back to spare")


def test_no_cheaper_is_no_cheaper(serve, gate):
    server = serve("--processes", "2", "--cheaper", "0", source=APP, gate=gate)
    assert states(server).count("cheap") == 0
