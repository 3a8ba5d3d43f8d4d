"""The request line is uWSGI's, which log readers have patterns for; compared with uWSGI itself."""

import re
import signal
import time

import pytest
from client import ask
from uwsgi_peer import Uwsgi, speak_uwsgi

LINE = re.compile(
    r"^\[pid: (?P<pid>\d+)\|app: (?P<app>-?\d+)\|req: (?P<worker_requests>-?\d+)/(?P<requests>\d+)\]"
    r" (?P<address>\S*) \((?P<user>[^)]*)\)"
    r" \{(?P<variables>\d+) vars in (?P<bytes>\d+) bytes\}"
    r" \[(?P<time>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\] (?P<method>\S+) (?P<uri>\S+)"
    r" => generated (?P<generated>\d+) bytes in (?P<msecs>\d+) msecs(?: via sendfile\(\))?"
    r" \((?P<protocol>\S+) (?P<status>\d+)\) (?P<headers>\d+) headers in (?P<header_bytes>\d+) bytes"
    r" \((?P<switches>\d+) switches on core (?P<core>\d+)\)$",
    re.MULTILINE,
)
# What the servers count alike. Headers are not: ours adds Date and its own.
ALIKE = (
    "app", "worker_requests", "requests", "address", "user", "variables", "method", "uri",
    "generated", "protocol", "status", "switches", "core",
)  # fmt: skip
APP = """
    def application(environ, start_response):
        path = environ["PATH_INFO"]
        status = "404 Not Found" if path == "/missing" else "200 OK"
        write = start_response(status, [("Content-Type", "text/plain")])
        if path == "/generator":
            return (b"piece" for _ in range(3))
        if path == "/list":
            return [b"a", b"b", b"c", b"d"]
        if path == "/empty":
            return []
        environ["wsgi.input"].read()
        return [b"hello"]
"""
REQUESTS = [
    ("GET", "/", None),
    ("GET", "/generator", None),
    ("GET", "/list?some=query&more=%20", None),
    ("GET", "/empty", None),
    ("GET", "/missing", None),
    ("POST", "/", b"a body"),
    ("DELETE", "/a/b%2Fc", None),
]


def requests_of(http, uwsgi):
    for method, path, body in REQUESTS:
        ask(http, path, method, body, {"X-Some": "field"}, 30)
    for user in ("", "ann"):
        speak_uwsgi(
            uwsgi,
            {
                "REQUEST_METHOD": "GET", "REQUEST_URI": "/generator?x=1", "PATH_INFO": "/generator",
                "QUERY_STRING": "x=1", "SERVER_PROTOCOL": "HTTP/2.0", "REMOTE_ADDR": "198.51.100.7",
                "REMOTE_USER": user, "SERVER_NAME": "a", "SERVER_PORT": "80", "SCRIPT_NAME": "",
            },
        )  # fmt: skip


def test_the_line_is_that_of_uwsgi_itself(serve, tmp_path):
    count = len(REQUESTS) + 2
    server = serve("--uwsgi-socket", "127.0.0.1:0", source=APP, directory=tmp_path)
    with Uwsgi(tmp_path) as peer:
        peer.wait_until_ready()
        requests_of(*peer.addresses)
        peer.wait_for(r"^\[pid: ", count)
    requests_of(*server.addresses())
    server.wait_for_log(r"^\[pid: ", count=count)
    theirs = list(LINE.finditer(peer.log_file.read_text()))
    ours = list(LINE.finditer(server.log()))
    assert len(theirs) == len(ours) == count, server.log()
    for their, our in zip(theirs, ours, strict=True):
        # uWSGI also counts a wait for a body that came later than the head.
        alike = [name for name in ALIKE if their["method"] != "POST" or name != "switches"]
        assert [our[name] for name in alike] == [their[name] for name in alike], (our[0], their[0])
    # Packets of the uwsgi protocol are counted as they are.
    for their, our in zip(theirs[-2:], ours[-2:], strict=True):
        assert our["bytes"] == their["bytes"]


