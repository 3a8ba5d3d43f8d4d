"""Loggers, routes, encoders: where lines go, compared with uWSGI itself."""

import json
import os
import re
import signal
import socket
import sys

import pytest
from client import ask
from uwsgi_peer import Uwsgi

APP = """
    import os, sys

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        os.write(2, f"written for {path}\\n".encode())
        if path == "/print":
            print("printed", flush=True)
            print("an unfinished line", end="", file=sys.stderr, flush=True)
            environ["wsgi.errors"].write("one error\\nand an unfinished one")
        if path == "/many":
            for number in range(2000):
                os.write(1, f"{number} {'x' * 1000}\\n".encode())
        return [b"hello"]
"""
FORMAT = ("--log-format", "%(method) %(uri) %(status)")
PATHS = ["/", "/audit/1", "/drained", "/audit/2", "/last"]


def asked(address, paths=PATHS):
    for path in paths:
        ask(address, path, "GET", None, {}, 30)


def lines(file, pattern=""):
    if not file.exists():
        return []
    return [line for line in file.read_text().splitlines() if re.search(pattern, line)]


def test_loggers_and_encoders_are_uwsgis(serve, tmp_path):
    """Messages and request lines through one chain each, into files."""
    outcome = {}
    for name in ("uwsgi", "ours"):
        folder = tmp_path / name
        folder.mkdir()
        options = [
            *FORMAT,
            "--logger", f"file:{folder}/all.log",
            "--logger", f"audit file:{folder}/audit.log",
            "--log-encoder", "prefix > ",
            "--log-encoder", "format:audit [${msg}]",
            "--log-encoder", "nl:audit",
            "--req-logger", f"file:{folder}/req.log",
            "--req-logger", f"other file:{folder}/other.log",
            "--log-req-encoder", 'json {"line":"${msg}","year":"${strftime:%Y}"}',
            "--log-req-encoder", "nl",
            "--log-req-encoder", "suffix ",
        ]  # fmt: skip
        if name == "uwsgi":
            (folder / "app.py").write_text(__import__("textwrap").dedent(APP))
            with Uwsgi(folder, *options) as peer:
                peer.wait_for("spawned uWSGI worker 1", file=folder / "all.log")
                asked(peer.addresses[0])
                peer.wait_for("/last", file=folder / "req.log")
                peer.wait_for("/last", file=folder / "all.log")
        else:
            server = serve(*options, source=APP, directory=folder, wait=False)
            server.wait_until(
                lambda: (
                    (folder / "all.log").exists() and lines(folder / "all.log", "> ready after")
                ),
                what="ready",
            )
            port = re.search(r"listening on http://[^:]+:(\d+)", (folder / "all.log").read_text())[
                1
            ]
            asked(("127.0.0.1", int(port)))
            server.stop()
        outcome[name] = {
            file: lines(folder / f"{file}.log", "written|GET")
            for file in ("all", "audit", "req", "other")
        }
    assert outcome["ours"] == outcome["uwsgi"]
    assert outcome["ours"]["all"] == [f"> written for {path}" for path in PATHS]
    assert not outcome["ours"]["audit"] and not outcome["ours"]["other"]
    assert len(outcome["ours"]["req"]) == len(PATHS)


def test_routes_and_drains(serve, tmp_path):
    """By uWSGI's source: the release here has no regular expressions."""
    server = serve(
        *FORMAT,
        "--logger", f"file:{tmp_path}/all.log",
        "--logger", f"audit file:{tmp_path}/audit.log",
        "--logger", f"audit file:{tmp_path}/audit2.log",
        "--log-route", "audit audit/\\d$",
        "--log-drain", "drained$",
        "--log-encoder", "prefix > ",
        "--log-encoder", "format:audit [${msg}]",
        "--log-encoder", "nl:audit",
        "--req-logger", f"file:{tmp_path}/req.log",
        "--log-req-route", "audit /last",
        source=APP, wait=False,
    )  # fmt: skip
    log = tmp_path / "all.log"
    server.wait_until(lambda: log.exists() and lines(log, "> ready after"), what="ready")
    port = int(re.search(r"listening on http://[^:]+:(\d+)", log.read_text())[1])
    asked(("127.0.0.1", port))
    server.stop()
    assert lines(log, "written") == ["> written for /", "> written for /last"]
    # Printed text and request lines come on two ways.
    assert sorted(lines(tmp_path / "audit.log")) == [
        "GET /last 200",
        "[> written for /audit/1]",
        "[> written for /audit/2]",
    ]
    assert sorted(lines(tmp_path / "audit2.log")) == sorted(lines(tmp_path / "audit.log"))
    assert lines(tmp_path / "req.log") == [f"GET {path} 200" for path in PATHS[:-1]]


def test_filters_leave_only_what_matches(serve, tmp_path):
    log = tmp_path / "a.log"
    server = serve(
        *FORMAT, "--logger", f"file:{log}", "--log-filter", "^GET .*audit", "--log-filter", "ready",
        source=APP, wait=False,
    )  # fmt: skip
    server.wait_until(lambda: log.exists() and lines(log, "ready after"), what="ready")
    server.stop()
    assert all(re.search("ready", line) for line in lines(log))


