"""--keep-previous: the previous version is kept for a while and can be restored at once."""

import signal

import pytest
from conftest import HAS_OWN_GIL
from versions import answers, reload, roll_back, version, visited

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a reload is asked for by SIGHUP"),
    pytest.mark.skipif(
        not HAS_OWN_GIL, reason="two generations in one process need own-GIL interpreters"
    ),
]

POLLS = pytest.mark.parametrize("poll", [(), ("--poll", "acceptor")], ids=["shared", "acceptor"])


FIRST = version(1)


def keeping(serve, time, *arguments, source=FIRST, **more):
    return serve(
        "--keep-previous", time, "--touch-rollback", "back", *arguments, source=source, **more
    )


def reload_to(server, number, **more):
    reload(server, version(number, **more))
    server.wait_for_log(rf"generation {number} serves \(")


@POLLS
def test_the_version_before_is_put_back(serve, poll):
    server = keeping(serve, "5m", "--processes", "2", "--threads", "2", *poll)
    reload_to(server, 2)
    server.wait_for_log(r"generation 1 is kept for 5 min")
    assert answers(server, 10) == ["2"] * 10
    roll_back(server)
    server.wait_for_log(r"generation 1 serves again, instead of generation 2")
    assert answers(server, 20) == ["1"] * 20
    server.wait_for_log(r"generation 2 ended \(")
    # The next reload works as usual.
    reload_to(server, 3)
    assert answers(server, 10) == ["3"] * 10


def test_without_anything_kept_it_is_an_error(serve):
    server = serve("--touch-rollback", "back", source=version(1))
    reload_to(server, 2)
    roll_back(server)
    server.wait_for_log(
        r"there is nothing to go back to: no canary runs, and no generation is kept \(--keep-previous\)"
    )
    assert answers(server, 3) == ["2"] * 3


def test_what_was_rolled_back_is_not_kept(serve):
    server = keeping(serve, "5m")
    reload_to(server, 2)
    roll_back(server)
    server.wait_for_log(r"generation 1 serves again")
    roll_back(server)
    server.wait_for_log(r"there is nothing to go back to")
    assert answers(server, 3) == ["1"] * 3


def test_it_ends_when_its_time_is_over(serve):
    server = keeping(serve, "1s")
    reload_to(server, 2)
    server.wait_for_log(r"generation 1 is kept for 1 s")
    server.wait_for_log(r"generation 1 ended \(")
    assert answers(server, 3) == ["2"] * 3


def test_one_is_kept_and_no_more(serve):
    server = keeping(serve, "5m")
    reload_to(server, 2)
    reload_to(server, 3)
    server.wait_for_log(r"generation 1 ended \(")
    roll_back(server)
    server.wait_for_log(r"generation 2 serves again, instead of generation 3")
    assert answers(server, 3) == ["2"] * 3


def test_a_reload_that_fails_leaves_what_is_kept(serve):
    server = keeping(serve, "5m")
    reload_to(server, 2)
    reload(server, "nonsense (")
    server.wait_for_log(r"reload failed: ")
    roll_back(server)
    server.wait_for_log(r"generation 1 serves again, instead of generation 2")
    assert answers(server, 3) == ["1"] * 3


def test_requests_in_progress_are_finished_by_the_one_that_is_kept(serve, gate):
    server = keeping(serve, "5m", gate=gate)
    with server.connect() as held:
        held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        visitor = gate.visitor()
        reload_to(server, 2)
        assert server.ask("/").text == "2"
        visitor.release()
        assert held.receive().text == "1"
        assert held.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text == "2"


def test_what_is_kept_sleeps(serve):
    """Its threads are not woken by requests, and every request is answered."""
    server = keeping(serve, "5m", "--processes", "2")
    kept = workers(server)
    reload_to(server, 2)
    assert answers(server, 10) == ["2"] * 10
    # They have left the poll, or will leave it at their next wake-up.
    settled = lambda: len({switches(server, kept) for _ in range(5)}) == 1
    server.wait_until(settled, what="threads that sleep")
    before = switches(server, kept)
    assert answers(server, 200) == ["2"] * 200
    assert switches(server, kept) == before


def workers(server):
    from pathlib import Path

    tasks = Path(f"/proc/{server.process.pid}/task")
    return sorted(
        task.name
        for task in tasks.iterdir()
        if (task / "comm").read_text().startswith(("worker", "uWSGI"))
    )


def switches(server, tasks):
    from pathlib import Path

    lines = [Path(f"/proc/{server.process.pid}/task/{task}/status").read_text() for task in tasks]
    return tuple(
        line for text in lines for line in text.splitlines() if line.startswith("voluntary")
    )


@POLLS
def test_a_stop_ends_what_is_kept(serve, poll):
    server = keeping(serve, "5m", "--processes", "2", *poll)
    reload_to(server, 2)
    assert server.stop() == 0


def test_what_loads_meanwhile_is_given_up(serve, gate):
    server = keeping(serve, "5m", gate=gate)
    reload_to(server, 2)
    reload(server, "    from knock import knock\n    knock('import')\n" + version(3))
    visitor = gate.visitor()
    assert visitor.word == "import"
    roll_back(server)
    server.wait_for_log(r"generation 1 serves again, instead of generation 2")
    visitor.release()
    server.wait_for_log(r"generation 2 ended \(")
    assert answers(server, 5) == ["1"] * 5
    assert "generation 3 serves" not in server.log()
    # The next version serves.
    reload(server, version(4))
    server.wait_for_log(r"generation 4 serves \(")
    assert answers(server, 5) == ["4"] * 5


def test_nothing_is_lost_going_to_and_fro(serve):
    server = keeping(serve, "5m", "--processes", "2", "--threads", "2")
    with visited(server):
        for number in range(2, 7):
            reload_to(server, number)
            roll_back(server)
            server.wait_for_log(rf"generation 1 serves again, instead of generation {number}")
    assert answers(server, 5) == ["1"] * 5


def test_timers_are_those_of_the_one_in_charge(serve):
    timers = version("{}").replace(
        "VERSION =",
        """import uwsgi
    uwsgi.register_signal(1, "", lambda number: print("tick of " + VERSION, flush=True))
    uwsgi.add_timer(1, 1)
    VERSION =""",
    )
    source = lambda number: timers.replace("{}", str(number))
    server = keeping(serve, "5m", source=source(1))
    server.wait_for_log("tick of 1")
    reload(server, source(2))
    server.wait_for_log("tick of 2")
    roll_back(server)
    server.wait_for_log(r"generation 1 serves again")
    count = server.log().count("tick of 1")
    server.wait_for_log("tick of 1", count=count + 1)
