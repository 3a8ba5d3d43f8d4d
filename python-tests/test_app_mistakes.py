"""What applications do that PEP 3333 leaves to the server, or does not foresee: their own chunks, file
wrappers as pieces, interim statuses, and last words before a crash.
"""

import re
import textwrap

import pytest
from client import Closed, Connection

CHUNKS = b"5\\r\\nhello\\r\\n1;a=b\\r\\n \\r\\n5\\r\\nworld\\r\\n0\\r\\nX: y\\r\\n\\r\\n"

CHUNKED = f"""
    BODIES = {{
        "framed": [b"{CHUNKS.decode()}"],
        "pieces": [b"5", b"\\r\\nhel", b"lo\\r\\n", b"6\\r\\n world\\r\\n", b"0\\r\\n\\r\\n"],
        "plain": [b"hello ", b"world"],
        "number": [b"5"],
        "one": [b"hello world"],
        "empty": [],
        "cut": [b"5\\r\\nhello\\r\\n", b"6\\r\\n wo"],
        "cut_early": [b"b\\r\\nhello wo"],
    }}

    def application(environ, start_response):
        path = environ["PATH_INFO"][1:]
        fields = [("Content-Type", "text/plain"), ("Transfer-Encoding", "Chunked")]
        if environ["QUERY_STRING"]:
            fields.append(("Content-Length", environ["QUERY_STRING"]))
        if path == "gzip":
            start_response("200 OK", [("Transfer-Encoding", "gzip")])
            return [b"gzipped"]
        start_response("200 OK", fields)
        return BODIES[path] if path in ("framed", "one", "cut_early") else iter(BODIES[path])
"""


@pytest.fixture(scope="module")
def chunked(serve_module):
    return serve_module("--processes", "1", source=CHUNKED)


def get(path, version="1.1"):
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("path", ["/framed", "/framed?70", "/pieces", "/plain", "/one", "/one?11"])
def test_the_body_is_what_the_app_meant(chunked, path, version):
    with chunked.connect() as connection:
        response = connection.ask(get(path, version))
        assert response.text == "hello world"
        if version == "1.1":
            assert connection.ask(get("/number")).text == "5"
            assert connection.ask(get("/empty")).text == ""


def test_chunks_that_break_off(chunked):
    with chunked.connect() as connection, pytest.raises(Closed):
        connection.ask(get("/cut"))
    assert chunked.ask("/cut_early").status == 500
    chunked.wait_for_log("its own chunks broke off")


def test_another_coding_is_refused(chunked):
    assert chunked.ask("/gzip").status == 500
    chunked.wait_for_log("'Transfer-Encoding' is 'gzip'")


def test_the_warning_names_the_place_once(serve):
    server = serve("--processes", "1", source=CHUNKED)
    for _ in range(3):
        server.ask("/plain")
    server.stop()
    line = 1 + textwrap.dedent(CHUNKED).splitlines().index('    start_response("200 OK", fields)')
    warned = re.findall(r"sets Transfer-Encoding in .*app\.py, line (\d+)", server.log())
    assert warned == [str(line)]


FILES = """
    import io

    DATA = bytes(range(256)) * 400

    def application(environ, start_response):
        path, _, length = environ["PATH_INFO"][1:].partition("/")
        wrapper = environ["wsgi.file_wrapper"]
        fields = [("Content-Type", "text/plain")]
        if length:
            fields.append(("Content-Length", length))
        start_response("200 OK", fields)
        file = open("data", "rb") if path.startswith("real") else io.BytesIO(DATA)
        if path.endswith("list"):
            return [wrapper(file)]
        if path.endswith("two"):
            return [b"before", wrapper(file), b"after"]
        return pieces(wrapper(file), path)

    def pieces(wrapped, path):
        if path.endswith("among"):
            yield b"before"
        yield wrapped
        if path.endswith("among"):
            yield b"after"
"""
DATA = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def files(serve_module):
    server = serve_module("--processes", "1", source=FILES)
    (server.directory / "data").write_bytes(DATA)
    return server


@pytest.mark.parametrize("kind", ["real", "memory"])
@pytest.mark.parametrize("shape", ["", "list", "among", "two"])
@pytest.mark.parametrize("length", [None, 1000])
def test_a_file_wrapper_is_a_piece(files, kind, shape, length):
    with files.connect() as connection:
        path = f"/{kind}{shape}" + (f"/{length}" if length else "")
        body = connection.ask(get(path)).body
        whole = DATA if shape in ("", "list") else b"before" + DATA + b"after"
        assert body == whole[:length]
        assert connection.ask(get("/memory")).body == DATA


@pytest.mark.parametrize("status", ["100 Continue", "101 Switching Protocols", "103 Early Hints"])
def test_an_interim_status_is_no_answer(serve, status):
    source = f"""
        def application(environ, start_response):
            start_response({status!r}, [])
            return [b"x"]
    """
    server = serve(source=source)
    response = server.ask("/")
    assert response.status == 500
    server.wait_for_log(f"status '{status}' is an interim one")


LAST_WORDS = """
    import os, signal, sys

    def application(environ, start_response):
        errors = environ["wsgi.errors"]
        for number in range(50):
            print("errors", number, file=errors)
            print("stderr", number, file=sys.stderr)
            errors.writelines(["errors ", f"{number}", " again\\n"])
            sys.stdout.write(f"stdout {number}\\n")
        errors.write("the end")
        if environ["PATH_INFO"] == "/kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(7)
"""


@pytest.mark.parametrize(("path", "code"), [("/exit", 7), ("/kill", -9)])
@pytest.mark.parametrize("where", ["pipe", "file"])
def test_nothing_is_lost_or_reordered_before_a_crash(serve, where, path, code, tmp_path):
    log, socket = tmp_path / "log", str(tmp_path / "socket")
    arguments = ["--logto", log] if where == "file" else []
    arguments += ["--processes", "1", "--http-socket", socket]
    server = serve(*arguments, source=LAST_WORDS, wait=where == "pipe", listen=())
    if where == "file":
        ready = re.compile("ready after")
        server.wait_until(lambda: log.exists() and ready.search(log.read_text()))
    server.exit_code_expected = code
    with Connection(socket) as connection, pytest.raises((Closed, ConnectionResetError)):
        connection.ask(get(path))
    server.wait_for_exit()
    log = log.read_text() if where == "file" else server.log()
    told = log[log.index("errors 0\n") :]
    wanted = "".join(
        f"errors {number}\nstderr {number}\nerrors {number} again\nstdout {number}\n"
        for number in range(50)
    )
    # The server's own last lines follow, if it knows of its end.
    ends = {
        "/kill": "the end",
        "/exit": "the end\n[ERROR] the application ends the process: os._exit(7)",
    }
    assert told.startswith(wanted + ends[path])
    assert path != "/kill" or told == wanted + ends[path]
