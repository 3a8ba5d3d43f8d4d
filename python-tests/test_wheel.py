"""The wheel in new virtualenvs: `pip install`, the console script and the module, and what is
different where Python was there before the server. SINGLEMALT_WHEEL names it (tools/test-wheel).
"""

import os
import re
import subprocess
import sys
import textwrap
import time
import zipapp
from pathlib import Path

import pytest
from control import singlemalt

from server import binary, environment

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(
        "SINGLEMALT_WHEEL" not in os.environ, reason="`just test-wheel` has a wheel"
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="starts servers through sh"),
]

SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"

FACTS = """
    import json, os, sys

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        facts = eval(environ["QUERY_STRING"].replace("%20", " ").replace("%22", '"'))
        return [json.dumps(facts).encode()]
"""


def facts(server, expression):
    return server.ask("/?" + expression.replace(" ", "%20").replace('"', "%22")).json()


class Environment:
    """A virtualenv, with the wheel if it is told so."""

    def __init__(self, folder, wheel=True):
        self.folder = folder
        self.python = folder / "bin/python"
        self.script = folder / "bin/singlemalt"
        base = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
        if wheel:
            self.pip("install", "--no-index", os.environ["SINGLEMALT_WHEEL"])

    def pip(self, *arguments):
        command = [sys.executable, "-m", "pip", "--python", self.python, "--quiet"]
        command += ["--disable-pip-version-check", *arguments]
        subprocess.run(command, env=environment(), check=True)

    def files(self):
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {str(path) for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("installed") / "v")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A virtualenv without the wheel, which has a package of its own."""
    made = Environment(tmp_path_factory.mktemp("other") / "v", wheel=False)
    (made.folder / SITE / "of_other.py").write_text("NAME = 'other'\n")
    return made


@pytest.fixture
def start(serve):
    def start(command, *arguments, environment=None, **more):
        """`command`: a line of sh, in whose place the server's arguments follow."""
        wrapper = ["sh", "-c", f'shift; exec {command} "$@"', "sh"]
        more.setdefault("source", FACTS)
        return serve(*arguments, wrapper=wrapper, virtualenv=False, environment=environment, **more)

    return start


def test_a_newcomer_serves_in_five_seconds(start, installed):
    began = time.monotonic()
    server = start(installed.script)
    assert facts(server, "sys.prefix") == str(installed.folder)
    assert time.monotonic() - began < 5
    command = Path(f"/proc/{server.process.pid}")
    if command.exists():
        assert (command / "comm").read_text().strip() == "singlemalt"


def test_it_is_used_by_the_tests():
    """The console script, not the binary, is what the marked tests start."""
    assert binary().read_bytes()[:2] == b"#!"
    output = subprocess.run([binary(), "--version"], capture_output=True, text=True).stdout
    assert output.split()[1] in os.environ["SINGLEMALT_WHEEL"]


@pytest.mark.parametrize("isolation", ["main", "shared-gil", "own-gil"])
@pytest.mark.parametrize("command", ["bin/singlemalt", "bin/python -m singlemalt"])
def test_nothing_is_left_of_the_script(start, installed, isolations, isolation, command):
    if isolation not in isolations:
        pytest.skip(f"this Python has no {isolation}")
    server = start(installed.folder / command, "--isolation", isolation, "--pyargv", "one two")
    assert facts(server, "sys.argv") == ["singlemalt", "one", "two"]
    path = facts(server, "sys.path")
    assert path[0] == str(server.directory) and path.count(path[0]) == 1
    assert str(installed.folder / "bin") not in path
    assert facts(server, "hasattr(sys.modules['__main__'], '__file__')") is False
    ours = [name for name in facts(server, "list(os.environ)") if "SINGLEMALT_PROCESS" in name]
    assert not ours


def test_options_of_python_stay(start, installed):
    """In the server, in its successor, and where Python is started anew."""
    command = f"{installed.python} -X utf8=1 -W error::ResourceWarning -P -m singlemalt"
    told = "[sys.flags.utf8_mode, sys.warnoptions, sys.flags.safe_path, sys.flags.optimize]"
    expected = [1, ["error::ResourceWarning"], True]
    server = start(command, "--isolation", "main")
    assert facts(server, told) == [*expected, 0]
    os.kill(server.process.pid, 1)
    server.wait_for_log(r"reloaded: process \d+ is the server now")
    assert facts(server, told) == [*expected, 0]
    server = start(command, "--isolation", "main", "--optimize", "2")
    assert facts(server, told) == [*expected, 2]
    assert facts(server, "os.getpid()") == server.process.pid


