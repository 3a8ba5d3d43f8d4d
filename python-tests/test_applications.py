"""Several applications in one process: which one gets a request, the path that it sees, and that an
application that fails to load does not affect the others.
"""

import json
import signal
import textwrap

import pytest
from client import together
from front_end import ask_uwsgi
from requests_raw import get
from test_frameworks import needs
from test_isolation import HAS_OWN_GIL, MODES, own_gil_only

from server import APPS

# Says which application this is, how it was called, and what it sees of the path.
WHO = """
    import json

    def make(name):
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps([name, environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]
        return app

    application = make(__name__.removeprefix("uwsgi_file_"))
    other = make("other")
"""
BROKEN = (
    "def application(environ, start_response):\n    return []\n\nraise KeyError('the reason')\n"
)
FILES = {"root.py": WHO, "shop.py": WHO, "blog.py": WHO, "pkg/__init__.py": "", "pkg/inner.py": WHO}


def refused(serve, *arguments, code=1, **keywords):
    """The log of a server that does not start."""
    server = serve(*arguments, wait=False, **keywords)
    server.exit_code_expected = code
    assert server.wait_for_exit() == code
    return server.log()


def raw(server, path, host="localhost"):
    with server.connect() as connection:
        return connection.ask(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )


# Which application, and its path


@pytest.fixture(scope="module")
def shops(serve_module):
    mounts = [
        "/a=shop.py",
        "/a/b=pkg.inner",
        "/ab=pkg.inner:other",
        "/made=pkg.inner:make('made')",
        "/caf\u00e9=blog",
    ]
    arguments = [part for mount in mounts for part in ("--mount", mount)]
    return serve_module("root.py", *arguments, "--manage-script-name", files=FILES)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ["root", "", "/"]),
        ("/x/y", ["root", "", "/x/y"]),
        ("/a", ["shop", "/a", ""]),
        ("/a/", ["shop", "/a", "/"]),
        ("/a/x?b=/ab", ["shop", "/a", "/x"]),
        ("/a/bc", ["shop", "/a", "/bc"]),
        ("/a/b", ["pkg.inner", "/a/b", ""]),
        ("/a/b/c/", ["pkg.inner", "/a/b", "/c/"]),
        ("/ab", ["other", "/ab", ""]),
        ("/ab/a", ["other", "/ab", "/a"]),
        ("/abc", ["root", "", "/abc"]),
        ("/made/x", ["made", "/made", "/x"]),
        ("//a", ["root", "", "//a"]),
        ("/A", ["root", "", "/A"]),
        # The mount is found in the decoded path, as a whole segment.
        ("/a/b%2Fc", ["pkg.inner", "/a/b", "/c"]),
        ("/%61/x", ["shop", "/a", "/x"]),
        ("/a%2Fb/x", ["pkg.inner", "/a/b", "/x"]),
        ("/a%2Fx", ["shop", "/a", "/x"]),
        ("/a%", ["root", "", "/a%"]),
        ("/a/../ab", ["shop", "/a", "/../ab"]),
        ("/caf%C3%A9/x", ["blog", "/caf\u00c3\u00a9", "/x"]),
        ("http://localhost/a/x", ["shop", "/a", "/x"]),
    ],
)
def test_the_longest_prefix_wins(shops, path, expected):
    assert raw(shops, path).json() == expected


def test_the_asterisk_belongs_to_the_default(shops):
    with shops.connect() as connection:
        response = connection.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert response.json() == ["root", "", ""]


def test_several_applications_on_one_connection(shops):
    with shops.connect() as connection:
        for _ in range(3):
            assert connection.ask(get("/a/1")).json() == ["shop", "/a", "/1"]
            assert connection.ask(get("/b")).json() == ["root", "", "/b"]
            assert connection.ask(get("/ab")).json() == ["other", "/ab", ""]


def test_a_client_cannot_name_the_application(shops):
    """SCRIPT_NAME and UWSGI_APPID come from the web server in front; HTTP has neither."""
    with shops.connect() as connection:
        response = connection.ask(get("/x", "Script-Name: /a", "UWSGI-APPID: /a"))
        assert response.json() == ["root", "", "/x"]


def test_the_report_names_each(shops):
    lines = shops.log()
    assert "app 0 at /: root.py, callable 'application', loaded in" in lines
    assert "app 1 at /a: shop.py, callable 'application', loaded in" in lines
    assert "app 4 at /made: pkg.inner, callable 'make('made')', loaded in" in lines
    assert "what no mount holds goes to app 0" in lines


