"""Static files: which file a request gets, which are refused, and the response."""

import email.parser
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from certificates import Authority, TlsConnection
from client import Closed, Connection
from front_end import ask_fastcgi, ask_scgi, ask_uwsgi
from options import deadlines
from requests_raw import chunked, get, post

from server import APPS, environment

# The application returns the path, so that a test sees which of the two answered.
APP = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("418 App", [("Content-Type", "text/plain"), ("X-Path", repr(environ["PATH_INFO"]))])
    return [b"app ", environ["REQUEST_METHOD"].encode(), b" ", body]
"""

BIG = b"".join(b"%015d\n" % number for number in range(200_000))
TEXT = b"0123456789"


def is_app(response):
    return response.status == 418


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    """A served folder, with a neighbour that must never be seen."""
    directory = tmp_path_factory.mktemp("site")
    www = directory / "www"
    (www / "css").mkdir(parents=True)
    (www / "empty").mkdir()
    (www / "docs").mkdir()
    (directory / "www-secret").mkdir()
    (directory / "safe").mkdir()
    for name, data in {
        "www/text.txt": TEXT,
        "www/big.bin": BIG,
        "www/nothing.txt": b"",
        "www/css/site.css": b"body{}",
        "www/docs/index.html": b"<p>docs",
        "www/a b.txt": b"a space",
        "www/caf\u00e9.txt": b"accent",
        "www/page.py": b"secret source",
        "www/.hidden": b"hidden",
        "www/con.txt": b"no device here",
        "www-secret/key": b"SECRET",
        "secret": b"SECRET",
        "safe/shared.css": b"shared",
        "robots.txt": b"robots",
    }.items():
        (directory / name).write_bytes(data)
    os.symlink("text.txt", www / "in")
    os.symlink(www / "css", www / "in-folder")
    os.symlink("../secret", www / "out")
    os.symlink("/etc/passwd", www / "passwd")
    os.symlink("..", www / "up")
    os.symlink("../www-secret", www / "neighbour")
    os.symlink("../safe/shared.css", www / "shared.css")
    os.mkfifo(www / "fifo")
    server = serve_module(
        "--static-map",
        f"/static={www}",
        "--static-map",
        f"/robots.txt={directory}/robots.txt",
        "--static-map2",
        f"/css={www}",
        "--static-index",
        "index.html",
        "--static-safe",
        directory / "safe",
        "--static-skip-ext",
        ".py",
        source=APP,
        directory=directory,
    )
    server.www = www
    return server


@pytest.fixture
def ask(site):
    """Requests a path on one connection, which must stay open."""
    with site.connect() as connection:
        yield lambda path, *fields, **how: connection.ask(
            get(path, *fields, **how), how.get("method", "GET")
        )
        assert connection.assert_open(get("/static/text.txt")).body == TEXT


# Which file


def test_a_file(ask):
    response = ask("/static/css/site.css")
    assert (response.status, response.reason, response.body) == (200, "OK", b"body{}")
    assert response.header("Content-Type") == "text/css"
    assert response.header("Accept-Ranges") == "bytes"
    assert response.header("Server") == "singlemalt"
    assert response.header("Date")
    assert response.header("Last-Modified").endswith(" GMT")
    assert re.fullmatch('"[0-9a-f]+-6"', response.header("ETag"))
    assert response.header("Vary") is None and response.header("Content-Encoding") is None
    assert response.framing == "length"


@pytest.mark.parametrize(
    "path, body",
    [
        ("/static/text.txt?v=1", TEXT),
        ("/static//text.txt", TEXT),
        ("/static/./text.txt", TEXT),
        ("/static/css/./site.css", b"body{}"),
        ("/static/%74ext.txt", TEXT),
        ("/%73tatic/text.txt", TEXT),
        ("/static%2Ftext.txt", TEXT),
        ("/static/a%20b.txt", b"a space"),
        ("/static/caf%C3%A9.txt", b"accent"),
        ("/static/caf\u00c3\u00a9.txt", b"accent"),
        ("/static/nothing.txt", b""),
        ("/static/.hidden", b"hidden"),
        ("/static/con.txt", b"no device here"),
        ("http://example.com/static/text.txt", TEXT),
        ("/robots.txt", b"robots"),
        ("/css/site.css", b"body{}"),
        ("/static/docs/", b"<p>docs"),
        ("/static/docs", b"<p>docs"),
        ("/static/in", TEXT),
        ("/static/in-folder/site.css", b"body{}"),
        ("/static/shared.css", b"shared"),
    ],
)
def test_what_is_there_is_served(ask, path, body):
    response = ask(path)
    assert (response.status, response.body) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static",
        "/static/",
        "/static/none.txt",
        "/static/empty",
        "/static/empty/",
        "/static/css/",
        "/staticfile",
        "/static.txt",
        "/STATIC/text.txt",
        "/text.txt",
        "/static/text.txt/",
        "/static/text.txt/x",
        "/robots.txtx",
        "/robots.txt/",
        "/robots.txt/x",
        "/css/none.css",
        "/cssite.css",
        "/static/page.py",
        "/static/page%2epy",
        "/static/" + "a" * 300,
        "/static/" + "a/" * 2000,
        "//static/text.txt",
    ],
)
def test_what_is_not_there_goes_to_the_application(ask, path):
    assert is_app(ask(path))


# Paths that try to leave the folder.
WAYS_OUT = [
    "/static/../secret",
    "/static/..",
    "/static/../",
    "/static/css/../../secret",
    "/static/css/../text.txt",
    "/static/..%2fsecret",
    "/static/..%2Fsecret",
    "/static/%2e%2e/secret",
    "/static/%2e%2e%2fsecret",
    "/static/.%2e/secret",
    "/static/%2E./secret",
    "/..%2f..%2fetc/passwd",
    "/%2e%2e/etc/passwd",
    "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static/..\\secret",
    "/static/..%5csecret",
    "/static/%5c..%5csecret",
    "/static/css\\site.css",
    "//etc/passwd",
    "/static//etc/passwd",
    "/static/%2fetc/passwd",
    "/static/%2f%2fetc%2fpasswd",
    "/static/text.txt%00",
    "/static/text.txt%00.css",
    "/static/%00",
    "/static/%00/../secret",
    "/static../secret",
    "/static..%2fsecret",
    "/static%2f..%2fsecret",
    "/css/../../secret",
    "/css%2f..%2f..%2fsecret",
    "/static/..;/secret",
    "/static/..%00/secret",
    "/static/.../secret",
    "/static/....//secret",
    "/static/%252e%252e/secret",
    "/static/%c0%ae%c0%ae/secret",
    "/static/..%c0%afsecret",
    "/static/%u002e%u002e/secret",
    "/static/C:%5cwindows%5cwin.ini",
    "/static/C:/windows/win.ini",
    "/static/%5c%5c%3f%5cC:%5cboot.ini",
    "/static/%5c%5chost%5cshare",
    "/static/NUL",
    "/static/nul.css",
    "/static/COM1",
    "/static/aux.txt",
    "/static/text.txt::$DATA",
    "/static/text.txt:stream",
    "/static/text.txt.",
    "/static/text.txt%20",
    "/static/TEXT~1.TXT",
    # Symbolic links that lead out, to files and folders, and one to a folder whose name begins like
    # ours.
    "/static/out",
    "/static/passwd",
    "/static/up/secret",
    "/static/up/www/text.txt/x",
    "/static/neighbour/key",
    "/static/neighbour/",
    "/static/up/",
    "/static/up/www-secret/key",
    # Nothing that is no file, and opening it must not wait.
    "/static/fifo",
]


@pytest.mark.parametrize("path", WAYS_OUT)
def test_nothing_else_is_ever_served(ask, path):
    response = ask(path)
    assert is_app(response), response
    assert b"SECRET" not in response.body and b"root:" not in response.body


def test_a_link_out_is_told_once(site, ask):
    ask("/static/out")
    ask("/static/out")
    site.wait_for_log("a symbolic link leads out of .*--static-safe")
    assert len(re.findall("a symbolic link leads out", site.log())) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "PROPFIND"])
def test_other_methods_are_the_applications(ask, method):
    response = ask("/static/text.txt", method=method)
    assert is_app(response) and response.body == f"app {method} ".encode()


def test_folders_to_check_maps_and_their_order(serve, tmp_path):
    for name, data in {
        "one/a": "one",
        "one/b": "one",
        "two/b": "two",
        "two/c": "two",
        "three/c/c": "three",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data)
    server = serve(
        "--static-map",
        "/s=two",
        "--static-map",
        "/s=one",
        "--check-static",
        "one",
        "--static-check",
        "three",
        source=APP,
        directory=tmp_path,
    )
    for path, text in {
        "/a": "one",
        "/c/c": "three",
        "/s/b": "two",
        "/s/a": "one",
        "/s/c": "two",
    }.items():
        assert server.ask(path).text == text, path
    assert server.ask("/s/none").status == 418
    assert server.ask("/c").status == 418


def test_behind_a_mount(serve, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www/a").write_text("file")
    (tmp_path / "app.py").write_text(APP)
    server = serve(
        "--mount",
        "/shop=app.py",
        "--manage-script-name",
        "--static-map",
        "/static=www",
        directory=tmp_path,
    )
    assert server.ask("/shop/static/a").text == "file"
    assert server.ask("/static/a").text == "file"
    assert server.ask("/shops/static/a").status != 200


def test_a_folder_may_come_and_may_be_replaced(serve, tmp_path):
    server = serve("--static-map", "/static=current", source=APP, directory=tmp_path)
    assert "current does not exist (yet)" in server.log()
    assert server.ask("/static/a").status == 418
    for release in ["one", "two"]:
        (tmp_path / release).mkdir()
        (tmp_path / release / "a").write_text(release)
        os.symlink(release, tmp_path / "next")
        os.replace(tmp_path / "next", tmp_path / "current")
        server.wait_until(lambda: server.ask("/static/a").text == release, what="the new release")


def test_what_may_not_be_read(serve, tmp_path):
    wrapper = []
    if os.geteuid() == 0:
        # Root may read everything, unless it is a root without that privilege.
        if not shutil.which("setpriv"):
            pytest.skip("root may read everything")
        wrapper = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    (tmp_path / "www/closed").mkdir(parents=True)
    (tmp_path / "www/closed/a").write_text("a")
    (tmp_path / "www/a").write_text("a")
    (tmp_path / "www/a").chmod(0)
    (tmp_path / "www/closed").chmod(0)
    try:
        server = serve(
            "--static-map", "/static=www", source=APP, directory=tmp_path, wrapper=wrapper
        )
        for path in ["/static/a", "/static/closed/a"]:
            answer = server.ask(path)
            assert (answer.status, answer.text) == (403, "403 Forbidden\n")
        server.wait_for_log(
            "no permission to read the static file for /static/closed/a: answering 403"
        )
    finally:
        (tmp_path / "www/closed").chmod(0o755)


# Response header


@pytest.mark.parametrize(
    "name, media_type",
    {
        "a.html": "text/html",
        "a.js": "text/javascript",
        "a.mjs": "text/javascript",
        "a.svg": "image/svg+xml",
        "a.woff2": "font/woff2",
        "a.wasm": "application/wasm",
        "a.PNG": "image/png",
        "a.tar.gz": "application/gzip",
        "a.log": "text/plain;charset=utf-8",
        "a.own": "x-own/type",
        "README": "application/octet-stream",
        "a.strange": "application/octet-stream",
        ".css": "application/octet-stream",
    }.items(),
)
def test_media_types(typed, name, media_type):
    assert typed.ask(f"/{name}").headers["Content-Type"] == media_type


@pytest.fixture(scope="module")
def typed(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("types")
    (directory / "www").mkdir()
    for name in [
        "a.html",
        "a.js",
        "a.mjs",
        "a.svg",
        "a.woff2",
        "a.wasm",
        "a.PNG",
        "a.tar.gz",
        "a.log",
        "a.own",
        "README",
        "a.strange",
        ".css",
    ]:
        (directory / "www" / name).write_text("x")
    (directory / "mime.types").write_text("# ours\nx-own/type own\ntext/plain;charset=utf-8 log\n")
    return serve_module(
        "--check-static", "www", "--mime-file", "mime.types", source=APP, directory=directory
    )


def test_expires(serve, tmp_path):
    (tmp_path / "www").mkdir()
    for name in ["a.css", "b.js", "c.png", "d.txt"]:
        (tmp_path / "www" / name).write_text("x")
        os.utime(tmp_path / "www" / name, (784111777, 784111777))
    server = serve(
        "--static-map",
        "/s=www",
        "--static-expires",
        r"/www/.*\.css$ 3600",
        "--static-expires-type-mtime",
        "image/png=60",
        "--static-expires-uri",
        r"\?v=[0-9]+$ 86400",
        "--static-expires-path-info-mtime",
        "^/s/b 1",
        source=APP,
        directory=tmp_path,
    )

    def seconds(path):
        headers = server.ask(path).headers
        if "Expires" not in headers:
            return None
        from email.utils import parsedate_to_datetime as when

        since = when(headers["Last-Modified"] if "mtime" in path else headers["Date"])
        return (when(headers["Expires"]) - since).total_seconds()

    assert seconds("/s/a.css") == pytest.approx(3600, abs=2)
    assert seconds("/s/b.js?mtime") == 1
    assert seconds("/s/c.png?mtime") == 60
    assert seconds("/s/d.txt?v=12") == pytest.approx(86400, abs=2)
    assert seconds("/s/d.txt") is None
    assert server.ask("/s/d.txt").headers["Last-Modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_a_time_to_come_is_not_said(serve, tmp_path):
    (tmp_path / "a").write_text("x")
    os.utime(tmp_path / "a", (time.time() + 86400,) * 2)
    server = serve("--check-static", tmp_path, source=APP, directory=tmp_path)
    headers = server.ask("/a").headers
    assert headers["Last-Modified"] == headers["Date"]


# Conditions (the rules themselves have tests beside them)


def test_not_modified(ask):
    whole = ask("/static/text.txt")
    for fields in [
        [f"If-None-Match: {whole.header('ETag')}"],
        [f'If-None-Match: "x", W/{whole.header("ETag")}'],
        ['If-None-Match: "x"', f"If-None-Match: {whole.header('ETag')}"],
        ["If-None-Match: *"],
        [f"If-Modified-Since: {whole.header('Last-Modified')}"],
    ]:
        for method in ["GET", "HEAD"]:
            response = ask("/static/text.txt", *fields, method=method)
            assert (response.status, response.body) == (304, b""), fields
            assert response.header("ETag") == whole.header("ETag")
            assert response.header("Last-Modified") == whole.header("Last-Modified")
            assert (
                response.header("Content-Type") is None
                and response.header("Content-Length") is None
            )
    for fields in [
        ['If-None-Match: "x"'],
        ["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"],
        ["If-Modified-Since: x"],
    ]:
        assert ask("/static/text.txt", *fields).body == TEXT


def test_preconditions(ask):
    whole = ask("/static/text.txt")
    for field in ['If-Match: "x"', "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"]:
        response = ask("/static/text.txt", field)
        assert (response.status, response.body, response.header("Content-Length")) == (
            412,
            b"",
            "0",
        )
    for field in [
        f"If-Match: {whole.header('ETag')}",
        f"If-Unmodified-Since: {whole.header('Last-Modified')}",
    ]:
        assert ask("/static/text.txt", field).body == TEXT


def test_a_changed_file_has_another_tag(serve, tmp_path):
    (tmp_path / "a").write_text("one")
    server = serve("--check-static", tmp_path, source=APP, directory=tmp_path)
    first = server.ask("/a")
    # The same length within the same second.
    (tmp_path / "new").write_text("two")
    os.replace(tmp_path / "new", tmp_path / "a")
    second = server.ask("/a", headers={"If-None-Match": first.headers["ETag"]})
    assert (second.status, second.text) == (200, "two")
    assert second.headers["ETag"] != first.headers["ETag"]


# Parts


@pytest.mark.parametrize(
    "value, part, span",
    [
        ("bytes=0-3", b"0123", "0-3"),
        ("bytes=4-", b"456789", "4-9"),
        ("bytes=-2", b"89", "8-9"),
        ("bytes=9-99", b"9", "9-9"),
        ("bytes=0-0", b"0", "0-0"),
        ("bytes=-99", TEXT, "0-9"),
        ("bytes=2-3,99-", b"23", "2-3"),
    ],
)
def test_one_part(ask, value, part, span):
    response = ask("/static/text.txt", f"Range: {value}")
    assert (response.status, response.reason, response.body) == (206, "Partial Content", part)
    assert response.header("Content-Range") == f"bytes {span}/10"
    assert response.header("Content-Type") == "text/plain"
    assert response.header("ETag") and response.header("Last-Modified")


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_a_part_that_is_not_there(ask, value):
    response = ask("/static/text.txt", f"Range: {value}")
    assert (response.status, response.body) == (416, b"")
    assert response.header("Content-Range") == "bytes */10"
    assert response.header("Content-Length") == "0"


@pytest.mark.parametrize(
    "value",
    [
        "bytes=a-b",
        "bytes=3-2",
        "lines=0-1",
        "bytes=",
        "bytes=0-,0-,0-",
        "bytes=" + ",".join(["0-0"] * 40),
    ],
)
def test_what_is_no_range_or_too_much(ask, value):
    response = ask("/static/text.txt", f"Range: {value}")
    assert (response.status, response.body) == (200, TEXT)


def test_head_has_no_parts(ask):
    response = ask("/static/text.txt", "Range: bytes=0-3", method="HEAD")
    assert (response.status, response.header("Content-Length")) == (200, "10")
    assert ask("/static/nothing.txt", "Range: bytes=0-").status == 200


def parts_of(response):
    """The parts of a multipart/byteranges body, by a parser that is not ours."""
    head = f"Content-Type: {response.header('Content-Type')}\r\n\r\n".encode()
    message = email.parser.BytesParser().parsebytes(head + response.body)
    assert message.is_multipart() and not message.defects
    return [
        (part["Content-Range"], part["Content-Type"], part.get_payload(decode=True))
        for part in message.get_payload()
    ]


def test_several_parts(ask):
    response = ask("/static/text.txt", "Range: bytes=0-1, 4-5,-1")
    assert response.status == 206 and response.header("Content-Range") is None
    assert response.header("Content-Type").startswith("multipart/byteranges; boundary=")
    assert parts_of(response) == [
        ("bytes 0-1/10", "text/plain", b"01"),
        ("bytes 4-5/10", "text/plain", b"45"),
        ("bytes 9-9/10", "text/plain", b"9"),
    ]


def test_several_parts_of_a_big_file(ask):
    response = ask("/static/big.bin", "Range: bytes=3000000-3199999,16-31,100000-1100000")
    boundary = response.header("Content-Type").rpartition("=")[2].encode()
    pieces = response.body.split(b"--" + boundary)
    data = [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:-1]]
    assert data == [BIG[3000000:3200000], BIG[16:32], BIG[100000:1100001]]
    assert pieces[-1] == b"--\r\n"


def test_parts_of_the_same_state_only(ask):
    whole = ask("/static/text.txt")
    for known, status in [
        (whole.header("ETag"), 206),
        (whole.header("Last-Modified"), 206),
        ('"x"', 200),
        (f"W/{whole.header('ETag')}", 200),
    ]:
        response = ask("/static/text.txt", "Range: bytes=0-1", f"If-Range: {known}")
        assert response.status == status, known


# Precompressed files


@pytest.fixture(scope="module")
def twins(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("twins")
    www = directory / "www"
    (www / "plain").mkdir(parents=True)
    for name in ["a.css", "b.css", "old.css", "c.js", "plain/d.txt"]:
        (www / name).write_bytes(b"the original")
    (www / "a.css.gz").write_bytes(gzip.compress(b"the original"))
    (www / "a.css.br").write_bytes(b"not really brotli")
    (www / "a.css.zst").write_bytes(b"not really zstandard")
    (www / "b.css.gz").write_bytes(b"b gzip")
    (www / "c.js.gz").write_bytes(b"c gzip")
    (www / "plain/d.txt.gz").write_bytes(b"d gzip")
    (www / "old.css.gz").write_bytes(b"a leftover")
    os.utime(www / "old.css.gz", (784111777, 784111777))
    os.symlink("/etc/hostname", www / "b.css.br")
    return serve_module(
        "--static-map",
        "/s=www",
        "--static-gzip-ext",
        ".css",
        "--static-gzip",
        r"/plain/[a-z]+\.txt$",
        source=APP,
        directory=directory,
    )


@pytest.mark.parametrize(
    "path, accepted, coding, body",
    [
        ("/s/a.css", "gzip, deflate, br, zstd", "br", b"not really brotli"),
        ("/s/a.css", "gzip, zstd", "zstd", b"not really zstandard"),
        ("/s/a.css", "gzip;q=1, br;q=0.5", "gzip", gzip.compress(b"the original", mtime=0)),
        ("/s/a.css", "br;q=0, *", "zstd", b"not really zstandard"),
        ("/s/a.css", "identity", None, b"the original"),
        ("/s/a.css", None, None, b"the original"),
        ("/s/a.css", "gzip;q=0", None, b"the original"),
        ("/s/b.css", "br, gzip", "gzip", b"b gzip"),
        ("/s/b.css", "br", None, b"the original"),
        ("/s/old.css", "gzip", None, b"the original"),
        ("/s/plain/d.txt", "gzip", "gzip", b"d gzip"),
    ],
)
def test_twins(twins, path, accepted, coding, body):
    with twins.connect() as connection:
        response = connection.ask(
            get(path, *([f"Accept-Encoding: {accepted}"] if accepted else []))
        )
    assert response.header("Content-Encoding") == coding
    if coding == "gzip" and path == "/s/a.css":
        assert gzip.decompress(response.body) == b"the original"
    else:
        assert response.body == body
    assert response.header("Vary") == "Accept-Encoding"
    assert response.header("Content-Type") == ("text/plain" if path.endswith("txt") else "text/css")


def test_twins_only_where_they_were_asked_for(twins):
    with twins.connect() as connection:
        response = connection.ask(get("/s/c.js", "Accept-Encoding: gzip"))
        assert response.header("Vary") is None and response.header("Content-Encoding") is None
        # By its own name it is a file like others.
        assert connection.ask(get("/s/a.css.gz")).header("Content-Type") == "application/gzip"


def test_twins_have_their_own_tags_and_parts(twins):
    with twins.connect() as connection:
        tags = {}
        for accepted in ["br", "gzip", "zstd", "identity"]:
            response = connection.ask(get("/s/a.css", f"Accept-Encoding: {accepted}"))
            tags[accepted] = response.header("ETag")
            not_modified = connection.ask(
                get("/s/a.css", f"Accept-Encoding: {accepted}", f"If-None-Match: {tags[accepted]}")
            )
            assert not_modified.status == 304 and not_modified.header("Vary") == "Accept-Encoding"
        assert len(set(tags.values())) == 4
        response = connection.ask(
            get("/s/a.css", "Accept-Encoding: br", "Range: bytes=4-9", f"If-Range: {tags['br']}")
        )
        assert (response.status, response.body, response.header("Content-Encoding")) == (
            206,
            b"really",
            "br",
        )


# Sending


@pytest.mark.parametrize(
    "mode, field",
    [
        ("nginx", "X-Accel-Redirect"),
        ("x-accel-redirect", "X-Accel-Redirect"),
        ("X-Sendfile", "X-Sendfile"),
        ("lighttpd", "X-Sendfile"),
    ],
)
def test_the_front_end_sends(serve, tmp_path, mode, field):
    (tmp_path / "www").mkdir()
    (tmp_path / "www/a.css").write_text("body{}")
    server = serve(
        "--static-map", "/s=www", "--file-serve-mode", mode, source=APP, directory=tmp_path
    )
    answer = server.ask("/s/a.css")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers[field] == str(tmp_path / "www/a.css")
    assert answer.headers["Content-Type"] == "text/css" and answer.headers["Last-Modified"]
    assert answer.headers["ETag"] is None and answer.headers["Accept-Ranges"] is None
    since = {"If-Modified-Since": answer.headers["Last-Modified"]}
    assert server.ask("/s/a.css", headers=since).status == 304


# The connection


def test_head(ask):
    whole = ask("/static/big.bin")
    assert hashlib.sha256(whole.body).digest() == hashlib.sha256(BIG).digest()
    head = ask("/static/big.bin", method="HEAD")
    same = [field for field in whole.headers if field[0] != "Date"]
    assert [field for field in head.headers if field[0] != "Date"] == same


def test_http_1_0_and_close(site):
    with site.connect() as connection:
        response = connection.ask(get("/static/text.txt", version="1.0"))
        assert response.body == TEXT and not response.keeps_alive
        connection.assert_closed()
    with site.connect() as connection:
        response = connection.ask(get("/static/big.bin", "Connection: keep-alive", version="1.0"))
        assert response.body == BIG and response.header("Connection") == "keep-alive"
        assert connection.ask(get("/static/text.txt", "Connection: close")).body == TEXT
        connection.assert_closed()


def test_a_body_that_nobody_wants(site):
    with site.connect() as connection:
        for request in [
            get("/static/text.txt", "Content-Length: 5") + b"hello",
            chunked("/static/text.txt", [b"hello", b"x" * 300_000]).replace(b"POST", b"GET", 1),
            get("/static/text.txt", "Content-Length: 300000") + b"x" * 300_000,
        ]:
            assert connection.ask(request).body == TEXT
        assert is_app(connection.ask(post("/static/text.txt", b"hello")))


@pytest.mark.parametrize("opening_threads", [0, 2])
def test_pipelined_with_the_application(serve, site, opening_threads):
    server = site
    if opening_threads:
        server = serve(
            "--static-map", f"/static={site.www}", "--offload-threads", opening_threads, source=APP
        )
    wanted = []
    requests = []
    for number in range(300):
        if number % 3 == 2:
            requests.append(post("/static/text.txt", b"%d" % number))
            wanted.append((418, b"app POST %d" % number))
        elif number % 50 == 1:
            requests.append(get("/static/big.bin"))
            wanted.append((200, BIG))
        else:
            requests.append(get("/static/text.txt", "Range: bytes=1-3"))
            wanted.append((206, b"123"))
    with server.connect() as connection, ThreadPoolExecutor(1) as sender:
        sent = sender.submit(connection.send, b"".join(requests))
        for status, body in wanted:
            response = connection.receive()
            assert response.status == status and response.body == body
        sent.result()


def test_many_at_once_on_one_connection_let_others_go_first(site):
    """A client that asks for thousands of files ahead is served in shares."""
    with site.connect() as greedy, site.connect() as modest:
        greedy.send(get("/static/text.txt") * 5000)
        assert modest.ask(get("/static/text.txt")).body == TEXT
        for _ in range(5000):
            assert greedy.receive().body == TEXT


@pytest.mark.parametrize(
    "protocol, ask_by", [("uwsgi", ask_uwsgi), ("scgi", ask_scgi), ("fastcgi", ask_fastcgi)]
)
@pytest.mark.parametrize("opening_threads", [0, 1])
def test_by_the_protocols_of_front_ends(serve, site, protocol, ask_by, opening_threads):
    """The front end has decoded the path; its fields are variables; head and framing are its
    protocol's.
    """
    server = serve(
        f"--{protocol}-socket",
        "127.0.0.1:0",
        "--static-map",
        f"/static={site.www}",
        "--static-gzip-all",
        "--offload-threads",
        opening_threads,
        source=APP,
        listen=(),
    )

    def ask(path, **variables):
        return ask_by(server.address, path, **variables)

    whole = ask("/static/text.txt")
    assert whole.status == 200 and whole.body == TEXT
    assert whole.header("Content-Type") == "text/plain" and whole.header("Content-Length") == "10"
    assert ask("/x", PATH_INFO="/static/a b.txt").body == b"a space"
    assert ask("/static/big.bin").body == BIG
    assert ask("/static/text.txt", HTTP_IF_NONE_MATCH=whole.header("ETag")).status == 304
    part = ask("/static/text.txt", HTTP_RANGE="bytes=2-3", HTTP_ACCEPT_ENCODING="gzip")
    assert (part.status, part.body, part.header("Content-Range")) == (206, b"23", "bytes 2-3/10")
    several = ask("/static/big.bin", HTTP_RANGE="bytes=0-15,160000-300000")
    assert several.status == 206 and BIG[160000:300001] in several.body
    assert ask("/static/text.txt", REQUEST_METHOD="HEAD").body == b""
    for path in ["/static/../secret", "/static/out", "/static/text.txt\0", "/static/none"]:
        if protocol == "scgi" and "\0" in path:
            continue
        assert ask("/x", PATH_INFO=path).status == 418, path
    assert ask("/static/text.txt", REQUEST_METHOD="POST").status == 418


def test_inside_tls(serve, site, tmp_path):
    """The kernel cannot encrypt: head and file go through the same records, in order, and nothing
    leaves beside them.
    """
    authority = Authority()
    certificate, key = authority.files(tmp_path)
    server = serve(
        "--https",
        f"127.0.0.1:0,{certificate},{key}",
        "--static-map",
        f"/static={site.www}",
        source=APP,
        listen=(),
    )
    with TlsConnection(server.address, authority.context()) as connection:
        for _ in range(3):
            assert connection.ask(get("/static/text.txt")).body == TEXT
            assert connection.ask(get("/static/big.bin")).body == BIG
            response = connection.ask(get("/static/big.bin", "Range: bytes=0-15,160000-300000"))
            assert response.status == 206 and BIG[160000:300001] in response.body
            assert connection.ask(get("/static/text.txt", "If-None-Match: *")).status == 304
            assert is_app(connection.ask(get("/static/out")))


def test_curl(site):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    url = f"http://127.0.0.1:{site.port}/static/big.bin"

    def curl(*arguments):
        return subprocess.run(
            ["curl", "-sS", "--fail", *arguments], check=True, capture_output=True
        ).stdout

    assert curl(url) == BIG
    assert curl("-r", "16-31", url) == BIG[16:32]
    part = site.www.parent / "part"
    part.write_bytes(BIG[:1234567])
    curl("-C", "-", "-o", str(part), url)
    assert part.read_bytes() == BIG
    assert curl("--compressed", url) == BIG
    assert (
        curl("-o", "/dev/null", "-w", "%{http_code}", "-z", str(site.www / "big.bin"), url)
        == b"304"
    )


def test_slow_readers_cost_no_memory(serve, tmp_path):
    size = 10 << 20
    (tmp_path / "ten").write_bytes(bytes(size))
    server = serve("--check-static", tmp_path, source=APP, directory=tmp_path)
    assert len(server.ask("/ten").body) == size
    before = server.resident_bytes()
    connections = [
        Connection(server.address, receive_buffer_bytes=4096).send(get("/ten")) for _ in range(100)
    ]
    heads = [connection.head() for connection in connections]
    assert all(head.status == 200 and head.header("Content-Length") == str(size) for head in heads)
    assert server.ask("/ten").status == 200
    grown = server.resident_bytes() - before
    assert grown < 16 << 20, f"{grown} bytes more for 100 readers of 10 MB"
    for connection in connections[1:]:
        connection.abort()
    assert connections[0].body(heads[0]).body == bytes(size)
    connections[0].close()


def test_a_reader_that_stops_is_let_go(serve, tmp_path):
    (tmp_path / "big").write_bytes(bytes(64 << 20))
    server = serve(
        "--log-times",
        *("--check-static", tmp_path),
        *deadlines(write="500ms"),
        source=APP,
        directory=tmp_path,
    )
    with Connection(server.address, receive_buffer_bytes=4096) as connection:
        connection.send(get("/big"))
        server.wait_for_log(r"GET /big => .* \(client gone\)")
        with pytest.raises((Closed, ConnectionResetError)):
            connection.receive()


def test_a_file_that_shrinks_while_it_is_sent(serve, tmp_path):
    (tmp_path / "big").write_bytes(bytes(64 << 20))
    server = serve("--check-static", tmp_path, source=APP, directory=tmp_path)
    with Connection(server.address, receive_buffer_bytes=4096) as connection:
        head = connection.send(get("/big")).head()
        assert head.header("Content-Length") == str(64 << 20)
        os.truncate(tmp_path / "big", 1 << 20)
        # The response cannot be completed and is not padded: the connection is closed early.
        with pytest.raises((Closed, ConnectionResetError)):
            connection.body(head)
    assert len(server.ask("/big").body) == 1 << 20


def test_a_file_that_is_replaced_while_it_is_sent(serve, tmp_path):
    (tmp_path / "big").write_bytes(b"1" * (16 << 20))
    server = serve("--check-static", tmp_path, source=APP, directory=tmp_path)
    with Connection(server.address, receive_buffer_bytes=4096) as connection:
        head = connection.send(get("/big")).head()
        (tmp_path / "new").write_bytes(b"2" * (16 << 20))
        os.replace(tmp_path / "new", tmp_path / "big")
        assert connection.body(head).body == b"1" * (16 << 20)
        assert connection.ask(get("/big")).body == b"2" * (16 << 20)


@pytest.mark.parametrize("opening_threads", [0, 1])
def test_files_are_served_while_every_worker_is_stuck(serve, gate, tmp_path, opening_threads):
    (tmp_path / "a").write_text("file")
    (tmp_path / "big").write_bytes(BIG)
    source = """
    from knock import knock
    def application(environ, start_response):
        knock()
        start_response("200 OK", [])
        return [b"at last"]
    """
    server = serve(
        "--threads",
        2,
        "--check-static",
        tmp_path,
        "--offload-threads",
        opening_threads,
        source=source,
        gate=gate,
        directory=tmp_path,
    )
    with ThreadPoolExecutor(4) as pool:
        stuck = [pool.submit(server.ask, "/app") for _ in range(2)]
        visitors = gate.visitors(2)
        with server.connect() as connection:
            for _ in range(50):
                assert connection.ask(get("/a")).body == b"file"
            assert connection.ask(get("/big")).body == BIG
        assert server.ask("/a").text == "file"
        # A request in the queue is answered later; a file after it on the same connection waits for
        # it.
        with server.connect() as connection:
            connection.send(get("/app") + get("/a"))
            for visitor in visitors:
                visitor.release()
            gate.visitor().release()
            assert connection.receive().body == b"at last"
            assert connection.receive().body == b"file"
        assert [answer.result().text for answer in stuck] == ["at last"] * 2


def test_descriptors_come_back(site):
    # Nothing leaks: neither whole answers nor conditions, parts, misses.
    def round_trip():
        with site.connect() as connection:
            for _ in range(20):
                connection.ask(get("/static/text.txt"))
                connection.ask(get("/static/text.txt", "If-None-Match: *"))
                connection.ask(get("/static/big.bin", "Range: bytes=0-1,5-6,9-9"))
                connection.ask(get("/static/docs"))
                connection.ask(get("/static/out"))
                connection.ask(get("/static/fifo"))
                connection.ask(get("/static/big.bin", method="HEAD"))

    round_trip()
    before = site.open_descriptors()
    round_trip()
    site.wait_until(lambda: site.open_descriptors() <= before, what="the descriptors closed")


def test_the_log_has_a_line(site, ask):
    ask("/static/text.txt?logged")
    site.wait_for_log(
        r"app: -1\|req: -1/\d+\] 127\.0\.0\.1 .* GET /static/text\.txt\?logged => generated 10 bytes in .* \(HTTP/1\.1 200\)"
    )
    ask("/static/text.txt?part", "Range: bytes=0-1")
    site.wait_for_log(r"GET /static/text\.txt\?part => generated 2 bytes in .* \(HTTP/1\.1 206\)")


def test_every_response_says_what_was_added(serve, tmp_path):
    (tmp_path / "a").write_text("file")
    server = serve(
        "--check-static",
        tmp_path,
        "--add-header",
        "X-Frame-Options: DENY",
        source=APP,
        directory=tmp_path,
    )
    assert server.ask("/a").headers["X-Frame-Options"] == "DENY"
    assert server.ask("/a", headers={"If-None-Match": "*"}).headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (
            ["--static-map", "static=/srv"],
            "--static-map wants PREFIX=PATH with a prefix that begins with /",
        ),
        (["--static-map", "/static"], "--static-map wants PREFIX=PATH"),
        (["--static-expires", "(?=x) 5"], "--static-expires wants a regular expression"),
        (["--static-expires", "x"], "--static-expires wants 'REGEX SECONDS'"),
        (["--static-expires-type", "text/css 5"], "--static-expires-type wants TYPE=SECONDS"),
        (["--static-gzip", "("], "--static-gzip wants a regular expression"),
        (["--static-index", "a/b"], "--static-index wants the name of a file"),
        (["--file-serve-mode", "magic"], "--file-serve-mode wants x-accel-redirect"),
        (["--x-sendfile", "files"], "--x-sendfile wants the absolute path"),
        (["--x-sendfile", "/"], "--x-sendfile wants the absolute path"),
        (["--mime-file", "none", "--check-static", "."], "mime-file .*cannot read none"),
    ],
)
def test_what_is_wrong_is_said(serve, arguments, complaint):
    server = serve(*arguments, source=APP, wait=False)
    server.exit_code_expected = 1
    server.wait_for_exit()
    assert re.search(complaint, server.log()), server.log()


def test_django_as_the_documentation_has_it(serve, tmp_path):
    """collectstatic with hashed names: every file of a page is served and has an expiry."""
    pytest.importorskip(
        "django", reason="Django is not installed for this Python: see requirements.txt"
    )
    project = APPS / "django_project"
    (tmp_path / "documented.py").write_text(
        "from site_app.settings import *\n"
        "STATIC_ROOT = DATA / 'static'\n"
        "STATIC_URL = '/static/'\n"
        "STORAGES = {'default': {'BACKEND': 'django.core.files.storage.FileSystemStorage'},\n"
        "    'staticfiles': {'BACKEND': 'django.contrib.staticfiles.storage.ManifestStaticFilesStorage'}}\n"
    )
    variables = {
        "DJANGO_DATA": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "documented",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def manage(*command):
        path = f"{project}{os.pathsep}{tmp_path}"
        subprocess.run(
            [sys.executable, "-m", "django", *command],
            env=environment({**variables, "PYTHONPATH": path}),
            check=True,
            timeout=120,
        )

    manage("migrate", "-v0")
    manage("collectstatic", "--noinput", "-v0")
    server = serve(
        "--chdir",
        project,
        "--pythonpath",
        project,
        "--pythonpath",
        tmp_path,
        "--module",
        "site_app.wsgi",
        "--static-map",
        f"/static={tmp_path}/static",
        "--static-expires",
        r"^/.*\.[0-9a-f]{12}\.(css|js|svg)$ 31536000",
        environment=variables,
        directory=tmp_path,
    )
    page = server.ask("/admin/login/")
    assert page.status == 200, server.log()
    wanted = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    assert len(wanted) >= 3
    for path in wanted:
        answer = server.ask(path)
        assert answer.status == 200 and answer.headers["Expires"], path
        assert answer.headers["Content-Type"] in ("text/css", "text/javascript")
        assert answer.body == (tmp_path / path.lstrip("/")).read_bytes()
    # Nothing of it went through Django, which would have answered 404.
    assert server.ask("/static/none.css").status == 404
    server.wait_for_log(r"app: -1\|req: -1/\d+\] .* GET /static/", count=len(wanted))
