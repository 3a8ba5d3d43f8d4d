"""An app that takes too long in every way there is. `/who` tells which thread answers."""

import ctypes
import socket
import threading
import time

import uwsgi

lock = threading.Lock()
lock.acquire()
left, right = socket.socketpair()


def swallow(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.01)
        except BaseException:
            pass


def naps(seconds=600):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def cautious():
    try:
        naps()
    except Exception:
        return b"swallowed"


def application(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    word, _, number = path[1:].partition("/")
    if word == "who":
        start_response("200 OK", headers)
        return [f"{id(lock)} {threading.get_ident()}".encode()]
    if word == "stream":

        def pieces():
            start_response("200 OK", headers)
            yield b"first"
            naps()
            yield b"never"

        return pieces()
    if word == "pauses":

        def pauses():
            start_response("200 OK", headers)
            for _ in range(4):
                yield b"in time,"
                time.sleep(float(number))

        return pauses()
    if word == "user":
        uwsgi.set_user_harakiri(1)
        naps()
    elif word == "mine":
        uwsgi.set_user_harakiri(1)
        swallow(float(number))
    elif word == "lifted":
        uwsgi.set_user_harakiri(1)
        uwsgi.set_user_harakiri(0)
        time.sleep(1.5)
    elif word == "gate":
        from knock import knock

        knock(str(environ["uwsgi.core"]))
    elif word == "late":
        time.sleep(float(number))
    elif word == "tight":
        end = time.monotonic() + float(number)
        while time.monotonic() < end:
            pass
    elif word == "busy":
        while True:
            pass
    elif word == "naps":
        naps()
    elif word == "sleep":
        time.sleep(float(number))
    elif word == "lock":
        lock.acquire(timeout=float(number))
    elif word == "recv":
        left.settimeout(float(number))
        try:
            left.recv(1)
        except TimeoutError:
            pass
    elif word == "cautious":
        body = cautious()
        start_response("200 OK", headers)
        return [body]
    elif word == "swallow":
        swallow(float(number))
    elif word == "gil":
        # PyDLL keeps the GIL.
        ctypes.PyDLL(None).usleep(int(float(number) * 1_000_000))
    start_response("200 OK", headers)
    return [b"in time"]