# Without manage-script-name, and the default


def test_without_manage_script_name_all_goes_to_the_default(serve):
    """As in uWSGI; the server reports unreachable mounts."""
    server = serve("root.py", "--mount", "/a=shop.py", "--mount", "/b=blog.py", files=FILES)
    assert server.ask("/a/x").json() == ["root", "", "/a/x"]
    assert (
        "no request over HTTP reaches what is mounted at /a, /b: add manage-script-name"
        in server.log()
    )


def test_the_first_mount_is_the_default(serve):
    server = serve(
        "--mount", "/a=shop.py", "--mount", "/b=blog.py", "--manage-script-name", files=FILES
    )
    assert server.ask("/b/x").json() == ["blog", "/b", "/x"]
    assert server.ask("/c/x").json() == ["shop", "", "/c/x"]
    assert "reaches" not in server.log()


def test_no_default_app(serve):
    arguments = [
        "--mount",
        "/a=shop.py",
        "--mount",
        "/b=blog.py",
        "--manage-script-name",
        "--no-default-app",
    ]
    server = serve(*arguments, files=FILES)
    assert server.ask("/b/x").json() == ["blog", "/b", "/x"]
    for _ in range(2):
        assert server.ask("/c/x").status == 500
    assert "what no mount holds is answered 500" in server.log()
    server.wait_for_log("no application is mounted for /c/x of host")
    assert server.log().count("no application is mounted for") == 1


def test_eval_beside_mounts(serve):
    code = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'eval']\n"
    server = serve("--eval", code, "--mount", "/a=shop.py", "--manage-script-name", files=FILES)
    assert server.ask("/").text == "eval"
    assert server.ask("/a").json() == ["shop", "/a", ""]


def test_callable_holds_for_mounts(serve):
    """As in uWSGI; a mount may still name its own."""
    arguments = [
        "--mount",
        "/a=shop.py",
        "--mount",
        "/b=pkg.inner:application",
        "--callable",
        "other",
        "--manage-script-name",
    ]
    server = serve(*arguments, files=FILES)
    assert server.ask("/a").json()[0] == "other"
    assert server.ask("/b").json()[0] == "pkg.inner"


def test_in_a_file(serve):
    ini = "[uwsgi]\nmanage-script-name = true\nmount = /a=shop.py\nmount = other.example/b=blog.py\nmount=shop.example=pkg.inner\nmodule = root\nmax-apps = 3\nvhost = true\n"
    server = serve("site.ini", files={**FILES, "site.ini": ini})
    assert raw(server, "/b/x").json() == ["root", "", "/b/x"]
    assert raw(server, "/a/x").json() == ["shop", "/a", "/x"]
    assert raw(server, "/b/x", host="other.example").json() == ["blog", "/b", "/x"]
    assert raw(server, "/", host="shop.example:80").json() == ["pkg.inner", "", "/"]


def test_the_sample_of_the_document(serve):
    document = (APPS.parent.parent / "docs" / "applications.md").read_text()
    sample = document.partition("```ini\n")[2].partition("```")[0]
    assert "http = :8000\n" in sample
    factory = WHO + "\n    create_app = make\n"
    files = {
        "site.py": WHO,
        "shop.py": WHO,
        "blog.py": WHO,
        "docs.py": WHO,
        "api/__init__.py": "",
        "api/wsgi.py": factory,
    }
    server = serve(
        "sample.ini", files={**files, "sample.ini": sample.replace("http = :8000\n", "")}
    )
    assert raw(server, "/x").json() == ["site", "", "/x"]
    assert raw(server, "/shop/x").json() == ["shop", "/shop", "/x"]
    assert raw(server, "/api/x").json() == ["v2", "/api", "/x"]
    assert raw(server, "/shop/x", "blog.example.org").json() == ["blog", "", "/shop/x"]
    assert raw(server, "/docs/x", "www.example.org").json() == ["docs", "/docs", "/x"]


# Hosts


