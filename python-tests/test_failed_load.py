"""--py-autoreload shows a version that does not load: to browsers as a page, to other clients as
text.
"""

import collections
import html
import html.parser
import re
import signal

import pytest
import requests_raw
from conftest import HAS_OWN_GIL
from front_end import ask_uwsgi
from versions import rewrite

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="not every way to reload is to be had here"
)

# The Accept field of Firefox for a page.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
POLL = {"Singlemalt-Poll": "1"}

GOOD = """\
    import helper
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["REQUEST_METHOD"].encode(), b" ", helper.WORD.encode(), environ["wsgi.input"].read()]
"""
HELPER = "WORD = 'good'\n"
BROKEN = "WORD = 1 / 0\n"
AUTORELOAD = ("--py-autoreload", "1")

WAYS = [
    pytest.param(
        ("--isolation", "own-gil"),
        marks=pytest.mark.skipif(not HAS_OWN_GIL, reason="no own-GIL interpreters"),
    ),
    ("--isolation", "shared-gil"),
    ("--isolation", "main"),
    ("--isolation", "shared-gil", "--reload-mode", "rolling"),
    ("--isolation", "shared-gil", "--reload-mode", "exec"),
]


def get(*arguments, **more):
    """Asks for a loopback name."""
    return requests_raw.get(*arguments, **more).replace(b"Host: example.com", b"Host: localhost")


def way(arguments):
    return " ".join(arguments).replace("--", "")


@pytest.fixture
def develop(serve):
    def develop(*arguments, source=GOOD, helper=HELPER, **more):
        return serve(*AUTORELOAD, *arguments, source=source, files={"helper.py": helper}, **more)

    return develop


def save(server, text, name="helper.py"):
    rewrite(server, text, name)


def broken(server, text=BROKEN, name="helper.py"):
    """Saves a version that does not load, and waits until the failure is shown."""
    before = number(server)
    save(server, text, name)
    server.wait_until(lambda: number(server) not in ("", before), seconds=60, what="a failure")


def number(server):
    """What the page polls: the number of the failure that would be shown, if there is one."""
    answer = server.ask("/", headers=POLL)
    assert answer.status == 200
    return answer.text


def mended(server):
    """The condition on which a page reloads."""
    server.wait_until(lambda: number(server) == "", seconds=60, what="a version that loads")


