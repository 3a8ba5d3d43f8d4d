"""tools/find-python: which CPython the build takes, with interpreters that say what they are told to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIND = Path(__file__).resolve().parent.parent / "tools/find-python"

# Runs the probe as if by another Python.
PRETEND = """
import sys, sysconfig
probe, sys.argv = sys.argv[1], ["-c", *sys.argv[2:]]
sys.version_info, sys._base_executable = {version}, {path!r}
real, facts = sysconfig.get_config_var, {facts}
sysconfig.get_config_var = lambda name: facts[name] if name in facts else real(name)
exec(probe)
"""


class Machine:
    """A folder with interpreters, which is all that the script finds."""

    def __init__(self, folder):
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.folder = folder
        # Without the Pythons that lie beside them.
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name in ("awk", "dirname", "grep", "head", "mkdir", "sort", "tr", "uname"):
            (self.tools / name).symlink_to(shutil.which(name))

    def add(self, name, version, free_threaded):
        label = f"{version[0]}.{version[1]}" + ("t" if free_threaded else "")
        (self.folder / f"libpython{label}.so").touch()
        facts = {
            "Py_GIL_DISABLED": int(free_threaded),
            "Py_ENABLE_SHARED": 1,
            "PYTHONFRAMEWORK": "",
            "LDVERSION": label,
            "LIBDIR": str(self.folder),
        }
        path = self.bin / name
        code = PRETEND.format(version=version, path=str(path), facts=facts)
        (self.folder / f"{name}.py").write_text(code)
        path.write_text(
            f'#!/bin/sh\nshift 3\nexec {sys.executable} -I -S {self.folder}/{name}.py "$@"\n'
        )
        path.chmod(0o755)
        return str(path)

    def find(self, *arguments, **environment):
        common = {"PATH": f"{self.bin}:{self.tools}", "HOME": str(self.folder)}
        common["CARGO_TARGET_DIR"] = str(self.folder / "target")
        return subprocess.run(
            [shutil.which("sh"), FIND, *arguments],
            env={**common, **environment},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path):
    if os.name == "nt":
        pytest.skip("interpreters that are shell scripts")
    return Machine(tmp_path)


def test_a_free_threaded_python_is_taken_if_it_is_named(machine):
    free = machine.add("python3.14t", (3, 14, 2), True)
    machine.add("python3.14", (3, 14, 2), False)
    found = machine.find(PYO3_PYTHON=free)
    assert found.stdout.strip() == free, found.stderr


def test_free_threaded_3_13_is_refused_with_a_sentence(machine):
    free = machine.add("python3.13t", (3, 13, 5), True)
    found = machine.find(PYO3_PYTHON=free)
    assert found.returncode == 1 and not found.stdout
    expected = "is free-threaded CPython 3.13.5, which is supported from 3.14 on"
    assert expected in found.stderr


def test_a_python_with_a_gil_goes_first(machine):
    free = machine.add("python3.15t", (3, 15, 0), True)
    with_gil = machine.add("python3.14", (3, 14, 2), False)
    assert machine.find("--search").stdout.strip() == with_gil
    everyone = machine.find("--all").stdout.split()
    ours = [path for path in everyone if path.startswith(str(machine.bin))]
    assert ours == [with_gil, free]


def test_a_free_threaded_python_alone_is_found(machine):
    machine.add("python3.13t", (3, 13, 5), True)
    free = machine.add("python3.14t", (3, 14, 2), True)
    found = machine.find("--all").stdout.split()
    assert [path for path in found if path.startswith(str(machine.bin))] == [free]