def test_a_response_of_the_server_itself(serve, tmp_path):
    (tmp_path / "file.txt").write_text("text")
    server = serve("--static-map", f"/static={tmp_path}", source=APP)
    server.ask("/static/file.txt")
    server.ask("/")
    line = LINE.search(server.wait_for_log(r"^\[pid: .* GET /static/file.txt .*$")[0])
    assert (line["app"], line["worker_requests"], line["requests"]) == ("-1", "-1", "1")
    line = LINE.search(server.wait_for_log(r"^\[pid: .* GET / .*$")[0])
    assert (line["app"], line["worker_requests"], line["requests"]) == ("0", "1", "2")


def test_mounted_applications_have_numbers(serve):
    files = {"one.py": APP, "two.py": APP}
    server = serve(
        "--manage-script-name", "--mount", "/one=one.py", "--mount", "/two=two.py", files=files
    )
    for path in ("/one", "/two", "/two"):
        server.ask(path)
    server.wait_for_log(r"^\[pid: ", count=3)
    found = [(line["uri"], line["app"]) for line in LINE.finditer(server.log())]
    numbers = dict(found)
    assert sorted(numbers.values()) == ["0", "1"] and found[1] == found[2]


def test_the_time_is_local(serve):
    server = serve(source=APP, environment={"TZ": "UTC-5"})
    before = int(time.time())
    server.ask("/")
    line = LINE.search(server.wait_for_log(r"^\[pid: .*$")[0])
    times = [time.asctime(time.gmtime(before + 5 * 3600 + late)) for late in range(30)]
    assert line["time"] in times


def test_log_times_is_a_format_of_our_own(serve):
    server = serve("--log-times", source=APP)
    server.ask("/list?x")
    server.wait_for_log(
        r"^\[pid: \d+\|worker: 1\.0\] 127\.0\.0\.1 \(\) \{\d+ fields in \d+ bytes\} \[.{24}\] GET /list\?x"
        r" => generated 4 bytes in \d+\.\d msecs \(HTTP/1\.1 200\) \d+ headers in \d+ bytes"
        r" \(queued \d+\.\d msecs, sent \d+\.\d msecs\)$"
    )


STAMP = r"^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} - "


@pytest.mark.parametrize("to", ["logto", "stderr"])
def test_messages_in_a_file_have_a_time(serve, tmp_path, to):
    log = tmp_path / "app.log"
    source = """
        import sys

        def application(environ, start_response):
            environ["wsgi.errors"].write("from the app\\n")
            raise LookupError("told")
    """
    where = ("--logto", log)
    wrapper = ()
    if to == "stderr":
        where, wrapper = (), ("/bin/sh", "-c", f'exec "$0" "$@" 2>{log}')
    server = serve(*where, source=source, wait=False, wrapper=wrapper)
    read = lambda: log.read_text() if log.exists() else ""
    server.wait_until(lambda: re.search("ready after", read()), what="ready")
    port = int(re.search(r"listening on http://127\.0\.0\.1:(\d+)", read())[1])
    assert ask(("127.0.0.1", port), "/", "GET", None, {}, 30).status == 500
    server.send_signal(signal.SIGTERM)
    assert server.wait_for_exit() == 0
    lines = read().splitlines()
    for text in (r"listening on ", r"ready after", r"\[ERROR\] GET /$", r"\[INFO\] stopped"):
        assert any(re.search(STAMP + text, line) for line in lines), (text, lines)
    # The lines of the application, and of a traceback, are as they are.
    assert "from the app" in lines and "LookupError: told" in lines
    assert any(LINE.match(line) for line in lines)
    # All else begins with a time.
    assert not [line for line in lines if re.match(r"\[(ERROR|WARN|INFO)\]", line)]


def test_messages_elsewhere_have_none(serve):
    server = serve(source=APP)
    server.stop()
    assert not re.search(STAMP, server.log(), re.MULTILINE)