def datagrams(family, address):
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    receiver.bind(address)
    receiver.settimeout(20)
    return receiver


def received(receiver, pattern):
    while True:
        packet = receiver.recv(65536)
        if found := re.search(pattern, packet):
            return packet, found


def test_datagrams_are_those_of_uwsgi(serve, tmp_path):
    """To a UDP socket, a unix socket with a prefix, and a syslog server with short packets."""
    packets = {}
    for name in ("uwsgi", "ours"):
        folder = tmp_path / name
        folder.mkdir()
        plain = datagrams(socket.AF_INET, ("127.0.0.1", 0))
        prefixed = datagrams(socket.AF_UNIX, str(folder / "log.sock"))
        syslog = datagrams(socket.AF_INET, ("127.0.0.1", 0))
        options = [
            *FORMAT,
            "--req-logger", f"socket:127.0.0.1:{plain.getsockname()[1]}",
            "--req-logger", f"socket:{folder}/log.sock,web: ",
            "--req-logger", f"rsyslog:127.0.0.1:{syslog.getsockname()[1]},web,30",
            "--rsyslog-packet-size", "64", "--rsyslog-split-messages",
        ]  # fmt: skip
        path = "/" + "x" * 50
        if name == "uwsgi":
            (folder / "app.py").write_text(__import__("textwrap").dedent(APP))
            with Uwsgi(folder, *options) as peer:
                peer.wait_until_ready()
                asked(peer.addresses[0], [path])
                packets[name] = [
                    received(plain, b"GET")[0],
                    received(prefixed, b"GET")[0],
                    received(syslog, b"GET")[0],
                    received(syslog, b"200")[0],
                ]
        else:
            server = serve(*options, source=APP, directory=folder)
            asked(server.address, [path])
            packets[name] = [
                received(plain, b"GET")[0],
                received(prefixed, b"GET")[0],
                received(syslog, b"GET")[0],
                received(syslog, b"200")[0],
            ]
    without_time = [
        [re.sub(rb"^<30>\w{3} [ \d]\d \d\d:\d\d:\d\d ", b"<30>TIME ", packet) for packet in one]
        for one in (packets["ours"], packets["uwsgi"])
    ]
    assert without_time[0] == without_time[1]
    assert without_time[0][2].startswith(b"<30>TIME web: GET /x")


def test_the_systems_log_and_the_journal(serve, tmp_path):
    syslog = datagrams(socket.AF_UNIX, str(tmp_path / "syslog"))
    journal = datagrams(socket.AF_UNIX, str(tmp_path / "journal"))
    server = serve(
        *FORMAT, "--req-logger", "syslog:web,local3", "--req-logger", "journald", source=APP,
        environment={
            "_SINGLEMALT_SYSLOG": str(tmp_path / "syslog"),
            "_SINGLEMALT_JOURNAL": str(tmp_path / "journal"),
        },
    )  # fmt: skip
    server.ask("/")
    _, found = received(syslog, rb"^<158>\w{3} [ \d]\d \d\d:\d\d:\d\d web: GET / 200$")
    assert found
    packet, _ = received(journal, b"GET")
    assert packet == b"PRIORITY=6\nSYSLOG_IDENTIFIER=singlemalt\nMESSAGE=GET / 200\n"
    # The other end goes away and comes back.
    syslog.close()
    (tmp_path / "syslog").unlink()
    server.ask("/lost")
    server.wait_for_log(r"\[WARN\] 1 log lines for syslog:web,local3 were lost")
    syslog = datagrams(socket.AF_UNIX, str(tmp_path / "syslog"))
    server.ask("/again")
    assert received(syslog, b"GET")[0].endswith(b"web: GET /again 200")


def test_a_command_gets_lines_and_is_started_again(serve, tmp_path):
    log = tmp_path / "a.log"
    server = serve(
        *FORMAT, "--req-logger", f"pipe:echo $$ >> {tmp_path}/pids; exec cat >> {log}", source=APP
    )
    server.ask("/one")
    server.wait_until(lambda: log.exists() and lines(log) == ["GET /one 200"], what="the line")
    os.kill(int(lines(tmp_path / "pids")[0]), signal.SIGKILL)
    # The loss shows at a later write.
    for number in range(3):
        server.ask(f"/{number}")
        server.wait_until(lambda: lines(log)[-1].startswith("GET /") or True, what="another look")
    server.wait_for_log(r"\[WARN\] the logger pipe:echo .* has ended; it is started again")
    server.ask("/last")
    server.stop()
    assert lines(log)[-1] == "GET /last 200"
    assert len(lines(tmp_path / "pids")) == 2


def test_descriptors_stdio_and_null(serve):
    reader, writer = os.pipe()
    server = serve(
        *FORMAT, "--logger", "stdio", "--logger", f"fd:{writer}", "--logger", "null", source=APP,
        pass_fds=(writer,),
    )  # fmt: skip
    os.close(writer)
    server.ask("/")
    server.wait_for_log("^GET / 200$")
    server.stop()
    with open(reader) as lines_of_pipe:
        text = lines_of_pipe.read()
    for line in ("GET / 200", "written for /"):
        assert line in text.splitlines() and line in server.log().splitlines()


