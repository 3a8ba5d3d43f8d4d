"""A measured server process: started, polled until it answers, and stopped with its children."""

import http.client
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

from . import processes


class Failed(Exception):
    """A server that does not start, does not answer, or answers wrong: its row says so instead of
    figures.
    """


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def ask(port, path="/", method="GET", body=None, headers=(), tls=False, timeout=5, connection=None):
    """One request; raises OSError or http.client.HTTPException as they come."""
    own = connection is None
    if own:
        connection = connect(port, tls, timeout)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        if own:
            connection.close()


def connect(port, tls=False, timeout=5):
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=context)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)


class Server:
    """One started command. `cores` is for taskset, None leaves it on all of them."""

    def __init__(
        self, name, command, port, log, cores=None, environment=(), folder=None, tls=False
    ):
        self.name, self.port, self.tls, self.log = name, port, tls, pathlib.Path(log)
        self.command = [str(word) for word in command]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        pinned = ["taskset", "-c", cores] if cores is not None else []
        self.started = time.perf_counter()
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                [*pinned, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **dict(environment)},
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def wait(self, path="/", seconds=30):
        """Waits until something answers here, with any status."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                ask(self.port, path, tls=self.tls, timeout=5)
                return self
            except (OSError, http.client.HTTPException) as error:
                self.must_live()
                if time.monotonic() > deadline:
                    raise Failed(
                        f"does not answer within {seconds} s ({error}): {self.last_words()}"
                    ) from None
                time.sleep(0.02)

    def must_live(self):
        code = self.process.poll()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise Failed(f"ended with {how}: {self.last_words()}")

    def last_words(self):
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it said nothing"

    def cpu_seconds(self):
        return processes.cpu_seconds(self.pid)

    def pss_megabytes(self):
        return processes.pss_megabytes(self.pid)

    def stop(self, seconds=10):
        """SIGTERM to the one we started (twice: uWSGI reloads on the first only without
        die-on-term); then SIGKILL to its tree.
        """
        family = processes.tree(self.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        for pid in {*family, *processes.tree(self.pid)}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
