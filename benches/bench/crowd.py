"""A program of bench.clients that runs beside wrk."""

import os
import subprocess
import sys

from .peers import BENCHES


class Crowd:
    """Clients of a kind, until the end of the `with` block."""

    def __init__(self, kind, port, count, cores=None):
        pinned = ["taskset", "-c", cores] if cores is not None else []
        self.process = subprocess.Popen(
            [*pinned, sys.executable, "-m", "bench.clients", kind, str(port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=BENCHES,
            env={**os.environ, "PYTHONPATH": str(BENCHES)},
        )
        self.pid = self.process.pid
        self.ready = int(self.process.stdout.readline().split()[1])

    def held(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
