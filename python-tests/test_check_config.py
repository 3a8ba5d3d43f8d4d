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


# What the report says of options without effect


def explained(folder, name="site.ini"):
    code, text = run(folder, "--explain", name)
    assert code == 0, text
    return text


def site(folder, *lines):
    (folder / "app.py").write_text(APP)
    (folder / "site.ini").write_text(SECTION + "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("line", ["mules = 2", "carbon = a:1", "websockets-max-size = 9"])
def test_what_is_not_yet_there_has_a_letter_of_its_own(tmp_path, line):
    site(tmp_path, line)
    (row,) = (row for row in explained(tmp_path).splitlines() if f"{line}  " in row)
    assert row.split(line)[1].split()[0] == "L" and "not yet in this version" in row


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("carbon = a:1", "carbon"),
        ("websockets-max-size = 9", "websockets-max-size"),
        ("plugin = rpc", "the plugin rpc"),
        ("zerg = /tmp/zerg", "zerg"),
    ],
)
def test_strict_refuses_what_has_no_effect(tmp_path, line, names):
    site(tmp_path, line)
    code, text = run(tmp_path, "--check-config", "site.ini")
    assert "without" in text or "SUPPORTED" in text or "not in this version" in text, text
    assert names in text and started(tmp_path, "site.ini")[0] == 0
    site(tmp_path, line, "strict = true")
    for arguments in (["site.ini", "--test-request", "GET /"], ["--check-config", "site.ini"]):
        code, text = run(tmp_path, *arguments)
        assert code == 1 and names in text, text
    assert "does not start with it" in explained(tmp_path)


def test_strict_takes_what_needs_no_effect(tmp_path):
    site(
        tmp_path, "strict = true", "master = true", "thunder-lock = true", "plugins = python3,http"
    )
    assert started(tmp_path, "site.ini")[0] == 0


@pytest.mark.parametrize(
    "name",
    ["cache", "rpc", "spooler", "router_cache", "router_metrics", "syslog", "rsyslog", "python2"],
)
def test_a_plugin_that_is_not_there_is_a_warning(tmp_path, name):
    site(tmp_path, f"plugins = python3,{name}")
    assert started(tmp_path, "site.ini")[0] == 0
    _, text = run(tmp_path, "--check-config", "site.ini")
    assert f"nothing to do: the plugin {name}" not in text and f"the plugin {name}: " in text
    assert "the plugin python3" not in text
    (row,) = (row for row in explained(tmp_path).splitlines() if "plugins = " in row)
    assert f"{name}: " in row


# Values that mean something else than it seems


def test_of_two_callables_the_modules_own_is_served(tmp_path):
    """uWSGI 2.0.31 serves the module's own, in a file and on the command line."""
    source = APP.replace("application", "own") + APP.replace("hello", "other")
    (tmp_path / "app.py").write_text(source)
    ini = "[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app:own\ncallable = application\n"
    (tmp_path / "site.ini").write_text(ini)
    for arguments in (["site.ini"], ["--module", "app:own", "--callable", "application"]):
        code, text = started(tmp_path, *arguments)
        assert code == 0 and "hello" in text and "other" not in text, text
        _, text = run(tmp_path, "--check-config", *arguments)
        assert "passed over, as in uWSGI" in text
    assert "passed over, as in uWSGI" in explained(tmp_path)


@pytest.mark.parametrize("chdir", [None, "there"])
def test_a_relative_virtualenv_that_is_missing(tmp_path, chdir):
    (tmp_path / "there").mkdir()
    site(tmp_path, "virtualenv = nowhere", *([f"chdir = {chdir}"] if chdir else []))
    code, text = started(tmp_path, "site.ini")
    folder = tmp_path / chdir if chdir else tmp_path
    assert code != 0 and f", {folder}\n" in text and "a relative path is looked for from" in text


@pytest.mark.parametrize("text", ["A=%2x", "A=%2fb", "A=a%20b", "A=%9", "A=%Y"])
def test_a_percent_sign_that_is_lost_is_told(tmp_path, text):
    site(tmp_path, f"env = {text}")
    code, said = run(tmp_path, "--check-config", "site.ini")
    letter = text.split("%")[1][0]
    assert code == 0 and f"%{letter} is" in said and f"write %%{letter}" in said, said
    assert f"write %%{letter}" in explained(tmp_path)


@pytest.mark.parametrize("text", ["A=%%2x", "A=%d", "A=%0-%1", "A=%n", "A=50%"])
def test_a_percent_sign_that_is_meant_is_no_warning(tmp_path, text):
    site(tmp_path, f"env = {text}")
    code, said = run(tmp_path, "--check-config", "site.ini")
    assert code == 0 and "%%" not in said, said


def test_the_limit_of_the_address_space_is_each_workers(serve, tmp_path):
    source = """
    import resource
    def application(environ, start_response):
        start_response("200 OK", [])
        return [str(resource.getrlimit(resource.RLIMIT_AS)[0] >> 20).encode()]
    """
    server = serve("--limit-as", "4096", "--processes", "3", source=source)
    assert server.ask().body == b"12288"
    server.wait_for_log(r"12288 MB of address space, 4096 MB for each of 3 workers")
    site(tmp_path, "limit-as = 512", "processes = 3", "reload-on-uss = 100")
    text = explained(tmp_path)
    assert "limit-as = 512: meant for one of 3" in text and "above 1536 MB" in text
    assert "reload-on-uss = 100: meant for one of 3" in text


def test_a_limit_of_the_address_space_that_is_too_low_is_named(serve):
    server = serve("--limit-as", "600", "--threads", "200", source=APP, wait=False)
    server.exit_code_expected = None
    assert server.wait_for_exit() != 0
    assert "limit-as" in server.log().splitlines()[-1]


def test_main_has_the_memory_of_all_processes(serve):
    server = serve(
        "--isolation", "main", "--processes", "2", "--reload-on-rss", "1",
        "--min-worker-lifetime", "0", source=APP,
    )  # fmt: skip
    server.wait_for_log(r"MB resident for 2 x 1 MB \(--reload-on-rss\)")


# gunicorn


def test_gunicorns_trusted_proxies_and_its_timeout(tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("forwarded_allow_ips = '10.0.0.1,10.0.0.2'\n")
    text = explained(tmp_path, "gunicorn.conf.py")
    assert "\ntrusted-proxies = 10.0.0.1,10.0.0.2\n" in text
    assert "30 seconds" in text and "harakiri = 30" in text
    text = explained(tmp_path, "gunicorn --forwarded-allow-ips=* --timeout 60 app:application")
    assert "\ntrusted-proxies = *\n" in text and "30 seconds" not in text
    assert "harakiri = 60" in text
