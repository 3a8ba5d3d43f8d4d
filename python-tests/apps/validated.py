"""Well-behaved applications, each inside wsgiref's validator: whatever the server does wrong is an AssertionError."""

import io
import warnings
from wsgiref.validate import validator

warnings.simplefilter("always")
TEXT = [("Content-Type", "text/plain")]


def hello(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]


def stream(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"a"
    yield b"b"


def write(environ, start_response):
    start_response("200 OK", TEXT)(b"written ")
    return [b"returned"]


def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def read_all(environ, start_response):
    size = len(environ["wsgi.input"].read(1_000_000))
    start_response("200 OK", TEXT)
    return [b"%d" % size]


def read_lines(environ, start_response):
    stream = environ["wsgi.input"]
    lines = [stream.readline(), *stream.readlines(), *stream]
    start_response("200 OK", TEXT)
    return [b"%d" % len(lines)]


def errors(environ, start_response):
    environ["wsgi.errors"].write("a line\n")
    environ["wsgi.errors"].writelines(["another\n"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", TEXT)
    return [b"errors"]


def file(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"a file"))


APPLICATIONS = {
    f"/{app.__name__}": validator(app)
    for app in (hello, stream, write, no_content, not_modified, read_all, read_lines, errors, file)
}


def application(environ, start_response):
    return APPLICATIONS[environ["PATH_INFO"]](environ, start_response)
