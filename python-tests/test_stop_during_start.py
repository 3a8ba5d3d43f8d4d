"""A stop that is asked for before the server serves, and signals that stop nothing."""

import os
import signal

import pytest
from conftest import ISOLATIONS

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no signals here")

# Its import does not return.
ENDLESS = """
    from knock import knock
    knock("import")
    import threading
    threading.Event().wait()
"""
HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]
"""


def isolation_arguments(isolation):
    return ["--isolation", isolation] if isolation else []


@pytest.mark.parametrize("isolation", ["", *(mode for mode in ISOLATIONS if mode != "own-gil")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_an_import_that_does_not_return(serve, gate, tmp_path, isolation, number):
    server = serve(
        *isolation_arguments(isolation),
        *("--pidfile", "app.pid", "--vacuum", "--http-socket", "app.sock"),
        source=ENDLESS,
        gate=gate,
        directory=tmp_path,
        wait=False,
    )
    gate.visitor().release()
    assert (tmp_path / "app.sock").exists()
    server.send_signal(number)
    assert server.wait_for_exit() == 0
    assert "stopping before the start is over" in server.log()
    assert not (tmp_path / "app.pid").exists() and not (tmp_path / "app.sock").exists()


def test_a_stop_ends_the_wait_for_a_file(serve):
    server = serve(
        "--wait-for-file", "never", "--wait-for-fs-timeout", "1000", source=HELLO, wait=False
    )
    server.wait_for_log("waiting for never")
    server.send_signal(signal.SIGTERM)
    assert server.wait_for_exit() == 0


def test_a_second_signal_ends_a_start_that_does_not_stop(serve, tmp_path):
    """The main thread waits for a command of a hook."""
    os.mkfifo(tmp_path / "fifo")
    server = serve(
        *("--hook-as-user", "exec:echo begun; exec cat fifo"),
        source=HELLO,
        directory=tmp_path,
        wait=False,
    )
    server.wait_for_log("begun")
    server.send_signal(signal.SIGTERM)
    server.wait_for_log("stopping before the start is over")
    server.exit_code_expected = 128 + signal.SIGTERM
    server.send_signal(signal.SIGTERM)
    assert server.wait_for_exit() == 128 + signal.SIGTERM
    # The command ends.
    os.close(os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK))


def test_the_log_is_opened_again_and_status_is_logged(serve, tmp_path):
    server = serve("--logto", "app.log", source=HELLO, directory=tmp_path, wait=False)
    log = tmp_path / "app.log"
    server.wait_until(lambda: log.exists() and "ready after" in log.read_text(), what="ready")
    log.rename(tmp_path / "app.log.1")
    server.send_signal(signal.SIGUSR1)
    server.wait_until(lambda: log.exists() and "opened again" in log.read_text(), what="a new log")
    server.send_signal(signal.SIGUSR2)
    server.wait_until(lambda: "SIGUSR2" in log.read_text(), what="the status")
    server.wait_until(lambda: "serving" in log.read_text(), what="the status")
    assert server.stop() == 0


@pytest.mark.parametrize("isolation", ["main", "shared-gil"])
def test_no_other_signal_ends_the_server(serve, isolation):
    server = serve("--isolation", isolation, source=HELLO)
    others = [signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGWINCH]
    for number in others:
        server.send_signal(number)
        assert server.ask().text == "hello"
    # The waiter, too.
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("is the server now|generation 2 serves")
    for number in others:
        server.send_signal(number)
        assert server.ask().text == "hello"
