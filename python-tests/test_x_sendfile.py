"""Files that the application names: X-Sendfile by path, X-Accel-Redirect by address."""

import os

import pytest
from requests_raw import get, post

DATA = b"".join(b"%07d\n" % number for number in range(20_000))
SMALL = b"0123456789"

# The query is the file that the application names; the path selects how it yields.
APP = """
from urllib.parse import unquote

def application(environ, start_response):
    how = environ["PATH_INFO"].strip("/")
    header, _, value = environ["QUERY_STRING"].partition("=")
    value = unquote(value, "latin-1")
    headers = [("Content-Type", "text/x-app"), ("Content-Disposition", "attachment"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    status = "200 OK"
    if how == "untyped":
        headers = []
    if how == "validated":
        headers += [("ETag", '"mine"'), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")]
    if how == "length":
        headers.append(("Content-Length", "5"))
    if how == "created":
        status = "201 Created"
    write = start_response(status, headers + [(header, value)])
    if how == "write":
        write(b"not this")
        write(b"nor this")
    if how == "again":
        try:
            raise ValueError
        except ValueError as error:
            start_response("500 No", [("Content-Type", "text/plain")], (ValueError, error, None))
        return [b"an error"]
    if how == "raises":
        raise ValueError("before anything has left")
    if how == "generator":
        return (piece for piece in [b"", b"not", b"this"])
    if how == "wrapper":
        import io
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    return {"empty": [], "emptybytes": [b""], "length": [b"12345"], "many": [b"not", b"this"]}.get(how, [b"not this"])
"""


