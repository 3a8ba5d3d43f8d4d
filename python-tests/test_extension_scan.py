"""Which installed extensions refuse: found out beside the server, and printed for a person."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from test_frameworks import needs
from test_isolation import own_gil_only

from server import binary, environment, virtualenv_arguments

pytestmark = own_gil_only
HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
SCANNED = r"installed, but refused by interpreters with a GIL of their own: (.*); the server will"
# By what the function that makes the module does.
BODIES = {
    "crashes": "abort();",
    "hangs": "for (;;) pause();",
    "refuses": """
        static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "refuses", 0, -1};
        return PyModule_Create(&module);
    """,
    "loads": """
        static PyModuleDef_Slot slots[] = {
            {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED}, {0}
        };
        static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "loads", 0, 0, 0, slots};
        return PyModuleDef_Init(&module);
    """,
}


def compiled(folder, name):
    """An extension of this name; None without a compiler or headers."""
    source = folder / f"{name}.c"
    source.write_text(
        "#include <Python.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
        f"PyMODINIT_FUNC PyInit_{name}(void) {{ {BODIES[name]} }}\n"
    )
    site = folder / "site-packages"
    site.mkdir(exist_ok=True)
    library = site / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = ["-I", sysconfig.get_paths()["include"]]
    command = ["cc", "-shared", "-fPIC", *include, "-o", library, source]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return site if done.returncode == 0 else None


@pytest.fixture
def site(tmp_path):
    """A folder of packages, with an extension of each kind."""
    folders = [compiled(tmp_path, name) for name in BODIES]
    if None in folders:
        pytest.skip("no C compiler, or no headers of this Python")
    return folders[0]


def check(folder, *arguments):
    extra = {"XDG_CACHE_HOME": str(folder / ".cache")}
    done = subprocess.run(
        [binary(), "check", *map(str, arguments)],
        cwd=folder,
        env=environment(extra),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs("numpy")
@needs("PIL")
def test_the_log_names_what_is_installed_and_would_refuse(serve):
    server = serve("--extension-scan", "on", source=HELLO)
    packages = server.wait_for_log(SCANNED, seconds=60)[1].split(", ")
    assert "numpy" in packages and "pillow" in packages
    assert "markupsafe" not in packages, "it loads"
    assert "charset-normalizer" not in packages, "its .py is loaded"
    assert packages == sorted(packages, key=str.lower)
    assert server.ask("/").text == "hello"
    server.stop()
    # The next one knows already.
    again = serve("--extension-scan", "on", source=HELLO, directory=server.directory)
    assert again.wait_for_log(SCANNED)[1].split(", ") == packages


def test_what_crashes_or_hangs_takes_nothing_along(serve, site):
    server = serve("--extension-scan", "on", "--pythonpath", site, source=HELLO, virtualenv=False)
    packages = server.wait_for_log(SCANNED, seconds=60)[1].split(", ")
    assert {"crashes", "hangs", "refuses"} <= set(packages)
    assert "loads" not in packages
    assert server.ask("/").text == "hello"
    table = json.loads(check(site.parent, "--json", "--pythonpath", site))
    rows = {row["module"]: row for row in table["extensions"]}
    assert {name: rows[name]["trial"]["outcome"] for name in BODIES} == {
        name: name for name in BODIES
    }
    assert rows["loads"]["runs"] == "own-gil"
    assert rows["refuses"]["runs"] == "shared-gil"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
def test_no_process_outlives_the_server(serve, tmp_path):
    site = compiled(tmp_path, "hangs")
    if site is None:
        pytest.skip("no C compiler, or no headers of this Python")

    def workers():
        found = []
        for folder in Path("/proc").iterdir():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"--extension-worker" in command and os.fsencode(site) in command:
                found.append(folder.name)
        return found

    (tmp_path / "scratch").mkdir()
    server = serve(
        "--extension-scan", "on", "--pythonpath", site,
        source=HELLO, virtualenv=False, environment={"TMPDIR": str(tmp_path / "scratch")},
    )  # fmt: skip
    server.wait_until(lambda: len(workers()) == 2, what="a process scans, and one tries")
    niceness = [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16] for pid in workers()
    ]
    assert set(niceness) == {"19"}
    server.stop()
    other = serve(source=HELLO)
    other.wait_until(lambda: not workers(), what="they leave")
    assert list((tmp_path / "scratch").iterdir()) == []


@needs("PIL")
@needs("simplejson")
def test_a_table_for_people(tmp_path):
    (tmp_path / "app.py").write_text(
        "import PIL.Image\nprint('of the app')\ndef application(environ, start_response): pass\n"
    )
    table = check(tmp_path, "app.py", *virtualenv_arguments())
    lines = {line.split()[0]: line for line in table.splitlines()}
    assert "imported by" in lines["extension"]
    assert "PIL.Image (Image.py, line" in lines["PIL._imaging"]
    assert "from app.py, line 1" in lines["PIL._imaging"]
    assert "shared-gil" in lines["PIL._imaging"]
    assert "own-gil" in lines["markupsafe._speedups"]
    assert "main only" in lines["numpy._core._multiarray_umath"]
    assert "PIL" not in lines["simplejson._speedups"]
    assert "of the app" not in table


def test_off_is_off(serve):
    server = serve("--extension-scan", "off", source=HELLO)
    assert server.ask("/").text == "hello"
    server.stop()
    assert "installed, but" not in server.log()
    assert not (server.directory / ".cache").exists()
