"""Tells which interpreter and thread answered; `/wait` does so only when the test opens its gate."""

import os
import sys
import threading

from knock import knock


def application(environ, start_response):
    # The address of sys.modules tells interpreters apart while they live.
    who = f"{id(sys.modules)} {threading.get_ident()} {os.getpid()} {environ['wsgi.multithread']} {environ['wsgi.multiprocess']}"
    if environ["PATH_INFO"] == "/wait":
        knock(who)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [who.encode()]
