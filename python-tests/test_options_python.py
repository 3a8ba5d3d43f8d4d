"""Options of the Python that an application runs in: second names of modules, PasteDeploy, the
environment, what may be sent.
"""

import re
import sys

import pytest
from conftest import ISOLATIONS, PYTHON
from test_frameworks import needs
from test_isolation import MODES
from test_options_app import refused

pytestmark = pytest.mark.wheel

TELL = """
    import json, os, sys

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(tell()).encode()]
"""


def telling(expression):
    return TELL + f"\n    def tell():\n        return {expression}\n"


# Second names of modules


@pytest.mark.parametrize("mode", MODES)
def test_module_aliases(serve, mode):
    files = {
        "real.py": "NAME = __name__\n",
        "folder/other.py": "NAME = __name__\n",
        "imported.py": "import early\nSEEN = early.NAME\n",
        "late.py": "import imported\nNAME = __name__ + imported.SEEN\n",
    }
    source = "\n    import early, from_file, pkg.late\n" + telling(
        "[early.NAME, from_file.NAME, getattr(sys.modules['pkg.late'], 'NAME')]"
    )
    source = source.replace("import early, from_file, pkg.late", "import early, from_file")
    arguments = [
        "--pymodule-alias",
        "early=real",
        "--pymodule-alias",
        "from_file=./folder/other.py",
    ]
    arguments += ["--import", "imported", "--post-pymodule-alias", "pkg.late=late"]
    server = serve(*arguments, "--processes", 2, "--isolation", mode, source=source, files=files)
    for _ in range(4):
        assert server.ask("/").json() == ["real", "from_file", "latereal"]


def test_a_module_alias_that_fails_is_told(serve):
    server = serve("--pymodule-alias", "a=nowhere", source=telling("'a' in sys.modules"))
    assert server.ask("/").json() is False
    assert "[ERROR] cannot import nowhere: there is no such module" in server.log()
    assert "wants the name of a module in front of '='" in refused(
        serve, "--pymodule-alias", "a b=json", source=TELL
    )


# PasteDeploy


SITE = """
    import json

    def app_factory(global_config, **settings):
        import logging
        logging.getLogger("site").warning("made with %s", settings.get("word"))
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps([settings.get("word"), global_config["here"], environ["SCRIPT_NAME"]]).encode()]
        return app
"""
PASTE = """\
[app:main]
paste.app_factory = site_app:app_factory
word = one

[app:other]
paste.app_factory = site_app:app_factory
word = two

[uwsgi]
env = FROM_THE_FILE=yes
mount = /m=conf/site.ini#other
manage-script-name = true

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys = plain

[logger_root]
level = WARNING
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain

[formatter_plain]
format = LOGGED %(levelname)s %(message)s
"""
FILES = {"site_app.py": SITE, "conf/site.ini": PASTE}


@needs("paste")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("config:conf/site.ini", "one"),
        ("conf/site.ini", "one"),
        ("config:conf/site.ini#other", "two"),
    ],
)
def test_paste(serve, mode, uri, word):
    server = serve("--paste", uri, "--processes", 2, "--isolation", mode, files=FILES)
    assert server.ask("/").json() == [word, str(server.directory / "conf"), ""]
    name = "other" if "#" in uri else "main"
    assert f"callable '{name}', loaded in" in server.log()
    assert "LOGGED" not in server.log()


@needs("paste")
def test_paste_logger(serve):
    server = serve("--paste", "conf/site.ini", "--paste-logger", files=FILES)
    assert "LOGGED WARNING made with one" in server.log()


@needs("paste")
@pytest.mark.parametrize("option", ["--ini-paste", "--ini-paste-logged"])
def test_ini_paste(serve, option):
    """The options of [uwsgi] come from the same file; a mount names another application of it."""
    server = serve(option, "conf/site.ini", files=FILES)
    here = str(server.directory / "conf")
    assert server.ask("/").json() == ["one", here, ""]
    assert server.ask("/m/x").json() == ["two", here, "/m"]
    assert ("LOGGED WARNING made with one" in server.log()) == option.endswith("logged")


@needs("paste")
def test_ini_paste_without_options_and_inside_its_own_file(serve):
    only_app = PASTE.partition("[uwsgi]")[0]
    server = serve("--ini-paste", "conf/site.ini", files={**FILES, "conf/site.ini": only_app})
    assert server.ask("/").json()[0] == "one"
    own = only_app + "[uwsgi]\nini-paste = %p\nprocesses = 2\n"
    server = serve("conf/site.ini", files={**FILES, "conf/site.ini": own})
    assert server.ask("/").json()[0] == "one"
    # Two interpreters, or as many threads of the main one.
    assert re.search(r"workers: (2 interpreters|1 interpreter x 2 threads)", server.log())


def test_paste_that_is_not_there(serve):
    assert "there is no file nowhere.ini" in refused(
        serve, "--paste", "config:nowhere.ini", "--need-app", code=22, files=FILES
    )


# The environment