def test_variables_of_python(start, installed, tmp_path):
    (tmp_path / "of_variable.py").write_text("")
    server = start(installed.script, "--env", f"PYTHONPATH={tmp_path}", "--env", "ANY=1")
    assert facts(server, "__import__('of_variable').__name__") == "of_variable"
    assert facts(server, "os.environ['ANY']") == "1"
    server = start(installed.script, "--unenv", "ANY", environment={"ANY": "1"}, source=FACTS)
    assert facts(server, "os.environ.get('ANY')") is None


@pytest.mark.parametrize("isolation", ["main", "shared-gil", "own-gil"])
def test_another_virtualenv(start, installed, other, isolations, isolation):
    if isolation not in isolations:
        pytest.skip(f"this Python has no {isolation}")
    server = start(installed.script, "--isolation", isolation, "--virtualenv", other.folder)
    assert facts(server, "[sys.prefix, sys.executable]") == [str(other.folder), str(other.python)]
    assert facts(server, "__import__('of_other').NAME") == "other"
    assert facts(server, "os.getpid()") == server.process.pid
    # Nothing of the environment that the command was started from.
    assert str(installed.folder) not in "".join(facts(server, "sys.path"))
    os.kill(server.process.pid, 1)
    server.wait_for_log("is the server now|generation 2 serves")
    assert facts(server, "sys.prefix") == str(other.folder)


def test_a_relative_virtualenv_that_is_a_link(start, installed, other, tmp_path):
    """Its name stays as it is, so that a deployment can switch the link."""
    (tmp_path / "current").symlink_to(other.folder)
    (tmp_path / "app.py").write_text(textwrap.dedent(FACTS))
    arguments = ["--chdir", tmp_path, "--wsgi-file", "app.py", "--virtualenv", "current"]
    server = start(installed.script, *arguments, source=None)
    assert facts(server, "sys.executable") == str(tmp_path / "current/bin/python")


