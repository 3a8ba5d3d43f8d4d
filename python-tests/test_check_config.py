"""--check-config and --explain say what the start says."""

import subprocess
from pathlib import Path

import pytest

from server import binary, environment

APP = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""
SECTION = "# a comment\n\n[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app\n"


def run(folder, *arguments):
    command = [binary(), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def started(folder, *arguments):
    """Whether the server starts; it stops after one request that it makes itself."""
    return run(folder, *arguments, "--test-request", "GET /")


REFUSED = [
    "add-header = Connection: Keep-Alive",
    "add-header = Content-Length: 5",
    "add-header = Transfer-Encoding: chunked",
    "add-header = Upgrade: h2c",
    "add-header = TE: trailers",
    "rem-header = Content-Length",
    "rem-header = Keep-Alive",
]
ACCEPTED = ["add-header = Connection: close", "add-header = X-A: b", "rem-header = Server"]


@pytest.mark.parametrize("line", [*REFUSED, *ACCEPTED])
def test_all_three_agree(tmp_path, line):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "site.ini").write_text(f"{SECTION}{line}\n")
    good = line in ACCEPTED
    code, text = run(tmp_path, "--check-config", "site.ini")
    assert (code == 0) == good, text
    code, text = started(tmp_path, "site.ini")
    assert (code == 0) == good, text
    code, text = run(tmp_path, "--explain", "site.ini")
    assert ("starts with it as it is" in text) == good, text
    if not good:
        assert "so the server says it" in text


@pytest.mark.parametrize("name", ["uwsgi.conf", "site.cfg", "site", "site.uwsgi", "deploy.live"])
@pytest.mark.parametrize("ready", [True, False])
def test_a_configuration_of_any_ending_is_read(tmp_path, name, ready):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / name).write_text(SECTION + ("" if ready else "processes = many\n"))
    code, text = run(tmp_path, "--check-config", name)
    assert (code == 0) == ready, text
    code, text = started(tmp_path, name)
    assert (code == 0) == ready, text


@pytest.mark.parametrize("name", ["missing.conf", "missing.cfg", "missing.ini"])
def test_a_missing_file_is_an_error(tmp_path, name):
    code, text = run(tmp_path, "--check-config", name)
    assert code == 1 and f"{name} cannot be read" in text


@pytest.mark.parametrize(
    "plugin", ["/usr/lib/uwsgi/python3", "/usr/lib/uwsgi/plugins/python3_plugin.so", "python3"]
)
def test_uwsgis_own_python_plugin_is_built_in(tmp_path, plugin):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "site.ini").write_text(f"{SECTION}plugins = {plugin}\n")
    for arguments in (["--check-config"], ["--test-request", "GET /"]):
        code, text = run(tmp_path, "site.ini", *arguments)
        assert code == 0, text
    (tmp_path / "site.ini").write_text(f"{SECTION}plugins = /usr/lib/uwsgi/geoip_plugin.so\n")
    code, text = run(tmp_path, "site.ini", "--check-config")
    assert code == 1 and "a plugin of uWSGI in C" in text


@pytest.mark.parametrize(("text", "seconds"), [("1", 75), ("true", 75), ("2", 2), ("0", 0)])
def test_keep_alive_that_is_on(serve, text, seconds):
    """uWSGI's http-keepalive is a flag in most configurations."""
    ini = f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app\nhttp-keepalive = {text}\n"
    server = serve("site.ini", listen=(), files={"app.py": APP, "site.ini": ini})
    with server.connect() as connection:
        response = connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert response.keeps_alive == (seconds > 0)
        connection.socket.settimeout(3.5)
        if seconds == 2:
            assert connection.socket.recv(1) == b""
        elif seconds:
            with pytest.raises(TimeoutError):
                connection.socket.recv(1)


ROOT = Path(__file__).resolve().parent.parent
KNOWN = {".ini", ".toml", ".xml", ".yaml", ".yml", ".json"}
TREE = sorted(
    path
    for folder in ("configs", "docs", "tests/explain", "examples")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in KNOWN
)


@pytest.mark.parametrize("path", TREE, ids=lambda path: str(path.relative_to(ROOT)))
def test_check_config_and_explain_agree_on_every_configuration(path):
    """What --explain says about a start is what --check-config says."""
    checked, said = run(path.parent, "--check-config", path.name)
    code, explained = run(path.parent, "--explain", path.name)
    assert code == 0 or checked != 0, f"{said}\n{explained}"
    assert ("starts with it as it is" in explained) == (checked == 0), f"{said}\n{explained}"
