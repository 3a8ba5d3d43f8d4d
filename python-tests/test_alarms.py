"""Alarms: what raises them, and what they do."""

import os
import re
import sys

import pytest
from options import limits
from requests_raw import get

APP = """
    import uwsgi

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        name, _, message = environ["QUERY_STRING"].partition("=")
        return [repr(uwsgi.alarm(name, message)).encode()]
"""
SIGNALS = """
    import uwsgi

    def handler(number):
        print(f"signal {number} in worker {uwsgi.worker_id()}", flush=True)

    uwsgi.register_signal(17, "", handler)

    def application(environ, start_response):
        start_response("200 OK", [])
        uwsgi.alarm("ring", "hello")
        return []
"""
HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]
"""
GATED = """
    import knock

    def application(environ, start_response):
        knock.knock("in")
        start_response("200 OK", [])
        return [b"hello"]
"""
unix = pytest.mark.skipif(sys.platform == "win32", reason="the commands are a Unix shell's")


def test_the_application_raises_an_alarm(serve):
    server = serve("--alarm", "ops log:look here", source=APP)
    assert server.ask("/?ops=smoke").body == b"None"
    server.wait_for_log(r"^ALARM: look here smoke$")


def test_an_alarm_that_does_not_exist_is_said(serve):
    server = serve("--alarm", "ops log:", source=APP)
    assert server.ask("/?other=smoke").body == b"None"
    server.wait_for_log(r"uwsgi\.alarm\(\): there is no alarm other")


@unix
def test_a_command_gets_the_message_on_its_standard_input(serve):
    server = serve("--alarm", "ops cmd:sed 's/^/got: /' >&2; echo >&2", source=APP)
    server.ask("/?ops=smoke")
    server.wait_for_log(r"^got: smoke")


@unix
def test_a_command_that_fails_is_said_and_raises_nothing_again(serve):
    server = serve("--alarm", "ops cmd:exit 3", "--alarm-log", "ops failed|smoke", source=APP)
    server.ask("/?ops=smoke")
    # One alarm by the application; its request line contains the message, and raises another.
    server.wait_for_log(r"\[uwsgi-alarm\] ops: \"exit 3\" failed: exit status: 3", count=2)
    server.stop()
    # The failures raise none.
    assert server.log().count("failed: exit status: 3") == 2


def test_a_signal(serve):
    server = serve("--alarm", "ring signal:17", source=SIGNALS)
    server.ask()
    server.wait_for_log(r"^signal 17 in worker 1$")


def test_the_same_message_is_not_raised_again_at_once(serve):
    server = serve("--alarm", "ops log:", "--alarm-freq", "1000", source=APP)
    for message in ("a", "a", "b", "b", "a"):
        server.ask(f"/?ops={message}")
    server.wait_for_log(r"^ALARM: ", count=3)
    server.stop()
    assert re.findall(r"^ALARM: (.*)$", server.log(), re.MULTILINE) == ["a", "b", "a"]


def test_a_long_message_is_cut(serve):
    server = serve("--alarm", "ops log:", "--alarm-msg-size", "16", source=APP)
    server.ask("/?ops=" + "x" * 100)
    assert server.wait_for_log(r"^ALARM: (x+)$").group(1) == "x" * 16


def test_lines_of_the_log_raise_alarms(serve):
    rules = ["--not-alarm-log", "a,b /harmless", "--alarm-log", "a,b GET /(bad|harmless)"]
    server = serve("--alarm", "a log:first", "--alarm", "b log:second", *rules, source=HELLO)
    server.ask("/good")
    server.ask("/harmless")
    server.ask("/bad")
    server.wait_for_log(r"^ALARM: first .*GET /bad")
    server.wait_for_log(r"^ALARM: second .*GET /bad")
    server.stop()
    assert server.log().count("ALARM: ") == 2, server.log()


def test_hooks_raise_alarms_from_the_first_to_the_last(serve):
    hooks = ["--hook-asap", "alarm:ops too early", "--hook-as-user-atexit", "alarm:ops the end"]
    server = serve("--alarm", "ops log:", *hooks, source=HELLO)
    server.wait_for_log(r"^ALARM: too early$")
    server.stop()
    assert re.search(r"^ALARM: the end$", server.log(), re.MULTILINE)


def test_a_hook_with_an_alarm_that_does_not_exist_ends_the_start(serve):
    server = serve("--hook-pre-app", "alarm:ops hello", source=HELLO, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert "there is no alarm ops" in server.log()


@unix
def test_a_descriptor_raises_an_alarm(serve):
    reader, writer = os.pipe()
    try:
        server = serve(
            "--alarm",
            "ops log:",
            "--alarm-fd",
            f"ops {reader}:3 three bytes came",
            source=HELLO,
            pass_fds=(reader,),
        )
        os.write(writer, b"ab")
        os.write(writer, b"c")
        server.wait_for_log(r"^ALARM: three bytes came$")
        os.close(writer)
        writer = None
        server.wait_for_log(r"descriptor \d+ is not watched any more")
        assert server.ask().body == b"hello"
    finally:
        os.close(reader)
        if writer is not None:
            os.close(writer)


@pytest.mark.parametrize(
    "option, text, why",
    [
        ("alarm", "ops", "wants NAME KIND:ARGUMENT"),
        ("alarm", "ops xmpp:a", "asks for xmpp, which is not supported"),
        ("alarm", "ops signal:400", "wants a uwsgi signal from 0 to 255"),
        ("alarm-log", "nobody x", "names the alarm nobody, and there is none"),
        ("alarm-backlog", "nobody", "names the alarm nobody, and there is none"),
        ("alarm-fd", "ops", "wants NAME FD[:BYTES] TEXT"),
    ],
)
def test_what_is_wrong_ends_the_start(serve, option, text, why):
    server = serve(f"--{option}", text, source=HELLO, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert why in server.log()


def test_a_full_queue(serve, gate):
    server = serve(
        "--alarm", "ops log:", "--alarm-backlog", "ops", *limits(queue=1), source=GATED, gate=gate
    )
    busy = server.connect()
    busy.send(get("/"))
    visitor = gate.visitor()
    waiting = [server.connect() for _ in range(3)]
    for connection in waiting:
        connection.send(get("/"))
    server.wait_for_log(r"^ALARM: the request queue of 1 is full: \d+ requests were answered 503$")
    for connection in waiting:
        connection.close()
    visitor.release()
    assert busy.receive().text == "hello"
