"""Upload and download without ever holding the whole body in Python.

    just run examples/streaming.py
    head -c 50M /dev/urandom | curl -T - http://127.0.0.1:8000/upload
    curl http://127.0.0.1:8000/count?to=1000000 | tail -1
    curl http://127.0.0.1:8000/file -o streaming.py

An upload is complete before the app is called: singlemalt keeps it in memory up to a bound and in a temporary
file past it, so a slow client holds no worker, and `wsgi.input` reads like a file here.
"""

import hashlib
import os
from urllib.parse import parse_qs

PIECE = 64 * 1024


def upload(environ, start_response):
    """Reads the body piece by piece and answers with its length and digest."""
    digest = hashlib.sha256()
    length = 0
    while piece := environ["wsgi.input"].read(PIECE):
        digest.update(piece)
        length += len(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{length} bytes, sha256 {digest.hexdigest()}\n".encode()]


def count(environ, start_response):
    """A body of unknown length: one generator, sent in chunks as it is made, at the pace of the client."""
    to = int(parse_qs(environ["QUERY_STRING"]).get("to", ["10"])[0])

    def lines():
        for start in range(1, to + 1, 1000):
            yield "".join(
                f"{number}\n" for number in range(start, min(start + 1000, to + 1))
            ).encode()

    start_response("200 OK", [("Content-Type", "text/plain")])
    return lines()


def file(environ, start_response):
    """A file from disk: with wsgi.file_wrapper its bytes need not pass through Python."""
    opened = open(__file__, "rb")
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/x-python; charset=utf-8"),
            ("Content-Length", str(os.fstat(opened.fileno()).st_size)),
        ],
    )
    return environ["wsgi.file_wrapper"](opened, PIECE)


ROUTES = {
    ("GET", "/count"): count,
    ("GET", "/file"): file,
    ("POST", "/upload"): upload,
    ("PUT", "/upload"): upload,
}


def application(environ, start_response):
    method = "GET" if environ["REQUEST_METHOD"] == "HEAD" else environ["REQUEST_METHOD"]
    route = ROUTES.get((method, environ["PATH_INFO"]))
    if route is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"try /upload (PUT), /count?to=1000 or /file\n"]
    return route(environ, start_response)