@pytest.fixture(scope="module")
def hosts(serve_module):
    mounts = [
        "one.example=shop.py",
        "one.example/b=blog.py",
        "*.one.example=pkg.inner",
        "/b=pkg.inner:other",
    ]
    arguments = [part for mount in mounts for part in ("--mount", mount)]
    return serve_module("root.py", *arguments, "--manage-script-name", files=FILES)


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("one.example", "/", ["shop", "", "/"]),
        ("ONE.example:8080", "/x", ["shop", "", "/x"]),
        ("one.example.", "/x", ["shop", "", "/x"]),
        ("one.example", "/b/x", ["blog", "/b", "/x"]),
        ("one.example", "/bb", ["shop", "", "/bb"]),
        ("www.one.example", "/b", ["pkg.inner", "", "/b"]),
        ("two.example", "/b/x", ["other", "/b", "/x"]),
        ("two.example", "/x", ["root", "", "/x"]),
        ("notone.example", "/x", ["root", "", "/x"]),
        ("[::1]:80", "/x", ["root", "", "/x"]),
    ],
)
def test_hosts(hosts, host, path, expected):
    assert raw(hosts, path, host).json() == expected


def test_the_authority_of_an_absolute_target_is_the_host(hosts):
    assert raw(hosts, "http://one.example/b", "one.example").json() == ["blog", "/b", ""]


def test_hosts_alone_leave_other_hosts_without_an_application(serve):
    """No manage-script-name is needed where there is no prefix."""
    server = serve("--mount", "one.example=shop.py", "--mount", "two.example=blog.py", files=FILES)
    assert raw(server, "/x", "one.example").json() == ["shop", "", "/x"]
    assert raw(server, "/x", "two.example").json() == ["blog", "", "/x"]
    assert raw(server, "/x", "three.example").status == 500


# An application that fails to load


@pytest.mark.parametrize("mode", MODES)
def test_a_broken_mount_leaves_the_others_alone(serve, mode):
    mounts = ["--mount", "/bad=broken.py", "--mount", "/gone=nowhere.py", "--mount", "/a=shop.py"]
    arguments = [
        *mounts,
        "--manage-script-name",
        "--need-app",
        "--processes",
        2,
        "--threads",
        2,
        "--isolation",
        mode,
    ]
    server = serve("root.py", *arguments, files={**FILES, "broken.py": BROKEN})
    for _ in range(8):
        assert server.ask("/bad/x").status == 500
        assert server.ask("/gone/x").status == 500
        assert server.ask("/a/x").json() == ["shop", "/a", "/x"]
        assert server.ask("/x").json() == ["root", "", "/x"]
    log = server.log()
    assert log.count("[ERROR] /bad: loading broken.py failed: KeyError: 'the reason'") == 1, (
        "told once, not by each interpreter"
    )
    assert "there is no file nowhere.py" in log
    assert "app 1 at /bad: NONE, its requests are answered 500, see above" in log
    assert "Traceback (most recent call last)" in log


def test_a_broken_root_leaves_the_mounts_alone(serve):
    server = serve(
        "broken.py",
        "--mount",
        "/a=shop.py",
        "--manage-script-name",
        files={**FILES, "broken.py": BROKEN},
    )
    assert server.ask("/x").status == 500
    assert server.ask("/a/x").json() == ["shop", "/a", "/x"]


def test_all_of_them_broken(serve):
    arguments = ["--mount", "/a=broken.py", "--mount", "/b=nowhere.py", "--manage-script-name"]
    server = serve(*arguments, files={"broken.py": BROKEN})
    assert server.ask("/a").status == 500
    assert "none of them could be loaded, see above" in server.log()
    log = refused(serve, *arguments, "--need-app", files={"broken.py": BROKEN}, code=22)
    assert "error: /a: loading broken.py failed: KeyError: 'the reason'" in log
    assert "/b: there is no file nowhere.py" in log


@own_gil_only
@needs("numpy")
def test_one_that_needs_the_main_interpreter_takes_all_there(serve):
    numeric = "import numpy\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [str(numpy.arange(4).sum()).encode()]\n"
    arguments = [
        "--mount",
        "/a=shop.py",
        "--mount",
        "/n=numeric.py",
        "--manage-script-name",
        "--processes",
        2,
    ]
    server = serve("root.py", *arguments, files={**FILES, "numeric.py": numeric})
    assert server.ask("/n").text == "6"
    assert server.ask("/a/x").json() == ["shop", "/a", "/x"]
    log = server.log()
    assert "isolation: main, all threads share the main interpreter, because" in log
    assert "numpy" in log
    assert log.count("app 2 at /n: numeric.py") == 1
    # Where isolation was asked for, the others are served isolated, and this one is not.
    server = serve(
        "root.py", *arguments, "--isolation", "own-gil", files={**FILES, "numeric.py": numeric}
    )
    assert server.ask("/n").status == 500
    assert server.ask("/a/x").json() == ["shop", "/a", "/x"]
    assert "app 2 at /n: NONE" in server.log()


