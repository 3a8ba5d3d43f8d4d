"""About two milliseconds of Python per request."""


def application(environ, start_response):
    total = 0
    for number in range(30_000):
        total += number * number
    body = b"%d\n" % total
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
