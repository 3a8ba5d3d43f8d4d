"""The debug application of the environ snapshots: every key, its type and its repr, one per line."""

import io


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    lines = [f"{key}: {type(value).__name__} {value!r}" for key, value in sorted(environ.items())]
    lines.append(f"(body: {len(body)} bytes {body!r})")
    out = io.StringIO()
    out.writelines(f"{line}\n" for line in lines)
    payload = out.getvalue().encode("utf-8", "backslashreplace")
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(payload)))]
    start_response("200 OK", headers)
    return [payload]
