"""`applications = {...}` in the module, and `uwsgi.applications`: what uWSGI 2.0.31 does with them."""

import pytest

APPS = """
def make(name):
    def application(environ, start_response):
        start_response("200 OK", [])
        text = f"{name} {environ['SCRIPT_NAME']}|{environ['PATH_INFO']}"
        return [text.encode()]

    return application


application, two, three = make("one"), make("two"), make("three")
"""
TABLE = "{b'/x': application, '/y': two, '/z': 'three'}\n"
# What uWSGI 2.0.31 answers, with and without manage-script-name: the first one is the root.
MANAGED = {"/": "one |/", "/x/a": "one |/x/a", "/y": "two /y|", "/z/q": "three /z|/q"}


@pytest.mark.parametrize(
    "declared", [f"applications = {TABLE}", f"import uwsgi\nuwsgi.applications = {TABLE}"]
)
@pytest.mark.parametrize("extra", [[], ["--callable", "two"]])
def test_several_apps_of_one_module(serve, declared, extra):
    files = {"several.py": APPS + declared}
    server = serve("--module", "several", "--manage-script-name", *extra, files=files)
    for path, text in MANAGED.items():
        assert server.ask(path).body.decode() == text
    assert "`applications` is served" in server.log()
    server = serve("--module", "several", files=files)
    assert server.ask("/y/a").body == b"one |/y/a"


def test_a_table_of_something_else_is_no_table(serve):
    files = {"several.py": APPS + "applications = {'shop': 3, 'blog': None}\n"}
    server = serve("--module", "several", files=files)
    assert server.ask("/y").body == b"one |/y"


def test_a_file_has_no_table(serve):
    """uWSGI's wsgi-file serves its callable only."""
    files = {"several.py": APPS + f"applications = {TABLE}"}
    server = serve("--wsgi-file", "several.py", "--manage-script-name", files=files)
    assert server.ask("/y").body == b"one |/y"


@pytest.mark.parametrize(("flag", "answer"), [("1", b"two /y|"), ("false", b"one |/y")])
def test_a_file_says_whether_the_path_chooses(serve, flag, answer):
    ini = f"[uwsgi]\nmodule = several\nmanage-script-name = {flag}\n"
    files = {"several.py": f"{APPS}applications = {TABLE}", "site.ini": ini}
    assert serve("site.ini", files=files).ask("/y").body == answer
