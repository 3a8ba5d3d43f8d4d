"""The bars that the project is held to, as ratios to a peer in the same run or as figures of our
own.

Each is (scenario, what it says, how it is read from the tables, comparison, bound). A bar whose
scenario was not measured, or whose peer failed, is reported as such.
"""

import operator

from .peers import OURS

COMPARISONS = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


def ratio(peer, key):
    """Ours divided by the peer's."""

    def read(tables, name):
        return row(tables, name, peer)["ratios"][key]

    return read


def figure(key, label=OURS, scale=1.0):
    def read(tables, name):
        return row(tables, name, label)["figures"][key] * scale

    return read


def best_peer(key):
    """Ours divided by the highest of the others'."""

    def read(tables, name):
        others = [
            one["figures"][key]
            for one in tables[name]["rows"]
            if one["peer"] != OURS and key in one["figures"]
        ]
        return row(tables, name, OURS)["figures"][key] / max(others)

    return read


def against(key, label, other, other_key):
    def read(tables, name):
        return (
            row(tables, name, label)["figures"][key]
            / row(tables, name, other)["figures"][other_key]
        )

    return read


def row(tables, name, label):
    return next(one for one in tables[name]["rows"] if one["label"] == label)


BARS = [
    ("hello-c32", "req/s / bjoern's", ratio("bjoern", "rate"), ">=", 1.25),
    ("hello-c32", "CPU / bjoern's", ratio("bjoern", "cpu"), "<=", 0.80),
    ("hello-c32", "p99 / bjoern's", ratio("bjoern", "p99"), "<=", 1.0),
    ("hello-c32", "req/s / granian's", ratio("granian", "rate"), ">=", 2.0),
    ("hello-c32", "CPU / uWSGI's", ratio("uwsgi", "cpu"), "<=", 0.40),
    ("hello-c1", "req/s / bjoern's", ratio("bjoern", "rate"), ">=", 1.15),
    ("hello-c1", "CPU / bjoern's", ratio("bjoern", "cpu"), "<=", 0.72),
    ("hello-c256", "req/s / bjoern's", ratio("bjoern", "rate"), ">=", 1.2),
    ("hello-c256", "CPU / bjoern's", ratio("bjoern", "cpu"), "<=", 0.80),
    ("browser", "req/s / bjoern's", ratio("bjoern", "rate"), ">=", 1.5),
    ("browser", "CPU / bjoern's", ratio("bjoern", "cpu"), "<=", 0.65),
    ("close", "req/s / bjoern's", ratio("bjoern", "rate"), ">=", 1.0),
    ("close", "CPU / bjoern's", ratio("bjoern", "cpu"), "<=", 1.0),
    ("body-10k", "req/s / bjoern's", ratio("bjoern", "rate"), ">=", 1.1),
    ("post-1k", "req/s / bjoern's", ratio("bjoern", "rate"), ">=", 1.2),
    ("access-log", "req/s / without the log", ratio("singlemalt, log off", "rate"), ">=", 0.90),
    ("workers-2", "CPU / granian's", ratio("granian", "cpu"), "<=", 0.35),
    ("workers-2", "p99 / bjoern's", ratio("bjoern", "p99"), "<=", 1.0),
    ("threads-2x8", "p99, ms", figure("p99", scale=1e-3), "<=", 2.0),
    ("sleep", "share of the ideal", figure("ideal"), ">=", 0.97),
    ("django", "req/s / the best peer's", best_peer("rate"), ">=", 1.15),
    ("django-2", "req/s / the best peer's", best_peer("rate"), ">=", 1.15),
    (
        "memory",
        "Django x 4 / gunicorn's",
        against("django_4", OURS, "gunicorn", "django_4"),
        "<",
        1.0,
    ),
    (
        "memory",
        "Django x 4 / granian's",
        against("django_4", OURS, "granian", "django_4"),
        "<",
        1.0,
    ),
    (
        "memory",
        "Django, main, 4 threads / one interpreter",
        against("django_4", "singlemalt, main, 4 threads", OURS, "django_1"),
        "<=",
        1.2,
    ),
    ("beside-slow", "p99 of the fast ones, ms", figure("p99", scale=1e-3), "<", 1.0),
    ("idle", "bytes per idle connection", figure("bytes"), "<", 1024),
    ("idle", "CPU while 5,000 are idle, %", figure("idle_cpu"), "<=", 0.1),
    ("start", "first answer of hello, ms", figure("hello"), "<", 80),
    (
        "start",
        "a further interpreter, ms",
        figure("further_hello", "singlemalt, 4 interpreters"),
        "<",
        25,
    ),
    ("memory", "hello, MB", figure("hello_1"), "<=", 11),
    ("memory", "a further bare interpreter, MB", figure("further_hello"), "<=", 3),
    ("uwsgi-nginx", "req/s / uWSGI's", ratio("uwsgi", "rate"), ">=", 1.3),
    ("static", "CPU / nginx's", ratio("nginx", "cpu"), "<=", 1.5),
    ("tls", "req/s / granian's", ratio("granian", "rate"), ">=", 1.0),
]

# Those of a build for free-threaded CPython (BENCH_PYTHON=python3.14t).
FREE_THREADED_BARS = [
    ("threads-cpu", "req/s / one thread's", ratio("singlemalt, one thread", "rate"), ">=", 1.85),
    ("threads-django", "req/s / gunicorn's", ratio("gunicorn, 4 processes", "rate"), ">=", 1.0),
    (
        "threads-hello",
        "CPU / with a GIL",
        ratio("singlemalt, default CPython", "cpu"),
        "<=",
        1.2,
    ),
    (
        "memory",
        "Django, main, 4 threads / gunicorn's 4 processes",
        against("django_4", "singlemalt, main, 4 threads", "gunicorn", "django_4"),
        "<=",
        0.6,
    ),
]


def judged(tables):
    """(scenario, text, figure or None, comparison, bound, met or None) of each bar whose scenario
    is in the tables.
    """
    free_threaded = any(one.get("free_threaded") for one in tables.values())
    for name, text, read, comparison, bound in BARS + FREE_THREADED_BARS * free_threaded:
        if name not in tables:
            continue
        try:
            found = read(tables, name)
        except (KeyError, StopIteration, ValueError):
            yield name, text, None, comparison, bound, None
        else:
            yield name, text, found, comparison, bound, COMPARISONS[comparison](found, bound)


def losses(tables, tolerance=0.03):
    """(title, label, what, ours / theirs, remarks): every place where a peer is better by more than
    the tolerance.
    """
    words = {"rate": "req/s", "cpu": "CPU", "p99": "p99"}
    for one in tables.values():
        for theirs in one["rows"]:
            if theirs["peer"] == OURS:
                continue
            for key, found in theirs["ratios"].items():
                if (found < 1 - tolerance) if key == "rate" else (found > 1 + tolerance):
                    yield one["title"], theirs["label"], words[key], found, theirs["remarks"]
