"""Processes that the application makes with os.fork() never become a second server."""

import os

import pytest

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

# The child's id goes to the log before it leaves the application.
FORKS = """
    import os, sys

    def leave_by_return(start_response):
        start_response("200 OK", [])
        return [b"child"]

    def leave_by_exit(start_response):
        sys.exit(7)

    def leave_by_exit_text(start_response):
        sys.exit("the child says goodbye")

    def leave_by_exception(start_response):
        raise LookupError("of the child")

    def leave_by_write(start_response):
        start_response("200 OK", [])(b"child")

    def leave_by_error_page(start_response):
        try:
            raise ValueError("handled")
        except ValueError:
            start_response("500 Internal Server Error", [], sys.exc_info())
        return [b"child"]

    def application(environ, start_response):
        how = environ["PATH_INFO"][1:]
        if how == "plain":
            start_response("200 OK", [("Content-Length", "5")])
            return [b"hello"]
        if how.startswith("generator_"):
            return pieces(how.removeprefix("generator_"), start_response)
        if how == "close":
            start_response("200 OK", [("Content-Length", "6")])
            return Closing()
        child = os.fork()
        if child == 0:
            print("a child begins", flush=True)
            environ["wsgi.errors"].write("the child writes an error\\n")
            print("not flushed", end="")
            return globals()["leave_by_" + how](start_response)
        return answer(child, start_response)

    def answer(child, start_response):
        _, status = os.waitpid(child, 0)
        text = str(os.waitstatus_to_exitcode(status)).encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]

    def pieces(how, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        yield b"one"
        child = os.fork()
        if child == 0:
            if how == "raises":
                raise LookupError("of the child")
            if how == "yields":
                yield b"child"
            return
        os.waitpid(child, 0)
        yield b"two"

    class Closing:
        def __iter__(self):
            return iter([b"onetwo"])

        def close(self):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
"""
MAIN = ("--isolation", "main", "--threads", 2)


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(name))
    return found


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("return", "0"),
        ("exit", "7"),
        ("exit_text", "1"),
        ("exception", "1"),
        ("write", "1"),
        ("error_page", "0"),
    ],
)
def test_a_child_that_leaves_the_application_ends(serve, how, code):
    server = serve(*MAIN, source=FORKS)
    with server.connect() as connection:
        for _ in range(3):
            # One response for each request on this connection: the child has sent none.
            connection.send(f"GET /{how} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert connection.receive().text == code
            connection.send(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.receive().text == "hello"
    # Nothing of a child holds the server up, or is lost.
    assert server.stop() == 0
    log = server.log()
    assert log.count("a child begins") == log.count("the child writes an error") == 3
    assert log.count("not flushed") == 3
    assert log.count("the child says goodbye") == (3 if how == "exit_text" else 0)
    assert log.count("LookupError: of the child") == (3 if how == "exception" else 0)
    assert log.count("made by os.fork(): the client") == (3 if how == "write" else 0)


@pytest.mark.parametrize(
    "how", ["generator_returns", "generator_yields", "generator_raises", "close"]
)
def test_a_child_of_an_iterable_ends(serve, how):
    server = serve(*MAIN, source=FORKS)
    with server.connect() as connection:
        for _ in range(3):
            connection.send(f"GET /{how} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert connection.receive().text == "onetwo"
            connection.send(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.receive().text == "hello"
    assert not children(server.process.pid)


def test_a_child_made_by_a_signal_handler_ends(serve):
    source = """
        import os, uwsgi

        def fork(number):
            child = os.fork()
            if child:
                _, status = os.waitpid(child, 0)
                print("child ended with", os.waitstatus_to_exitcode(status), flush=True)
            elif number == 2:
                raise SystemExit(4)

        uwsgi.register_signal(1, "", fork)
        uwsgi.register_signal(2, "", fork)
        uwsgi.add_ms_timer(1, 50)

        def application(environ, start_response):
            uwsgi.signal(2)
            start_response("200 OK", [])
            return [b"hello"]
    """
    server = serve(*MAIN, source=source)
    server.wait_for_log("child ended with 0", count=2)
    assert server.ask("/").text == "hello"
    server.wait_for_log("child ended with 4")
    assert server.stop() == 0


@pytest.mark.parametrize(
    "how", ["pass", "raise SystemExit(3)", "raise LookupError('of the child')"]
)
@pytest.mark.parametrize("where", ["app", "import"])
def test_a_child_made_while_the_application_is_loaded_ends(serve, how, where):
    forking = f"""
import os
child = os.fork()
if child == 0:
    {how}
else:
    _, status = os.waitpid(child, 0)
    print("child ended with", os.waitstatus_to_exitcode(status), flush=True)
"""
    hello = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""
    files = {"forking.py": forking, "hello.py": hello, "both.py": forking + hello}
    arguments = ("--wsgi-file", "both.py")
    if where == "import":
        arguments = ("--import", "forking.py", "--wsgi-file", "hello.py")
    server = serve(*MAIN, *arguments, files=files)
    code = {"p": 0, "S": 3, "L": 1}[how.removeprefix("raise ")[0]]
    server.wait_for_log(f"child ended with {code}")
    assert server.ask("/").text == "hello"
    assert not children(server.process.pid)
    # One server has reported that it is ready.
    assert len(server.urls()) == 1
    assert len([line for line in server.log().splitlines() if "listening on" in line]) == 1


@pytest.mark.parametrize("hook", ["post_fork_hook", "after_req_hook", "atexit"])
def test_a_child_made_by_a_hook_ends(serve, hook):
    source = f"""
        import os, uwsgi

        def fork():
            child = os.fork()
            if child:
                _, status = os.waitpid(child, 0)
                print("child ended with", os.waitstatus_to_exitcode(status), flush=True)

        uwsgi.{hook} = fork

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"hello"]
    """
    server = serve(*MAIN, source=source)
    assert server.ask("/").text == "hello"
    if hook == "atexit":
        assert server.stop() == 0
    server.wait_for_log("child ended with 0")
