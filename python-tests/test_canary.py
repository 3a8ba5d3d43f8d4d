"""--reload-canary: a new version gets a share of the requests first, and all of them only if it
does not fail more.
"""

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


def canary(serve, stages, *arguments, **more):
    return serve(
        "--reload-canary", stages, "--touch-rollback", "back", *arguments, source=version(1), **more
    )


def wait_for_canary(server):
    server.wait_for_log(r"generation 2 is ready \(\d interpreters? in ")
    return server.wait_for_log(
        r"generation 2 gets (\S+) % of the requests for (.*), generation 1 the others"
    )


@POLLS
def test_the_share_is_exact(serve, poll):
    server = canary(serve, "25%,1h", "--processes", "2", *poll)
    reload(server, version(2))
    assert wait_for_canary(server).groups() == ("25", "60 min")
    told = answers(server, 40)
    assert told.count("2") == 10
    # The share is even: each run of four has one.
    assert all(told[at : at + 4].count("2") == 1 for at in range(0, 40, 4))


@POLLS
def test_requests_of_one_connection_are_dealt_out_too(serve, poll):
    server = canary(serve, "50%,1h", *poll)
    reload(server, version(2))
    wait_for_canary(server)
    with server.connect() as connection:
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        told = [connection.ask(request).text for _ in range(20)]
        # Pipelined: the workers of one version queue what the other is to answer.
        connection.send(request * 20)
        told += [connection.receive().text for _ in range(20)]
    assert told.count("2") == 20


@POLLS
def test_a_good_one_gets_all_requests_when_the_time_is_over(serve, poll):
    server = canary(serve, "50%,1s,100%,1s", "--processes", "2", *poll)
    reload(server, version(2))
    wait_for_canary(server)
    answers(server, 20)
    server.wait_for_log(r"generation 2 gets 100 % of the requests for 1 s")
    assert answers(server, 10) == ["2"] * 10
    server.wait_for_log(r"generation 2 serves: 0 of 10 requests failed while it was tried out")
    assert answers(server, 20) == ["2"] * 20
    server.wait_for_log(r"generation 1 ended \(")


@POLLS
def test_a_bad_one_is_withdrawn(serve, poll):
    server = canary(serve, "50%,1h", *poll)
    reload(server, version(2, is_bad=True))
    wait_for_canary(server)
    statuses = [server.ask("/").status for _ in range(40)]
    assert statuses.count(500) == 20
    said = server.wait_for_log(
        r"generation 2 is withdrawn: (\d+) of (\d+) requests failed, 0 of \d+ in the old one; generation 1 serves all"
    )
    assert said[1] == said[2]
    assert answers(server, 20) == ["1"] * 20
    server.wait_for_log(r"generation 2 ended \(")
    assert "generation 1 ended" not in server.log()


def test_one_error_does_not_decide(serve):
    server = canary(serve, "50%,2s")
    # Bad once.
    text = version(2).replace(
        "if False and", "if not os.path.exists('raised') and not open('raised', 'w').close() and"
    )
    reload(server, text)
    wait_for_canary(server)
    statuses = [server.ask("/").status for _ in range(20)]
    assert statuses.count(500) == 1
    server.wait_for_log(r"generation 2 serves: 1 of 10 requests failed")


def test_errors_of_both_are_no_ones(serve):
    """An outage that both versions suffer from, such as a database that is down, does not withdraw
    the canary.
    """
    server = serve("--reload-canary", "50%,2s", source=version(1, is_bad=True))
    reload(server, version(2, is_bad=True))
    wait_for_canary(server)
    for _ in range(40):
        assert server.ask("/").status == 500
    server.wait_for_log(r"generation 2 serves: 20 of 20 requests failed")


def test_what_waits_in_a_canary_that_is_withdrawn_is_answered_by_the_other(serve, gate):
    server = canary(serve, "50%,1h", gate=gate)
    reload(server, version(2))
    wait_for_canary(server)
    assert server.ask("/").text == "1"
    with server.connect() as held, server.connect() as waiting:
        held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        visitor = gate.visitor()
        assert visitor.word == "request 2"
        assert server.ask("/").text == "1"
        # The canary's only worker is in the app.
        waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.ask("/").text == "1"
        roll_back(server)
        server.wait_for_log(r"generation 2 is withdrawn; generation 1 serves")
        assert waiting.receive().text == "1"
        visitor.release()
        assert held.receive().text == "2"
    server.wait_for_log(r"generation 2 ended \(1 request finished\)")


