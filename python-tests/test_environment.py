"""The environment of the process: interpreters change it and read it at the same time, and each
version of the application starts from that of the start.
"""

import threading

import pytest
from conftest import PYTHON

OWN_GIL = pytest.mark.skipif(PYTHON < (3, 13), reason="needs own-GIL interpreters")

# Each request works for a moment, so that the interpreters work side by side.
BUSY = """\
    import os, socket, subprocess, time

    def write(number):
        for at in range(40):
            os.environ[f"MADE_{number}_{at}"] = str(at) * (at % 7)
        os.putenv(f"PUT_{number}", "x" * number)
        for at in range(0, 40, 3):
            del os.environ[f"MADE_{number}_{at}"]
        os.unsetenv(f"PUT_{number}")

    def read(number):
        for _ in range(50):
            time.tzset()
            time.localtime()
        try:
            socket.getaddrinfo("127.0.0.1", number)
        except OSError:
            pass

    def start(number):
        told = subprocess.run(["env"], capture_output=True, text=True).stdout
        assert "STAYS=here" in told.splitlines(), told

    def application(environ, start_response):
        work = {"/write": write, "/read": read, "/start": start}[environ["PATH_INFO"]]
        end = time.monotonic() + 0.15
        number = 1
        while time.monotonic() < end:
            work(number % 50)
            number += 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [os.environ["STAYS"].encode()]
"""


@OWN_GIL
@pytest.mark.parametrize("isolation", ["own-gil", "shared-gil"])
def test_one_interpreter_writes_what_another_reads(serve, isolation):
    server = serve(
        *("--isolation", isolation, "--processes", "4", "--env", "STAYS=here", "--env", "TZ=UTC"),
        source=BUSY,
    )
    wrong = []

    def visit(path):
        for _ in range(12):
            response = server.ask(path)
            if (response.status, response.text) != (200, "here"):
                wrong.append((path, response))

    paths = ["/write", "/write", "/read", "/start"]
    visitors = [threading.Thread(target=visit, args=(path,)) for path in paths]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert not wrong, wrong[:3]
