"""Extensions that refuse own-GIL interpreters: seen wherever they are imported, told, and served by
the main interpreter.
"""

import importlib.util
import os
import re
import shutil
import signal
import textwrap
import threading
from pathlib import Path

import pytest
from control import ask as ask_control
from test_frameworks import needs
from test_isolation import own_gil_only

pytestmark = own_gil_only
SWITCHED = r"generation 2 serves .*isolation main"
LATE_NUMPY = """
    import sys

    def total():
        try:
            import numpy
        except ImportError:
            return "without numpy"
        return str(int(numpy.arange(10).sum()))

    def application(environ, start_response):
        text = total() if environ["PATH_INFO"] == "/late" else "hello"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]
"""


def status(server):
    return ask_control(server.directory / "control")[1]


CONTROL = ("--control", "./control")


@needs("numpy")
def test_an_import_that_the_app_catches_switches_to_main(serve):
    server = serve("--processes", 2, *CONTROL, source=LATE_NUMPY)
    assert status(server)["generation"]["isolation"] == "own-gil"
    assert server.ask("/late").text == "without numpy"
    server.wait_for_log(SWITCHED, seconds=10)
    assert server.ask("/late").text == "45"
    after = status(server)
    assert after["generation"]["isolation"] == "main"
    assert "numpy" in after["reload"]["by"]
    [refused] = after["refused_extensions"]
    assert refused["module"].endswith("_multiarray_umath")
    assert re.fullmatch(r"numpy \d+\.\d+.*", refused["distribution"])
    assert refused["begun"] == "app.py, line 6"
    assert refused["request"] == "GET /late"
    assert refused["consequence"] == "missing"
    server.wait_for_log("2 threads of one interpreter")
    assert len(re.findall(r"the extension \S*_multiarray_umath .* in GET /late", server.log())) == 1


@needs("numpy")
def test_nothing_is_lost_in_the_switch(serve, gate):
    """A request that runs finishes in the old generation; others are answered all the time."""
    source = LATE_NUMPY.replace(
        'text = total() if environ["PATH_INFO"] == "/late" else "hello"',
        """
        if environ["PATH_INFO"] == "/wait":
            import knock
            knock.knock("waits")
        text = total() if environ["PATH_INFO"] == "/late" else "hello"
""".strip(),
    )
    server = serve("--processes", 2, "--threads", 2, source=source, gate=gate)
    waiting = server.connect()
    waiting.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    [visitor] = gate.visitors(1)
    answers, is_over = [], threading.Event()

    def ask_on():
        while not is_over.is_set():
            answer = server.ask("/")
            answers.append((answer.status, answer.text))

    clients = [threading.Thread(target=ask_on) for _ in range(2)]
    for client in clients:
        client.start()
    server.ask("/late")
    server.wait_for_log(SWITCHED, seconds=20)
    visitor.release()
    assert waiting.receive().text == "hello"
    is_over.set()
    for client in clients:
        client.join()
    assert set(answers) == {(200, "hello")}
    assert server.ask("/late").text == "45"