# Modules are shared


@pytest.mark.parametrize("mode", MODES)
def test_what_is_mounted_twice_is_loaded_once(serve, mode):
    files = {
        "seen.py": "count = []\n",
        "twice.py": """
            import os, seen
            seen.count.append(1)

            def make(name):
                seen.count.append(name)
                def app(environ, start_response):
                    start_response("200 OK", [])
                    return [f"{name} {seen.count}".encode()]
                return app

            one = make("one")
        """,
    }
    arguments = [
        "--mount",
        "/a=twice.py:one",
        "--mount",
        "/b=./twice.py:make('b')",
        "--mount",
        "/c=twice.py:make('c')",
    ]
    server = serve(
        *arguments, "--manage-script-name", "--processes", 2, "--isolation", mode, files=files
    )
    for _ in range(6):
        assert server.ask("/a").text == "one [1, 'one', 'b', 'c']"
        assert server.ask("/b").text == "b [1, 'one', 'b', 'c']"
        assert server.ask("/c").text == "c [1, 'one', 'b', 'c']"


def test_imports_come_once_before_all(serve):
    files = {
        **FILES,
        "order.py": "seen = []\n",
        "first.py": "import order\norder.seen.append('first')\n",
        "tell.py": "import order\nseen = list(order.seen)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [' '.join(seen).encode()]\n",
    }
    server = serve(
        "root.py",
        "--import",
        "first.py",
        "--mount",
        "/t=tell.py",
        "--manage-script-name",
        files=files,
    )
    assert server.ask("/t").text == "first"


# Workers


@pytest.mark.parametrize("mode", MODES)
def test_every_worker_serves_every_application(serve, mode):
    mounts = ["--mount", "/a=shop.py", "--mount", "/b=blog.py", "--mount", "/c=pkg.inner:make('c')"]
    server = serve(
        "root.py",
        *mounts,
        "--manage-script-name",
        "--processes",
        2,
        "--threads",
        2,
        "--isolation",
        mode,
        files=FILES,
    )
    expected = {
        "/a/1": ["shop", "/a", "/1"],
        "/b": ["blog", "/b", ""],
        "/c/": ["c", "/c", "/"],
        "/": ["root", "", "/"],
    }

    def visit(number):
        with server.connect() as connection:
            for step in range(40):
                path = list(expected)[(number + step) % len(expected)]
                assert connection.ask(get(path)).json() == expected[path]

    together(8, visit)


# Frameworks


@needs("flask")
@pytest.mark.parametrize("mode", MODES)
def test_flask_below_a_prefix(serve, mode):
    source = (APPS / "flask_app.py").read_text()
    extra = '\n\n@app.get("/where/<path:rest>")\ndef where(rest):\n    return " ".join([url_for("hello"), url_for("where", rest="b c"), request.script_root, request.path, rest])\n'
    files = {**FILES, "site_flask.py": source + extra}
    server = serve(
        "root.py",
        "--mount",
        "/flask=site_flask.py:app",
        "--mount",
        "/plain=shop.py",
        "--manage-script-name",
        "--isolation",
        mode,
        files=files,
    )
    assert server.ask("/flask/hello").text == "Hello World!"
    assert (
        server.ask("/flask/where/a%2Fb").text
        == "/flask/hello /flask/where/b%20c /flask /where/a/b a/b"
    )
    assert server.ask("/plain/x").json() == ["shop", "/plain", "/x"]
    assert server.ask("/hello").json() == ["root", "", "/hello"]


