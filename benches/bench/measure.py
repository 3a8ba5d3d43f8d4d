"""A scenario that wrk measures: all servers up, short slices in rotation, medians of what each
round's ratios were.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import time

from . import nginx, peers, processes
from .checks import check
from .crowd import Crowd
from .load import one_slice
from .peers import OURS
from .server import Failed

# Rounds that others disturbed are measured again, so many at the most.
EXTRA_ROUNDS = 4


@dataclasses.dataclass
class Bench:
    """Settings of all scenarios."""

    tools: peers.Tools
    folder: pathlib.Path
    rounds: int
    seconds: int
    only: tuple
    server_core: str | None
    client_core: str | None
    # Not thorough: no system calls counted, no disturbed round measured again.
    thorough: bool

    def wanted(self, scenario):
        """(label, peer, shape) of each row."""
        rows = [(peer, peer, scenario.shape) for peer in scenario.peers]
        rows = (
            [*scenario.rows, *rows]
            if scenario.rows and scenario.rows[0][0] == OURS
            else [*rows[:1], *scenario.rows, *rows[1:]]
        )
        return [row for row in rows if not self.only or row[1] in self.only or row[1] == OURS]

    def cores(self, scenario):
        return (self.server_core, self.client_core) if scenario.pinned else (None, None)


@dataclasses.dataclass
class Row:
    label: str
    peer: str
    server: object = None
    front: object = None
    slices: list = dataclasses.field(default_factory=list)
    remarks: list = dataclasses.field(default_factory=list)
    failed: str | None = None
    syscalls: float | None = None


def measured(bench, scenario):
    """The scenario's table as plain data (report.py says what is in it)."""
    with contextlib.ExitStack() as stack:
        rows = [Row(label, peer) for label, peer, _ in bench.wanted(scenario)]
        server_core, client_core = bench.cores(scenario)
        for row, (_, _, shape) in zip(rows, bench.wanted(scenario)):
            guarded(row, begin, bench, scenario, row, shape, server_core, stack)
        for row in alive(rows):
            guarded(row, ready, scenario, row)
        rounds = 0
        extra = min(EXTRA_ROUNDS, bench.rounds - 1) if bench.thorough else 0
        while rounds < bench.rounds + extra and alive(rows):
            if rounds >= bench.rounds and len(clean(rows, rounds)) >= bench.rounds:
                break
            for row in alive(rows):
                guarded(row, slice_of, bench, scenario, row, client_core)
            rounds += 1
        if scenario.strace and bench.thorough:
            for row in alive(rows):
                guarded(row, count_calls, bench, scenario, row, client_core)
    return table(scenario, rows, rounds)


def alive(rows):
    return [row for row in rows if row.failed is None]


def guarded(row, step, *arguments):
    try:
        step(*arguments)
    except Failed as failure:
        row.failed = str(failure)
    except subprocess.TimeoutExpired:
        row.failed = "wrk did not come back"


def begin(bench, scenario, row, shape, core, stack):
    root = os.geteuid() == 0
    if row.peer == "nginx":
        row.server = nginx.of_files(bench.folder / "static", bench.folder, core, root)
        stack.callback(row.server.stop)
        return
    row.server = peers.start(
        row.peer, scenario.app, shape, bench.tools, bench.folder, core, row.label
    )
    stack.callback(row.server.stop)
    if shape.speaks in ("uwsgi", "kept"):
        row.front = nginx.in_front_of(row.server.socket, bench.folder, core, root, shape.speaks)
        stack.callback(row.front.stop)


def ready(scenario, row):
    if row.front:
        deadline = time.monotonic() + 15
        while not row.server.socket.exists():
            row.server.must_live()
            if time.monotonic() > deadline:
                raise Failed(f"has no socket after 15 s: {row.server.last_words()}")
            time.sleep(0.02)
    (row.front or row.server).wait(scenario.load.path if scenario.load.method == "GET" else "/10k")
    row.remarks += check(row.front or row.server, scenario)


