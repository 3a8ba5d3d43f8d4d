"""Bodies of several sizes and kinds, by path: what they cost on top of hello."""

import pathlib
import tempfile

TEXT = [("Content-Type", "text/plain")]
KILOBYTES_10 = b"0123456789abcde\n" * 640
MEGABYTE = b"0123456789abcde\n" * 65536
CHUNK = b"0123456789abcde\n" * 64


def whole(body):
    headers = [*TEXT, ("Content-Length", str(len(body)))]

    def answer(environ, start_response):
        start_response("200 OK", list(headers))
        return [body]

    return answer


def streamed(environ, start_response):
    """Ten kilobytes in ten chunks, of a length that nobody says beforehand."""
    start_response("200 OK", list(TEXT))
    return (CHUNK for _ in range(10))


def received(environ, start_response):
    """Reads the request's body and says how long it was."""
    body = b"%d\n" % len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def a_file():
    path = pathlib.Path(tempfile.gettempdir()) / "singlemalt-bench-megabyte"
    if not path.exists() or path.stat().st_size != len(MEGABYTE):
        path.write_bytes(MEGABYTE)

    def answer(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(MEGABYTE)))])
        file = open(path, "rb")
        wrapper = environ.get("wsgi.file_wrapper")
        return wrapper(file, 65536) if wrapper else iter(lambda: file.read(65536), b"")

    return answer


ANSWERS = {
    "/10k": whole(KILOBYTES_10),
    "/1m": whole(MEGABYTE),
    "/stream": streamed,
    "/post": received,
    "/file": a_file(),
}


def application(environ, start_response):
    return ANSWERS[environ["PATH_INFO"]](environ, start_response)
