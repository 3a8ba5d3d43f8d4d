"""The command line of `just instructions`: counts, compares and prints the changes.
tools/instructions starts it.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import subprocess
import sys

from .callgrind import counted

BASELINE = pathlib.Path(__file__).parent.parent / "instructions.json"
TOLERANCE = 0.03
FEW, MANY = 1000, 3000
# Hash seeds decide which keys collide.
ENVIRONMENT = {**os.environ, "PYTHONHASHSEED": "0"}


def parts(sums, program):
    """Instructions of ours, of CPython and of the rest."""
    ours = sums.get(pathlib.Path(program).name, 0)
    python = sum(count for name, count in sums.items() if "python" in name)
    return {
        "total": sums["total"],
        "ours": ours,
        "python": python,
        "rest": sums["total"] - ours - python,
    }


def per_request(program, case):
    """The cost of one request: the difference of two runs, so that start-up does not count."""
    few, many = (
        parts(counted([program, "count", case, str(count)], ENVIRONMENT), program)
        for count in (FEW, MANY)
    )
    return {part: round((many[part] - few[part]) / (MANY - FEW)) for part in many}


def keys():
    """The keys of the figures: (for our code, for all of it). Another compiler or CPython has other
    figures.
    """
    said = subprocess.run(
        [os.environ.get("RUSTC", "rustc"), "--version"], capture_output=True, text=True
    ).stdout.split()
    rust = f"{platform.machine()}-{sys.platform} rustc {said[1] if len(said) > 1 else '?'}"
    return rust, f"{rust} CPython {platform.python_version()}"


def main():
    parser = argparse.ArgumentParser(
        prog="just instructions", description="Counts the instructions that one request costs."
    )
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these")
    parser.add_argument("--update", action="store_true", help="make the figures the baseline")
    parser.add_argument(
        "--json", type=pathlib.Path, metavar="FILE", help="write the figures there too"
    )
    given = parser.parse_args()
    cases = subprocess.run(
        [given.program, "cases"], capture_output=True, text=True, check=True
    ).stdout.split()
    cases = [case for case in cases if not given.cases or case in given.cases]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(cases, pool.map(lambda case: per_request(given.program, case), cases)))
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    rust_key, python_key = keys()
    worse = compared(found, baseline, rust_key, python_key)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.update:
        for case, figures in found.items():
            key = python_key if figures["python"] else rust_key
            baseline.setdefault(key, {})[case] = figures
        BASELINE.write_text(json.dumps(baseline, indent=1) + "\n")
        print(f"wrote {BASELINE}")
        return 0
    if worse:
        print(f"\n{len(worse)} more than {TOLERANCE:.0%} above the baseline: {', '.join(worse)}")
        print("If it is worth it: just instructions --update, and say why in the commit.")
        return 1
    return 0


def compared(found, baseline, rust_key, python_key):
    """Prints the table; returns the cases that cost too much more. Held to it are the total, and
    ours by itself.
    """
    print(f"instructions per request; {python_key}")
    print(f"  {'':14} {'total':>8} {'ours':>8} {'CPython':>8} {'rest':>8}   against the baseline")
    worse = []
    for case, figures in found.items():
        key = python_key if figures["python"] else rust_key
        before = baseline.get(key, {}).get(case)
        if before:
            changes = {part: figures[part] / before[part] - 1 for part in ("total", "ours")}
            word = f"total {changes['total']:+.1%}, ours {changes['ours']:+.1%}"
            if any(change > TOLERANCE for change in changes.values()):
                worse.append(case)
                word += "  WORSE"
            elif any(change < -TOLERANCE for change in changes.values()):
                word += "  better: make it the baseline"
        else:
            word = f"none for {key}"
        print(
            f"  {case:14} "
            + " ".join(f"{figures[part]:8,}" for part in ("total", "ours", "python", "rest"))
            + f"   {word}"
        )
    return worse


if __name__ == "__main__":
    sys.exit(main())
