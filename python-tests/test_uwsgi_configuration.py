"""Configuration files mean what they mean in uWSGI, which reads the same files here."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from uwsgi_cases import ALIKE, COMMANDS, DIFFERENT, DIFFERENT_COMMANDS, PART
from uwsgi_files import DATA, VARIABLES, generated

from server import binary, environment, virtualenv_arguments

# Both servers say which options and placeholders they have read: uWSGI with --show-config, ours
# through uwsgi.opt. An application that is never called.
APP = """
import json, sys, uwsgi

def text(value):
    if isinstance(value, list):
        return [text(one) for one in value]
    return "true" if value is True else value.decode()

def application(environ, start_response):
    start_response("200 OK", [])
    options = {name: text(value) for name, value in uwsgi.opt.items()}
    return [json.dumps(options).encode()]
"""
# Conditions and loops, which uwsgi.opt has there.
LOGIC = ("if", "for", "end")
# What the command line of the comparison says, or the server itself.
NOT_COMPARED = {"wsgi-file", "test-request", "virtualenv", "lazy-apps", "enable-threads"}
FILES = {"ini", "xml", "yaml", "yml"}


def alike(options):
    """The options of the files alone, each with its values in their order."""
    found = {}
    for name, value in options:
        if not name.startswith(LOGIC) and name not in NOT_COMPARED:
            found.setdefault(name, []).append(value)
    return found


def uwsgi_reads(folder, arguments, variables):
    """What uWSGI reads, or None if it refuses."""
    script = shutil.which("uwsgi", path=os.path.dirname(sys.executable))
    if script is None:
        pytest.skip("uwsgi is not installed")
    process = subprocess.Popen(
        [script, "--show-config", *arguments], cwd=folder, env=variables,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    options = None
    said = b""
    with process:
        for line in process.stderr:
            said += line
            line = line.decode(errors="replace").removesuffix("\n")
            if line == ";uWSGI instance configuration":
                options = []
            elif line == ";end of configuration":
                process.kill()
                break
            elif options is not None and " = " in line:
                options.append(tuple(line.split(" = ", 1)))
        else:
            options = None
    return alike(options[1:]) if options is not None else None, said.decode(errors="replace")


def ours_reads(folder, arguments, variables):
    """What ours reads, or None if it refuses."""
    done = subprocess.run(
        [binary(), "--wsgi-file", "show.py", "--test-request", "GET /", *virtualenv_arguments(), *arguments],
        cwd=folder, env=variables, capture_output=True, timeout=60,
    )  # fmt: skip
    said = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        return None, said
    options = json.loads(done.stdout.split(b"\r\n\r\n", 1)[1])
    pairs = []
    for name, values in options.items():
        pairs += [(name, value) for value in (values if isinstance(values, list) else [values])]
    return alike(pairs), said


def both(folder, files, arguments):
    """What both read of the same files, and a text that shows them."""
    for name, text in {**DATA, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    (folder / "show.py").write_text(APP)
    variables = environment(VARIABLES)
    theirs, said = uwsgi_reads(folder, arguments, variables)
    ours, ours_said = ours_reads(folder, arguments, variables)
    shown = "".join(f"--- {name}\n{text}\n" for name, text in files.items())
    return theirs, ours, f"{shown}--- uWSGI\n{said[-2000:]}\n--- ours\n{ours_said}"


def check(folder, files, arguments, drop=()):
    theirs, ours, shown = both(folder, files, arguments)
    for options in (theirs, ours):
        for name in drop:
            options and options.pop(name, None)
    assert ours == theirs, shown


@pytest.mark.parametrize("seed", range(300))
def test_files_made_from_a_seed(tmp_path, seed):
    files = generated(seed)
    check(tmp_path, {name: files[name] for name in ("main.ini", "part.ini")}, ["--ini", "main.ini"])


def files_of(case):
    if isinstance(case, dict):
        return case
    return {"main.ini": case if "[uwsgi]" in case else f"[uwsgi]\n{case}"}


@pytest.mark.parametrize("name", ALIKE)
def test_files_that_mean_the_same(tmp_path, name):
    check(tmp_path, files_of(ALIKE[name]), ["--ini", "main.ini"])


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_mean_the_same(tmp_path, name):
    files, arguments = COMMANDS[name]
    check(tmp_path, files, arguments, drop=FILES)


def differs(folder, files, arguments, expected):
    theirs, ours, shown = both(folder, files, arguments)
    for options in (theirs, ours):
        # The file that the command line names is not compared.
        for name in FILES & set(options or ()):
            options[name] = [value for value in options[name] if value not in arguments]
            if not options[name]:
                del options[name]
    assert (theirs, ours) == expected, shown


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_has_a_reason(tmp_path, name):
    text, theirs, ours, reason = DIFFERENT[name]
    assert reason
    differs(tmp_path, {"main.ini": text, "part.ini": PART}, ["--ini", "main.ini"], (theirs, ours))


@pytest.mark.parametrize("name", DIFFERENT_COMMANDS)
def test_a_command_that_differs_has_a_reason(tmp_path, name):
    files, arguments, theirs, ours, reason = DIFFERENT_COMMANDS[name]
    assert reason
    differs(tmp_path, files, arguments, (theirs, ours))


@pytest.mark.parametrize("line", ["exit = 3", "exit = 0", "exit", "exit = x"])
def test_exit_ends_with_the_same_code(tmp_path, line):
    (tmp_path / "main.ini").write_text(f"[uwsgi]\n{line}\n")
    uwsgi = shutil.which("uwsgi", path=os.path.dirname(sys.executable))
    if uwsgi is None:
        pytest.skip("uwsgi is not installed")
    codes = [
        subprocess.run(
            [program, "--ini", "main.ini"], cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=60,
        ).returncode
        for program in (uwsgi, binary())
    ]  # fmt: skip
    assert codes[0] == codes[1]
