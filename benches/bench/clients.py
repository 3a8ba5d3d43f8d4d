"""Clients that wrk cannot be: run as a program of its own, so that its work is not the driver's.

    python -m bench.clients slow PORT N        N connections that ask for /slow again and again
    python -m bench.clients idle PORT N        N connections that had one answer and now wait
    python -m bench.clients dribble PORT N     N connections that send a byte of a request every 0.25 s

Each says `ready K` (K connections are there), then a line `held K` for every line it reads, and
ends with its input.
"""

import select
import selectors
import socket
import sys
import threading
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Long enough to be unfinished for ten minutes.
DRIBBLED = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Dribble: " + b"a" * 2400
OPENING_SECONDS = 30
BYTE_SECONDS = 0.25


def connected(port, timeout=2):
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def still_open(socks):
    """The connections that the server has not closed."""
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    ended = {fd for fd, _ in poll.poll(0)}
    return [sock for sock in socks if sock.fileno() not in ended]


def idle(port, count):
    socks, deadline = [], time.monotonic() + OPENING_SECONDS
    while len(socks) < count and time.monotonic() < deadline:
        try:
            sock = connected(port)
            sock.sendall(REQUEST)
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"Hello\n"):
                received = sock.recv(65536)
                if not received:
                    break
                answer += received
            socks.append(sock)
        except OSError:
            break
    serve_questions(lambda: len(still_open(socks)))


def slow(port, count):
    done = [0] * count

    def loop(index):
        while True:
            try:
                with connected(port, 5) as sock:
                    while True:
                        sock.sendall(SLOW)
                        answer = b""
                        while not answer.endswith(b"Hello\n"):
                            received = sock.recv(65536)
                            if not received:
                                raise OSError("closed")
                            answer += received
                        done[index] += 1
            except OSError:
                time.sleep(0.01)

    for index in range(count):
        threading.Thread(target=loop, args=(index,), daemon=True).start()
    serve_questions(lambda: sum(done))


def dribble(port, count):
    socks = []
    for _ in range(count):
        try:
            sock = connected(port)
            sock.setblocking(False)
            socks.append(sock)
        except OSError:
            break
    sent = [0]

    def loop():
        while True:
            before = time.monotonic()
            for sock in socks:
                try:
                    sock.send(DRIBBLED[sent[0] : sent[0] + 1])
                except OSError:
                    continue
            sent[0] = min(sent[0] + 1, len(DRIBBLED) - 1)
            time.sleep(max(0.0, BYTE_SECONDS - (time.monotonic() - before)))

    threading.Thread(target=loop, daemon=True).start()
    serve_questions(lambda: len(still_open(socks)))


def serve_questions(count):
    print(f"ready {count()}", flush=True)
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while sys.stdin.readline():
            print(f"held {count()}", flush=True)


if __name__ == "__main__":
    {"idle": idle, "slow": slow, "dribble": dribble}[sys.argv[1]](
        int(sys.argv[2]), int(sys.argv[3])
    )