def test_a_virtualenv_of_another_python(start, installed, other, tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("version = 3.11.2\n")
    server = start(installed.script, "--virtualenv", tmp_path, wait=False)
    server.exit_code_expected = 1
    server.wait_for_log("was made for Python 3.11.2.*install singlemalt into it")


def test_the_active_virtualenv_of_a_tool(start, installed, other, tmp_path):
    """With uvx and pipx the application is in the active virtualenv; otherwise where the command
    was installed."""
    active = {"VIRTUAL_ENV": str(other.folder)}
    server = start(installed.script, environment=active)
    assert facts(server, "sys.prefix") == str(installed.folder)

    tool = Environment(tmp_path / "archive-v0" / "tool")
    (tool.folder / SITE / "of_tool.py").write_text("")
    server = start(tool.script, environment=active)
    assert facts(server, "sys.prefix") == str(other.folder)
    assert facts(server, "__import__('of_other').NAME") == "other"
    # `uvx --with PACKAGE singlemalt`
    assert facts(server, "__import__('of_tool').__name__") == "of_tool"
    assert facts(server, "[name for name in os.environ if name[0] == '_' and 'MALT' in name]") == []
    server = start(tool.script)
    assert facts(server, "sys.prefix") == str(tool.folder)


def test_the_configuration_from_a_pipe(start, installed, other):
    """It is empty when Python is started anew."""
    text = f"[uwsgi]\nvirtualenv = {other.folder}\nwsgi-file = app.py\n"
    start_with = f"{installed.script} --ini -"
    server = start(start_with, source=None, files={"app.py": FACTS}, stdin=text)
    assert facts(server, "sys.prefix") == str(other.folder)
    command = f"{installed.script} --ini /dev/fd/7"
    server = start(
        f'sh -c \'printf "$TEXT" | exec {command} "$@" 7<&0\' sh',
        source=None,
        files={"app.py": FACTS},
        wait=False,
        environment={"TEXT": text},
    )
    server.exit_code_expected = 1
    server.wait_for_log("was read from a pipe")


def test_status_reload_and_stop(start, installed, monkeypatch):
    monkeypatch.setenv("SINGLEMALT_BIN", str(installed.script))
    server = start(installed.script, "--control", "control.sock", "--isolation", "main")
    control = ["--control", "control.sock"]
    assert "generation" in singlemalt(server.directory, "status", *control).stdout
    reloaded = singlemalt(server.directory, "reload", *control)
    assert reloaded.returncode == 0, reloaded.stderr
    assert facts(server, "os.getpid()") != server.process.pid
    assert singlemalt(server.directory, "stop", *control).returncode == 0
    assert server.wait_for_exit() == 0


def test_an_update_while_it_runs(start, tmp_path):
    """A first process whose extension module was replaced does not execute the new one."""
    own = Environment(tmp_path / "v")
    server = start(own.script, "--isolation", "main")
    [module] = (own.folder / SITE / "singlemalt").glob("_singlemalt.*")
    os.utime(module, (1, 1))
    os.kill(server.process.pid, 1)
    server.wait_for_log("another version of it was installed.*this process waits as it is")
    assert facts(server, "os.getpid()") != server.process.pid


def test_threads_of_sitecustomize(start, tmp_path):
    """They run on, and neither --env nor a daemon minds them."""
    own = Environment(tmp_path / "v")
    (own.folder / SITE / "sitecustomize.py").write_text(
        "import threading\n"
        "ticks = []\n"
        "def run():\n"
        "    while True:\n"
        "        ticks.append(1)\n"
        "        del ticks[10:]\n"
        "        threading.Event().wait(0.01)\n"
        "threading.Thread(target=run, daemon=True).start()\n"
    )
    server = start(own.script, "--env", "ANY=1", "--isolation", "main")
    assert facts(server, "os.environ['ANY']") == "1"
    server.wait_until(
        lambda: facts(server, "len(sys.modules['sitecustomize'].ticks)") == 10, what="its thread"
    )


def test_a_zipapp(start, installed, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "inside.py").write_text("NAME = 'inside'\n")
    (folder / "__main__.py").write_text("from singlemalt.__main__ import main\nmain()\n")
    archive = tmp_path / "site.pyz"
    zipapp.create_archive(folder, archive)
    server = start(f"{installed.python} {archive}", "--isolation", "main")
    assert facts(server, "__import__('inside').NAME") == "inside"
    os.kill(server.process.pid, 1)
    server.wait_for_log(r"reloaded: process \d+ is the server now")
    assert facts(server, "__import__('inside').NAME") == "inside"


def test_a_closed_standard_input(start, installed):
    """No socket of the server takes its place."""
    server = start(f"{installed.script} <&-")
    if sys.platform == "linux":
        assert facts(server, "os.readlink('/proc/self/fd/0')") == os.devnull
    assert facts(server, "os.fstat(0).st_rdev") == os.stat(os.devnull).st_rdev


def test_variables_may_be_changed_by_all_interpreters(start, installed, isolations):
    """`os.putenv` is ours in each: the C library's would move what others read."""
    isolation = isolations[-1]
    server = start(installed.script, "--isolation", isolation)
    told = "os.putenv.__module__, os.putenv('A_B', 'c'), os.popen('echo $A_B').read()"
    expected = "singlemalt_bootstrap" if sys.platform == "linux" else "posix"
    assert facts(server, f"[{told}]") == [expected, None, "c\n"]
    assert facts(server, "[os.unsetenv('A_B'), os.popen('echo $A_B').read()]") == [None, "\n"]
    for bad in ("os.putenv('', 'a')", "os.putenv('a=b', 'c')", "os.putenv('a', 'b\\0')"):
        assert server.ask("/?" + bad.replace(" ", "%20")).status == 500
    server.wait_for_log("illegal environment variable name", count=2)
    server.wait_for_log("embedded null byte")


def test_uninstalling_leaves_nothing(tmp_path):
    own = Environment(tmp_path / "v", wheel=False)
    before = own.files()
    own.pip("install", "--no-index", os.environ["SINGLEMALT_WHEEL"])
    assert "bin/singlemalt" in own.files()
    subprocess.run([own.script, "--version"], check=True, capture_output=True)
    own.pip("uninstall", "--yes", "singlemalt")
    assert own.files() == before
    assert not list((own.folder / SITE).glob("singlemalt*"))


def test_a_wheel_for_another_python(tmp_path):
    own = Environment(tmp_path / "v")
    [module] = (own.folder / SITE / "singlemalt").glob("_singlemalt.*")
    module.rename(module.with_name("_singlemalt.cpython-39-sparc-linux-gnu.so"))
    run = subprocess.run([own.script, "--version"], capture_output=True, text=True)
    assert run.returncode == 1
    assert re.search(
        r"^error: this singlemalt cannot run on CPython 3\.\d+.*cpython-39-sparc", run.stderr
    )
    assert "-m pip install --force-reinstall singlemalt" in run.stderr
    assert len(run.stderr.splitlines()) == 1