@needs("numpy")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--reload-canary", "50%,60s"),
        ("--keep-previous", "60"),
        ("--reload-mode", "rolling"),
        ("--reload-mode", "exec"),
        ("--processes", "4", "--cheaper", "1"),
        ("--exit-on-reload",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_switch_is_at_once_whatever_a_reload_does(serve, arguments):
    """What serves lacks an extension: it is neither compared with nor kept."""
    server = serve(*CONTROL, *arguments, source=LATE_NUMPY)
    pid = server.process.pid
    server.ask("/late")
    server.wait_for_log(SWITCHED, seconds=10)
    assert [server.ask("/late").text for _ in range(4)] == ["45"] * 4
    after = status(server)
    assert (after["pid"], after["generation"]["isolation"], after["kept"]) == (pid, "main", None)


@needs("numpy")
def test_a_thread_of_the_app_imports_it(serve):
    source = LATE_NUMPY.replace(
        'text = total() if environ["PATH_INFO"] == "/late" else "hello"',
        """
        text = "hello"
        if environ["PATH_INFO"] == "/late":
            import threading
            text = []
            thread = threading.Thread(target=lambda: text.append(total()))
            thread.start()
            thread.join()
            text = text[0]
""".strip(),
    )
    server = serve(*CONTROL, source=source)
    assert server.ask("/late").text == "without numpy"
    server.wait_for_log(SWITCHED, seconds=10)
    assert server.ask("/late").text == "45"
    [refused] = status(server)["refused_extensions"]
    assert refused["request"] == "", "no request of its own"


@needs("numpy")
def test_a_fresh_interpreter_that_is_refused_one_at_its_load(serve):
    """The first ones have loaded without it."""
    source = """
        import os

        numpy = None
        if os.path.exists("flag"):
            try:
                import numpy
            except ImportError:
                pass

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(numpy is not None).encode()]
    """
    server = serve("--max-requests", 2, "--min-worker-lifetime", 0, source=source)
    assert server.ask("/").text == "False"
    (server.directory / "flag").touch()
    server.wait_until(lambda: server.ask("/").text == "True")
    server.wait_for_log(SWITCHED, seconds=10)


@needs("argon2")
@needs("django")
def test_a_login_of_django_with_argon2(serve):
    source = """
        import django
        from django.conf import settings

        settings.configure(
            PASSWORD_HASHERS=["django.contrib.auth.hashers.Argon2PasswordHasher"],
            ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x",
        )
        django.setup()

        from django.contrib.auth.hashers import check_password, make_password
        from django.core.handlers.wsgi import WSGIHandler
        from django.http import HttpResponse
        from django.urls import path

        def login(request):
            return HttpResponse(str(check_password("x", make_password("x"))))

        urlpatterns = [path("login", login)]
        application = WSGIHandler()
    """
    server = serve(source=source)
    assert server.ask("/login").status == 500
    server.wait_for_log(SWITCHED, seconds=10)
    assert (server.ask("/login").status, server.ask("/login").text) == (200, "True")
    named = r"the extension \S*_ffi \(argon2-cffi-bindings \S+\), imported by _argon2_cffi_bindings .* in GET /login"
    server.wait_for_log(named)


@needs("PIL")
def test_an_optional_import_at_load_is_no_fallback(serve):
    """Pillow has no pure Python version: without its extension it is gone."""
    source = """
        try:
            from PIL import Image
        except ImportError:
            Image = None

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(Image and Image.new("L", (3, 4)).size).encode()]
    """
    server = serve(source=source)
    assert server.ask("/").text == "(3, 4)"
    log = server.log()
    assert re.search(r"isolation: main.*because\s.*\s.*PIL\._imaging \([Pp]illow \S+\)", log)
    assert "pure Python" not in log


@needs("_testsinglephase")
@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import _testsinglephase\n    application = answer\nexcept ImportError:\n    pass\n",
        "try:\n    import _testsinglephase\nexcept ImportError:\n    import no_such_module\n"
        "application = answer\n",
        "try:\n    import _testsinglephase\nexcept ImportError:\n    raise SystemExit(3)\n"
        "application = answer\n",
    ],
    ids=["no application", "another import", "exit"],
)
def test_an_app_that_is_none_without_it(serve, text):
    answer = """
        def answer(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
    """
    server = serve("app.py", files={"app.py": textwrap.dedent(answer) + text})
    assert server.ask("/").text == "hello"
    assert "isolation: main" in server.log()


@needs("_curses")
def test_code_that_copes_without_a_terminal_stays(serve):
    """As tornado.log does."""
    source = """
        try:
            import curses
        except ImportError:
            curses = None

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(curses).encode()]
    """
    server = serve(*CONTROL, source=source)
    assert server.ask("/").text == "None"
    assert status(server)["generation"]["isolation"] == "own-gil"


@needs("numpy")
@needs("PIL")
@needs("argon2")
def test_all_that_refuse_are_named(serve):
    source = """
        found = {}
        for name in ("numpy", "PIL.Image", "argon2"):
            try:
                found[name] = __import__(name)
            except ImportError:
                pass

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(len(found)).encode()]
    """
    server = serve(*CONTROL, source=source)
    assert server.ask("/").text == "3"
    report = server.log()[server.log().index("isolation: main") :]
    for name in ("_multiarray_umath", "PIL._imaging", "_ffi"):
        assert re.search(rf"{name} \(\S+ \S+\), imported by", report), name
    named = [one["module"] for one in status(server)["refused_extensions"]]
    assert len(named) == 3


@needs("simplejson")
@needs("charset_normalizer")
def test_packages_with_a_pure_python_version_stay_in_own_gil(serve):
    source = """
        import charset_normalizer, simplejson

        def application(environ, start_response):
            import simplejson.encoder
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [simplejson.dumps([1, charset_normalizer.detect(b"abc")["encoding"]]).encode()]
    """
    server = serve(*CONTROL, source=source)
    assert server.ask("/").text == '[1, "ascii"]'
    assert status(server)["generation"]["isolation"] == "own-gil"
    refused = status(server)["refused_extensions"]
    assert refused, "none refuses any longer: find another package"
    assert {one["consequence"] for one in refused} <= {"own-fallback", "twin"}
    assert "isolation: own-gil" in server.log()


