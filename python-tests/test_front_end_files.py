"""Static files over uwsgi, FastCGI and SCGI: sent without the application, in the form of each
protocol.
"""

import os

import pytest
from front_end import FastCgi, ask_fastcgi, ask_scgi, ask_uwsgi, fastcgi_request, variables

ASK = {"--uwsgi-socket": ask_uwsgi, "--fastcgi-socket": ask_fastcgi, "--scgi-socket": ask_scgi}
APP = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the app"]
"""


@pytest.fixture(scope="module")
def files(serve_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    (folder / "small.txt").write_text("a file")
    (folder / "large.bin").write_bytes(os.urandom(1_000_000))
    listen = [word for option in ASK for word in (option, "127.0.0.1:0")]
    server = serve_module(*listen, "--static-map", f"/static={folder}", source=APP, listen=())
    server.folder = folder
    server.ask_by = {
        option: (lambda *a, ask=ask, at=at, **more: ask(at, *a, **more))
        for (option, ask), at in zip(ASK.items(), server.addresses())
    }
    return server


@pytest.mark.parametrize("option", ASK)
def test_a_file_is_answered_in_the_protocols_form(files, option):
    ask = files.ask_by[option]
    first = "HTTP/1.1" if option == "--uwsgi-socket" else "Status:"
    small = ask("/static/small.txt")
    assert (small.first_line, small.body) == (f"{first} 200 OK", b"a file")
    assert small.header("Content-Length") == "6" and small.header("Connection") is None
    assert ask("/static/large.bin").body == (files.folder / "large.bin").read_bytes()
    head = ask("/static/large.bin", "HEAD")
    assert (head.status, head.header("Content-Length"), head.body) == (200, "1000000", b"")
    part = ask("/static/small.txt", HTTP_RANGE="bytes=2-3")
    assert (part.status, part.body) == (206, b"fi")
    known = ask("/static/small.txt", HTTP_IF_NONE_MATCH=small.header("ETag"))
    assert (known.status, known.body) == (304, b"")
    assert b"root:" not in ask("/static/../../../../../../etc/passwd").body
    assert ask("/other").body == b"the app"


def test_files_on_a_kept_connection(files):
    with FastCgi(files.addresses()[1]) as connection:
        for path in ("/static/large.bin", "/static/small.txt", "/other", "/static/large.bin"):
            connection.send(fastcgi_request(variables(path), keep=True))
            assert connection.receive().status == 200
