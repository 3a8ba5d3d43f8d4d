"""Random sequences of operations on a file-like object, and what each of them gives.

The app performs a sequence on wsgi.input, the test performs the same on io.BytesIO; both use `perform`, so a
difference is the server's.
"""

OPERATIONS = [
    "read",
    "read_n",
    "read_0",
    "read_minus",
    "read_none",
    "readline",
    "readline_n",
    "readline_0",
    "readline_minus",
    "readline_none",
    "readlines",
    "readlines_n",
    "readlines_none",
    "next",
    "for_two",
    "list",
]
# Mostly small steps, so that a sequence does not end with its first operation.
WEIGHTS = [1, 12, 2, 1, 1, 10, 10, 2, 2, 2, 1, 4, 1, 8, 4, 1]
SIZES = [1, 2, 3, 7, 10, 64, 100, 1000, 4095, 4096, 4097, 8192, 16_384, 65_536, 70_000, 1_000_000]


def sequence(random_source, count=25):
    return [
        (
            random_source.choices(OPERATIONS, WEIGHTS)[0],
            random_source.choice(SIZES) + random_source.choice([0, 0, -1, 1]),
        )
        for _ in range(count)
    ]


def body(random_source, size):
    """Bytes with lines of very different lengths, some empty, with CR, NUL and no line end at all in places."""
    pieces, length = [], 0
    while length < size:
        line = random_source.randbytes(
            random_source.choice([0, 0, 1, 3, 20, 80, 500, 5000, 20_000])
        ).replace(b"\n", b" ")
        pieces.append(line + random_source.choice([b"\n", b"\n", b"\r\n", b"\n\n", b"\0\n"]))
        length += len(pieces[-1])
    return b"".join(pieces)[:size]


def perform(stream, operation, size):
    """One operation; what it returned, or the exception's name."""
    try:
        match operation:
            case "read":
                return stream.read()
            case "read_n":
                return stream.read(size)
            case "read_0":
                return stream.read(0)
            case "read_minus":
                return stream.read(-1)
            case "read_none":
                return stream.read(None)
            case "readline":
                return stream.readline()
            case "readline_n":
                return stream.readline(size)
            case "readline_0":
                return stream.readline(0)
            case "readline_minus":
                return stream.readline(-1)
            case "readline_none":
                return stream.readline(None)
            case "readlines":
                return stream.readlines()
            case "readlines_n":
                return stream.readlines(size)
            case "readlines_none":
                return stream.readlines(None)
            case "next":
                return next(stream)
            case "for_two":
                lines = []
                for line in stream:
                    lines.append(line)
                    if len(lines) == 2:
                        break
                return lines
            case "list":
                return list(stream)
    except Exception as error:
        return type(error).__name__


def digest(result):
    """Short enough to send, and different for different results."""
    import hashlib

    if isinstance(result, list):
        return [digest(item) for item in result]
    if isinstance(result, bytes) and len(result) > 40:
        return f"{len(result)} {hashlib.md5(result).hexdigest()}"
    return f"{type(result).__name__} {result!r}"
