"""--trusted-proxies: client addresses from named proxies are used, those from others are removed."""

import pytest
from client import Connection
from requests_raw import get

from server import address_of

INTERESTING = ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "HTTPS", "HTTP_HOST")


@pytest.fixture(scope="module")
def trusting(serve_module):
    return serve_module("--trusted-proxies", "127.0.0.0/8 10.0.0.0/8", app="echo.py")


def environ_of(server, *fields, keys=INTERESTING):
    with server.connect() as connection:
        environ = connection.ask(get("/", *fields)).json()["environ"]
        return {key: environ[key] for key in keys if key in environ}


def test_the_client_and_its_scheme(trusting):
    assert environ_of(trusting, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https") == {
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "",
        "wsgi.url_scheme": "https",
        "HTTPS": "on",
        "HTTP_HOST": "example.com",
    }


def test_each_request_for_itself(trusting):
    with trusting.connect() as connection:
        own = connection.socket.getsockname()
        for number in range(3):
            environ = connection.ask(
                get("/", f"X-Forwarded-For: 192.0.2.{number}", "X-Forwarded-Proto: https")
            ).json()["environ"]
            assert (environ["REMOTE_ADDR"], environ["HTTPS"]) == (f"192.0.2.{number}", "on")
            environ = connection.ask(get("/")).json()["environ"]
            assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (own[0], str(own[1]))
            assert environ["wsgi.url_scheme"] == "http" and "HTTPS" not in environ


