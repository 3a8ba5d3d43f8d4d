"""Request lines: their format and which requests have one, compared with uWSGI itself."""

import re
import signal
import time

import pytest
from client import Connection, ask
from uwsgi_peer import Uwsgi, speak_uwsgi

APP = """
    import uwsgi

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/who":
            uwsgi.set_logvar("who", "ann")
            uwsgi.set_logvar(b"who", b"bob")
            uwsgi.add_var("ADDED", "by the app")
            assert uwsgi.get_logvar("who") == b"bob" and uwsgi.get_logvar("x") is None
        if path == "/this":
            assert uwsgi.log_this_request() is None
        if path == "/file":
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](open("app.py", "rb"))
        status = {"/missing": "404 Not Found", "/broken": "503 Service Unavailable"}
        start_response(status.get(path, "200 OK"), [("Content-Type", "text/plain")])
        if path == "/slow":
            import time
            time.sleep(0.3)
        environ["wsgi.input"].read()
        return {"/empty": [], "/big": [b"x" * 10000]}.get(path, [b"hello", b"world"])
"""
# Variables with values that do not depend on time, process or the server's own headers.
ALIKE = (
    "%(method) %(uri) %(user) %(addr) %(host) %(proto) <%(uagent)> %(referer) %(status) %(rsize)"
    " %(cl) %(wid) %(core) %(switches) %(vars) %(modifier1) %(modifier2) %(werr) %(rerr) %(ioerr)"
    " [%(var.HTTP_X_SOME)] %(var.REQUEST_METHOD) %(var.QUERY_STRING) %(var.NONE) %(var.ADDED)"
    " %(who) 100% (a) %%(status)"
)
LINE = re.compile(r"^(?:GET|POST|PUT) /.*$", re.MULTILINE)


def requests_of(http, uwsgi):
    headers = {"Host": "example.org", "User-Agent": 'x "1"', "X-Some": "field"}
    ask(http, "/a/b%20c?x=1&y", "GET", None, headers, 30)
    ask(http, "/who", "GET", None, {**headers, "Referer": "http://a/b"}, 30)
    ask(http, "/missing", "GET", None, headers, 30)
    # In one packet: uWSGI counts the wait for a body that comes later.
    with Connection(http) as connection:
        connection.send(
            b"PUT /empty HTTP/1.1\r\nHost: example.org\r\nUser-Agent: x\r\nX-Some: field\r\n"
            b"Content-Length: 6\r\nConnection: close\r\n\r\na body"
        )
        connection.rest()
    speak_uwsgi(
        uwsgi,
        {
            "REQUEST_METHOD": "GET", "REQUEST_URI": "/who?x=1", "PATH_INFO": "/who",
            "QUERY_STRING": "x=1", "SERVER_PROTOCOL": "HTTP/2.0", "REMOTE_ADDR": "198.51.100.7",
            "REMOTE_USER": "ann", "SERVER_NAME": "a", "SERVER_PORT": "80", "SCRIPT_NAME": "",
            "HTTP_HOST": "a.example", "HTTP_X_SOME": "other",
        },
    )  # fmt: skip


def test_lines_of_a_format_are_those_of_uwsgi_itself(serve, tmp_path):
    options = ["--log-format", ALIKE]
    server = serve("--uwsgi-socket", "127.0.0.1:0", *options, source=APP, directory=tmp_path)
    with Uwsgi(tmp_path, *options) as peer:
        peer.wait_until_ready()
        requests_of(*peer.addresses)
        peer.wait_for(LINE.pattern, 5)
        theirs = LINE.findall(peer.log_file.read_text())
    requests_of(*server.addresses())
    server.wait_for_log(LINE.pattern, count=5)
    ours = LINE.findall(server.log())
    assert ours == theirs


