"""Runs a program under callgrind and says how many instructions each of its parts (our binary,
libpython, libc) executed.
"""

import pathlib
import subprocess
import tempfile


def counted(command, environment):
    """{object file's name: instructions it executed itself} and their sum under "total"."""
    with tempfile.TemporaryDirectory(prefix="singlemalt-callgrind-") as folder:
        out = pathlib.Path(folder) / "out"
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                "--cache-sim=no",
                "--branch-sim=no",
                f"--callgrind-out-file={out}",
                *command,
            ],
            capture_output=True,
            text=True,
            env=environment,
        )
        if done.returncode or not out.exists():
            raise SystemExit(
                f"instructions: {' '.join(command)} failed under valgrind:\n{done.stderr[-2000:]}"
            )
        return summed(out.read_text(errors="replace").splitlines())


def summed(lines):
    """The format is in callgrind's manual: cost lines belong to the last `fn=`, whose object is the
    last `ob=`; the line behind `calls=` is the callee's inclusive cost and is left out. Names are
    numbered when they first come.
    """
    names, sums, current, is_call = {}, {"total": 0}, "", False
    for line in lines:
        if line.startswith(("ob=", "cob=")):
            number, _, name = line.partition("=")[2].partition(" ")
            if name:
                names[number] = pathlib.Path(name).name
            if line.startswith("ob="):
                current = names.get(number, "?")
        elif line.startswith("calls="):
            is_call = True
        elif line[:1] in "0123456789+-*" and line:
            if is_call:
                is_call = False
                continue
            cost = line.split()[1:2]
            if cost:
                sums[current] = sums.get(current, 0) + int(cost[0])
                sums["total"] += int(cost[0])
    return sums