@needs("numpy")
def test_own_gil_tells_and_stays(serve):
    server = serve("--isolation", "own-gil", *CONTROL, source=LATE_NUMPY)
    for _ in range(3):
        assert server.ask("/late").text == "without numpy"
    server.wait_for_log(r"\[ERROR\] the extension \S*_multiarray_umath .*in GET /late")
    assert len(re.findall(r"the extension \S*_multiarray_umath", server.log())) == 1
    assert status(server)["generation"]["isolation"] == "own-gil"
    assert "generation 2" not in server.log()


@needs("_testsinglephase")
@pytest.mark.parametrize(
    ("counts", "is_said"),
    [((4, 1), True), ((2, 2), True), ((1, 1), False), ((1, 4), False)],
    ids=["4x1", "2x2", "1x1", "1x4"],
)
def test_the_report_says_that_the_shape_has_changed(serve, counts, is_said):
    processes, threads = counts
    source = """
        import _testsinglephase

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
    """
    server = serve("--processes", processes, "--threads", threads, source=source)
    found = re.search(r"^WARNING: processes = .*$", server.log(), re.MULTILINE)
    assert bool(found) == is_said
    if found:
        all_threads = processes * threads
        assert f"{all_threads} threads of one interpreter" in found[0]
        assert ("--processes 1 --threads 1" in found[0]) == (threads == 1)


# The verdict is remembered

REMEMBERED = r"isolation: main(.*\n)+?  an earlier start has found that out"
USES = """
    import _testsinglephase

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [_testsinglephase.__name__.encode()]
"""
USES_NONE = USES.replace("import _testsinglephase", "class _testsinglephase: pass")


@pytest.fixture
def environment(tmp_path):
    """A folder for an application, with an extension of its own that refuses."""
    found = Path(importlib.util.find_spec("_testsinglephase").origin)
    shutil.copy(found, tmp_path / found.name)
    return tmp_path, tmp_path / found.name


def report(serve, folder, *arguments, source=USES):
    server = serve(*arguments, source=source, directory=folder)
    assert server.ask("/").text == "_testsinglephase"
    log = server.log()
    server.stop()
    return log


@needs("_testsinglephase")
def test_the_next_start_goes_to_main_at_once(serve, environment):
    folder, extension = environment
    first = report(serve, folder)
    assert "[WARN] the extension _testsinglephase" in first
    assert not re.search(REMEMBERED, first)
    second = report(serve, folder)
    assert re.search(REMEMBERED, second)
    assert "_testsinglephase, imported by" in second
    assert "[WARN]" not in second, "nothing was tried"
    assert str(folder / ".cache/singlemalt/isolation.json") in second
    # Another version of the package.
    os.utime(extension, ns=(1, 1))
    third = report(serve, folder)
    assert "[WARN] the extension _testsinglephase" in third
    assert re.search(REMEMBERED, report(serve, folder))


@needs("_testsinglephase")
def test_the_cache_is_a_file_of_choice_or_none(serve, environment):
    folder, _ = environment
    for _ in range(2):
        assert "[WARN]" in report(serve, folder, "--isolation-cache", "off")
    assert not (folder / ".cache").exists()
    named = ("--isolation-cache", "here/known.json")
    assert "[WARN]" in report(serve, folder, *named)
    assert (folder / "here/known.json").is_file()
    assert re.search(REMEMBERED, report(serve, folder, *named))
    # A damaged file is as none.
    (folder / "here/known.json").write_text("{")
    assert "[WARN] the extension" in report(serve, folder, *named)
    assert re.search(REMEMBERED, report(serve, folder, *named))


@needs("_testsinglephase")
def test_an_app_that_imports_it_no_longer_is_tried_again(serve, environment):
    folder, _ = environment
    report(serve, folder)
    assert "the next start tries" in report(serve, folder, source=USES_NONE)
    assert "isolation: own-gil" in report(serve, folder, source=USES_NONE)


@needs("numpy")
def test_a_late_refusal_is_remembered(serve, tmp_path):
    server = serve(source=LATE_NUMPY, directory=tmp_path)
    server.ask("/late")
    server.wait_for_log(SWITCHED, seconds=10)
    server.stop()
    again = serve(source=LATE_NUMPY, directory=tmp_path)
    assert again.ask("/late").text == "45"
    assert re.search(REMEMBERED, again.log())


@needs("numpy")
def test_a_reload_after_the_switch_stays_in_main(serve):
    """By a successor process, which begins with the verdict."""
    server = serve(*CONTROL, source=LATE_NUMPY)
    server.ask("/late")
    server.wait_for_log(SWITCHED, seconds=10)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(r"an earlier start has found that out")
    server.wait_until(lambda: server.ask("/late").text == "45")
    assert status(server)["generation"]["isolation"] == "main"