@pytest.mark.parametrize(
    "fields, client",
    [
        (["X-Forwarded-For: 6.6.6.6, 192.0.2.7"], "192.0.2.7"),
        (["X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.1.1.1"], "192.0.2.7"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7"], "192.0.2.7"),
        (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        (["X-Forwarded-For: nonsense"], "127.0.0.1"),
        (["X-Forwarded-For: 192.0.2.7, nonsense"], "127.0.0.1"),
        (["Forwarded: for=192.0.2.7"], "127.0.0.1"),
        (["X-Real-IP: 192.0.2.7"], "127.0.0.1"),
        (["X_Forwarded_For: 192.0.2.7"], "127.0.0.1"),
    ],
)
def test_who_the_client_is(trusting, fields, client):
    assert environ_of(trusting, *fields)["REMOTE_ADDR"] == client


def test_by_default_the_host_is_not_taken(trusting):
    # Most proxies pass the client's own X-Forwarded-Host on.
    environ = environ_of(
        trusting, "X-Forwarded-Host: evil.example", keys=("HTTP_HOST", "HTTP_X_FORWARDED_HOST")
    )
    assert environ == {"HTTP_HOST": "example.com", "HTTP_X_FORWARDED_HOST": "evil.example"}


def test_the_host_on_demand(serve):
    server = serve(
        "--trusted-proxies",
        "127.0.0.1",
        "--trusted-proxy-headers",
        "X-Forwarded-Host",
        app="echo.py",
    )
    assert (
        environ_of(server, "X-Forwarded-Host: public.example:8443")["HTTP_HOST"]
        == "public.example:8443"
    )
    assert environ_of(server, "X-Forwarded-Host: not a host")["HTTP_HOST"] == "example.com"
    assert environ_of(server, "X-Forwarded-For: 192.0.2.7")["REMOTE_ADDR"] == "127.0.0.1"
    with server.connect() as connection:
        answer = connection.ask(b"GET / HTTP/1.0\r\nX-Forwarded-Host: public.example\r\n\r\n")
        assert answer.json()["environ"]["HTTP_HOST"] == "public.example"


def test_forwarded(serve):
    server = serve(
        "--trusted-proxies", "127.0.0.1", "--trusted-proxy-headers", "forwarded", app="echo.py"
    )
    environ = environ_of(
        server, 'Forwarded: for="[2001:db8::7]:5000";proto=https;host=public.example'
    )
    assert environ == {
        "REMOTE_ADDR": "2001:db8::7",
        "REMOTE_PORT": "5000",
        "wsgi.url_scheme": "https",
        "HTTPS": "on",
        "HTTP_HOST": "public.example",
    }
    assert environ_of(server, "Forwarded: for=192.0.2.7;;broken")["REMOTE_ADDR"] == "127.0.0.1"
    assert environ_of(server, "X-Forwarded-For: 192.0.2.7")["REMOTE_ADDR"] == "127.0.0.1"


SPOOFED = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 443",
    "X-Real-IP: 6.6.6.6",
    "X-Client-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6",
]


def test_strangers_are_not_believed_and_their_fields_are_gone(serve):
    # mod_wsgi, CVE-2022-2255.
    server = serve("--trusted-proxies", "192.0.2.1", app="echo.py")
    with server.connect() as connection:
        environ = connection.ask(get("/", *SPOOFED, "X-Other: stays")).json()["environ"]
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "http"
    left = [key for key in environ if "FORWARDED" in key or key.endswith("_IP")]
    assert left == [] and environ["HTTP_X_OTHER"] == "stays"


def test_without_the_option_fields_are_data(serve):
    server = serve(app="echo.py")
    with server.connect() as connection:
        environ = connection.ask(get("/", *SPOOFED)).json()["environ"]
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "example.com"
    assert (
        environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6" and environ["HTTP_FORWARDED"] == "for=6.6.6.6"
    )


def test_a_proxy_on_a_unix_socket(serve):
    server = serve("--trusted-proxies", "unix", app="echo.py", listen=("app.sock", "127.0.0.1:0"))
    fields = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"]
    with Connection(str(server.directory / address_of(server.urls()[0]))) as connection:
        environ = connection.ask(get("/", *fields)).json()["environ"]
        assert (environ["REMOTE_ADDR"], environ["HTTPS"]) == ("192.0.2.7", "on")
    with server.connect(listener=1) as connection:
        environ = connection.ask(get("/", *fields)).json()["environ"]
        assert environ["REMOTE_ADDR"] == "127.0.0.1" and "HTTPS" not in environ


def test_https_behind_a_proxy_that_came_by_http(serve, tmp_path):
    from certificates import Authority, TlsConnection

    authority = Authority()
    certificate, key = authority.files(tmp_path)
    server = serve(
        "--https",
        f"127.0.0.1:0,{certificate},{key}",
        "--trusted-proxies",
        "127.0.0.1",
        app="echo.py",
        listen=(),
    )
    with TlsConnection(server.address, authority.context()) as connection:
        environ = connection.ask(get("/", "X-Forwarded-Proto: http")).json()["environ"]
        assert environ["wsgi.url_scheme"] == "http" and "HTTPS" not in environ
        assert connection.ask(get("/")).json()["environ"]["HTTPS"] == "on"


def test_the_request_line_has_the_client(serve):
    server = serve("--trusted-proxies", "127.0.0.1", "--log-x-forwarded-for", app="echo.py")
    with server.connect() as connection:
        assert connection.ask(get("/logged", "X-Forwarded-For: 192.0.2.7")).status == 200
    server.wait_for_log(r"\] 192\.0\.2\.7 \(\) .*GET /logged")
    assert "WARN" not in server.log()


def test_log_x_forwarded_for_alone_is_warned_about(serve):
    server = serve("--log-x-forwarded-for", app="echo.py")
    with server.connect() as connection:
        assert connection.ask(get("/logged", "X-Forwarded-For: 192.0.2.7")).status == 200
    server.wait_for_log(r"\] 127\.0\.0\.1 \(\) .*GET /logged")
    assert "name them with --trusted-proxies" in server.log()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--trusted-proxies", "example.org"], "wants addresses and networks, got 'example.org'"),
        (["--trusted-proxies", "10.0.0.0/33"], "wants addresses and networks"),
        (["--trusted-proxies", "::/x"], "wants addresses and networks"),
        (["--trusted-proxy-headers", "x-real-ip"], "does not know the field 'x-real-ip'"),
        (["--trusted-proxy-headers", "forwarded,x-forwarded-for"], "not both"),
        (["--proxy-protocol", "127.0.0.1:1"], "wants one of the server's own addresses"),
    ],
)
def test_what_cannot_be_meant(serve, arguments, words):
    server = serve(*arguments, app="echo.py", wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert f"error: {arguments[0]} " in server.log() and words in server.log()
