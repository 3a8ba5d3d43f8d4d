"""Performs the operations of the X-Operations field on wsgi.input and returns what each gave."""

import json

from input_operations import digest, perform


def application(environ, start_response):
    stream = environ["wsgi.input"]
    operations = json.loads(environ["HTTP_X_OPERATIONS"])
    results = [digest(perform(stream, name, size)) for name, size in operations]
    payload = json.dumps(results).encode()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))]
    )
    return [payload]