class Parts(html.parser.HTMLParser):
    """The elements and attributes of a page, and its styles and scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.code = collections.Counter(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attributes)

    def handle_data(self, data):
        if self.cdata_elem:
            self.code.append(data)


# The page


@pytest.mark.parametrize("arguments", WAYS, ids=way)
def test_a_broken_save_is_shown_until_it_is_mended(develop, arguments):
    server = develop(*arguments)
    assert server.ask("/", headers=BROWSER).text == "GET good"
    broken(server)
    page = server.ask("/any/path?q", headers=BROWSER)
    assert (page.status, page.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
    shown = html.unescape(page.text)
    assert "<h1>ZeroDivisionError: division by zero</h1>" in shown
    assert f"{server.directory / 'helper.py'}</span> line 1" in shown
    assert f'File "{server.directory / "app.py"}", line 1, in <module>' in shown
    assert "WORD = 1 / 0" in shown
    assert "Generation 1, the last version that loaded" in shown
    # The log has it, too.
    server.wait_for_log("^ZeroDivisionError: division by zero")
    text = server.ask("/")
    assert (text.status, text.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert "Traceback (most recent call last):" in text.text and "WORD = 1 / 0" in text.text
    # Another mistake.
    broken(server, "def f(:\n")
    assert "SyntaxError" in server.ask("/", headers=BROWSER).text
    save(server, "WORD = 'mended'\n")
    mended(server)
    assert server.ask("/", headers=BROWSER).text == "GET mended"
    assert server.ask("/").text == "GET mended"


@pytest.mark.parametrize("arguments", WAYS, ids=way)
def test_a_file_that_only_the_broken_version_imports_is_watched(develop, arguments):
    server = develop(*arguments)
    (server.directory / "fresh.py").write_text("this is no Python\n")
    broken(server, GOOD.replace("import helper", "import helper, fresh"), "app.py")
    assert "fresh.py" in server.ask("/").text
    save(server, "", "fresh.py")
    mended(server)
    assert server.ask("/").text == "GET good"


@pytest.mark.parametrize("arguments", WAYS, ids=way)
def test_a_module_that_is_missing_may_come(develop, arguments):
    server = develop(*arguments)
    broken(server, "from parts import one\nWORD = one.WORD\n")
    assert "No module named 'parts'" in server.ask("/").text
    (server.directory / "parts").mkdir()
    (server.directory / "parts/one.py").write_text("WORD = 'of two files'\n")
    save(server, "", "parts/__init__.py")
    mended(server)
    assert server.ask("/").text == "GET of two files"


@pytest.mark.parametrize("arguments", WAYS[:3], ids=way)
def test_a_server_that_begins_with_a_broken_app(develop, arguments):
    server = develop(*arguments, helper=BROKEN)
    page = server.ask("/", headers=BROWSER)
    assert page.status == 500
    assert "The application does not load" in page.text and "ZeroDivisionError" in page.text
    assert "No version has been loaded yet." in page.text and "<button" not in page.text
    assert "no version of it is loaded" in server.ask("/").text
    # There is no old version that could answer.
    assert server.ask("/", headers={"Cookie": f"singlemalt-loaded={number(server)}"}).status == 500
    broken(server, "raise LookupError('still')\n")
    assert "LookupError: still" in server.ask("/", headers=BROWSER).text
    save(server, HELPER)
    mended(server)
    assert server.ask("/", headers=BROWSER).text == "GET good"


def test_a_server_that_begins_without_its_module(serve):
    server = serve("--module", "site_of_ours.wsgi", *AUTORELOAD)
    assert "there is no module site_of_ours" in server.ask("/", headers=BROWSER).text
    (server.directory / "site_of_ours").mkdir()
    (server.directory / "site_of_ours/wsgi.py").write_text(
        "def application(e, s): s('200 OK', []); return [b'here']\n"
    )
    (server.directory / "site_of_ours/__init__.py").write_text("")
    mended(server)
    assert server.ask("/").text == "here"


def test_the_page_is_safe(develop):
    secret = "hunter2-of-the-database"
    server = develop(environment={"DATABASE_PASSWORD": secret})
    hostile = '<script>alert("1")</script><img src=x onerror=alert(2)>\'"&lt;'
    name = "<img src=x onerror=alert(3)>.py"
    text = f"from pathlib import Path\nexec(compile({'raise ValueError(' + repr(hostile) + ')'!r}, {name!r}, 'exec'))\n"
    broken(server, text)
    page = server.ask(
        "/<script>alert(4)</script>", headers={**BROWSER, "X": "<script>alert(5)</script>"}
    )
    assert hostile in html.unescape(page.text) and name in html.unescape(page.text)
    assert "alert(4)" not in page.text and "alert(5)" not in page.text
    for answer in (page, server.ask("/")):
        assert secret not in answer.text and "DATABASE_PASSWORD" not in answer.text
    # How a browser parses it: nothing of the traceback is markup, and nothing is loaded.
    parts = Parts(page.text)
    assert parts.tags["script"] == parts.tags["style"] == 1
    assert set(parts.tags) <= {
        "html",
        "meta",
        "title",
        "noscript",
        "style",
        "main",
        "p",
        "h1",
        "span",
        "pre",
        "b",
        "footer",
        "button",
        "script",
    }
    assert parts.attributes <= {
        "lang",
        "data-number",
        "data-poll",
        "data-cookie",
        "charset",
        "name",
        "content",
        "http-equiv",
        "nonce",
        "class",
        "tabindex",
        "type",
        "role",
    }
    assert not re.search(r"url\(|@import|https?:", "".join(parts.code))
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";")
    )
    (nonce,) = set(re.findall(r'<(?:script|style) nonce="([0-9a-f]{32})">', page.text))
    assert policy.pop("style-src") == policy.pop("script-src") == f"'nonce-{nonce}'"
    assert policy.pop("connect-src") == policy.pop("frame-ancestors") == "'self'"
    assert set(policy) == {"default-src", "base-uri", "form-action"} and set(policy.values()) == {
        "'none'"
    }
    assert (
        page.headers["X-Content-Type-Options"] == "nosniff"
        and page.headers["Cache-Control"] == "no-store"
    )
    assert nonce not in server.ask("/", headers=BROWSER).text


# How it is sent


def test_framing_is_right_on_a_kept_connection(develop):
    server = develop()
    broken(server)
    accept = "Accept: text/html"
    with server.connect() as connection:
        page = connection.ask(get("/", accept))
        assert page.header("Content-Type") == "text/html; charset=utf-8"
        assert page.status == 500 and page.framing == "length" and page.keeps_alive
        head = connection.ask(get("/", accept, method="HEAD"), method="HEAD")
        assert (
            head.status == 500
            and head.body == b""
            and head.header("Content-Length") == page.header("Content-Length")
        )
        # An unread body does not become the next request.
        body = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" * 20_000
        length = f"Content-Length: {len(body)}"
        assert connection.ask(get("/", accept, length, method="POST") + body).status == 500
        connection.send(get("/", accept) * 3 + get("/"))
        answers = [connection.receive() for _ in range(4)]
        assert [answer.header("Content-Type").partition(";")[0] for answer in answers] == [
            "text/html"
        ] * 3 + ["text/plain"]
        # The poll is between them, on the connection that the browser has.
        assert connection.ask(get("/", "Singlemalt-Poll: 1")).text == number(server)
        save(server, HELPER)
        mended(server)
        assert connection.ask(get("/", accept)).text == "GET good"
    with server.connect() as connection:
        assert connection.ask(get("/", accept, version="1.0")).text == "GET good"


def test_polls_are_not_logged_and_never_reach_the_application(develop):
    server = develop()
    assert server.ask("/poll", headers=POLL).text == ""
    broken(server)
    assert server.ask("/poll", method="HEAD", headers=POLL).status == 200
    assert server.ask("/poll", headers=POLL).text == number(server)
    assert server.ask("/marked", headers=BROWSER).status == 500
    server.wait_for_log("GET /marked => generated .*500")
    assert "/poll" not in server.log()


def test_static_files_are_served_all_the_same(develop, tmp_path):
    (tmp_path / "style.css").write_text("p {}")
    server = develop("--static-map", f"/static={tmp_path}", "--offload-threads", "1")
    broken(server)
    assert server.ask("/static/style.css").text == "p {}"
    assert server.ask("/static/missing.css").status == 500
    assert server.ask("/", headers=BROWSER).status == 500


# Clients that see it


def test_whoever_wants_the_version_that_is_loaded_gets_it_until_the_next_save(develop):
    server = develop()
    broken(server)
    cookie = {"Cookie": f"session=1; singlemalt-loaded={number(server)}"}
    assert server.ask("/", headers={**BROWSER, **cookie}).text == "GET good"
    assert server.ask("/", "POST", b"!", headers=cookie).text == "POST good!"
    assert cookie["Cookie"].partition("; ")[2] in server.ask("/").text
    broken(server, "WORD = 2 / 0\n")
    assert server.ask("/", headers={**BROWSER, **cookie}).status == 500


def test_without_py_autoreload_nobody_sees_anything(serve):
    server = serve(source=GOOD, files={"helper.py": HELPER})
    save(server, BROKEN)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("reload failed: .*; generation 1 serves on")
    for headers in (BROWSER, POLL, {}):
        assert server.ask("/", headers=headers).text == "GET good"


def test_a_server_that_begins_with_a_broken_app_in_production_says_nothing(serve):
    server = serve(source=GOOD, files={"helper.py": BROKEN})
    answer = server.ask("/", headers=BROWSER)
    assert (
        answer.status == 500
        and "ZeroDivisionError" not in answer.text
        and "helper" not in answer.text
    )


PROXIED = [
    {"X-Forwarded-For": "192.0.2.1"},
    {"Forwarded": "for=192.0.2.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Via": "1.1 proxy"},
]


def test_others_get_the_old_version(develop):
    server = develop("--uwsgi-socket", "127.0.0.1:0")
    broken(server)
    for proxied in PROXIED:
        assert server.ask("/", headers={**BROWSER, **proxied}).text == "GET good"
        # They do not even learn that there is a page.
        assert server.ask("/", headers={**POLL, **proxied}).text == "GET good"
    (behind_a_front_end,) = [address for address in server.addresses() if address[1] != server.port]
    assert b"good" in ask_uwsgi(behind_a_front_end, "/", HTTP_ACCEPT="text/html").body


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.rebound.example", "192.0.2.1:80"])
def test_other_names_of_this_machine_get_the_old_version(develop, host):
    """DNS rebinding: the page of another site asks this server under the site's own name."""
    server = develop()
    broken(server)
    assert server.ask("/", headers={**BROWSER, "Host": host}).text == "GET good"
    assert server.ask("/", headers={**POLL, "Host": host}).text == "GET good"
    for own in ("localhost", "a.localhost:8000", "[::1]:8000", "127.0.0.1"):
        assert server.ask("/", headers={**BROWSER, "Host": own}).status == 500


