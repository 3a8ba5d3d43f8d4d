"""uWSGI itself, with the same application, to compare with."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest


class Uwsgi:
    """A started uWSGI: `addresses` are those of an HTTP and of a uwsgi socket."""

    def __init__(self, folder, *arguments):
        script = shutil.which("uwsgi", path=os.path.dirname(sys.executable))
        if script is None:
            pytest.skip("uwsgi is not installed")
        self.log_file = folder / "uwsgi.log"
        ports = []
        for _ in range(2):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports.append(free.getsockname()[1])
        self.addresses = [("127.0.0.1", port) for port in ports]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [script, "--http-socket", f"127.0.0.1:{ports[0]}", "--socket", f"127.0.0.1:{ports[1]}",
                 "--wsgi-file", "app.py", "--master", "--die-on-term", *map(str, arguments)],
                cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def wait_for(self, pattern, count=1, file=None):
        file = file or self.log_file
        end = time.monotonic() + 20
        while True:
            text = file.read_text() if file.exists() else ""
            if len(found := re.findall(pattern, text, re.MULTILINE)) >= count:
                return found
            assert time.monotonic() < end, (text, self.log_file.read_text())
            time.sleep(0.01)

    def wait_until_ready(self):
        self.wait_for("spawned uWSGI worker 1")
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def speak_uwsgi(address, variables):
    """One request of the uwsgi protocol."""
    packet = b"".join(
        len(text).to_bytes(2, "little") + text
        for pair in variables.items()
        for text in (part.encode() for part in pair)
    )
    with socket.create_connection(address) as connection:
        connection.sendall(b"\0" + len(packet).to_bytes(2, "little") + b"\0" + packet)
        while connection.recv(65536):
            pass
