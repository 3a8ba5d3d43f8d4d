"""The scenarios that are not a load alone: idle and dribbling clients, start-up, memory. One server
at a time is up.
"""

import contextlib
import http.client
import socket
import statistics
import sysconfig
import time

from . import peers
from .checks import check
from .crowd import Crowd
from .load import Load, one_slice
from .peers import OURS, Shape
from .processes import PROC
from .scenarios import HELLO, PARALLEL, Scenario
from .server import Failed, ask

IDLE_CONNECTIONS = 5000
DRIBBLERS = 500
IDLE_SECONDS = 3


def measured(bench, scenario):
    return {"idle": idle, "dribble": dribble, "start": start, "memory": memory}[scenario.kind](
        bench, scenario
    )


def table(scenario, columns, rows, **more):
    base = {
        "scenario": scenario.name,
        "title": scenario.title,
        "note": scenario.note,
        "pinned": scenario.pinned,
    }
    return {
        **base,
        "columns": columns,
        "rows": rows,
        "slices": 0,
        "noisy": 0,
        "disturbed": False,
        **more,
    }


def row_of(label, peer, figures=None, failed=None, remarks=()):
    return {
        "label": label,
        "peer": peer,
        "remarks": list(remarks),
        "failed": failed,
        "figures": figures or {},
        "ratios": {},
    }


@contextlib.contextmanager
def running(bench, peer, app, shape, core, path="/"):
    server = peers.start(peer, app, shape, bench.tools, bench.folder, core)
    try:
        yield server.wait(path)
    finally:
        server.stop()


def each(bench, scenario, measure):
    """A row for each peer, with the reason where there are no figures."""
    rows = []
    for label, peer, shape in bench.wanted(scenario):
        try:
            rows.append(measure(label, peer, shape))
        except Failed as failure:
            rows.append(row_of(label, peer, failed=str(failure)))
    return rows


def medians(bench, server, load, core, clients=()):
    """(requests per second, p99, whether others disturbed it) of as many slices as there are
    rounds.
    """
    slices = [
        one_slice(server, load, bench.seconds, core, None, clients) for _ in range(bench.rounds)
    ]
    noisy = sum(one.noisy for one in slices)
    return (
        statistics.median(one.rate for one in slices),
        statistics.median(one.p99 for one in slices),
        noisy,
    )


def shaken(bench, noisy, rows):
    """How many slices there were, before and beside the clients, and how many others disturbed."""
    slices = 2 * bench.rounds
    return {"slices": slices, "noisy": noisy, "disturbed": noisy * 2 > slices * len(rows)}


def idle(bench, scenario):
    """Connections that had one answer and wait for the next."""
    server_core, client_core = bench.cores(scenario)
    load = Load(connections=8)
    noisy = 0

    def measure(label, peer, shape):
        nonlocal noisy
        with running(bench, peer, "hello", shape, server_core) as server:
            remarks = check(server, Scenario("hello", "", answer=HELLO))
            if remarks:
                raise Failed(f"holds no idle connections: {remarks[0]}")
            alone, _, disturbed = medians(bench, server, load, client_core)
            memory_before = server.pss_megabytes()
            with Crowd("idle", server.port, IDLE_CONNECTIONS, client_core) as crowd:
                time.sleep(1)
                held, cpu = crowd.held(), server.cpu_seconds()
                time.sleep(IDLE_SECONDS)
                cpu = server.cpu_seconds() - cpu
                grown = server.pss_megabytes() - memory_before
                try:
                    beside, p99, disturbed_too = medians(
                        bench, server, load, client_core, (crowd.pid,)
                    )
                except Failed as failure:
                    server.must_live()
                    raise Failed(
                        f"answers nobody else while {held} connections are idle ({failure})"
                    ) from None
            noisy += disturbed + disturbed_too
            if crowd.ready < IDLE_CONNECTIONS:
                remarks.append(
                    f"only {crowd.ready} of {IDLE_CONNECTIONS} connections had an answer"
                )
            figures = {
                "held": held,
                "bytes": grown * 1024 * 1024 / held if held > 500 else None,
                "idle_cpu": cpu / IDLE_SECONDS * 100,
                "alone": alone,
                "rate": beside,
                "p99": p99,
            }
            figures = {key: value for key, value in figures.items() if value is not None}
            return row_of(label, peer, figures, remarks=remarks)

    rows = each(bench, scenario, measure)
    return table(
        scenario,
        ["held", "bytes", "idle_cpu", "alone", "rate", "p99"],
        rows,
        **shaken(bench, noisy, rows),
    )


