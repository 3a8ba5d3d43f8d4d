"""The command line of `just profile`: starts the server, loads it, lets perf look, draws what it
saw.
"""

import argparse
import pathlib
import shutil
import subprocess
import tempfile

from bench import peers
from bench.__main__ import cores, prepare
from bench.load import run_wrk
from bench.scenarios import BY_NAME

from . import flame

SAMPLES_PER_SECOND = 1999


def main():
    parser = argparse.ArgumentParser(
        prog="just profile", description="Draws where the server spends its time."
    )
    parser.add_argument(
        "scenario",
        nargs="?",
        default="hello-c32",
        help="a scenario of `just bench --list` (default hello-c32)",
    )
    parser.add_argument("--seconds", type=int, default=5, metavar="S", help="how long (default 5)")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        metavar="FILE",
        help="the SVG (default target/profile/SCENARIO.svg)",
    )
    for name in ("singlemalt", "venv", "folder"):
        parser.add_argument(f"--{name}", type=pathlib.Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    scenario = BY_NAME.get(given.scenario)
    if scenario is None or scenario.kind or scenario.shape.speaks != "http":
        parser.error(
            f"{given.scenario} is no scenario that wrk loads over HTTP: `just bench --list` names them"
        )
    for tool, how in (("perf", "apt install linux-perf"), ("wrk", "apt install wrk")):
        if not shutil.which(tool):
            raise SystemExit(
                f"profile: {tool} is needed: {how} (Debian). `just instructions` works without perf."
            )
    output = given.output or given.folder / f"{scenario.name}.svg"
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="singlemalt-profile-") as name:
        folder = pathlib.Path(name)
        tools = peers.Tools(given.singlemalt.resolve(), given.venv.absolute())
        prepare(folder, tools)
        stacks = sampled(scenario, tools, folder, given.seconds)
    folded = output.with_suffix(".folded")
    folded.write_text(
        "".join(f"{';'.join(stack)} {count}\n" for stack, count in sorted(stacks.items()))
    )
    output.write_text(flame.svg(f"singlemalt, {scenario.title}", stacks))
    print(f"{sum(stacks.values())} samples: {output}, {folded}")
    for share, name in flame.heaviest(stacks, 15):
        print(f"  {share:6.1%}  {name}")


def sampled(scenario, tools, folder, seconds):
    """{stack, outermost first: samples}"""
    server_core, client_core = cores() if scenario.pinned else (None, None)
    server = peers.start(peers.OURS, scenario.app, scenario.shape, tools, folder, server_core)
    try:
        server.wait(scenario.load.path if scenario.load.method == "GET" else "/10k")
        data = folder / "perf.data"
        # The clock, not the cycles: virtual machines have no counter for those. DWARF, because
        # neither CPython nor we keep frame pointers.
        command = [
            "perf",
            "record",
            "-e",
            "cpu-clock",
            "-F",
            str(SAMPLES_PER_SECOND),
            "--call-graph",
            "dwarf,16384",
        ]
        record = subprocess.Popen(
            [*command, "-p", str(server.pid), "-o", str(data), "--", "sleep", str(seconds)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        figures = run_wrk(server.url, scenario.load, seconds + 1, client_core, server.log)
        said = record.communicate(timeout=60)[1]
    finally:
        server.stop()
    if record.returncode or not data.exists():
        raise SystemExit(
            f"profile: perf could not look: {said.strip().splitlines()[-1] if said.strip() else 'it said nothing'}\n"
            "  as root: sysctl kernel.perf_event_paranoid=1, or run it as root; `just instructions` works without it"
        )
    print(f"{figures['requests'] / figures['microseconds'] * 1e6:,.0f} req/s while perf looked")
    script = subprocess.run(
        ["perf", "script", "-i", str(data), "--no-inline", "-F", "ip,sym,dso"],
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
    return flame.folded(script.splitlines())


if __name__ == "__main__":
    main()
