"""Versions of an app that say which they are, for tests of what follows one another."""

import os
import signal
import textwrap

# Says its version; /held waits at the test's gate, /bad raises if this version is a bad one.
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


def rewrite(server, text):
    """Puts a new app.py in the old one's place, whole at every moment."""
    fresh = server.directory / "app.fresh"
    fresh.write_text(textwrap.dedent(text))
    fresh.replace(server.directory / "app.py")


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
