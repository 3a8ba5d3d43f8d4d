"""Versions of an app that return their number, for tests of reloads."""

import contextlib
import os
import signal
import textwrap
import threading

# Returns its version; /held waits at the test's gate, /bad raises if this version is a bad one.
VERSION = """\
    import os
    VERSION = "{version}"

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/held":
            from knock import knock
            knock("request " + VERSION)
        if {is_bad} and path == "/":
            raise RuntimeError("version " + VERSION + " is a bad one")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [VERSION.encode()]
"""


def version(number, is_bad=False):
    return VERSION.format(version=number, is_bad=is_bad)


def rewrite(server, text, name="app.py"):
    """Puts a new file in the old one's place, whole at every moment."""
    fresh = server.directory / "app.fresh"
    fresh.write_text(textwrap.dedent(text))
    fresh.replace(server.directory / name)


def reload(server, text=None):
    if text is not None:
        rewrite(server, text)
    server.send_signal(signal.SIGHUP)


def roll_back(server):
    """The server watches the file `back`."""
    path = server.directory / "back"
    path.touch()
    info = path.stat()
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 1_000_000_000))


def answers(server, count, path="/"):
    return [server.ask(path).text for _ in range(count)]


@contextlib.contextmanager
def visited(server, path="/"):
    """Clients send requests without a pause, on kept connections and on new ones; each response is
    200 and the number of a version.
    """
    done = threading.Event()
    answered, wrong = [], []

    def visit(asks):
        while not done.is_set():
            with server.connect() as connection:
                for _ in range(asks):
                    response = connection.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                    good = response.status == 200 and response.text.isdigit()
                    (answered if good else wrong).append(response)

    visitors = [threading.Thread(target=visit, args=(asks,)) for asks in (20, 20, 1)]
    for visitor in visitors:
        visitor.start()
    try:
        yield
    finally:
        done.set()
        for visitor in visitors:
            visitor.join()
    assert answered and not wrong, wrong[:3]