@pytest.mark.parametrize("isolation", ["auto", "main"])
def test_what_the_application_prints_goes_to_loggers(serve, tmp_path, isolation):
    """Also behind a reload, which starts another process with an application in the main
    interpreter.
    """
    log = tmp_path / "a.log"
    server = serve(
        *FORMAT, "--logger", f"file:{log}", "--log-encoder", "prefix > ", "--isolation", isolation,
        source=APP, wait=False,
    )  # fmt: skip
    server.wait_until(lambda: log.exists() and lines(log, "ready after"), what="ready")
    port = int(re.search(r"listening on http://[^:]+:(\d+)", log.read_text())[1])
    asked(("127.0.0.1", port), ["/print"])
    for line in ("written for /print", "printed", "one error", "GET /print 200"):
        server.wait_until(lambda line=line: f"> {line}" in lines(log), what=line)
    before = lines(log, "generation 2 serves|ready after.*|is the server now")
    server.send_signal(signal.SIGHUP)
    server.wait_until(
        lambda: lines(log, "generation 2 serves|ready after.*|is the server now") != before,
        what="a reload",
    )
    asked(("127.0.0.1", port), ["/after"])
    # In the same process it ends the line that had no end.
    server.wait_until(lambda: lines(log, "written for /after$"), what="the new one's line")
    server.stop()
    assert any("and an unfinished one" in line for line in lines(log))
    assert any("an unfinished line" in line for line in lines(log))
    assert not [line for line in lines(log) if not line.startswith("> ")]
    assert "written" not in server.log()


def test_a_stuck_logger_loses_lines_and_holds_no_request(serve):
    server = serve(*FORMAT, "--logger", "stdio", "--logger", "pipe:exec sleep 60", source=APP)
    for _ in range(12):
        assert server.ask("/many").status == 200
    server.wait_for_log(r"\[WARN\] \d+ log lines for pipe:exec sleep 60 were lost")
    assert server.ask("/").body == b"hello"
    server.wait_for_log("^written for /$")


def test_json_lines(serve, tmp_path):
    source = APP.replace(
        'if path == "/print":',
        'if path == "/raise":\n            raise LookupError("told")\n        if path == "/print":',
    )
    server = serve("--log-json", source=source)
    hostile = 'a"\\,\t\x01'
    server.ask("/print?x=1", headers={"User-Agent": 'x"', "X-Request-ID": "r-1"})
    connection = server.connect()
    connection.socket.sendall(
        b'GET /\xff\xc3\xa9%22" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    )
    while connection.socket.recv(65536):
        pass
    server.ask("/raise")
    server.wait_for_log('"url.original":"/raise"')
    server.stop()
    del hostile
    found = [json.loads(line) for line in server.log().splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT.*\.\d{3}Z", one["@timestamp"]) for one in found)
    by = {}
    for one in found:
        by.setdefault(one["event.dataset"], []).append(one)
    access = by["singlemalt.access"]
    first = access[0]
    assert first["http.request.method"] == "GET" and first["url.original"] == "/print?x=1"
    assert first["http.response.status_code"] == 200 and first["http.response.body.bytes"] == 5
    assert first["user_agent.original"] == 'x"' and first["http.request.id"] == "r-1"
    assert first["event.duration"] > 0 and first["client.address"] == "127.0.0.1"
    assert (first["singlemalt.worker"], first["singlemalt.generation"]) == (1, 1)
    assert access[-1]["http.response.status_code"] == 500 and access[-1]["log.level"] == "error"
    texts = {one["message"]: one for one in by["singlemalt.app"]}
    assert {"printed", "one error", "written for /print"} <= texts.keys()
    assert texts["one error"]["singlemalt.worker"] == 1
    messages = [one["message"] for one in by["singlemalt.log"]]
    assert any(message.startswith("ready after") for message in messages)
    traceback = [message for message in messages if "LookupError: told" in message]
    assert len(traceback) == 1 and "\nTraceback" in traceback[0]


@pytest.mark.skipif(sys.platform != "linux", reason="a signal")
def test_the_last_lines_before_a_crash_reach_standard_error(serve):
    source = """
        import ctypes, os

        def application(environ, start_response):
            os.write(2, b"before the crash\\n")
            ctypes.string_at(0)
    """
    server = serve("--log-json", source=source)
    server.exit_code_expected = None
    server.never = re.compile("panicked")
    connection = server.connect()
    connection.socket.sendall(b"GET /crash HTTP/1.1\r\nHost: a\r\n\r\n")
    server.wait_for_exit()
    assert "before the crash" in server.log()
    assert "the process crashes" in server.log()


def test_a_logger_that_cannot_be_opened_is_an_error(serve, tmp_path):
    server = serve("--logger", f"file:{tmp_path}/none/a.log", source=APP, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() == 1
    assert f"cannot log to file:{tmp_path}/none/a.log: No such file" in server.log()
