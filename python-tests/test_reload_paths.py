"""A reload resolves every configured path anew: a deployment switches a symbolic link."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
from conftest import FREE_THREADED, HAS_OWN_GIL, PYTHON

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="a reload is asked for by SIGHUP"
)
OWN_GIL = pytest.mark.skipif(not HAS_OWN_GIL, reason="needs own-GIL interpreters")
BOTH = pytest.mark.parametrize("isolation", [pytest.param("own-gil", marks=OWN_GIL), "main"])

APP = """\
import sys
from fromvenv import VENV
from release import NAME

DATA = open("data.txt").read()


def application(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise RuntimeError("as asked")
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = [NAME, DATA, open("data.txt").read(), VENV]
    return [" ".join(names).encode()]
"""

SETTINGS = """\
[uwsgi]
chdir = current
wsgi-file = app.py
pythonpath = lib
virtualenv = venv
static-map = /static=static
error-page-500 = 500.html
"""


def make_release(site, name):
    """A release that says its name from the code, a file, a library, a virtualenv."""
    folder = site / "releases" / name
    library = "python{}.{}".format(*PYTHON) + ("t" if FREE_THREADED else "")
    packages = folder / "venv/lib" / library / "site-packages"
    for path in (folder / "lib", folder / "static", folder / "venv/bin", packages):
        path.mkdir(parents=True)
    python = Path(sys._base_executable)
    version = ".".join(map(str, sys.version_info[:3]))
    (folder / "venv/pyvenv.cfg").write_text(f"home = {python.parent}\nversion = {version}\n")
    (folder / "venv/bin/python").symlink_to(python)
    (packages / "fromvenv.py").write_text(f"VENV = {name!r}\n")
    (folder / "lib/release.py").write_text(f"NAME = {name!r}\n")
    (folder / "app.py").write_text(APP)
    (folder / "data.txt").write_text(name)
    (folder / "static/name.txt").write_text(name)
    (folder / "500.html").write_text(f"<p>{name}</p>")
    return folder


def switch(site, name):
    """As deployments do it: in one step."""
    (site / "next").symlink_to(Path("releases") / name)
    (site / "next").rename(site / "current")


def reload(server):
    before = server.log().count(" serves (") + server.log().count("is the server now")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(r" serves \(|is the server now", count=before + 1)


@BOTH
def test_a_switched_link_is_followed_by_every_path(serve, tmp_path, isolation):
    make_release(tmp_path, "one")
    switch(tmp_path, "one")
    (tmp_path / "site.ini").write_text(SETTINGS)
    server = serve(
        *("site.ini", "--isolation", isolation, "--processes", "2"),
        directory=tmp_path,
        virtualenv=False,
    )
    for name, before in (("two", "one"), ("three", "two")):
        assert server.ask("/").text == f"{before} {before} {before} {before}"
        make_release(tmp_path, name)
        switch(tmp_path, name)
        shutil.rmtree(tmp_path / "releases" / before)
        reload(server)
        for _ in range(4):
            assert server.ask("/").text == f"{name} {name} {name} {name}"
        assert server.ask("/static/name.txt").text == name
        assert server.ask("/fails").text == f"<p>{name}</p>"


@BOTH
def test_a_server_that_was_started_inside_the_link_follows_it(serve, tmp_path, isolation):
    make_release(tmp_path, "one")
    switch(tmp_path, "one")
    server = serve(
        *("--wsgi-file", "app.py", "--pythonpath", "lib", "--virtualenv", "venv"),
        *("--isolation", isolation),
        directory=tmp_path / "current",
        environment={"PWD": str(tmp_path / "current")},
        virtualenv=False,
    )
    assert server.ask("/").text == "one one one one"
    make_release(tmp_path, "two")
    switch(tmp_path, "two")
    shutil.rmtree(tmp_path / "releases/one")
    reload(server)
    assert server.ask("/").text == "two two two two"


@OWN_GIL
def test_a_release_that_does_not_load_leaves_the_old_folder_in_place(serve, tmp_path):
    make_release(tmp_path, "one")
    switch(tmp_path, "one")
    (tmp_path / "site.ini").write_text(SETTINGS)
    server = serve("site.ini", directory=tmp_path, virtualenv=False)
    broken = make_release(tmp_path, "broken")
    (broken / "app.py").write_text("1 / 0\n")
    switch(tmp_path, "broken")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("reload failed: the application could not be loaded")
    assert server.ask("/").text == "one one one one"
    # A virtualenv that is not there, and a folder that is not there.
    shutil.rmtree(broken / "venv")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("reload failed: virtualenv .*there is no|reload failed: virtualenv .*not")
    (tmp_path / "current").unlink()
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("reload failed: chdir .*: cannot change to .*current")
    assert server.ask("/").text == "one one one one"
    switch(tmp_path, "one")
    reload(server)
    assert server.ask("/").text == "one one one one"


@OWN_GIL
def test_an_application_below_the_link_is_found_again(serve, tmp_path):
    """The link stands in the paths themselves, and nothing changes the directory."""
    make_release(tmp_path, "one")
    switch(tmp_path, "one")
    settings = """\
    [uwsgi]
    wsgi-file = current/named.py
    static-check = current/static
    venv = current/venv
    """
    server = serve(
        "site.ini",
        directory=tmp_path,
        virtualenv=False,
        files={
            "site.ini": settings,
            "releases/one/named.py": NAMED.format("one"),
        },
    )
    assert server.ask("/").text == "one one"
    make_release(tmp_path, "two")
    (tmp_path / "releases/two/named.py").write_text(NAMED.format("two"))
    switch(tmp_path, "two")
    shutil.rmtree(tmp_path / "releases/one")
    reload(server)
    assert server.ask("/").text == "two two"
    assert server.ask("/name.txt").text == "two"


@OWN_GIL
def test_a_watched_file_is_that_of_the_release_that_serves(serve, tmp_path):
    make_release(tmp_path, "one")
    switch(tmp_path, "one")
    (tmp_path / "site.ini").write_text(SETTINGS + "touch-reload = data.txt\n")
    server = serve("site.ini", directory=tmp_path, virtualenv=False)
    make_release(tmp_path, "two")
    switch(tmp_path, "two")
    # The file that the link leads to is another one now.
    server.wait_for_log(r"touch-reload: .*current/data.txt has changed: reloading")
    server.wait_for_log(r"generation 2 serves \(")
    shutil.rmtree(tmp_path / "releases/one")
    (tmp_path / "releases/two/data.txt").write_text("touched")
    server.wait_for_log(r"generation 3 serves \(")
    assert server.ask("/").text == "two touched touched two"


NAMED = """\
from fromvenv import VENV


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("{} " + VENV).encode()]
"""
