"""A complete answer is sent at once: it waits neither for the end of its own request nor for other requests."""

import pytest
from requests_raw import get

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


@pytest.fixture
def server(serve, gate):
    return serve(source=SOURCE, gate=gate)


@pytest.mark.parametrize("kind", ["close", "late", "hook"])
def test_an_answer_does_not_wait_for_the_end_of_its_request(server, gate, kind):
    with server.connect() as connection, server.connect() as behind:
        connection.send(get(f"/{kind}/end"))
        visitor = gate.visitor()
        assert visitor.word == "end"
        behind.send(get("/quick"))
        assert connection.receive().text == "ok\n"
        visitor.release()
        assert behind.receive().text == "ok\n"
        # The connection goes on.
        assert connection.ask(get("/quick")).text == "ok\n"


def test_a_backlog_on_few_connections_keeps_its_order(server, gate):
    """Pipelined requests that wait while the only worker is busy."""
    rounds = 125
    with server.connect() as first, server.connect() as one, server.connect() as two:
        first.send(get("/slow"))
        visitor = gate.visitor()
        for connection in (one, two):
            connection.send(
                b"".join(get(f"/{kind}/") for kind in ("close", "late", "quick", "close") * rounds)
            )
        visitor.release()
        assert first.receive().text == "ok\n"
        for connection in (one, two):
            for _ in range(4 * rounds):
                assert connection.receive().text == "ok\n"
