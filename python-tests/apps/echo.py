"""Tells in JSON what reached the application; the tests of HTTP read it.

Every request is also remembered, so that a test can ask whether something got through: `/seen` lists the
REQUEST_URI of all requests so far, this one left out.
"""

import json
import threading

seen = []
seen_lock = threading.Lock()


def application(environ, start_response):
    uri = environ["REQUEST_URI"]
    if uri == "/seen":
        with seen_lock:
            answer = list(seen)
    else:
        with seen_lock:
            seen.append(uri)
        answer = {
            "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
            "body": environ["wsgi.input"].read().decode("latin-1"),
            "input_terminated": environ.get("wsgi.input_terminated"),
        }
    payload = json.dumps(answer).encode()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))]
    )
    return [payload]
