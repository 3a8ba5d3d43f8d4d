"""An application that leaves threads in long waits takes no more memory however often its interpreters are
replaced.

With SINGLEMALT_STRESS=1 the long form runs: 20,000 requests with max-requests = 100, and 100
reloads of CherryPy with its session cleaner, if the virtualenv that CHERRYPY names has it.
"""

import os
import re
import sys

import pytest
from client import Connection
from requests_raw import get
from storm import pss_megabytes
from versions import reload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

IS_LONG = "SINGLEMALT_STRESS" in os.environ
#: A sleep of the application's, which no test waits for.
SLEEPS = """\
    import threading, time
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    data = [str(number) for number in range(20_000)]
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"1"]
"""
CHERRYPY = """\
    import cherrypy

    class Root:
        @cherrypy.expose
        def index(self):
            cherrypy.session["visits"] = cherrypy.session.get("visits", 0) + 1
            return "1"

    cherrypy.config.update({"environment": "embedded", "log.screen": False})
    application = cherrypy.Application(
        Root(), "/", {"/": {"tools.sessions.on": True, "tools.sessions.clean_freq": 60}}
    )
"""


def flat(server, after_five, at_end):
    print(f"PSS after the fifth {after_five:.1f} MB, at the end {at_end:.1f} MB")
    assert at_end <= after_five * 1.15
    assert "parked" not in server.log()
    assert server.stop() == 0


def test_recycling(serve):
    requests_max, recycled = (100, 200) if IS_LONG else (10, 30)
    server = serve(
        *("--isolation", "own-gil", "--max-requests", requests_max, "--min-worker-lifetime", "0"),
        "--disable-logging",
        source=SLEEPS,
    )
    pss, asked = [], 0

    def fresh():
        return len(re.findall(r"has a fresh interpreter", server.log()))

    while fresh() < recycled or asked < requests_max * recycled:
        before = fresh()
        with Connection(server.address) as connection:
            for _ in range(requests_max):
                assert connection.ask(get("/")).text == "1"
                asked += 1
        server.wait_until(lambda before=before: fresh() > before, what="a fresh interpreter")
        pss.append(pss_megabytes(server.process.pid))
    flat(server, pss[4], pss[-1])


def reload_often(server, reloads):
    pss = []
    for count in range(1, reloads + 1):
        # The session cleaner starts with a request.
        assert server.ask("/").text == "1"
        reload(server)
        server.wait_for_log(r"generation \d+ ended \(", count=count, seconds=60)
        pss.append(pss_megabytes(server.process.pid))
    flat(server, pss[4], pss[-1])


def test_reloads(serve):
    server = serve("--isolation", "own-gil", "--processes", "2", source=SLEEPS)
    reload_often(server, 100 if IS_LONG else 15)


@pytest.mark.skipif("CHERRYPY" not in os.environ, reason="CHERRYPY names no virtualenv with it")
def test_reloads_of_cherrypy(serve):
    server = serve(
        *("--isolation", "own-gil", "--processes", "4", "--virtualenv", os.environ["CHERRYPY"]),
        source=CHERRYPY,
    )
    reload_often(server, 100)