def test_times_sizes_and_numbers(serve):
    names = (
        "time tmsecs tmicros epoch ltime ftime ctime micros msecs secs qmicros smicros gwait pid"
        " vsz rss vszM rssM rsize hsize size headers pktsize generation interpreter requestid"
        " traceparent"
    ).split()
    form = "line " + "|".join(f"%({name})" for name in names)
    server = serve(
        "--log-format", form, "--log-date=%Y/%m", "--logformat-strftime", source=APP,
        environment={"TZ": "UTC-5"},
    )  # fmt: skip
    before = time.time()
    server.ask("/slow", headers={"X-Request-ID": "r-1", "traceparent": "00-a-b-01"})
    line = server.wait_for_log(r"^line (.*)$")[1]
    after = time.time()
    value = dict(zip(names, line.split("|"), strict=True))
    assert before - 1 < int(value["time"]) <= after
    assert before - 0.1 < int(value["tmsecs"]) / 1e3 < after
    assert before - 0.1 < int(value["tmicros"]) / 1e6 < after
    assert before - 1 < int(value["epoch"]) <= after
    local = time.gmtime(int(value["time"]) + 5 * 3600)
    assert value["ltime"] == time.strftime("%d/%b/%Y:%H:%M:%S +0500", local)
    assert value["ftime"] == time.strftime("%Y/%m", local)
    assert value["ctime"] == time.asctime(local)
    assert 300_000 <= int(value["micros"]) < 30_000_000
    assert int(value["msecs"]) == int(value["micros"]) // 1000
    assert re.fullmatch(r"\d+\.\d{6}", value["secs"]) and float(value["secs"]) >= 0.3
    assert int(value["pid"]) == server.process.pid
    assert int(value["vsz"]) >> 20 == int(value["vszM"]) >= int(value["rssM"]) > 5
    assert int(value["rss"]) >> 20 == int(value["rssM"])
    assert int(value["rsize"]) == 10
    assert int(value["size"]) == int(value["hsize"]) + 10 > 50
    assert int(value["headers"]) >= 1 and int(value["pktsize"]) > 30
    assert (value["interpreter"], value["generation"]) == ("1", "1")
    assert (value["requestid"], value["traceparent"]) == ("r-1", "00-a-b-01")
    for name in ("qmicros", "smicros", "gwait"):
        assert 0 <= int(value[name]) < 10_000_000


def test_values_in_a_json_object_stay_in_their_strings(serve):
    import json

    server = serve("--log-format", '{"uri":"%(uri)","agent":"%(uagent)"}', source=APP)
    agent = 'a","admin":"yes\\'
    server.ask("/a", headers={"User-Agent": agent})
    line = server.wait_for_log(r'^\{"uri.*$')[0]
    assert json.loads(line) == {"uri": "/a", "agent": agent}


# Each rule with a request that has a line by it. /who has none by any.
RULES = [
    (["--log-4xx"], "/missing"),
    (["--log-5xx"], "/broken"),
    (["--log-slow", "250"], "/slow"),
    (["--log-big", "10000"], "/big"),
    (["--log-zero"], "/empty"),
    ([], "/this"),
]


@pytest.mark.parametrize("rule, path", RULES, ids=[path for _, path in RULES])
def test_disable_logging_leaves_the_rules_requests(serve, tmp_path, rule, path):
    options = ["--disable-logging", *rule, "--log-format", "%(method) %(uri)"]
    paths = ["/who", "/missing", "/broken", "/slow", "/big", "/empty", "/this", "/who"]
    server = serve(*options, source=APP, directory=tmp_path)
    with Uwsgi(tmp_path, *options) as peer:
        peer.wait_until_ready()
        for one in paths:
            ask(peer.addresses[0], one, "GET", None, {}, 30)
        peer.wait_for(f"GET {path}$")
        wanted = LINE.findall(peer.log_file.read_text())
    for one in paths:
        server.ask(one)
    server.wait_for_log(f"GET {path}$")
    server.stop()
    assert LINE.findall(server.log()) == wanted
    assert f"GET {path}" in wanted and "GET /who" not in wanted


def test_files_have_lines_by_log_sendfile(serve):
    server = serve(
        "--disable-logging", "--log-sendfile", "--log-format", "%(method) %(uri)", source=APP
    )
    server.ask("/a")
    server.ask("/file")
    server.stop()
    assert LINE.findall(server.log()) == ["GET /file"]


