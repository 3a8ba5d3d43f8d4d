"""The command line of `just bench`; docs/performance.md is its manual."""

import argparse
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from . import bars, machine, measure, peers, report, special, store
from .scenarios import BY_NAME, MEGABYTE, QUICK, SCENARIOS, TEN_KILOBYTES

QUICK_PEERS = ("singlemalt", "bjoern", "granian", "uwsgi")


def arguments():
    parser = argparse.ArgumentParser(
        prog="just bench", description="Measures singlemalt beside its peers."
    )
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="see --list; without any: all"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the main scenarios and peers, in less than two minutes",
    )
    parser.add_argument("--peers", metavar="A,B", help="only these beside singlemalt")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of slices (default 5; quick: 2)"
    )
    parser.add_argument(
        "--seconds", type=int, default=1, metavar="S", help="length of a slice (default 1)"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the results into docs/benchmarks/"
    )
    parser.add_argument(
        "--render",
        action="store_true",
        help="measure nothing: write the tables and charts of docs/benchmarks/ anew",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=store.FOLDER,
        metavar="FOLDER",
        help="instead of docs/benchmarks",
    )
    parser.add_argument("--list", action="store_true", help="the scenarios and the peers")
    parser.add_argument(
        "--keep", action="store_true", help="leave the servers' logs behind and say where"
    )
    # Arguments from tools/bench.
    parser.add_argument("--singlemalt", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--venv", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--default-build", type=pathlib.Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.scenarios if name not in BY_NAME]
    if unknown:
        parser.error(f"no scenario is called {', '.join(unknown)}: --list names them")
    given.peers = tuple(given.peers.split(",")) if given.peers else ()
    unknown = [name for name in given.peers if name not in peers.PEERS and name != "nginx"]
    if unknown:
        parser.error(f"no peer is called {', '.join(unknown)}: --list names them")
    if given.quick:
        given.scenarios, given.rounds = given.scenarios or list(QUICK), given.rounds or 2
        given.peers = given.peers or QUICK_PEERS
    given.rounds = given.rounds or 5
    return given


def listed():
    print("scenarios")
    for scenario in SCENARIOS:
        print(f"  {scenario.name:14} {scenario.title}")
    print("peers\n  " + ", ".join([*peers.PEERS, "nginx (static)"]))


def cores():
    """(cores of the server, cores of the client); not pinned with one core or without taskset."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2 or not shutil.which("taskset"):
        print(
            "bench: not pinned, so rates and latencies say little (it takes two cores and taskset)",
            file=sys.stderr,
        )
        return None, None
    return str(available[0]), str(available[1])


def prepare(folder, tools):
    """Certificates, files and the database that the scenarios need."""
    (folder / "static").mkdir()
    (folder / "static" / "10k.txt").write_bytes(TEN_KILOBYTES)
    (folder / "static" / "1m.txt").write_bytes(MEGABYTE)
    # Servers that drop root must be able to read it.
    folder.chmod(0o755)
    certificate = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]
    certificate += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ]
    certificate += ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    if shutil.which("openssl"):
        subprocess.run(certificate, check=True, capture_output=True)
    database = folder / "django.sqlite3"
    done = subprocess.run(
        [tools.python(), peers.APPS / "django_site.py", database], capture_output=True, text=True
    )
    if done.returncode:
        print(
            f"bench: no database for Django: {done.stderr.strip().splitlines()[-1]}",
            file=sys.stderr,
        )
    else:
        database.chmod(0o644)


def with_own_libpython():
    """Starts this program again with a copy of libpython.

    A page that the servers share with the program that measures them counts half in their
    proportional set size: with one libpython for both, every figure of memory would be too low by
    megabytes.
    """
    if os.environ.get("SINGLEMALT_BENCH_OWN_LIBPYTHON"):
        return
    loaded = {
        line.split()[-1]
        for line in pathlib.Path("/proc/self/maps").read_text().splitlines()
        if "libpython" in line
    }
    if len(loaded) != 1:
        return
    source = pathlib.Path(loaded.pop())
    folder = tempfile.mkdtemp(prefix="singlemalt-bench-libpython-")
    shutil.copy2(source, folder)
    environment = {
        **os.environ,
        "SINGLEMALT_BENCH_OWN_LIBPYTHON": folder,
        "LD_LIBRARY_PATH": folder,
    }
    os.execve(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]], environment)


def forget_own_libpython():
    """The servers must not inherit it; the copy may be removed as soon as it is loaded."""
    folder = os.environ.pop("SINGLEMALT_BENCH_OWN_LIBPYTHON", None)
    if folder and folder != "no":
        os.environ.pop("LD_LIBRARY_PATH", None)
        shutil.rmtree(folder, ignore_errors=True)


def main():
    given = arguments()
    if given.list:
        return listed()
    if given.render:
        for path in store.write(store.read(given.output / "results.json"), given.output):
            print(f"wrote {path}")
        return None
    with_own_libpython()
    forget_own_libpython()
    if not shutil.which("wrk"):
        raise SystemExit(
            "bench: wrk is needed: apt install wrk (Debian, Ubuntu), brew install wrk (macOS)"
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    started = time.monotonic()
    tools = peers.Tools(given.singlemalt.resolve(), given.venv.absolute(), given.default_build)
    free_threaded = tools.is_free_threaded()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="singlemalt-bench-"))
    tables = {}
    try:
        prepare(folder, tools)
        here, versions = machine.described(), peers.versions(tools)
        print(", ".join(f"{key} {value}" for key, value in {**here, **versions}.items()))
        bench = measure.Bench(
            tools, folder, given.rounds, given.seconds, given.peers, *cores(), not given.quick
        )
        for scenario in SCENARIOS:
            if given.scenarios and scenario.name not in given.scenarios:
                continue
            measured = (special if scenario.kind else measure).measured(bench, scenario)
            when = {"when": report.now(), "commit": machine.commit()}
            tables[scenario.name] = {**measured, **when, "free_threaded": free_threaded}
            print(report.terminal(tables[scenario.name]), flush=True)
            if given.write:
                save(given, here, versions, tables)
    finally:
        if given.keep:
            print(f"bench: the servers' logs are in {folder / 'logs'}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    say_bars(tables)
    print(f"\n{time.monotonic() - started:.0f} s")
    return None


def save(given, here, versions, tables):
    whole = store.merged(store.read(given.output / "results.json"), here, versions, tables, BY_NAME)
    store.write(whole, given.output)


def say_bars(tables):
    found = list(bars.judged(tables))
    if found:
        print("\nbars")
        for name, text, value, comparison, bound, met in found:
            word = "not measured" if met is None else "met" if met else "MISSED"
            print(
                f"  {name:12} {text:42} {comparison:2} {bound:<6g} {'' if value is None else f'{value:.2f}':>8}  {word}"
            )


if __name__ == "__main__":
    main()