@needs("django")
@needs("flask")
@pytest.mark.parametrize("mode", MODES)
def test_django_beside_flask(serve, mode, tmp_path):
    # The second spelling is a module to uWSGI, too; the first would be a file, if there were one.
    mounts = [
        "--mount",
        "/dj=site_app.wsgi",
        "--mount",
        "/again=site_app.wsgi:application",
        "--mount",
        "/flask=flask_app.py",
    ]
    arguments = [
        "root.py",
        *mounts,
        "--manage-script-name",
        "--pythonpath",
        APPS / "django_project",
        "--processes",
        2,
        "--isolation",
        mode,
    ]
    flask_app = (APPS / "flask_app.py").read_text()
    server = serve(
        *arguments,
        files={**FILES, "flask_app.py": flask_app},
        environment={"DJANGO_DATA": str(tmp_path)},
    )
    assert server.ask("/flask/hello").text == "Hello World!"
    assert server.ask("/dj/hello/").text == "Hello from Django"
    # Django adds the prefix to the URLs that it makes: the login page of the admin is its own
    # answer.
    response = server.ask("/dj/admin/")
    assert (response.status, response.headers["Location"]) == (
        302,
        "/dj/admin/login/?next=/dj/admin/",
    )
    assert server.ask("/again/hello/").text == "Hello from Django"
    assert server.ask("/").json() == ["root", "", "/"]


# A web server in front that names the application


@pytest.fixture(scope="module")
def behind(serve_module):
    mounts = ["--mount", "/a=shop.py", "--mount", "/b=blog.py", "--mount", "v.example/a=pkg.inner"]
    return serve_module("root.py", *mounts, "--uwsgi-socket", "127.0.0.1:0", listen=(), files=FILES)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SCRIPT_NAME": "", "PATH_INFO": "/a/x"}, ["root", "", "/a/x"]),
        ({"SCRIPT_NAME": "/a", "PATH_INFO": "/x"}, ["shop", "/a", "/x"]),
        # As in uWSGI, the application sees exactly what the web server sent.
        ({"SCRIPT_NAME": "/a", "PATH_INFO": "/a/x"}, ["shop", "/a", "/a/x"]),
        ({"SCRIPT_NAME": "/a/", "PATH_INFO": "/x"}, ["shop", "/a/", "/x"]),
        ({"SCRIPT_NAME": "/c", "PATH_INFO": "/x"}, ["root", "/c", "/x"]),
        (
            {"SCRIPT_NAME": "/a", "PATH_INFO": "/x", "HTTP_HOST": "v.example:80"},
            ["pkg.inner", "/a", "/x"],
        ),
        ({"SCRIPT_NAME": "/b", "PATH_INFO": "/x", "HTTP_HOST": "v.example"}, ["blog", "/b", "/x"]),
        ({"SCRIPT_NAME": "/a", "PATH_INFO": "/x", "UWSGI_APPID": "/b"}, ["blog", "/a", "/x"]),
        (
            {"SCRIPT_NAME": "", "PATH_INFO": "/x", "UWSGI_APPID": "v.example|/a"},
            ["pkg.inner", "", "/x"],
        ),
    ],
)
def test_script_name_names_the_application(behind, variables, expected):
    assert json.loads(ask_uwsgi(behind.address, "/asked", **variables).body) == expected
    assert "reaches" not in behind.log()


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        (["--manage-script-name"], {"SCRIPT_NAME": "", "PATH_INFO": "/a/x"}, ["shop", "/a", "/x"]),
        (
            ["--manage-script-name"],
            {"SCRIPT_NAME": "/b", "PATH_INFO": "/a/x"},
            ["shop", "/a", "/x"],
        ),
        (["--manage-script-name"], {"SCRIPT_NAME": "/b", "PATH_INFO": "/x"}, ["blog", "/b", "/x"]),
        (
            ["--manage-script-name"],
            {"SCRIPT_NAME": "", "PATH_INFO": "/%61/x"},
            ["root", "", "/%61/x"],
        ),
        (["--ignore-script-name"], {"SCRIPT_NAME": "/a", "PATH_INFO": "/x"}, ["root", "/a", "/x"]),
    ],
)
def test_options_about_script_name(serve, arguments, variables, expected):
    mounts = ["--mount", "/a=shop.py", "--mount", "/b=blog.py"]
    server = serve(
        "root.py", *mounts, *arguments, "--uwsgi-socket", "127.0.0.1:0", listen=(), files=FILES
    )
    assert json.loads(ask_uwsgi(server.address, "/asked", **variables).body) == expected


# Reload


