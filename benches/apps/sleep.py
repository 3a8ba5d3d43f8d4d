"""Fifty milliseconds of waiting per request, as for a database."""

import time


def application(environ, start_response):
    time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"Slept\n"]
