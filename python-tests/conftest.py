"""Fixtures that start the real binary in a new folder, stop it and check how it ended."""

import contextlib
import os
import shlex
import sys
import sysconfig
import tempfile
import textwrap
from pathlib import Path

import pytest
from gate import Gate

from server import APPS, Server, binary, virtualenv_arguments

PYTHON = sys.version_info[:2]
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# 3.12 has no usable own-GIL interpreters, and a free-threaded Python has no GIL.
HAS_OWN_GIL = PYTHON >= (3, 13) and not FREE_THREADED
# Its allocator keeps what was freed for each thread, so figures of memory say little of the server.
keeps_freed_memory = pytest.mark.skipif(
    FREE_THREADED, reason="a free-threaded CPython keeps large objects that were freed"
)
# The isolation modes that this Python supports.
ISOLATIONS = ["main"]
if not FREE_THREADED:
    ISOLATIONS += ["shared-gil", "own-gil"] if HAS_OWN_GIL else ["shared-gil"]


def pytest_configure(config):
    # One clear line instead of an error for each test.
    try:
        path = binary()
    except FileNotFoundError as error:
        raise pytest.UsageError(str(error)) from None
    config._singlemalt = path


def pytest_report_header(config):
    return f"singlemalt: {config._singlemalt}"


class Servers:
    """Starts servers, and checks at the end that they stop properly."""

    def __init__(self, make_directory):
        self._make_directory = make_directory
        self._running = []

    def __call__(
        self,
        *arguments,
        source=None,
        app=None,
        files=None,
        listen=("127.0.0.1:0",),
        environment=None,
        virtualenv=True,
        gate=None,
        wait=True,
        directory=None,
        wrapper=(),
        stdin=None,
        pass_fds=(),
    ):
        """Starts the binary and waits until it is ready (unless told not to).

        `source` is written as app.py and served; `app` names a file of apps/; with neither, the
        arguments say what to serve. `files` are written beside it. `gate` puts apps/knock.py in
        reach. `wrapper` is a command that runs the binary; `stdin` is a text for it to read.
        """
        directory = Path(directory) if directory else self._make_directory()
        files = dict(files or {})
        command = []
        if source is not None:
            files["app.py"] = source
            command.append("app.py")
        elif app is not None:
            command.append(APPS / app)
        for name, content in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content))
        for address in listen:
            command += ["--http-socket", address]
        if virtualenv:
            command += virtualenv_arguments()
        environment = dict(environment or {})
        if gate is not None:
            environment["GATE_PORT"] = str(gate.port)
            command += ["--pythonpath", APPS]
        # For another run of the whole suite, as `SINGLEMALT_TEST_ARGUMENTS="--poll acceptor"`.
        command += shlex.split(os.environ.get("SINGLEMALT_TEST_ARGUMENTS", ""))
        # The one place that knows which tests cannot run on a free-threaded Python. A test of the
        # refusal itself does not wait for a server.
        if FREE_THREADED and wait and {"own-gil", "shared-gil"} & set(map(str, arguments)):
            pytest.skip("a free-threaded Python has no subinterpreters")
        with contextlib.ExitStack() as stack:
            opened = None
            if stdin is not None:
                opened = stack.enter_context(tempfile.TemporaryFile())
                opened.write(textwrap.dedent(stdin).encode())
                opened.seek(0)
            server = Server(
                [*command, *arguments], directory, environment, wrapper, pass_fds, opened
            )
        self._running.append(server)
        if wait:
            server.wait_until_ready()
        return server

    def finish(self):
        failures = []
        for server in self._running:
            try:
                server.check_end()
            except AssertionError as failure:
                failures.append(str(failure))
        assert not failures, "\n\n".join(failures)


@pytest.fixture
def serve(tmp_path_factory):
    """Starts servers for one test."""
    servers = Servers(lambda: tmp_path_factory.mktemp("server"))
    yield servers
    servers.finish()


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory):
    """Starts servers that all tests of a file share."""
    servers = Servers(lambda: tmp_path_factory.mktemp("server"))
    yield servers
    servers.finish()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture(scope="session")
def isolations():
    return ISOLATIONS