SAYS = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"{} {}"]
"""


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "main"])
@pytest.mark.skipif(not HAS_OWN_GIL, reason="3.12 is main, which cannot be renewed")
def test_a_reload_renews_all_or_none(serve, mode):
    files = {"root.py": SAYS.format("root", 1), "shop.py": SAYS.format("shop", 1), "bad.py": BROKEN}
    mounts = ["--mount", "/a=shop.py", "--mount", "/bad=bad.py"]
    server = serve(
        "root.py",
        *mounts,
        "--manage-script-name",
        "--processes",
        2,
        "--isolation",
        mode,
        files=files,
    )
    answers = lambda: (
        [server.ask(path).text.strip() for path in ("/", "/a")] + [server.ask("/bad").status]
    )
    assert answers() == ["root 1", "shop 1", 500]

    def reload(**sources):
        for name, source in sources.items():
            (server.directory / f"{name}.py").write_text(textwrap.dedent(source))
        server.send_signal(signal.SIGHUP)

    # An application that is served fails to load: the old version of all of them stays.
    reload(root=SAYS.format("root", 2), shop=BROKEN)
    server.wait_for_log(
        "reload failed: the application could not be loaded, see above; generation 1 serves on"
    )
    assert answers() == ["root 1", "shop 1", 500]
    # An application that was broken from the start does not prevent the reload, and may load now.
    reload(shop=SAYS.format("shop", 3))
    server.wait_for_log("generation 3 serves")
    assert answers() == ["root 2", "shop 3", 500]
    reload(bad=SAYS.format("mended", 4))
    server.wait_for_log("generation 4 serves")
    assert server.ask("/bad").text == "mended 4"


# Invalid configurations


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ["--mount", "/a=root.py", "--mount", "/a/=shop.py"],
            "--mount wants '/a/', which --mount (command line) has already",
        ),
        (
            ["--mount", "A.example/a=root.py", "--mount", "a.example/a/=shop.py"],
            "which --mount (command line) has already",
        ),
        (
            ["root.py", "--mount", "/=shop.py"],
            "--mount (command line) and root.py both name the application at the root",
        ),
        (
            ["--eval", "application = 1", "--module", "root"],
            "--eval (command line) and root both name the application at the root",
        ),
        (
            ["root.py", "shop.py"],
            "two applications are named: root.py (command line) and shop.py (command line)",
        ),
        (
            ["--mount", "a.example:80/x=root.py"],
            "--mount wants the name of a host, got 'a.example:80'",
        ),
        (["--mount", "*/x=root.py"], "--mount wants the name of a host, got '*'"),
        (["--mount", "a b/x=root.py"], "--mount wants the name of a host, got 'a b'"),
        (["--mount", "/x"], "--mount wants PREFIX=APPLICATION, got '/x'"),
    ],
)
def test_mounts_that_cannot_be_meant(serve, arguments, why):
    assert why in refused(serve, *arguments, files=FILES)


# Without GILs of their own two processes become one interpreter with two threads.
WORKERS_OF_TWO = (1, 2) if HAS_OWN_GIL else (1,)


def test_each_application_counts_for_itself(serve):
    """`uwsgi.workers()[..]['apps']`, as uWSGI has it."""
    counting = """
        import uwsgi

        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr([{**app, "worker": worker["id"]} for worker in uwsgi.workers() for app in worker["apps"]]).encode()]
    """
    failing = """
        def application(environ, start_response):
            raise ValueError("as asked")
    """
    server = serve(
        *(
            "--mount",
            "/count=counting.py",
            "--mount",
            "/fail=failing.py",
            "--manage-script-name",
            "--processes",
            2,
        ),
        files={"counting.py": counting, "failing.py": failing},
    )
    for _ in range(6):
        assert server.ask("/fail").status == 500

    def apps():
        return eval(server.ask("/count").text)

    def sums(name):
        return [sum(app[name] for app in apps() if app["id"] == number) for number in (0, 1)]

    # Another worker may answer before the one that failed has counted it.
    server.wait_until(lambda: sums("exceptions") == [0, 6], what="six exceptions are counted")
    assert sums("requests")[1] == 6
    assert sums("requests")[0] >= 2
    found = {(app["worker"], app["id"], app["mountpoint"]) for app in apps()}
    assert found == {
        (worker, *app) for worker in WORKERS_OF_TWO for app in [(0, b"/count"), (1, b"/fail")]
    }
    assert set(apps()[0]) >= {
        "id",
        "modifier1",
        "mountpoint",
        "startup_time",
        "requests",
        "exceptions",
        "chdir",
    }