@pytest.fixture(scope="module")
def served(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("x")
    for folder in ["files/sub", "more", "secret", "files-not"]:
        (directory / folder).mkdir(parents=True)
    for name, data in {
        "files/small.txt": SMALL,
        "files/data.bin": DATA,
        "files/sub/a b.txt": b"space",
        "files/100%25.txt": b"percent",
        "files/100%.txt": b"one percent",
        "files/caf\u00e9.txt": b"accent",
        "files/none.bin": b"",
        "more/a.css": b"more",
        "secret/key": b"SECRET",
        "files-not/key": b"SECRET",
    }.items():
        (directory / name).write_bytes(data)
    os.symlink("../secret/key", directory / "files/out")
    os.mkfifo(directory / "files/fifo")
    server = serve_module(
        "--x-sendfile",
        directory / "files",
        "--x-sendfile",
        directory / "more",
        "--x-accel-redirect",
        f"/protected={directory}/files",
        "--add-header",
        "X-Added: yes",
        source=APP,
        directory=directory,
    )
    server.files = directory / "files"
    return server


@pytest.fixture
def ask(served):
    """Requests on one connection, which must stay open."""
    with served.connect() as connection:

        def ask(how, value, *fields, header="X-Sendfile", method="GET"):
            return connection.ask(get(f"/{how}?{header}={value}", *fields, method=method), method)

        yield ask
        assert ask("empty", f"{served.files}/small.txt").body == SMALL


HOWS = ["empty", "emptybytes", "one", "many", "generator", "length", "write", "wrapper"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    "name, data", [("small.txt", SMALL), ("data.bin", DATA), ("none.bin", b"")]
)
def test_the_file_goes_out_in_place_of_the_body(served, ask, how, name, data):
    response = ask(how, f"{served.files}/{name}")
    assert (response.status, response.reason) == (200, "OK")
    assert response.body == data and response.framing == "length"
    # The application's fields are kept; X-Sendfile itself is not sent.
    assert response.header("Content-Type") == "text/x-app"
    assert response.header("Content-Disposition") == "attachment"
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert response.header("X-Sendfile") is None
    assert response.header("X-Added") == "yes"
    assert (
        response.header("Accept-Ranges") == "bytes"
        and response.header("ETag")
        and response.header("Last-Modified")
    )


@pytest.mark.parametrize(
    "value", ["/protected/small.txt", "/protected/small.txt?x=1", "/protected/./small%2etxt"]
)
def test_an_address(served, ask, value):
    response = ask("one", value.replace("%", "%25").replace("?", "%3F"), header="X-Accel-Redirect")
    assert (response.status, response.body) == (200, SMALL)
    assert response.header("X-Accel-Redirect") is None
    # The prefix is for the application only.
    assert ask("one", "x", header="X-Nothing").body == b"not this"


def test_any_case_of_the_name(served, ask):
    assert ask("one", f"{served.files}/small.txt", header="x-sendfile").body == SMALL
    assert ask("one", f"{served.files}/small.txt", header="X-SENDFILE").body == SMALL


@pytest.mark.parametrize(
    "name, data",
    [
        ("sub/a%20b.txt", b"space"),
        ("sub/a%2520b.txt", b"space"),
        ("caf%C3%A9.txt", b"accent"),
        ("caf%25C3%25A9.txt", b"accent"),
        # The literal name is tried before it is decoded.
        ("100%2525.txt", b"percent"),
        ("100%25.txt", b"one percent"),
        (".//./small.txt", SMALL),
    ],
)
def test_names_as_they_stand_and_encoded(served, ask, name, data):
    assert ask("one", f"{served.files}/{name}").body == data


def test_several_folders(served, ask):
    response = ask("untyped", f"{served.files.parent}/more/a.css")
    assert response.body == b"more" and response.header("Content-Type") == "text/css"


@pytest.mark.parametrize(
    "name",
    [
        "/secret/key",
        "/files/../secret/key",
        "/files/%252e%252e/secret/key",
        "/files/out",
        "/files-not/key",
        "/files/fifo",
        "/files",
        "/files/",
        "/files/none",
        "/files/sub",
        "/files/small.txt/",
        "/files/small.txt%2500",
        "/files/..%5csecret%5ckey",
        "",
    ],
)
@pytest.mark.parametrize("how", ["one", "generator"])
def test_nothing_else_is_sent(served, ask, name, how):
    response = ask(how, f"{served.files.parent}{name}")
    assert (response.status, response.body) == (404, b"404 Not Found\n")
    assert response.header("Content-Disposition") is None and response.header("Set-Cookie") is None
    for value in [
        "/etc/passwd",
        "etc/passwd",
        "small.txt",
        "files/small.txt",
        "../files/small.txt",
        "/",
        "//etc/passwd",
    ]:
        assert ask(how, value).status == 404, value


@pytest.mark.parametrize(
    "value",
    [
        "/protected/../secret/key",
        "/protected/out",
        "/protected",
        "/protectedx",
        "/etc/passwd",
        "/small.txt",
        "http://other/protected/small.txt",
    ],
)
def test_no_other_address(served, ask, value):
    assert ask("one", value, header="X-Accel-Redirect").status == 404


def test_what_is_wrong_is_logged(served, ask):
    ask("one", "/etc/passwd")
    served.wait_for_log(
        "X-Sendfile names /etc/passwd: there is no such file in the folders it may name; answering 404"
    )


def test_head_conditions_and_parts(served, ask):
    name = f"{served.files}/small.txt"
    whole = ask("one", name)
    head = ask("one", name, method="HEAD")
    assert head.header("Content-Length") == "10" and head.header("ETag") == whole.header("ETag")
    response = ask("one", name, "Range: bytes=2-4")
    assert (response.status, response.reason, response.body) == (206, "Partial Content", b"234")
    assert (
        response.header("Content-Range") == "bytes 2-4/10"
        and response.header("Content-Type") == "text/x-app"
    )
    response = ask("one", name, "Range: bytes=0-1,5-6")
    assert response.status == 206 and response.header("Content-Type").startswith(
        "multipart/byteranges; boundary="
    )
    assert (
        response.body.count(b"Content-Type: text/x-app\r\n") == 2
        and b"\r\n\r\n56\r\n--" in response.body
    )
    response = ask("one", name, "Range: bytes=10-")
    assert (response.status, response.header("Content-Range"), response.body) == (
        416,
        "bytes */10",
        b"",
    )
    response = ask("one", name, f"If-None-Match: {whole.header('ETag')}")
    assert response.status == 304 and response.all("Set-Cookie") == ["a=1", "b=2"]
    assert ask("one", name, 'If-Match: "x"').status == 412


def test_the_applications_own_validators(served, ask):
    name = f"{served.files}/small.txt"
    whole = ask("validated", name)
    assert (
        whole.header("ETag") == '"mine"'
        and whole.header("Last-Modified") == "Sun, 06 Nov 1994 08:49:37 GMT"
    )
    assert ask("validated", name, 'If-None-Match: "mine"').status == 304
    assert ask("validated", name, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT").status == 304
    assert ask("validated", name, "Range: bytes=0-0", 'If-Range: "mine"').body == b"0"
    assert ask("validated", name, "Range: bytes=0-0", 'If-Range: "other"').body == SMALL


def test_what_is_no_200_is_no_question_of_conditions(served, ask):
    response = ask("created", f"{served.files}/small.txt", "Range: bytes=0-0", "If-None-Match: *")
    assert (response.status, response.reason, response.body) == (201, "Created", SMALL)


def test_in_answer_to_a_post(served):
    with served.connect() as connection:
        request = post(f"/one?X-Sendfile={served.files}/small.txt", b"body", "Range: bytes=0-0")
        response = connection.ask(request)
        assert (response.status, response.body) == (200, SMALL)


def test_an_error_takes_the_file_back(served, ask):
    response = ask("again", f"{served.files}/small.txt")
    assert (response.status, response.body) == (500, b"an error")
    assert ask("raises", f"{served.files}/small.txt").status == 500


def test_pipelined(served):
    requests = [get(f"/{how}?X-Sendfile={served.files}/data.bin") for how in HOWS]
    with served.connect() as connection:
        connection.send(b"".join(requests))
        for _ in requests:
            assert connection.receive().body == DATA


def test_without_the_option_it_is_a_header_like_others(serve):
    server = serve(source=APP)
    answer = server.ask("/one?X-Sendfile=/etc/passwd")
    assert (answer.headers["X-Sendfile"], answer.text) == ("/etc/passwd", "not this")
    answer = server.ask("/one?X-Accel-Redirect=/protected/a")
    assert answer.headers["X-Accel-Redirect"] == "/protected/a"


def test_only_what_was_configured(serve, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_text("a")
    server = serve("--x-sendfile", tmp_path / "files", source=APP)
    assert server.ask(f"/one?X-Sendfile={tmp_path}/files/a").text == "a"
    assert server.ask("/one?X-Accel-Redirect=/files/a").headers["X-Accel-Redirect"] == "/files/a"
