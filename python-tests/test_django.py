"""A Django project: the admin's login with sqlite, sessions, CSRF, uploads, FileResponse and
streams.
"""

import hashlib
import http.client
import http.cookies
import importlib.util
import random
import re
import subprocess
import sys
from urllib.parse import urlencode

import pytest
from client import together
from conftest import HAS_OWN_GIL
from multipart import CONTENT_TYPE, form_data
from requests_raw import get

from server import APPS, environment

PROJECT = APPS / "django_project"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("django") is None,
    reason="Django is not installed for this Python: see requirements.txt",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a migrated database and an admin called root."""
    folder = tmp_path_factory.mktemp("django")
    variables = environment(
        {
            "DJANGO_DATA": str(folder),
            "DJANGO_SUPERUSER_PASSWORD": "secret",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )
    for command in (
        ["migrate", "-v0"],
        [
            "createsuperuser",
            "--noinput",
            "--username",
            "root",
            "--email",
            "root@example.com",
            "-v0",
        ],
    ):
        subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *command],
            env=variables,
            cwd=folder,
            check=True,
            timeout=120,
        )
    return folder


MODES = [("auto", 1, 2), ("main", 1, 4)] + ([("own-gil", 2, 2)] if HAS_OWN_GIL else [])


@pytest.fixture(
    scope="module",
    params=MODES,
    ids=[f"{mode}-{processes}x{threads}" for mode, processes, threads in MODES],
)
def django(request, serve_module, data):
    isolation, processes, threads = request.param
    return serve_module(
        "--module",
        "site_app.wsgi",
        "--isolation",
        isolation,
        "--processes",
        processes,
        "--threads",
        threads,
        "--chdir",
        PROJECT,
        environment={"DJANGO_DATA": str(data)},
    )


class Browser:
    """Keeps cookies and one connection, as a browser does."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(*server.address, timeout=30)
        self.jar = http.cookies.SimpleCookie()

    def ask(self, path, method="GET", body=None, headers=None):
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in self.jar.items())
        self.connection.request(method, path, body, {"Cookie": cookie, **(headers or {})})
        response = self.connection.getresponse()
        response.text = response.read().decode()
        for value in response.headers.get_all("Set-Cookie", []):
            self.jar.load(value)
        return response

    def token(self, text):
        return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)[1]


@pytest.fixture
def browser(django):
    browser = Browser(django)
    yield browser
    browser.connection.close()


def test_hello_and_not_found(django):
    assert django.ask("/hello/").text == "Hello from Django"
    assert django.ask("/nowhere/").status == 404
    moved = django.ask("/hello")
    assert (moved.status, moved.headers["Location"]) == (301, "/hello/")


def test_admin_login(browser):
    login = browser.ask("/admin/login/?next=/admin/")
    assert login.status == 200
    assert "Django administration" in login.text
    fields = {
        "csrfmiddlewaretoken": browser.token(login.text),
        "username": "root",
        "next": "/admin/",
    }
    wrong = browser.ask("/admin/login/", "POST", urlencode({**fields, "password": "wrong"}), FORM)
    assert wrong.status == 200 and "Please enter the correct" in wrong.text
    right = browser.ask("/admin/login/", "POST", urlencode({**fields, "password": "secret"}), FORM)
    assert (right.status, right.headers["Location"]) == (302, "/admin/")
    assert "Site administration" in browser.ask("/admin/").text
    assert "root@example.com" in browser.ask("/admin/auth/user/").text


def test_database(django):
    assert django.ask("/users/").json() == {"users": ["root"]}


def test_session(browser):
    assert [browser.ask("/counter/").text for _ in range(4)] == ["1", "2", "3", "4"]


def test_csrf(browser):
    assert browser.ask("/form/", "POST", "word=x", FORM).status == 403
    token = browser.token(browser.ask("/form/").text)
    posted = browser.ask(
        "/form/", "POST", urlencode({"csrfmiddlewaretoken": token, "word": "h\u00e9"}), FORM
    )
    assert (posted.status, posted.text) == (200, "posted h\u00e9")


def test_cookies(django):
    cookies = django.ask("/cookies/").headers.get_all("Set-Cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == ["a", "b", "c"]


def test_file_response(django):
    answer = django.ask("/file/")
    assert answer.body == (PROJECT / "site_app" / "views.py").read_bytes()
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert django.ask("/memory/").body == b"in memory " * 1000


def test_streaming_response(django):
    with django.connect() as connection:
        response = connection.ask(get("/stream/"))
        assert response.framing == "chunked"
        assert response.chunks == [b"piece %d\n" % number for number in range(5)]


def test_upload_of_50_mb(django):
    data = random.Random(3).randbytes(50 << 20)
    answer = django.ask(
        "/upload/",
        "POST",
        form_data({"word": "w"}, {"file": ("big.bin", data)}),
        {"Content-Type": CONTENT_TYPE},
        timeout=120,
    )
    assert answer.json() == {
        "name": "big.bin",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "word": "w",
    }


def test_an_exception(django):
    assert django.ask("/broken/").status == 500
    django.wait_for_log("a view that is broken")
    assert django.ask("/hello/").status == 200


def test_paths(django):
    got = django.ask("/where/caf%C3%A9%2Fx?q=%E2%82%AC").json()
    assert (got["path"], got["rest"], got["get"]) == (
        "/where/caf\u00e9/x",
        "caf\u00e9/x",
        {"q": "\u20ac"},
    )
    assert got["uri"] == f"http://127.0.0.1:{django.port}/where/caf%C3%A9/x?q=%E2%82%AC"


def test_a_path_that_is_not_utf_8(django):
    """Django answers (404 or 400): the request reaches it, and nothing breaks."""
    assert django.ask("/where/%ff%fe").status in (200, 400, 404)
    assert django.ask("/hello/").status == 200


def test_first_requests_at_once(serve, data):
    """The first requests load Django's middleware; all at once they still load it once and get
    their answers.
    """
    server = serve(
        "--module",
        "site_app.wsgi:application",
        "--threads",
        "8",
        "--chdir",
        PROJECT,
        environment={"DJANGO_DATA": str(data)},
    )
    assert together(16, lambda _: server.ask("/users/").json()["users"]) == [["root"]] * 16


def test_writes_from_all_workers(django):
    """Sessions are rows of sqlite: each worker writes them, and none is lost."""

    def work(_):
        browser = Browser(django)
        counts = [browser.ask("/counter/").text for _ in range(5)]
        browser.connection.close()
        return counts

    assert together(6, work) == [["1", "2", "3", "4", "5"]] * 6
