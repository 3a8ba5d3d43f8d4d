"""Each subinterpreter has a working directory and a umask of its own on Linux, as a uWSGI worker
has; elsewhere, and in the main interpreter, the process has them."""

import os
import sys
import textwrap

import pytest
from requests_raw import get

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it for threads")

# Changes to a folder by a relative path: the second interpreter begins where the first one did.
RELATIVE = """
    import os
    import tempfile
    import threading

    import uwsgi

    os.chdir("data")
    os.umask(0o077)
    with open("name") as file:
        NAME = file.read().strip()

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        seen = []
        if path == "/up":
            os.chdir("/")
        elif path == "/thread":
            thread = threading.Thread(target=lambda: seen.append(os.getcwd()))
            thread.start()
            thread.join()
        elif path == "/umask":
            with tempfile.TemporaryDirectory() as folder:
                name = os.path.join(folder, "new")
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o666))
                seen.append(oct(os.stat(name).st_mode & 0o777))
        start_response("200 OK", [])
        where = seen[0] if seen else os.getcwd()
        return [f"{uwsgi.worker_id()} {NAME} {where}".encode()]
"""


@pytest.fixture
def own_gil(isolations):
    if "own-gil" not in isolations:
        pytest.skip("this Python has no own-gil")


def answers_of_all(server, path, workers):
    """What each worker answers, by its number. Asks until every one has answered."""
    answers = {}
    for _number in range(2000):
        with server.connect() as connection:
            worker, name, where = connection.ask(get(path)).text.split(" ")
        answers[worker] = (name, where)
        if len(answers) == workers:
            return answers
    raise AssertionError(f"only {sorted(answers)} answered")


@ON_LINUX
def test_a_relative_chdir_at_import_works_in_every_interpreter(serve, own_gil):
    server = serve(
        "--isolation", "own-gil", "--processes", 3, "--threads", 2,
        source=RELATIVE, files={"data/name": "first\n"},
    )  # fmt: skip
    data = server.directory / "data"
    assert answers_of_all(server, "/", 3) == dict.fromkeys("123", ("first", str(data)))
    assert answers_of_all(server, "/thread", 3) == dict.fromkeys("123", ("first", str(data)))
    assert answers_of_all(server, "/umask", 3) == dict.fromkeys("123", ("first", "0o600"))
    for generation in (2, 3):
        (data / "name").write_text(f"generation {generation}".replace(" ", "-"))
        server.send_signal(1)
        server.wait_for_log(rf"generation {generation} serves \(")
        name = f"generation-{generation}"
        assert answers_of_all(server, "/", 3) == dict.fromkeys("123", (name, str(data)))
    # The process has stayed where it was started.
    assert os.readlink(f"/proc/{server.process.pid}/cwd") == str(server.directory)


@ON_LINUX
def test_an_interpreter_that_moves_takes_no_other_along(serve, own_gil):
    server = serve(
        "--isolation", "own-gil", "--processes", 2, source=RELATIVE, files={"data/name": "x\n"}
    )
    data = str(server.directory / "data")
    with server.connect() as connection:
        moved, _name, where = connection.ask(get("/up")).text.split(" ")
    assert where == "/"
    other = {"1": "2", "2": "1"}[moved]
    assert answers_of_all(server, "/", 2) == {moved: ("x", "/"), other: ("x", data)}


@ON_LINUX
def test_replaced_interpreters_begin_in_the_first_folder(serve, own_gil):
    server = serve(
        "--isolation", "own-gil", "--processes", 2, "--max-requests", 5, "--min-worker-lifetime", 0,
        source=RELATIVE, files={"data/name": "x\n"},
    )  # fmt: skip
    data = str(server.directory / "data")
    for fresh in range(1, 4):
        for _number in range(15):
            assert server.ask().body.decode().split(" ")[1:] == ["x", data]
        server.wait_for_log(r"worker \d has a fresh interpreter", count=fresh)


def test_chdir2_holds_for_every_worker(serve, own_gil):
    where = """
        import os
        import uwsgi

        AT_LOAD = os.path.basename(os.getcwd())

        def application(environ, start_response):
            start_response("200 OK", [])
            return [f"{uwsgi.worker_id()} {AT_LOAD} {os.getcwd()}".encode()]
    """
    server = serve(
        "--isolation", "own-gil", "--processes", 2, "--chdir", "code", "--chdir2", "../run",
        "--wsgi-file", "app.py",
        source=None, files={"code/app.py": where, "run/x": ""},
    )  # fmt: skip
    run = str(server.directory / "run")
    for generation in (2, 3):
        assert answers_of_all(server, "/", 2) == dict.fromkeys("12", ("code", run))
        server.send_signal(1)
        server.wait_for_log(rf"generation {generation} serves \(")


# Refuses unshare(2) as the usual policy of container engines does, then runs the server.
WITHOUT_UNSHARE = """
    import ctypes, os, struct, sys

    number = {"x86_64": 272, "aarch64": 97}[os.uname().machine]
    instructions = [
        (0x20, 0, 0, 0),  # the number of the system call
        (0x15, 0, 1, number),
        (0x06, 0, 0, 0x00050001),  # EPERM
        (0x06, 0, 0, 0x7FFF0000),  # allowed
    ]
    program = b"".join(struct.pack("HBBI", *one) for one in instructions)
    code = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
    assert libc.prctl(22, 2, ctypes.create_string_buffer(head), 0, 0) == 0, ctypes.get_errno()
    os.execvp(sys.argv[1], sys.argv[1:])
"""


@ON_LINUX
def test_where_a_container_refuses_it_the_error_says_what_to_do(serve, own_gil, tmp_path):
    wrapper = tmp_path / "wrapper.py"
    wrapper.write_text(textwrap.dedent(WITHOUT_UNSHARE))
    server = serve(
        "--isolation", "own-gil", "--processes", 2,
        source=RELATIVE, files={"data/name": "x\n"}, wrapper=[sys.executable, wrapper],
    )  # fmt: skip
    assert server.ask().status == 500
    server.wait_for_log(r"the working directory is .*/data, and all interpreters share it here")
    # An absolute path works there, too.
    absolute = RELATIVE.replace('"data"', 'os.path.join(os.path.dirname(__file__), "data")')
    (server.directory / "app.py").write_text(textwrap.dedent(absolute))
    server.send_signal(1)
    server.wait_for_log(r"generation 2 serves \(")
    assert server.ask().status == 200