def dribble(bench, scenario):
    """Fast requests beside clients that never finish theirs."""
    server_core, client_core = bench.cores(scenario)
    noisy = 0

    def measure(label, peer, shape):
        nonlocal noisy
        with running(bench, peer, "hello", shape, server_core) as server:
            remarks = [remark for remark in check(server, Scenario("hello", "", answer=HELLO))]
            alone, p99_alone, disturbed = medians(bench, server, scenario.load, client_core)
            with Crowd("dribble", server.port, DRIBBLERS, client_core) as crowd:
                time.sleep(1)
                try:
                    ask(server.port, "/", timeout=5)
                except (OSError, http.client.HTTPException):
                    raise Failed(
                        f"answers nobody else within 5 s while {crowd.held()} clients dribble"
                    ) from None
                rate, p99, disturbed_too = medians(
                    bench, server, scenario.load, client_core, (crowd.pid,)
                )
                held = crowd.held()
            noisy += disturbed + disturbed_too
            figures = {
                "held": held,
                "alone": alone,
                "rate": rate,
                "p99_alone": p99_alone,
                "p99": p99,
            }
            return row_of(label, peer, figures, remarks=remarks)

    rows = each(bench, scenario, measure)
    return table(
        scenario, ["held", "alone", "rate", "p99_alone", "p99"], rows, **shaken(bench, noisy, rows)
    )


def first_answer(server, seconds=30):
    """Milliseconds from the start of the process to its first whole answer, asked every
    millisecond.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                if sock.recv(65536).startswith(b"HTTP/1."):
                    return (time.perf_counter() - server.started) * 1000
        except OSError:
            server.must_live()
        time.sleep(0.001)
    raise Failed(f"does not answer within {seconds} s: {server.last_words()}")


START_ROWS = [(OURS, OURS, Shape()), ("singlemalt, 4 interpreters", OURS, Shape(processes=4))]


def start(bench, scenario):
    """hello and Django; four interpreters too, from which the cost of a further one follows."""
    rows = [(label, peer, shape) for label, peer, shape in bench.wanted(scenario) if peer != OURS]
    rows = [*START_ROWS, *rows]
    apps = (("hello", "hello"), ("django", "django_site"))
    times = {row[0]: {key: [] for key, _ in apps} for row in rows}
    failed = {}
    for _ in range(max(2, bench.rounds)):
        for label, peer, shape in rows:
            for key, app in apps:
                if label in failed:
                    continue
                try:
                    server = peers.start(peer, app, shape, bench.tools, bench.folder)
                    try:
                        times[label][key].append(first_answer(server))
                    finally:
                        server.stop()
                except Failed as failure:
                    failed[label] = str(failure)
    found = {
        label: {key: statistics.median(values) for key, values in by_app.items() if values}
        for label, by_app in times.items()
    }
    one, four = (found[label] for label, _, _ in START_ROWS)
    for key in one.keys() & four.keys():
        four[f"further_{key}"] = (four[key] - one[key]) / 3
    columns = ["hello", "further_hello", "django", "further_django"]
    listed = [row_of(label, peer, found[label], failed.get(label)) for label, peer, _ in rows]
    return table(scenario, columns, listed, pinned=False, slices=bench.rounds)


def memory(bench, scenario):
    """Proportional set size with one, and with four, interpreters or processes, each server alone
    on the machine.
    """
    rows = [(label, peer, shape) for label, peer, shape in bench.wanted(scenario)]
    main = ("singlemalt, main, 4 threads", OURS, Shape(threads=4, isolation="main"))
    rows = [rows[0], main, *rows[1:]]
    listed = []
    for label, peer, shape in rows:
        figures, remarks, reasons = {}, [], []
        for app, path in (("hello", "/"), ("django_site", "/page")):
            key = app.split("_")[0]
            for count in (1, 4):
                if count == 4 and peer not in PARALLEL or count == 1 and label == main[0]:
                    continue
                wanted = (
                    Shape(count, shape.threads, isolation=shape.isolation)
                    if label != main[0]
                    else shape
                )
                try:
                    figures[f"{key}_{count}"] = loaded_pss(bench, peer, app, path, wanted)
                except Failed as failure:
                    reasons.append(f"{key} x {count}: {failure}")
            if f"{key}_1" in figures and f"{key}_4" in figures:
                figures[f"further_{key}"] = (figures[f"{key}_4"] - figures[f"{key}_1"]) / 3
        listed.append(
            row_of(
                label,
                peer,
                figures,
                "; ".join(reasons) if not figures else None,
                remarks + reasons * bool(figures),
            )
        )
    columns = ["hello_1", "hello_4", "further_hello", "django_1", "django_4", "further_django"]
    sharers = users_of_libpython()
    note = (
        f"{sharers} other programs used the same libpython meanwhile: too low by megabytes."
        if sharers
        else scenario.note
    )
    return table(scenario, columns, listed, pinned=False, note=note)


def users_of_libpython():
    """The number of other programs that share libpython with the servers, and so lower their
    figures.
    """
    library = sysconfig.get_config_var("INSTSONAME") or "libpython"
    found = 0
    for maps in PROC.glob("[0-9]*/maps"):
        try:
            # This program has a copy of its own, which lies elsewhere.
            found += any(
                line.endswith(library) and "singlemalt-bench" not in line
                for line in maps.read_text().splitlines()
            )
        except OSError:
            continue
    return found


def loaded_pss(bench, peer, app, path, shape):
    with running(bench, peer, app, shape, None, path) as server:
        # Long enough that each of four has served.
        one_slice(server, Load(path, connections=64), bench.seconds)
        return server.pss_megabytes()