def slice_of(bench, scenario, row, core):
    with contextlib.ExitStack() as stack:
        clients = ()
        if scenario.beside:
            kind, count = scenario.beside
            clients = (stack.enter_context(Crowd(kind, row.server.port, count, core)).pid,)
        row.slices.append(
            one_slice(
                row.server,
                scenario.load,
                max(bench.seconds, scenario.seconds),
                core,
                row.front,
                clients,
            )
        )


def count_calls(bench, scenario, row, core):
    """System calls per request, by strace; it slows the server, so batches are larger than without
    it.
    """
    strace = shutil.which("strace")
    if not strace:
        return
    pids = processes.tree(row.server.pid)
    report = bench.folder / f"strace-{row.server.port}"
    command = [strace, "-f", "-c", "-q", "-o", str(report)]
    for pid in pids:
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 5
        while not all(traced(pid) for pid in pids):
            if tracer.poll() is not None or time.monotonic() > deadline:
                row.remarks.append("not traced: strace could not attach")
                return
            time.sleep(0.01)
        # Threads of a process are attached one after another.
        time.sleep(0.2)
        figures = one_slice(row.server, scenario.load, bench.seconds, core, row.front)
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)
    for line in report.read_text().splitlines():
        fields = line.split()
        if fields and fields[-1] == "total":
            row.syscalls = int(fields[3]) / figures.requests


def traced(pid):
    try:
        text = (processes.PROC / str(pid) / "status").read_text()
    except OSError:
        return True
    return "TracerPid:\t0" not in text


def clean(rows, rounds):
    """The rounds without disturbance by other processes."""
    return [
        index for index in range(rounds) if not any(row.slices[index].noisy for row in alive(rows))
    ]


def table(scenario, rows, rounds):
    undisturbed = clean(rows, rounds)
    # Two clean rounds are better than five of which three are not.
    used = undisturbed if len(undisturbed) >= 2 else list(range(rounds))
    ours = next((row for row in alive(rows) if row.label == OURS), None)
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "note": scenario.note,
        "pinned": scenario.pinned,
        "columns": columns_of(scenario, rows),
        "slices": rounds,
        "noisy": rounds - len(undisturbed),
        "disturbed": len(undisturbed) < 2,
        "rows": [written(scenario, row, ours, used) for row in rows],
    }


def columns_of(scenario, rows):
    columns = (
        ["rate", "cpu"] if scenario.load.pipelined > 1 else ["rate", "p50", "p99", "p999", "cpu"]
    )
    if any(row.front for row in rows):
        columns.append("front")
    if any(row.syscalls for row in rows):
        columns.append("syscalls")
    if scenario.ideal:
        columns.append("ideal")
    return columns


def written(scenario, row, ours, used):
    data = {
        "label": row.label,
        "peer": row.peer,
        "remarks": row.remarks,
        "failed": row.failed,
        "figures": {},
        "ratios": {},
    }
    if row.failed is not None:
        return data
    slices = [row.slices[index] for index in used]

    def median(key):
        return statistics.median(getattr(one, key) for one in slices)

    data["figures"] = {key: median(key) for key in ("rate", "p50", "p99", "p999", "cpu", "front")}
    if scenario.load.pipelined > 1:
        # wrk takes the time of a connection that has nothing outstanding, which hardly happens
        # here.
        data["figures"] = {key: data["figures"][key] for key in ("rate", "cpu")}
    data["figures"]["client"] = median("client")
    if row.syscalls:
        data["figures"]["syscalls"] = row.syscalls
    if scenario.ideal:
        data["figures"]["ideal"] = data["figures"]["rate"] / scenario.ideal
    if data["figures"]["client"] > 0.97:
        data["remarks"] = [*data["remarks"], "wrk was at its limit"]
    errors = {}
    for one in row.slices:
        for kind, count in one.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    if errors:
        listed = ", ".join(f"{count} {kind}" for kind, count in errors.items())
        data["remarks"] = [*data["remarks"], f"errors: {listed}"]
    if ours is not None and row is not ours:
        for key in ("rate", "cpu", "p99"):
            if key not in data["figures"]:
                continue
            pairs = [
                (getattr(ours.slices[index], key), getattr(row.slices[index], key))
                for index in used
            ]
            ratios = [mine / theirs for mine, theirs in pairs if theirs]
            if ratios:
                data["ratios"][key] = statistics.median(ratios)
    return data
