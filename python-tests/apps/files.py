"""wsgi.file_wrapper around every kind of file; `/name?arguments`. The data file is data.bin in the working folder."""

import gzip
import io
import os
import sys
import tempfile
import threading

TEXT = [("Content-Type", "application/octet-stream")]


def event(text):
    sys.stderr.write(f"EVENT {text}\n")
    sys.stderr.flush()


def real(offset="0"):
    file = open("data.bin", "rb")
    file.seek(int(offset))
    return file


def unbuffered():
    return open("data.bin", "rb", buffering=0)


def after_read():
    """The buffer of the file has read ahead: its own position counts, not the descriptor's."""
    file = open("data.bin", "rb")
    file.read(10)
    return file


def unbuffered_after_read():
    file = unbuffered()
    file.read(10)
    return file


def update_mode():
    return open("data.bin", "r+b")


def compressed():
    """Has a fileno(), whose bytes are not what read() gives."""
    if not os.path.exists("data.gz"):
        with real() as source, gzip.open("data.gz", "wb") as target:
            target.write(source.read())
    return gzip.open("data.gz", "rb")


def overridden():
    """A file whose class changes what is read."""

    class Upper(io.FileIO):
        def read(self, size=-1):
            return super().read(size).replace(b"0", b"O")

    return Upper("data.bin")


def spooled():
    file = tempfile.SpooledTemporaryFile(max_size=1 << 30)
    with real() as source:
        file.write(source.read())
    file.seek(0)
    return file


def named_temporary():
    file = tempfile.NamedTemporaryFile()
    with real() as source:
        file.write(source.read())
    file.seek(0)
    return file


def memory():
    with real() as file:
        return io.BytesIO(file.read())


def memory_offset():
    file = memory()
    file.seek(1000)
    return file


def pipe():
    """A descriptor that is no regular file."""
    reader, writer = os.pipe()

    def fill():
        with os.fdopen(writer, "wb") as sink, real() as source:
            sink.write(source.read())

    threading.Thread(target=fill, daemon=True).start()
    return os.fdopen(reader, "rb")


def empty():
    open("empty.bin", "wb").close()
    return open("empty.bin", "rb")


def at_the_end():
    file = real()
    file.seek(0, 2)
    return file


def past_the_end():
    file = real()
    file.seek(10, 2)
    return file


def write_only():
    return open("write-only.bin", "wb")


def closed():
    file = real()
    file.close()
    return file


class OnlyRead:
    """The least that PEP 3333 asks of a file-like object."""

    def __init__(self):
        self.file = real()

    def read(self, size):
        return self.file.read(size)


class ReadAndClose(OnlyRead):
    def close(self):
        event("closed read-and-close")
        self.file.close()


class FilenoRaises(OnlyRead):
    def fileno(self):
        raise io.UnsupportedOperation("fileno")


class FilenoLies(OnlyRead):
    def fileno(self):
        return 987654


class FilenoIsNone(OnlyRead):
    def fileno(self):
        return None


class ReadRaises:
    def __init__(self):
        self.calls = 0

    def read(self, size):
        self.calls += 1
        if self.calls > 2:
            raise OSError("disk on fire")
        return b"x" * 1000

    def close(self):
        event("closed read-raises")


class ReadGivesText:
    def __init__(self):
        self.pieces = ["caf\u00e9", ""]

    def read(self, size):
        return self.pieces.pop(0)


class ReadIsMissing:
    def close(self):
        event("closed read-is-missing")


KINDS = {
    function.__name__: function
    for function in (
        real,
        unbuffered,
        after_read,
        unbuffered_after_read,
        update_mode,
        compressed,
        overridden,
        spooled,
        named_temporary,
        memory,
        memory_offset,
        pipe,
        empty,
        at_the_end,
        past_the_end,
        write_only,
        closed,
        OnlyRead,
        ReadAndClose,
        FilenoRaises,
        FilenoLies,
        FilenoIsNone,
        ReadRaises,
        ReadGivesText,
        ReadIsMissing,
    )
}


def application(environ, start_response):
    _, name, *rest = environ["PATH_INFO"].split("/")
    wrapper = environ["wsgi.file_wrapper"]
    headers = list(TEXT)
    if environ["QUERY_STRING"]:
        headers.append(("Content-Length", environ["QUERY_STRING"]))
    if rest == ["no-content"]:
        start_response("204 No Content", [])
        return wrapper(KINDS[name]())
    if rest == ["not-returned"]:
        start_response("200 OK", TEXT)
        wrapper(KINDS[name]())
        return [b"something else"]
    if rest == ["iterated"]:
        start_response("200 OK", TEXT)
        return [b"".join(wrapper(KINDS[name](), 1000))]
    if rest == ["piecewise"]:
        start_response("200 OK", TEXT)
        return (piece for piece in wrapper(KINDS[name](), 1000))
    if rest == ["middleware"]:
        start_response("200 OK", TEXT)
        return Closing(wrapper(KINDS[name](), 1000))
    if rest == ["written-first"]:
        start_response("200 OK", TEXT)(b"written ")
        return wrapper(KINDS[name]())
    if rest == ["twice"]:
        start_response("200 OK", TEXT)
        shared = wrapper(KINDS[name]())
        next(iter(shared), None)
        return shared
    file = KINDS[name](*rest)
    if environ.get("HTTP_X_BLOCK"):
        file = wrapper(file, int(environ["HTTP_X_BLOCK"]))
    else:
        file = wrapper(file)
    start_response("200 OK", headers)
    return file


class Closing:
    """Middleware that iterates the wrapper and closes it, as PEP 3333 asks of middleware."""

    def __init__(self, inner):
        self.inner = inner

    def __iter__(self):
        return iter(self.inner)

    def close(self):
        self.inner.close()
        event("closed middleware")
