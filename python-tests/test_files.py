"""wsgi.file_wrapper: the client gets what read() would return from the file's position, whichever
way the file is sent.
"""

import os

import pytest
from client import Closed, Connection
from requests_raw import get

DATA = b"".join(b"%07d\n" % number for number in range(50_000))


@pytest.fixture(scope="module")
def files(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    (directory / "data.bin").write_bytes(DATA)
    return serve_module("--threads", "2", app="files.py", directory=directory)


WHOLE = {
    "real": DATA,
    "real/1000": DATA[1000:],
    "unbuffered": DATA,
    "after_read": DATA[10:],
    "unbuffered_after_read": DATA[10:],
    "update_mode": DATA,
    "compressed": DATA,
    "overridden": DATA.replace(b"0", b"O"),
    "spooled": DATA,
    "named_temporary": DATA,
    "memory": DATA,
    "memory_offset": DATA[1000:],
    "pipe": DATA,
    "empty": b"",
    "at_the_end": b"",
    "past_the_end": b"",
    "OnlyRead": DATA,
    "ReadAndClose": DATA,
    "FilenoRaises": DATA,
    "FilenoLies": DATA,
    "FilenoIsNone": DATA,
    "ReadGivesText": "caf\u00e9".encode(),
}
BROKEN = ["write_only", "closed", "ReadIsMissing"]


@pytest.mark.parametrize("path", WHOLE)
def test_every_kind_of_file_arrives(files, path):
    with files.connect() as connection:
        for _ in range(2):
            response = connection.ask(get(f"/{path}"))
            assert response.status == 200
            assert response.body == WHOLE[path]


@pytest.mark.parametrize("path", WHOLE)
def test_http_1_0(files, path):
    with files.connect() as connection:
        assert connection.ask(get(f"/{path}", version="1.0")).body == WHOLE[path]


@pytest.mark.parametrize("path", WHOLE)
def test_head(files, path):
    with files.connect() as connection:
        response = connection.ask(get(f"/{path}", method="HEAD"))
        assert response.status == 200
        assert response.header("Content-Length") in (None, str(len(WHOLE[path])))
        assert connection.ask(get(f"/{path}")).body == WHOLE[path]


@pytest.mark.parametrize("path", WHOLE)
def test_pipelined_files_stay_apart(files, path):
    with files.connect() as connection:
        connection.send(get(f"/{path}") * 3 + get("/memory"))
        for _ in range(3):
            assert connection.receive().body == WHOLE[path]
        assert connection.receive().body == DATA


def test_a_regular_file_has_its_length(files):
    with files.connect() as connection:
        assert connection.ask(get("/real/1000")).header("Content-Length") == str(len(DATA) - 1000)


@pytest.mark.parametrize(
    "kind", ["real", "real/1000", "unbuffered", "memory", "OnlyRead", "compressed"]
)
@pytest.mark.parametrize("length", [0, 1, 1000, 70_000])
def test_the_length_of_the_app_bounds_the_file(files, kind, length):
    with files.connect() as connection:
        response = connection.ask(get(f"/{kind}?{length}"))
        assert response.body == WHOLE[kind][:length]
        assert connection.ask(get("/memory")).body == DATA


@pytest.mark.parametrize("kind", ["real", "unbuffered", "memory", "OnlyRead"])
def test_a_file_that_is_shorter_than_told_closes(files, kind):
    with files.connect() as connection, pytest.raises(Closed) as closed:
        connection.ask(get(f"/{kind}?{len(DATA) + 5}"))
    assert closed.value.args[1] == DATA


@pytest.mark.parametrize("block", [1, 7, 1000, 10_000_000])
def test_block_sizes(files, block):
    path = "memory" if block < 7 else "OnlyRead"
    with files.connect() as connection:
        length = 5000 if block < 7 else len(DATA)
        assert connection.ask(get(f"/{path}?{length}", f"X-Block: {block}")).body == DATA[:length]


@pytest.mark.parametrize("kind", ["real", "after_read", "memory", "OnlyRead", "pipe", "compressed"])
@pytest.mark.parametrize("how", ["iterated", "piecewise", "middleware"])
def test_the_wrapper_is_an_iterable(files, kind, how):
    with files.connect() as connection:
        assert connection.ask(get(f"/{kind}/{how}")).body == WHOLE[kind]


def test_middleware_closes_it(files):
    files.ask("/ReadAndClose/middleware")
    files.wait_for_log("EVENT closed middleware")
    files.wait_for_log("EVENT closed read-and-close")


@pytest.mark.parametrize("kind", ["real", "memory"])
def test_what_was_written_comes_first(files, kind):
    with files.connect() as connection:
        assert connection.ask(get(f"/{kind}/written-first")).body == b"written " + DATA


@pytest.mark.parametrize("kind", ["real", "OnlyRead"])
def test_a_wrapper_that_was_begun_goes_on(files, kind):
    """The app has read one block itself: the rest follows from there."""
    with files.connect() as connection:
        body = connection.ask(get(f"/{kind}/twice")).body
        assert len(body) < len(DATA)
        assert body == DATA[len(DATA) - len(body) :]


@pytest.mark.parametrize("kind", ["real", "memory", "ReadAndClose"])
def test_no_content_sends_none(files, kind):
    with files.connect() as connection:
        assert connection.ask(get(f"/{kind}/no-content")).status == 204
        assert connection.ask(get("/memory")).body == DATA


def test_a_wrapper_that_is_not_returned_is_harmless(files):
    with files.connect() as connection:
        assert connection.ask(get("/real/not-returned")).body == b"something else"


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_read_is_a_500(files, kind):
    assert files.ask(f"/{kind}").status == 500
    assert files.ask("/memory").body == DATA


def test_a_read_that_fails_halfway_cuts_the_response(files):
    with files.connect() as connection, pytest.raises(Closed):
        connection.ask(get("/ReadRaises"))
    files.wait_for_log("EVENT closed read-raises")
    files.wait_for_log("disk on fire")


def test_files_are_closed(files):
    files.ask("/memory")
    before = files.open_descriptors()
    for _ in range(20):
        for kind in ("real", "unbuffered", "named_temporary", "ReadAndClose"):
            assert files.ask(f"/{kind}").body == DATA
    files.wait_until(lambda: files.open_descriptors() <= before + 1, what="the files closed")


def test_files_are_closed_when_the_client_leaves(files):
    files.ask("/memory")
    before = files.open_descriptors()
    for _ in range(20):
        with Connection(files.address, receive_buffer_bytes=4096) as connection:
            connection.send(get("/real"))
            assert connection.socket.recv(1) == b"H"
            connection.abort()
    files.wait_until(lambda: files.open_descriptors() <= before + 1, what="the files closed")


def test_a_huge_file_needs_no_memory_and_no_worker(serve, tmp_path):
    """200 MB to a client that does not read: the only worker serves others meanwhile."""
    size = 200_000_000
    with open(tmp_path / "data.bin", "wb") as file:
        file.truncate(size)
        os.pwrite(file.fileno(), b"end", size - 3)
    server = serve(app="files.py", directory=tmp_path)
    server.ask("/empty")
    before = server.resident_bytes()
    with server.connect() as slow:
        slow.send(get("/real"))
        response = slow.head()
        assert response.header("Content-Length") == str(size)
        assert server.ask("/empty").status == 200
        assert server.resident_bytes() - before < 20_000_000
        received, tail = len(slow.buffer), b""
        while received < size:
            data = slow.socket.recv(1 << 20)
            assert data
            received, tail = received + len(data), data
        assert tail.endswith(b"end")
        assert server.ask("/empty").status == 200


def test_without_the_wrapper(serve):
    source = """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [str("wsgi.file_wrapper" in environ).encode()]
    """
    assert serve("--wsgi-disable-file-wrapper", source=source).ask("/").text == "False"
