"""A server without an application: static files, cron, timers and imported modules."""

import pytest
from test_check_config import explained, run

TIMER = """
import os
import uwsgidecorators


@uwsgidecorators.timer(1)
def beat(signum):
    with open("beats", "a") as file:
        file.write(f"{os.getpid()}\\n")
"""


@pytest.fixture(params=["main", "own-gil"])
def isolation(request, isolations):
    if request.param not in isolations:
        pytest.skip("this Python has no such interpreters")
    return request.param


def test_static_files_only(serve, tmp_path, isolation):
    (tmp_path / "page.txt").write_text("a page")
    server = serve("--static-map", f"/files={tmp_path}", "--isolation", isolation)
    assert server.ask("/files/page.txt").body == b"a page"
    assert server.ask("/other").status == 500
    assert "app: none is named" in server.log()


def test_an_imported_modules_timers_only(serve, tmp_path, isolation):
    files = {"beat.py": TIMER}
    server = serve("--import", "beat", "--isolation", isolation, directory=tmp_path, files=files)
    beats = tmp_path / "beats"
    server.wait_until(lambda: beats.exists() and beats.read_text())
    assert beats.read_text().split()[0] == str(server.process.pid)


def test_a_module_that_uwsgi_calls_shared(serve, tmp_path):
    ini = "[uwsgi]\nshared-import = beat\nprocesses = 2\n"
    files = {"beat.py": TIMER, "site.ini": ini}
    server = serve("site.ini", directory=tmp_path, files=files)
    server.wait_until(lambda: (tmp_path / "beats").exists())


def test_cron_only(serve, tmp_path):
    ini = "[uwsgi]\ncron = -1 -1 -1 -1 -1 touch ran\n"
    server = serve(
        "site.ini", "--ready-path", "/ready", directory=tmp_path, files={"site.ini": ini}
    )
    assert server.ask("/ready").status == 200


def test_it_reloads(serve, tmp_path, isolation):
    files = {"beat.py": TIMER}
    server = serve("--import", "beat", "--isolation", isolation, directory=tmp_path, files=files)
    (tmp_path / "beat.py").write_text(TIMER.replace('"beats"', '"others"'))
    server.send_signal(1)
    others = tmp_path / "others"
    server.wait_until(lambda: others.exists() and others.read_text())


def test_nothing_at_all_is_an_error(tmp_path):
    (tmp_path / "site.ini").write_text("[uwsgi]\nhttp-socket = 127.0.0.1:0\n")
    code, text = run(tmp_path, "site.ini")
    assert code == 1 and "no application was named" in text
    (tmp_path / "site.ini").write_text("[uwsgi]\nstatic-map = /a=.\nneed-app = true\n")
    code, text = run(tmp_path, "site.ini")
    assert code != 0 and "no application was named" in text


@pytest.mark.parametrize("line", ["", "callable = app\n"])
def test_an_ini_gets_its_application_on_the_command_line(tmp_path, line):
    (tmp_path / "site.ini").write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:0\n{line}")
    text = explained(tmp_path)
    assert "starts with it and an application" in text and "does not start" not in text
    assert "singlemalt site.ini --module " in text
    (tmp_path / "site.ini").write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nprocesses = x\n{line}")
    assert "does not start with it as it is: processes" in explained(tmp_path)
