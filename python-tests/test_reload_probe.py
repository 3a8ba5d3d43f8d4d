"""--reload-probe: each interpreter of a new version answers a request before it serves."""

import signal

import pytest
from conftest import HAS_OWN_GIL
from versions import answers, reload, version

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a reload is asked for by SIGHUP"),
    pytest.mark.skipif(
        not HAS_OWN_GIL, reason="two generations in one process need own-GIL interpreters"
    ),
]

# The version decides what /healthz answers.
PROBED = """\
    VERSION = "{version}"

    def application(environ, start_response):
        status, text = "200 OK", VERSION
        if environ["PATH_INFO"] == "/healthz":
            {healthz}
        start_response(status, [("Content-Type", "text/plain")])
        return [text.encode()]
"""


def probed(number, healthz="pass"):
    return PROBED.format(version=number, healthz=healthz)


def test_a_version_that_answers_well_serves(serve):
    shows = """print("PROBE", *[environ[key] for key in ("HTTP_USER_AGENT", "REMOTE_ADDR", "SERVER_PORT", "HTTP_HOST", "wsgi.url_scheme")], flush=True)"""
    server = serve("--reload-probe", "/healthz", "--processes", "2", source=probed(1))
    reload(server, probed(2, shows))
    server.wait_for_log(r"generation 2 serves \(2 interpreters")
    # Each interpreter is asked.
    server.wait_for_log(
        rf"PROBE singlemalt-probe/\S+ 127\.0\.0\.1 {server.port} localhost http", count=2
    )
    assert answers(server, 3) == ["2"] * 3


@pytest.mark.parametrize("mode", ["swap", "rolling"])
def test_a_version_that_answers_badly_changes_nothing(serve, mode):
    server = serve("--reload-probe", "/healthz", "--reload-mode", mode, source=probed(1))
    reload(server, probed(2, 'status, text = "503 Service Unavailable", "no\\n  database"'))
    server.wait_for_log(
        r"reload failed: the application answers GET /healthz with 503 \(--reload-probe\): no database; generation 1 serves on"
    )
    assert answers(server, 5) == ["1"] * 5
    reload(server, probed(3))
    server.wait_for_log(r"generation \d serves \(|every interpreter of generation 1 is new")
    assert answers(server, 5) == ["3"] * 5


def test_a_version_that_raises_is_told_with_its_traceback(serve):
    server = serve("--reload-probe", "/healthz", source=probed(1))
    reload(server, probed(2, "raise LookupError('no table')"))
    server.wait_for_log(r"LookupError: no table")
    server.wait_for_log(r"reload failed: the application answers GET /healthz with 500")
    assert answers(server, 5) == ["1"] * 5


def test_a_version_that_does_not_answer_is_not_waited_for(serve, gate):
    server = serve(
        "--reload-probe", "/healthz", "--reload-probe-timeout", "0.5", gate=gate, source=probed(1)
    )
    reload(server, probed(2, "from knock import knock; knock('probe')"))
    visitor = gate.visitor()
    server.wait_for_log(
        r"reload failed: the application has not answered GET /healthz within 0.5 s \(--reload-probe-timeout\); generation 1"
    )
    assert answers(server, 5) == ["1"] * 5
    # It delays no request, and a late result is ignored.
    reload(server, probed(3))
    server.wait_for_log(r"generation 3 serves")
    visitor.release()
    assert answers(server, 5) == ["3"] * 5


@pytest.mark.parametrize(
    "wanted, status, is_good",
    [
        ("/healthz", "302 Found", True),
        ("/healthz,204", "204 No Content", True),
        ("/healthz,204", "200 OK", False),
        ("/healthz", "404 Not Found", False),
    ],
)
def test_the_status_decides(serve, wanted, status, is_good):
    server = serve("--reload-probe", wanted, source=probed(1))
    reload(server, probed(2, f'status, text = "{status}", ""'))
    server.wait_for_log(
        r"generation 2 serves"
        if is_good
        else r"reload failed: the application answers GET /healthz with"
    )
    assert answers(server, 3) == ["2" if is_good else "1"] * 3


def test_a_url_names_the_host_and_the_scheme(serve):
    shows = """print("PROBE", environ["HTTP_HOST"], environ["wsgi.url_scheme"], environ["PATH_INFO"], flush=True)"""
    server = serve("--reload-probe", "https://shop.example/healthz", source=probed(1, shows))
    server.wait_for_log(r"PROBE shop.example https /healthz")


def test_the_first_start_is_probed_too(serve):
    server = serve("--reload-probe", "/healthz", source=probed(1, 'status = "500 Oh No"'))
    server.wait_for_log(
        r"answers GET /healthz with 500 \(--reload-probe\): 1; worker 1 serves nevertheless \(--need-app leaves"
    )
    assert answers(server, 3) == ["1"] * 3


def test_with_need_app_it_leaves(serve):
    server = serve(
        "--reload-probe",
        "/healthz",
        "--need-app",
        source=probed(1, 'status = "500 Oh No"'),
        wait=False,
    )
    server.exit_code_expected = 22
    assert server.wait_for_exit() == 22
    assert "the application answers GET /healthz with 500 (--reload-probe): 1" in server.log()


def test_a_reload_of_the_whole_process_is_proved_with_it(serve):
    server = serve("--reload-probe", "/healthz", "--isolation", "main", source=probed(1))
    reload(server, probed(2, 'status, text = "500 Oh No", "no"'))
    server.wait_for_log(r"answers GET /healthz with 500")
    server.wait_for_log(r"reload failed: .*; generation 1 serves on")
    assert answers(server, 3) == ["1"] * 3


def test_a_recycled_interpreter_is_not_asked(serve):
    """A database that is down for a moment does not prevent the replacement of interpreters."""
    server = serve(
        "--reload-probe",
        "/healthz",
        "--max-requests",
        "3",
        "--min-worker-lifetime",
        "0",
        source=probed(1),
    )
    (server.directory / "app.py").write_text(
        __import__("textwrap").dedent(probed(2, 'status = "500 Oh No"'))
    )
    answers(server, 3)
    server.wait_for_log(r"worker 1 has a fresh interpreter")
    assert "--reload-probe)" not in server.log()


@pytest.mark.parametrize("wrong", ["healthz", "/healthz,99", "/a b"])
def test_wrong_values_are_errors(serve, wrong):
    server = serve("--reload-probe", wrong, source=version(1), wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert "--reload-probe" in server.log() and "wants " in server.log()