def test_envdir(serve):
    files = {
        "early/ONE": "early\n",
        "early/TWO": "early\n",
        "early/THREE": "early  \nsecond line\n",
        "late/TWO": "late",
        "late/FOUR": "a b\t \n",
        "late/GONE": "",
        "late/.hidden": "x",
    }
    source = telling(
        "[os.environ.get(name) for name in ('ONE', 'TWO', 'THREE', 'FOUR', 'GONE', '.hidden')]"
    )
    arguments = [
        "--early-envdir",
        "early",
        "--env",
        "ONE=env",
        "--env",
        "TWO=env",
        "--env",
        "GONE=env",
        "--envdir",
        "late",
    ]
    server = serve(*arguments, source=source, files=files, environment={"GONE": "inherited"})
    assert server.ask("/").json() == ["env", "late", "early", "a b", None, None]
    assert "--envdir cannot be read: nowhere" in refused(serve, "--envdir", "nowhere", source=TELL)


def test_no_site(serve):
    source = telling("'site' in sys.modules")
    assert serve("--isolation", "main", source=source).ask("/").json() is True
    assert serve("--isolation", "main", "--no-site", source=source).ask("/").json() is False


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="the suite runs without a virtualenv")
def test_py_programname(serve):
    """The executable of a virtualenv stands for it."""
    server = serve(
        "--py-programname",
        sys.executable,
        "--isolation",
        "main",
        source=telling("[sys.executable, sys.prefix]"),
        virtualenv=False,
    )
    assert server.ask("/").json() == [sys.executable, sys.prefix]


# Stacks


def test_threads_stacksize(serve):
    # A recursion that a small stack would not survive ends in RecursionError, whatever was asked
    # for.
    source = """
        import json

        def down(n):
            return [n].sort(key=lambda _: down(n + 1))

        def application(environ, start_response):
            start_response("200 OK", [])
            try:
                down(0)
            except RecursionError:
                return [b"RecursionError"]
    """
    server = serve("--threads-stacksize", 512, source=source)
    assert "--threads-stacksize: threads have 8192 KB" in server.log()
    assert server.ask("/").text == "RecursionError"
    server = serve("--threads-stacksize", 16384, source=source)
    assert "threads have" not in server.log()
    assert server.ask("/").text == "RecursionError"


# Responses that are refused


BUFFERS = """
    import array

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        buffers = [bytearray(b"one "), memoryview(b"two "), array.array("b", b"three"), b" four"]
        if path == "/list":
            return buffers
        if path == "/tuple":
            return (bytearray(b"alone"),)
        if path == "/iter":
            return iter(buffers)
        if path == "/whole":
            return bytearray(b"whole")
        if path == "/number":
            return [5]
        for buffer in buffers:
            write(buffer)
        return []
"""


def test_any_buffer_is_sent_where_it_is_asked_for(serve):
    server = serve("--wsgi-accept-buffer", source=BUFFERS)
    for path in ["/list", "/iter", "/write"]:
        assert server.ask(path).text == "one two three four"
    assert server.ask("/tuple").text == "alone"
    assert server.ask("/whole").text == "whole"
    assert server.ask("/number").status == 500


def test_only_bytes_are_sent_otherwise(serve):
    server = serve(source=BUFFERS)
    for path in ["/list", "/tuple", "/number"]:
        assert server.ask(path).status == 500
    server.wait_for_log("the body must be bytes, not bytearray")


@pytest.mark.parametrize("quiet", [False, True])
def test_write_to_a_client_that_is_gone(serve, quiet):
    source = """
        def application(environ, start_response):
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                for _ in range(2000):
                    write(b"x" * 100000)
            except OSError as error:
                print("raised", type(error).__name__, flush=True)
                raise
            print("went on to the end", flush=True)
            return []
    """
    server = serve(*(["--disable-write-exception"] if quiet else []), source=source)
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.socket.recv(1000)
    server.wait_for_log("went on to the end" if quiet else "raised BrokenPipeError")
    assert ("raised" in server.log()) != quiet


LAZY = """
    import sys
    import tabnanny
    from inner import application
"""
INNER = """
    import colorsys, sys

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        early = [name for name in ("tabnanny", "colorsys") if name in sys.modules]
        return [f"{early} {colorsys.rgb_to_hsv(0, 0, 0)}".encode()]
"""


@pytest.mark.skipif(PYTHON < (3, 15), reason="imports are lazy from CPython 3.15 on")
@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    ("mode", "environment", "early"),
    [
        ("all", "normal", []),
        ("none", "all", ["tabnanny", "colorsys"]),
        (None, "all", []),
        (None, "normal", ["tabnanny", "colorsys"]),
    ],
)
def test_lazy_imports(serve, isolation, mode, environment, early):
    arguments = ["--lazy-imports", mode] if mode else []
    server = serve(
        "--isolation",
        isolation,
        *arguments,
        source=LAZY,
        files={"inner.py": INNER},
        environment={"PYTHON_LAZY_IMPORTS": environment},
    )
    assert server.ask("/").text == f"{early} (0.0, 0.0, 0)"


@pytest.mark.skipif(PYTHON >= (3, 15), reason="it has an effect")
def test_lazy_imports_need_a_newer_python(serve):
    server = serve("--lazy-imports", "all", source=INNER)
    server.wait_for_log("lazy-imports has no effect: imports are lazy from CPython 3.15 on")
    assert server.ask("/").text == "['colorsys'] (0.0, 0.0, 0)"
