"""Configuration files of every format serve the application that they name (tests/config.rs checks
what they mean).
"""

import pytest
from conftest import HAS_OWN_GIL

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"multithread ", str(environ["wsgi.multithread"]).encode()]
"""

# The sample of uWSGI's quickstart, in each of the formats.
FILES = {
    "uwsgi.xml": """<uwsgi>
        <http-socket>127.0.0.1:0</http-socket>
        <module>myapp</module>
        <workers>2</workers>
        <threads>2</threads>
    </uwsgi>""",
    "uwsgi.ini": "[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = myapp\nworkers = 2\nthreads = 2\n",
    "uwsgi.yaml": "uwsgi:\n  http-socket: 127.0.0.1:0\n  module: myapp\n  workers: 2\n  threads: 2\n",
    "uwsgi.json": '{"uwsgi": {"http-socket": "127.0.0.1:0", "module": "myapp", "workers": 2, "threads": 2}}',
    "uwsgi.toml": '[uwsgi]\nhttp-socket = "127.0.0.1:0"\nmodule = "myapp"\nworkers = 2\nthreads = 2\n',
}


def workers(server):
    """The report's line about workers; on CPython 3.12 these are threads of the main interpreter."""
    line = next(line for line in server.log().splitlines() if line.startswith("workers: "))
    return line.removeprefix("workers: ").partition(",")[0]


def expected(interpreters, threads):
    if not HAS_OWN_GIL:
        interpreters, threads = 1, interpreters * threads
    plural = ["" if count == 1 else "s" for count in (interpreters, threads)]
    return f"{interpreters} interpreter{plural[0]} x {threads} thread{plural[1]}"


def start(serve, *arguments, files):
    return serve(*arguments, files={"myapp.py": APP, **files}, listen=())


@pytest.mark.parametrize("name", FILES)
def test_a_bare_file_name(serve, name):
    server = start(serve, name, files={name: FILES[name]})
    assert server.ask("/").text == "multithread True"
    assert workers(server) == expected(2, 2)


@pytest.mark.parametrize("name", FILES)
def test_a_file_by_its_option(serve, name):
    option = "--" + name.rpartition(".")[2]
    server = start(serve, option, name, files={name: FILES[name]})
    assert server.ask("/").text == "multithread True"


def test_a_file_overrides_the_environment_and_the_command_line_before_it(serve):
    server = start(
        serve, "--workers", 3, "uwsgi.ini", "--threads", 1, files={"uwsgi.ini": FILES["uwsgi.ini"]}
    )
    assert server.ask("/").text == f"multithread {not HAS_OWN_GIL}"
    assert workers(server) == expected(2, 1)


def test_files_that_include_others_and_ask_for_variables(serve):
    files = {
        "uwsgi.ini": "[uwsgi]\ninclude = %d/common.ini\nif-env = HOME\nthreads = 2\nelse =\nthreads = 3\nendif =\n",
        "common.ini": "[uwsgi]\nset-placeholder = prefix=my\nmodule = %(prefix)app\nhttp-socket = 127.0.0.1:0\n",
    }
    server = start(serve, "uwsgi.ini", files=files)
    assert server.ask("/").text == "multithread True"
    assert workers(server) == expected(1, 2)


WAYS = [
    (name, arguments)
    for name in FILES
    for arguments in (["--" + name.rpartition(".")[2], "-"], ["--config", "-"], ["-"])
]


@pytest.mark.parametrize(
    ("name", "arguments"), WAYS, ids=[" ".join([*arguments, "<", name]) for name, arguments in WAYS]
)
def test_standard_input(serve, name, arguments):
    """`singlemalt --ini - < FILE`: the option says the format; without one the text itself does."""
    server = serve(*arguments, files={"myapp.py": APP}, listen=(), stdin=FILES[name])
    assert server.ask("/").text == "multithread True"
    assert workers(server) == expected(2, 2)


def test_standard_input_beside_a_file(serve):
    """Standard input is read at the place of the `-`, as a file would be."""
    server = serve(
        "uwsgi.ini",
        "--ini",
        "-",
        files={"myapp.py": APP, "uwsgi.ini": FILES["uwsgi.ini"]},
        listen=(),
        stdin="[uwsgi]\nworkers = 1\n",
    )
    assert server.ask("/").text == "multithread True"
    assert workers(server) == expected(1, 2)


def test_standard_input_that_is_wrong(serve):
    server = serve("--ini", "-", listen=(), stdin="[other]\nworkers = 1\n", wait=False)
    server.exit_code_expected = 1
    server.wait_for_log(r"standard input has no \[uwsgi\]")
    assert server.wait_for_exit() == 1
