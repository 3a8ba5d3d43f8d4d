"""The stop: --shutdown-delay, --ready-path, connections that are kept, exit codes. The rest is in
test_cli.py.
"""

import signal
import sys
import threading

import pytest
from client import Closed
from requests_raw import get

GATED = """
    from knock import knock

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            knock("inside")
        if environ["PATH_INFO"] == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
            def stream():
                yield b"a"
                knock("streaming")
                yield b"b"
            return stream()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
LONG = "1000"


def test_ready_says_whether_it_is(serve, gate):
    server = serve("--ready-path", "/readyz", source=GATED, gate=gate)
    assert server.ask("/readyz").status == 200
    assert server.ask("/readyz?from=kubelet", method="HEAD").status == 200
    # Only this path, and only GET and HEAD.
    assert server.ask("/readyz/").text == "hello"
    assert server.ask("/readyz", method="POST", body=b"x").text == "hello"
    # It needs no worker.
    connection = server.connect()
    connection.send(get("/wait"))
    visitor = gate.visitor()
    assert server.ask("/readyz").status == 200
    visitor.release()
    assert connection.receive().text == "hello"


def test_ready_without_an_app(serve):
    server = serve("--ready-path", "/readyz", source="raise RuntimeError('no')\n")
    assert server.ask("/readyz").status == 503


@pytest.mark.parametrize("path", ["readyz", "/a?b", "/a b", ""])
def test_what_is_no_path(serve, path):
    server = serve(f"--ready-path={path}", source=GATED, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert "wants a path such as /readyz" in server.log()


def test_a_delayed_stop_serves_on_and_says_that_it_is_not_ready(serve, gate):
    server = serve("--shutdown-delay", LONG, "--ready-path", "/readyz", source=GATED, gate=gate)
    kept = server.connect()
    assert kept.ask(get("/")).keeps_alive
    server.send_signal(signal.SIGTERM)
    server.wait_for_log("SIGTERM: stopping in 1000 s")
    assert server.ask("/readyz").status == 503
    # Old and new connections are served, and told not to come again.
    answer = kept.ask(get("/"))
    assert answer.text == "hello" and not answer.keeps_alive
    kept.assert_closed()
    with server.connect() as fresh:
        answer = fresh.ask(get("/"))
        assert answer.text == "hello" and not answer.keeps_alive
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("the server stops; there is nothing to reload")
    server.send_signal(signal.SIGTERM)
    server.exit_code_expected = 128 + signal.SIGTERM
    assert server.wait_for_exit() == 128 + signal.SIGTERM


def test_a_delayed_stop_ends(serve, gate):
    server = serve("--shutdown-delay", "0.3", source=GATED, gate=gate)
    connection = server.connect()
    connection.send(get("/wait"))
    visitor = gate.visitor()
    server.send_signal(signal.SIGTERM)
    server.wait_for_log("SIGTERM: stopping; requests in progress")
    with pytest.raises(OSError):
        server.connect(timeout=3)
    visitor.release()
    assert connection.receive().text == "hello"
    assert server.wait_for_exit() == 0


def test_the_delay_is_for_signals_only(serve):
    server = serve(
        "--once", "--shutdown-delay", LONG, source=GATED.replace("from knock import knock", "")
    )
    server.ask("/")
    assert server.wait_for_exit() == 0


def test_a_request_on_its_way_on_a_kept_connection_is_answered(serve, gate):
    """The response said keep-alive; then the server was told to stop."""
    server = serve("--threads", "2", source=GATED, gate=gate)
    connection = server.connect()
    connection.send(get("/stream"))
    visitor = gate.visitor()
    server.send_signal(signal.SIGTERM)
    server.wait_for_log("SIGTERM: stopping")
    # The second one is sent before the client could know.
    connection.send(get("/"))
    visitor.release()
    first = connection.receive()
    assert first.text == "ab" and first.keeps_alive
    second = connection.receive()
    assert second.text == "hello" and not second.keeps_alive
    assert server.wait_for_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exit_codes(serve, gate, number):
    """0 if every request was answered, 128 plus the signal's number after a second signal."""
    server = serve(source=GATED, gate=gate)
    assert server.stop(number) == 0
    server = serve(source=GATED, gate=gate)
    connection = server.connect()
    connection.send(get("/wait"))
    gate.visitor()
    server.send_signal(number)
    server.wait_for_log(": stopping; requests in progress")
    server.send_signal(number)
    server.exit_code_expected = 128 + number
    assert server.wait_for_exit() == 128 + number


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="elsewhere the kernel may let somebody in before the listener is closed",
)
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_nothing_is_lost_from_the_first_signal_to_the_exit(serve, gate, family, tmp_path):
    """Clients that keep connections and obey Connection: close. A refused connection would go to
    another server; every accepted one is answered.
    """
    listen = {"tcp": "127.0.0.1:0", "unix": str(tmp_path / "socket")}[family]
    arguments = ("--threads", "4", "--shutdown-delay", "0.5", "--disable-logging")
    server = serve(*arguments, source=GATED, gate=gate, listen=[listen])
    begun = threading.Barrier(5)
    failures, answers = [], []

    def client():
        begun.wait()
        count = 0
        while True:
            try:
                connection = server.connect()
            except (ConnectionRefusedError, FileNotFoundError):
                break
            try:
                with connection:
                    while connection.ask(get("/")).keeps_alive:
                        count += 1
                    count += 1
            except (OSError, Closed, AssertionError) as error:
                failures.append((count, repr(error)))
                break
        answers.append(count)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    begun.wait()
    with server.connect() as connection:
        assert connection.ask(get("/")).status == 200
    server.send_signal(signal.SIGTERM)
    for thread in clients:
        thread.join()
    assert not failures
    assert all(count > 0 for count in answers)
    assert server.wait_for_exit() == 0
