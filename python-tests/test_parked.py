"""Interpreters that cannot be ended are bounded: past a limit a successor takes the place of the
process.
"""

import json
import os
import re

import control
import pytest
from test_isolation import own_gil_only
from versions import reload, visited

pytestmark = [
    own_gil_only,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name"),
]

# A thread waits in C, without the GIL, for a pipe that no process writes to: no exception reaches
# it there.
STUCK = """\
    import os, threading
    if os.path.exists("held"):
        threading.Thread(target=lambda: open("held", "rb").read(), daemon=True).start()
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"1"]
"""
TAKEN_OVER = r"reloaded: process (\d+) is the server now"


@pytest.fixture
def serve_stuck(serve, tmp_path):
    def start(*arguments):
        (tmp_path / "app.py").write_text(re.sub("(?m)^    ", "", STUCK))
        os.mkfifo(tmp_path / "held")
        return serve(
            *("app.py", "--isolation", "own-gil", "--reload-mercy", "0.3"),
            *("--pidfile", "app.pid", "--disable-logging", *arguments),
            directory=tmp_path,
        )

    return start


def status(server, *arguments):
    shown = control.singlemalt(server.directory, "status", "app.pid", *arguments)
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout) if arguments else shown.stdout


@pytest.mark.parametrize(
    ("reloads", "limit", "why"),
    [
        (
            3,
            ("--max-parked-interpreters", "3"),
            r"3 interpreters cannot be ended( and hold about \d+ MB)? "
            r"\(--max-parked-interpreters\)",
        ),
        (
            1,
            ("--max-parked-interpreters", "0", "--max-parked-memory", "1"),
            r"1 interpreter cannot be ended and holds about \d+ MB \(--max-parked-memory\)",
        ),
    ],
    ids=["number", "memory"],
)
def test_past_a_limit_a_successor_takes_over_and_nothing_is_lost(serve_stuck, reloads, limit, why):
    server = serve_stuck(*limit)
    with visited(server):
        for count in range(1, reloads + 1):
            assert "cannot be ended and" not in server.log()
            reload(server)
            server.wait_for_log("an interpreter is parked", count=count)
        server.wait_for_log(why + ": reloading")
        server.wait_for_log(TAKEN_OVER)
    shown = status(server, "--json")
    assert shown["parked_interpreters"] == 0, "they went with the process"
    assert re.fullmatch(why, shown["reload"]["by"])
    assert (shown["reload"]["way"], shown["reload"]["outcome"]) == ("exec", "serves")
    assert re.search(why, status(server))
    assert server.log().count("an interpreter is parked") == reloads
    assert server.stop() == 0


def test_without_a_limit_they_stay(serve_stuck):
    server = serve_stuck("--max-parked-interpreters", "0", "--max-parked-memory", "0")
    for count in range(1, 7):
        reload(server)
        server.wait_for_log("an interpreter is parked", count=count)
    shown = status(server, "--json")
    assert shown["parked_interpreters"] == 6
    assert shown["reload"]["by"] == "SIGHUP"