def test_another_reload_ends_the_one_before(serve):
    server = canary(serve, "50%,1h")
    reload(server, version(2))
    wait_for_canary(server)
    reload(server, version(3))
    server.wait_for_log(
        r"generation 2 is withdrawn before its time was over; generation 1 serves until the next one is ready"
    )
    server.wait_for_log(r"generation 3 gets 50 % of the requests")
    assert sorted(answers(server, 20)) == ["1"] * 10 + ["3"] * 10
    server.wait_for_log(r"generation 2 ended \(")


def test_another_reload_that_fails_leaves_the_proven_version(serve):
    server = canary(serve, "50%,1h")
    reload(server, version(2))
    wait_for_canary(server)
    reload(server, "nonsense (")
    server.wait_for_log(r"reload failed: .*; generation 1 serves on")
    assert answers(server, 10) == ["1"] * 10


@POLLS
def test_a_stop_finishes_both(serve, gate, poll):
    server = canary(serve, "50%,1h", "--threads", "2", *poll, gate=gate)
    reload(server, version(2))
    wait_for_canary(server)
    with server.connect() as first, server.connect() as second:
        for connection in (first, second):
            connection.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        visitors = gate.visitors(2)
        assert sorted(visitor.word for visitor in visitors) == ["request 1", "request 2"]
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("stopping; requests in progress")
        for visitor in visitors:
            visitor.release()
        assert sorted([first.receive().text, second.receive().text]) == ["1", "2"]
    assert server.wait_for_exit() == 0


def test_threads_of_a_canary_help_each_other_out(serve, gate):
    """A request that is in the app for a long time does not block the others."""
    server = canary(serve, "100%,1h", "--threads", "2", gate=gate)
    reload(server, version(2))
    wait_for_canary(server)
    with server.connect() as held:
        held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        visitor = gate.visitor()
        assert answers(server, 5) == ["2"] * 5
        visitor.release()
        assert held.receive().text == "2"


def test_nothing_is_lost_while_canaries_come_and_go(serve):
    """Good and bad versions in a row; each response is complete and of an existing version."""
    server = canary(serve, "30%,1s", "--processes", "2", "--threads", "2")
    with visited(server, "/ok"):
        for number in range(2, 8):
            reload(server, version(number))
            server.wait_for_log(rf"generation {number} gets 30 %")
            if number % 3 == 0:
                roll_back(server)
                # Its time may be over first, because a touch is not noticed at once.
                server.wait_for_log(
                    rf"generation {number} is withdrawn; generation|there is nothing to go back to"
                )
            elif number % 3 == 1:
                server.wait_for_log(rf"generation {number} serves: 0 of")


def test_a_recycled_interpreter_does_not_bring_in_what_was_withdrawn(serve):
    server = canary(serve, "50%,1h", "--max-requests", "1", "--min-worker-lifetime", "0")
    server.wait_for_log("ready")
    reload(server, version(2))
    wait_for_canary(server)
    roll_back(server)
    server.wait_for_log(r"interpreters are not replaced .* until the next reload")
    assert answers(server, 20) == ["1"] * 20
    assert "it gets a fresh interpreter" not in server.log()


def test_where_there_is_one_interpreter_for_ever_it_says_so(serve):
    server = canary(serve, "5%,60s", "--isolation", "main", "--keep-previous", "5m")
    server.wait_for_log(
        "--reload-canary and --keep-previous without effect: the application lives in the main interpreter"
    )


def test_a_rolling_reload_has_no_canary(serve):
    server = canary(serve, "5%,60s", "--reload-mode", "rolling")
    server.wait_for_log(
        "--reload-canary without effect: --reload-mode rolling has no second generation"
    )
    reload(server, version(2))
    server.wait_for_log(r"every interpreter of generation 1 is new")
    assert answers(server, 3) == ["2"] * 3


@pytest.mark.parametrize("wrong", ["5", "5%", "5%,0", "101%,1s", "60s,5%"])
def test_wrong_values_are_errors(serve, wrong):
    server = serve("--reload-canary", wrong, source=version(1), wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert "--reload-canary" in server.log() and "wants " in server.log()
