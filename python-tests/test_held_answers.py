"""Answers that a quick worker keeps for a moment, to send a few together (src/app/response_batching.rs): none waits for code that is slow.

One worker stands before the gate while a backlog of quick requests is queued behind it. When it goes on, it keeps answers as long
as there is more to do, and then meets a request that is slow.
"""

import contextlib

import pytest
from requests_raw import get
from test_stats import stats

#: More than it takes to forget the request that stood before the gate, and no multiple of the eight that are sent together: some are
#: left when the slow one comes.
QUICK = 125
SOURCE = """
    import uwsgi
    from knock import knock

    class Body(list):
        def __init__(self, at_close):
            super().__init__([b"ok\\n"])
            self.at_close = at_close

        def close(self):
            if self.at_close:
                knock(self.at_close)

    def late(word):
        yield b"ok\\n"
        if word:
            knock(word)

    def after():
        del uwsgi.after_req_hook
        knock("end")

    def application(environ, start_response):
        path, _, word = environ["PATH_INFO"].strip("/").partition("/")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        if path == "slow":
            knock("slow")
        if path == "hook":
            uwsgi.after_req_hook = after
        if path == "close":
            return Body(word)
        if path == "late":
            return late(word)
        return [b"ok\\n"]
"""


@contextlib.contextmanager
def backlog(server, gate, paths):
    """Has the one worker stand before the gate until requests for all paths are queued; the connections, in that order."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(server.connect())
        first.send(get("/slow"))
        visitor = gate.visitor()
        connections = []
        for path in paths:
            connections.append(stack.enter_context(server.connect()).send(get(path)))
            server.wait_until(
                lambda: stats(server)["listen_queue"] == len(connections), what="a queued request"
            )
        visitor.release()
        assert first.receive().text == "ok\n"
        yield connections


@pytest.fixture
def server(serve, gate):
    return serve(
        "--stats", "127.0.0.1:0", source=SOURCE, gate=gate, environment={"SINGLEMALT_LOG": "debug"}
    )


#: Whether an answer is kept in the moment that matters is a question of microseconds.
ATTEMPTS = 20


def until_it_was_seen(server, attempt):
    """Repeats what has to hold each time, until the acceptor had kept answers to send."""
    for _ in range(ATTEMPTS):
        attempt()
        if "sent what busy workers had kept" in server.log():
            return
    pytest.skip("no answer was kept: requests take too long on this machine")


def test_kept_answers_do_not_wait_for_a_slow_request(server, gate):
    def attempt():
        with backlog(server, gate, [*["/quick"] * QUICK, "/slow"]) as [*quick, slow]:
            visitor = gate.visitor()
            for connection in quick:
                assert connection.receive().text == "ok\n"
            visitor.release()
            assert slow.receive().text == "ok\n"

    until_it_was_seen(server, attempt)


@pytest.mark.parametrize("kind", ["close", "late", "hook"])
def test_a_kept_answer_does_not_wait_for_its_own_end(server, gate, kind):
    def attempt():
        paths = [*["/close/"] * QUICK, f"/{kind}/end", "/quick"]
        with backlog(server, gate, paths) as [*quick, slow, behind]:
            visitor = gate.visitor()
            assert visitor.word == "end"
            for connection in [*quick, slow]:
                assert connection.receive().text == "ok\n"
            visitor.release()
            assert behind.receive().text == "ok\n"
            # The connection goes on.
            assert slow.ask(get("/quick")).text == "ok\n"

    until_it_was_seen(server, attempt)


def test_a_backlog_on_few_connections_keeps_its_order(server, gate):
    """Pipelined requests, of which some answers are kept and some not."""
    with server.connect() as first, server.connect() as one, server.connect() as two:
        first.send(get("/slow"))
        visitor = gate.visitor()
        for connection in (one, two):
            connection.send(
                b"".join(get(f"/{kind}/") for kind in ("close", "late", "quick", "close") * QUICK)
            )
        visitor.release()
        assert first.receive().text == "ok\n"
        for connection in (one, two):
            for _ in range(4 * QUICK):
                assert connection.receive().text == "ok\n"