def test_a_client_that_goes_away_has_a_line_by_log_ioerror(serve):
    source = """
        def application(environ, start_response):
            write = start_response("200 OK", [])
            if environ["PATH_INFO"] == "/endless":
                return iter(lambda: b"x" * 65536, None)
            return [b"hello"]
    """
    server = serve(
        "--disable-logging", "--log-ioerror", "--log-format", "%(method) %(uri) %(ioerr)",
        source=source,
    )  # fmt: skip
    server.ask("/a")
    connection = server.connect()
    connection.socket.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.socket.recv(10)
    connection.close()
    server.wait_for_log("^GET /endless 1$")
    server.stop()
    assert LINE.findall(server.log()) == ["GET /endless 1"]


def test_micros_and_memory_are_in_uwsgis_line(serve, tmp_path):
    pattern = re.compile(
        r"^\{address space usage: (?P<vsz>\d+) bytes/(?P<vszM>\d+)MB\}"
        r" \{rss usage: (?P<rss>\d+) bytes/(?P<rssM>\d+)MB\}"
        r" \{uss usage: (?P<uss>\d+) bytes/\d+MB\} \{pss usage: (?P<pss>\d+) bytes/\d+MB\}"
        r" \[pid: .* GET /slow => generated 10 bytes in (?P<micros>\d+) micros \(HTTP/1\.1 200\) ",
        re.MULTILINE,
    )
    server = serve("--log-micros", "--memory-report=2", source=APP, directory=tmp_path)
    # Its level 2 came later than the release.
    shares = r" \{uss usage: (?P<uss>\d+) bytes/\d+MB\} \{pss usage: (?P<pss>\d+) bytes/\d+MB\}"
    with Uwsgi(tmp_path, "--log-micros", "--memory-report") as peer:
        peer.wait_until_ready()
        ask(peer.addresses[0], "/slow", "GET", None, {}, 30)
        peer.wait_for(pattern.pattern.replace(shares, ""))
    server.ask("/slow")
    found = server.wait_for_log(pattern.pattern)
    value = {name: int(text) for name, text in found.groupdict().items()}
    assert value["vsz"] >> 20 == value["vszM"] and value["rss"] >> 20 == value["rssM"]
    assert value["vsz"] > value["rss"] > value["uss"] > 1 << 20
    assert value["pss"] >= value["uss"]
    assert value["micros"] >= 300_000


def test_a_file_is_marked(serve, tmp_path):
    """As uWSGI marks it."""
    pattern = r"^\[pid: .* GET /file => generated (\d+) bytes in \d+ msecs via sendfile\(\) \(HTTP"
    server = serve(source=APP, directory=tmp_path)
    with Uwsgi(tmp_path) as peer:
        peer.wait_until_ready()
        ask(peer.addresses[0], "/file", "GET", None, {}, 30)
        theirs = peer.wait_for(pattern)
    server.ask("/file")
    assert server.wait_for_log(pattern)[1] == theirs[0]


def test_messages_have_a_date(serve, tmp_path):
    """Prefixed as uWSGI's; request lines are not."""
    pattern = r"^\d{4}/\d\d - "
    server = serve("--log-date=%Y/%m", source=APP, directory=tmp_path)
    with Uwsgi(tmp_path, "--log-date=%Y/%m") as peer:
        peer.wait_until_ready()
        ask(peer.addresses[0], "/", "GET", None, {}, 30)
        peer.wait_for(r"^\[pid: ")
        peer.wait_for(pattern)
    server.ask("/")
    server.wait_for_log(r"^\[pid: ")
    server.wait_for_log(pattern + r".*listening on ")
    server.send_signal(signal.SIGTERM)
    server.wait_for_log(pattern + r".*stopped")


def test_outside_of_a_request_there_are_no_log_variables(serve):
    source = """
        import uwsgi
        try:
            uwsgi.set_logvar("a", "b")
        except SystemError as error:
            print("refused:", error, flush=True)

        def application(environ, start_response):
            start_response("200 OK", [])
            return [str(uwsgi.logsize()).encode()]
    """
    server = serve(source=source)
    server.wait_for_log("^refused: you can call uwsgi api function only from the main callable$")
    assert server.ask("/").body == b"0"
