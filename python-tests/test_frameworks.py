"""Flask, Bottle, Falcon, Pyramid: real frameworks, in the isolation that `auto` chooses for them."""

import hashlib
import http.client
import importlib.util
import json
import random
from urllib.parse import urlencode

import pytest
from client import together
from multipart import CONTENT_TYPE, form_data
from requests_raw import chunked, get

from server import APPS

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def needs(package):
    """Skips with the reason if the framework is not installed."""
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(
        missing,
        reason=f"{package} is not installed for this Python (no wheel?): see requirements.txt",
    )


@pytest.fixture(scope="module", params=["auto", "main"])
def flask(request, serve_module):
    return serve_module("--threads", "4", "--isolation", request.param, app="flask_app.py")


class TestFlask:
    pytestmark = needs("flask")

    def test_hello(self, flask):
        answer = flask.ask("/hello")
        assert (answer.status, answer.text) == (200, "Hello World!")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"

    def test_paths_and_queries(self, flask):
        got = flask.ask("/echo/caf%C3%A9/a%2Fb?x=1&x=2&y=%E2%82%AC").json()
        assert got["rest"] == "caf\u00e9/a/b"
        assert got["args"] == {"x": ["1", "2"], "y": ["\u20ac"]}
        assert got["address"] == "127.0.0.1"
        assert got["url"].startswith(f"http://127.0.0.1:{flask.port}/echo/")

    def test_forms_and_json(self, flask):
        assert flask.ask("/echo/form", "POST", urlencode({"a": "\u00fc", "b": "2"}), FORM).json()[
            "form"
        ] == {"a": ["\u00fc"], "b": ["2"]}
        body = json.dumps({"list": [1, None, "\u20ac"]})
        assert flask.ask("/echo/json", "PUT", body, {"Content-Type": "application/json"}).json()[
            "json"
        ] == {"list": [1, None, "\u20ac"]}
        assert flask.ask("/echo/cookies", headers={"Cookie": "a=1; b=2"}).json()["cookies"] == {
            "a": "1",
            "b": "2",
        }

    def test_a_chunked_json_body(self, flask):
        """Flask reads nothing without CONTENT_LENGTH: the server must set it."""
        body = json.dumps({"word": "x" * 1000}).encode()
        with flask.connect() as connection:
            got = connection.ask(
                chunked("/echo/json", [body[:10], body[10:]], "Content-Type: application/json")
            ).json()
            assert got["json"]["word"] == "x" * 1000

    def test_template_and_escape(self, flask):
        assert flask.ask("/template/%3Cb%3E").text == "<p>&lt;b&gt;</p>"

    def test_session(self, flask):
        login = flask.ask("/login", "POST", urlencode({"user": "anna"}), FORM)
        assert (login.status, login.headers["Location"]) == (302, "/who")
        cookie = login.headers["Set-Cookie"].split(";")[0]
        assert flask.ask("/who", headers={"Cookie": cookie}).text == "anna"
        assert flask.ask("/who").text == "nobody"

    def test_upload(self, flask):
        data = random.Random(2).randbytes(3_000_000)
        answer = flask.ask(
            "/upload",
            "POST",
            form_data({"other": "field"}, {"file": ("data.bin", data)}),
            {"Content-Type": CONTENT_TYPE},
        ).json()
        assert answer == {
            "name": "data.bin",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "other": "field",
        }

    def test_streams_and_files(self, flask):
        assert flask.ask("/stream?word=piece").text == "".join(
            f"piece {number}\n" for number in range(5)
        )
        download = flask.ask("/download")
        assert download.body == (APPS / "flask_app.py").read_bytes()
        assert download.headers["Content-Length"] == str(len(download.body))
        assert flask.ask("/memory").body == b"in memory " * 1000

    def test_conditional_and_range(self, flask):
        etag = flask.ask("/download").headers["ETag"]
        cached = flask.ask("/download", headers={"If-None-Match": etag})
        assert (cached.status, cached.body) == (304, b"")
        part = flask.ask("/download", headers={"Range": "bytes=10-19"})
        assert (part.status, part.body) == (206, (APPS / "flask_app.py").read_bytes()[10:20])

    def test_statuses(self, flask):
        assert flask.ask("/nowhere").status == 404
        assert flask.ask("/gone").status == 410
        assert flask.ask("/hello", "POST").status == 405
        assert flask.ask("/empty").status == 204
        assert flask.ask("/cookies").headers.get_all("Set-Cookie") == [
            "a=1; Path=/",
            "b=2; HttpOnly; Path=/",
        ]

    def test_an_exception(self, flask):
        assert flask.ask("/broken").status == 500
        flask.wait_for_log("ZeroDivisionError")
        assert flask.ask("/hello").status == 200

    def test_head_and_options(self, flask):
        with flask.connect() as connection:
            head = connection.ask(get("/hello", method="HEAD"))
            assert (head.status, head.header("Content-Length")) == (200, "12")
            options = connection.ask(get("/hello", method="OPTIONS"))
            assert set(options.header("Allow").split(", ")) == {"GET", "HEAD", "OPTIONS"}

    def test_many_at_once(self, flask):
        def work(number):
            connection = http.client.HTTPConnection(*flask.address, timeout=30)
            for step in range(20):
                connection.request("GET", f"/echo/{number}?step={step}")
                got = json.loads(connection.getresponse().read())
                assert (got["rest"], got["args"]["step"]) == (str(number), [str(step)])
            connection.close()

        together(16, work)


@pytest.mark.parametrize(
    "framework",
    [
        pytest.param("bottle", marks=needs("bottle")),
        pytest.param("falcon", marks=needs("falcon")),
        pytest.param("pyramid", marks=needs("pyramid")),
    ],
)
@pytest.mark.parametrize("isolation", ["auto", "main"])
def test_hello(serve, framework, isolation):
    server = serve("--threads", "2", "--isolation", isolation, app=f"{framework}_app.py")
    assert server.ask("/hello/world").text == "Hello, world!"
    assert server.ask("/hello/world?greeting=caf%C3%A9").text == "Hello, caf\u00e9!"
    assert server.ask("/nowhere").status == 404
    if framework == "falcon":
        answer = server.ask("/hello/x", "POST", '{"a": 1}', {"Content-Type": "application/json"})
        assert answer.json() == {"name": "x", "got": {"a": 1}}
    else:
        assert server.ask("/form", "POST", "field=a+b", FORM).json() == {"field": "a b"}
    together(
        8,
        lambda number: (
            server.ask(f"/hello/{number}").text == f"Hello, {number}!" or pytest.fail("mixed up")
        ),
    )
