"""An application that closes descriptors of the server: the process ends at once, and says why."""

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="closes what /proc names")

LOST = 70

# The path is the list of what /proc/self/fd says about the descriptors that are closed.
CLOSES = """
    import os, socket

    def kinds():
        for name in os.listdir("/proc/self/fd"):
            try:
                yield int(name), os.readlink("/proc/self/fd/" + name)
            except OSError:
                pass

    def listeners():
        with open("/proc/net/tcp") as file:
            return [line.split()[9] for line in file if " 0A " in line]

    def application(environ, start_response):
        how = environ["PATH_INFO"][1:]
        if how == "range":
            os.closerange(3, 64)
        elif how == "reused":
            os.closerange(3, 64)
            kept.extend(socket.socket() for _ in range(60))
        elif how == "poll":
            for number, kind in kinds():
                if "eventpoll" in kind:
                    os.close(number)
        elif how == "events":
            for number, kind in kinds():
                if "eventfd" in kind:
                    os.close(number)
        elif how == "listener":
            inodes = listeners()
            for number, kind in kinds():
                if kind.startswith("socket:") and kind[8:-1] in inodes:
                    os.close(number)
        elif how == "signals":
            for number, kind in kinds():
                try:
                    own = socket.socket(fileno=os.dup(number))
                except OSError:
                    continue
                if own.family == socket.AF_UNIX and not own.getsockname():
                    os.close(number)
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]

    kept = []
"""


@pytest.mark.parametrize("isolation", ["main", "own-gil"])
@pytest.mark.parametrize("poll", ["shared", "acceptor"])
@pytest.mark.parametrize("how", ["range", "reused", "poll", "events", "listener", "signals"])
def test_a_lost_descriptor_ends_the_process(serve, isolations, isolation, how, poll):
    if isolation not in isolations:
        pytest.skip("not with this Python")
    server = serve("--isolation", isolation, "--threads", 2, "--poll", poll, source=CLOSES)
    server.exit_code_expected = LOST
    assert server.ask("/").text == "hello"
    with server.connect() as connection:
        connection.send(f"GET /{how} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert server.wait_for_exit() == LOST
    log = server.log()
    assert log.count("and not by the server") == 1
    assert log.count("os.closerange") == 1
    assert len(log.splitlines()) < 30, log


@pytest.mark.parametrize("poll", ["shared", "acceptor"])
def test_a_thread_closes_everything_while_the_server_is_idle(serve, poll):
    source = """
        import os, threading

        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            threading.Timer(1, os.closerange, (3, 64)).start()
            return [b"hello"]
    """
    server = serve("--poll", poll, source=source)
    server.exit_code_expected = LOST
    assert server.ask("/").text == "hello"
    assert server.wait_for_exit() == LOST
    assert server.log().count("and not by the server") == 1


def test_descriptors_of_the_application_may_be_closed(serve):
    source = """
        import os, socket

        def application(environ, start_response):
            opened = [socket.socket() for _ in range(20)] + [open("/dev/null") for _ in range(20)]
            for one in opened:
                os.close(one.fileno())
            for one in opened[:20]:
                one.detach()
            start_response("200 OK", [("Content-Length", "5")])
            return [b"hello"]
    """
    server = serve(source=source)
    for _ in range(50):
        assert server.ask("/").text == "hello"
    assert server.stop() == 0
