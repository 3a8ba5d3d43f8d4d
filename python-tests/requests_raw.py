"""Requests as bytes, written out so that a test shows what is on the wire."""


def get(path="/", *fields, version="1.1", method="GET"):
    lines = [f"{method} {path} HTTP/{version}", "Host: example.com", *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def post(path, body, *fields, version="1.1"):
    return get(path, f"Content-Length: {len(body)}", *fields, method="POST", version=version) + body


def chunked(path, chunks, *fields, trailers=b"", extension=b""):
    head = get(path, "Transfer-Encoding: chunked", *fields, method="POST")
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return head + body + b"0\r\n" + trailers + b"\r\n"
