"""One slice of load by wrk, and the server's CPU time for it."""

import dataclasses
import json
import os
import pathlib
import subprocess

from . import processes
from .server import Failed

SCRIPT = pathlib.Path(__file__).parent.parent / "wrk" / "load.lua"
# Work of others, or theft by the host, of more than this share of a core spoils a slice.
OTHERS_MAX = 0.10
STOLEN_MAX = 0.03
ERRORS = ("connect", "read", "write", "timeout", "status")


@dataclasses.dataclass(frozen=True)
class Load:
    """Arguments of wrk."""

    path: str = "/"
    connections: int = 32
    method: str = "GET"
    body: int = 0
    pipelined: int = 1
    headers: tuple = ()


@dataclasses.dataclass
class Slice:
    """Times in microseconds; `front` is the CPU of the nginx before the server, where there is one."""

    rate: float
    p50: float
    p99: float
    p999: float
    cpu: float
    front: float
    requests: int
    errors: dict
    client: float
    others: float
    stolen: float

    @property
    def noisy(self):
        return self.others > OTHERS_MAX or self.stolen > STOLEN_MAX


def run_wrk(url, load, seconds, cores, log):
    """The figures that benches/wrk/load.lua prints."""
    pinned = ["taskset", "-c", cores] if cores is not None else []
    command = [
        *pinned,
        "wrk",
        "-t1",
        f"-c{load.connections}",
        f"-d{seconds}s",
        "--timeout",
        "5s",
        "-s",
        str(SCRIPT),
    ]
    command += [
        url + load.path,
        "--",
        load.method,
        str(load.body),
        str(load.pipelined),
        *load.headers,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    for line in done.stdout.splitlines():
        if line.startswith("FIGURES "):
            # wrk's mean of nothing is not a number.
            return json.loads(
                line.removeprefix("FIGURES ").replace("-nan", "0").replace("nan", "0")
            )
    raise Failed(f"wrk said: {(done.stderr or done.stdout).strip()[-200:]}")


def one_slice(server, load, seconds, cores=None, front=None, clients=()):
    """Loads the server for a slice. `clients` are pids of further clients, so that they do not
    count as noise.
    """
    mine = [server.pid, *([front.pid] if front else []), *clients]
    others = processes.Others(mine)
    before, front_before = server.cpu_seconds(), front.cpu_seconds() if front else 0
    times = os.times()
    figures = run_wrk((front or server).url, load, seconds, cores, server.log)
    after, front_after, times_after = (
        server.cpu_seconds(),
        front.cpu_seconds() if front else 0,
        os.times(),
    )
    busy, stolen = others.end()
    server.must_live()
    requests = figures["requests"]
    if not requests:
        raise Failed(f"not one answer in {seconds} s")
    wall = figures["microseconds"] / 1e6
    client = (
        times_after.children_user
        + times_after.children_system
        - times.children_user
        - times.children_system
    )
    return Slice(
        rate=requests / wall,
        p50=figures["p50"],
        p99=figures["p99"],
        p999=figures["p99.9"],
        cpu=(after - before) / requests * 1e6,
        front=(front_after - front_before) / requests * 1e6,
        requests=requests,
        errors={kind: figures[kind] for kind in ERRORS if figures[kind]},
        client=client / wall,
        others=busy,
        stolen=stolen,
    )
