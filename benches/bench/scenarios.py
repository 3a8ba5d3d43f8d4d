"""The scenarios: request, servers, shape and expected response. The names are those of `just bench
NAME`.
"""

import dataclasses

from .load import Load
from .peers import PEERS, Shape

HELLO = b"Hello\n"
# Fields of a browser besides Host, as in benches/request.rs.
BROWSER = (
    "Connection: keep-alive",
    "Cache-Control: max-age=0",
    "Upgrade-Insecure-Requests: 1",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Site: same-origin",
    "Referer: https://www.example.org/articles",
    "Accept-Encoding: gzip, deflate, br",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Cookie: sessionid=0123456789abcdef; csrftoken=fedcba9876543210",
)
EVERYBODY = tuple(PEERS)
# Those that spread an app over several processes or interpreters.
PARALLEL = ("singlemalt", "bjoern", "granian", "uwsgi", "mod_wsgi", "gunicorn", "gunicorn-sync")
THREADED = (
    "singlemalt",
    "granian",
    "uwsgi",
    "mod_wsgi",
    "pyruvate",
    "gunicorn",
    "waitress",
    "cheroot",
)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One table. `rows` are (label, peer, shape) where a peer stands in it more than once or in
    another shape.
    """

    name: str
    title: str
    app: str = "hello"
    load: Load = Load()
    shape: Shape = Shape()
    peers: tuple = EVERYBODY
    rows: tuple = ()
    # Server on one core and wrk on another; or both on both.
    pinned: bool = True
    # The answer to the request, byte for byte (None: any body with status 200).
    answer: bytes | None = HELLO
    # At least so long a slice, in seconds, where one second is too short.
    seconds: int = 0
    # Which program of special.py measures it; "" is a load of wrk.
    kind: str = ""
    # A client that runs beside wrk in each slice: (what it does, how many of it).
    beside: tuple = ()
    # Requests per second that cannot be surpassed, where waiting bounds them.
    ideal: float | None = None
    # Count system calls in a pass of its own.
    strace: bool = False
    note: str = ""


TEN_KILOBYTES, MEGABYTE = b"0123456789abcde\n" * 640, b"0123456789abcde\n" * 65536
SLEEP = Shape(processes=2, threads=8)

JSON_FIELDS = "ltime addr method uri proto status size uagent referer micros".split()
JSON = "{" + ",".join(f'"{name}":"%({name})"' for name in JSON_FIELDS) + "}"

SCENARIOS = [
    Scenario("hello-c1", "Hello, 1 connection", load=Load(connections=1), strace=True),
    Scenario("hello-c32", "Hello, 32 connections", strace=True),
    Scenario("hello-c256", "Hello, 256 connections", load=Load(connections=256)),
    Scenario("browser", "Hello, 10 header fields of a browser", load=Load(headers=BROWSER)),
    Scenario(
        "close",
        "Hello, a connection for each request",
        load=Load(headers=("Connection: close",)),
        strace=True,
        note="The kernel's connect and close are most of this.",
    ),
    Scenario(
        "pipelining",
        "Hello, 16 requests in one packet",
        load=Load(pipelined=16),
        peers=(*EVERYBODY[:7], "waitress", "cheroot"),
    ),
    Scenario("body-10k", "10 KB body", "bodies", Load("/10k"), answer=TEN_KILOBYTES, strace=True),
    Scenario("body-1m", "1 MB body", "bodies", Load("/1m"), answer=MEGABYTE),
    Scenario(
        "post-1k",
        "POST 1 KB",
        "bodies",
        Load("/post", method="POST", body=1024),
        answer=b"1024\n",
        strace=True,
    ),
    Scenario(
        "post-1m",
        "POST 1 MB",
        "bodies",
        Load("/post", method="POST", body=1 << 20),
        answer=b"%d\n" % (1 << 20),
    ),
    Scenario("stream", "10 KB in ten chunks", "bodies", Load("/stream"), answer=TEN_KILOBYTES),
    Scenario(
        "file-1m",
        "1 MB file by wsgi.file_wrapper",
        "bodies",
        Load("/file"),
        answer=MEGABYTE,
        strace=True,
    ),
    Scenario("flask", "Flask hello", "flask_hello"),
    Scenario("django", "Django hello", "django_site"),
    Scenario(
        "django-page",
        "Django: query, template, middleware",
        "django_site",
        Load("/page"),
        answer=None,
    ),
    Scenario(
        "django-2",
        "Django hello, two interpreters or processes",
        "django_site",
        shape=Shape(processes=2),
        peers=PARALLEL,
        pinned=False,
    ),
    Scenario(
        "workers-2",
        "Hello, two interpreters or processes",
        load=Load(connections=64),
        shape=Shape(processes=2),
        peers=PARALLEL,
        pinned=False,
        note="Server and client share all cores: trust the CPU, not the rates.",
    ),
    Scenario(
        "threads-2x8",
        "Hello, 2 interpreters or processes x 8 threads",
        shape=SLEEP,
        peers=THREADED,
        pinned=False,
    ),
    Scenario(
        "sleep",
        "50 ms of waiting, 2 x 8 threads",
        "sleep",
        shape=SLEEP,
        peers=(*THREADED, "bjoern"),
        pinned=False,
        answer=b"Slept\n",
        ideal=16 / 0.05,
        # The last batch of a slice is cut off: with one second that alone would cost 5 %.
        seconds=4,
    ),
    Scenario(
        "cpu",
        "2 ms of Python, two interpreters or processes",
        "cpu",
        Load(connections=8),
        Shape(processes=2),
        peers=(*PARALLEL, "waitress"),
        rows=(("singlemalt, one interpreter", "singlemalt", Shape()),),
        pinned=False,
        answer=None,
    ),
    Scenario(
        "threads-cpu",
        "2 ms of Python, two threads of one interpreter",
        "cpu",
        Load(connections=8),
        Shape(threads=2, isolation="main"),
        peers=("singlemalt", "gunicorn"),
        rows=(("singlemalt, one thread", "singlemalt", Shape(isolation="main")),),
        pinned=False,
        answer=None,
        note="With a GIL the second thread gains nothing: BENCH_PYTHON=python3.14t measures without.",
    ),
    Scenario(
        "threads-django",
        "Django: query, template, middleware; 4 threads of one interpreter, or 4 processes",
        "django_site",
        Load("/page", connections=8),
        Shape(threads=4, isolation="main"),
        peers=("singlemalt",),
        rows=(("gunicorn, 4 processes", "gunicorn-sync", Shape(processes=4)),),
        pinned=False,
        answer=None,
    ),
    Scenario(
        "threads-hello",
        "Hello, 32 connections, this build and the one for the default CPython",
        shape=Shape(isolation="main"),
        peers=("singlemalt",),
        rows=(("singlemalt, default CPython", "singlemalt-default", Shape(isolation="main")),),
    ),
    Scenario(
        "beside-slow",
        "Hello, 8 connections, beside a client of a 50 ms handler; two interpreters or processes",
        "beside",
        Load(connections=8),
        Shape(processes=2),
        peers=(*PARALLEL, "waitress", "cheroot", "pyruvate"),
        pinned=False,
        beside=("slow", 1),
    ),
    Scenario(
        "access-log",
        "Hello with the access log on, into a file",
        shape=Shape(log=True),
        peers=("granian", "uwsgi", "gunicorn", "mod_wsgi"),
        rows=(
            ("singlemalt", "singlemalt", Shape(log=True)),
            ("singlemalt, ten fields as JSON", "singlemalt", Shape(log=True, log_format=JSON)),
            ("singlemalt, log off", "singlemalt", Shape()),
        ),
    ),
    Scenario(
        "tls",
        "Hello over TLS, kept alive",
        shape=Shape(speaks="tls"),
        peers=("singlemalt", "granian", "uwsgi-router", "gunicorn"),
    ),
    Scenario(
        "uwsgi-nginx",
        "Hello through nginx by uwsgi_pass",
        shape=Shape(speaks="uwsgi"),
        rows=(("singlemalt, proxy_pass with keepalive", "singlemalt", Shape(speaks="kept")),),
        peers=("singlemalt", "uwsgi"),
        strace=True,
        note="nginx and the server share one core, wrk has the other; nginx's own CPU is in a column of its own.",
    ),
    Scenario(
        "static",
        "10 KB file",
        load=Load("/static/10k.txt"),
        shape=Shape(speaks="static"),
        peers=("singlemalt", "nginx"),
        answer=TEN_KILOBYTES,
        strace=True,
    ),
    Scenario("idle", "5,000 idle connections", peers=EVERYBODY, kind="idle"),
    Scenario(
        "dribble",
        "500 clients that send a byte every 0.25 s",
        load=Load(connections=8),
        peers=EVERYBODY,
        kind="dribble",
    ),
    Scenario("start", "From the start to the first answer", kind="start"),
    Scenario("memory", "Memory of the process tree after load", kind="memory"),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
QUICK = ("hello-c1", "hello-c32", "hello-c256", "browser", "close", "body-10k", "post-1k", "django")