def test_clients_of_trusted_proxies_are_others(develop):
    server = develop("--trusted-proxies", "127.0.0.1")
    broken(server)
    assert server.ask("/", headers={**BROWSER, "X-Forwarded-For": "192.0.2.1"}).text == "GET good"
    assert server.ask("/", headers=BROWSER).status == 500


def test_catch_exceptions_shows_it_to_everybody(develop):
    server = develop("--catch-exceptions", "--uwsgi-socket", "127.0.0.1:0")
    broken(server)
    for proxied in PROXIED:
        assert "ZeroDivisionError" in server.ask("/", headers={**BROWSER, **proxied}).text
    (behind_a_front_end,) = [address for address in server.addresses() if address[1] != server.port]
    page = ask_uwsgi(behind_a_front_end, "/", HTTP_ACCEPT="text/html")
    assert page.status == 500 and b"<h1>ZeroDivisionError" in page.body


# Other failures


def test_a_probe_that_refuses_a_version_is_shown(develop):
    server = develop("--reload-probe", "/healthz")
    sick = GOOD.replace("200 OK", "503 Service Unavailable")
    broken(server, sick, "app.py")
    assert "the application answers GET /healthz with 503" in html.unescape(
        server.ask("/", headers=BROWSER).text
    )
    save(server, GOOD, "app.py")
    mended(server)
    assert server.ask("/").text == "GET good"


def test_a_rollback_decides_what_is_seen(serve):
    server = serve(
        *AUTORELOAD,
        "--keep-previous",
        "1h",
        "--touch-rollback",
        "back",
        "--isolation",
        "shared-gil",
        source=GOOD,
        files={"helper.py": HELPER},
    )
    save(server, "WORD = 'newer'\n")
    server.wait_for_log("generation 2 serves")
    broken(server)
    (server.directory / "back").touch()
    mended(server)
    assert server.ask("/", headers=BROWSER).text == "GET good"
