"""Fields that a front end passes on although they are about its own connection, or more than once."""

import pytest
from front_end import (
    ask_fastcgi,
    ask_scgi,
    ask_uwsgi,
    connect,
    fastcgi_request,
    packet,
    read_to_the_end,
    variables,
)
from test_nginx import SOCKETS
from web_servers import Nginx

SOURCE = """
    import bottle

    @bottle.route("/form", method="POST")
    def form():
        return f"{bottle.request.forms.get('name')} {'HTTP_TRANSFER_ENCODING' in bottle.request.environ}"

    @bottle.route("/cookies")
    def cookies():
        return bottle.request.environ.get("HTTP_COOKIE", "none")

    application = bottle.default_app()
"""
ASK = {"uwsgi": ask_uwsgi, "fastcgi": ask_fastcgi, "scgi": ask_scgi}
FORM = {
    "HTTP_TRANSFER_ENCODING": "chunked",
    "CONTENT_TYPE": "application/x-www-form-urlencoded",
}


@pytest.fixture(params=["uwsgi", "fastcgi", "scgi"])
def protocol(request):
    return request.param


def test_the_body_is_decoded(serve, protocol):
    server = serve(SOCKETS[protocol], "127.0.0.1:0", listen=(), source=SOURCE)
    answer = ASK[protocol](server.address, "/form", "POST", b"name=value", **FORM)
    assert (answer.status, answer.body) == (200, b"value False")


@pytest.mark.parametrize("protocol", ["uwsgi", "fastcgi"])
def test_cookies_are_joined(serve, protocol):
    """SCGI forbids a second variable of the same name."""
    server = serve(SOCKETS[protocol], "127.0.0.1:0", listen=(), source=SOURCE)
    cookies = [("HTTP_COOKIE", f"{name}=1") for name in "abc"]
    sent = [cookies[0], *variables("/cookies").items(), *cookies[1:]]
    wire = packet(sent) if protocol == "uwsgi" else fastcgi_request(sent)
    with connect(server.address) as connection:
        assert b"a=1; b=1; c=1" in read_to_the_end(connection.sendall(wire) or connection)


def test_through_nginx(serve, protocol, tmp_path):
    Nginx.command(type("", (), {"folder": tmp_path}))
    server = serve(SOCKETS[protocol], "127.0.0.1:0", listen=(), source=SOURCE)
    nginx = Nginx(tmp_path, f"nginx/{protocol}.conf", server.address)
    try:
        with nginx.connect() as connection:
            head = (
                b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
            )
            answer = connection.ask(head + b"5\r\nname=\r\n5\r\nvalue\r\n0\r\n\r\n")
            assert (answer.status, answer.text) == (200, "value False")
            asked = b"GET /cookies HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=1\r\n\r\n"
            assert connection.ask(asked).text == "a=1; b=1"
    finally:
        nginx.stop()
