"""Runs `singlemalt reload` and the other subcommands, and talks to the control socket."""

import json
import socket
import subprocess

from server import binary, environment


def singlemalt(directory, *arguments, timeout=60.0):
    """Runs one subcommand in the server's folder."""
    command = [str(binary()), *map(str, arguments)]
    return subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=timeout
    )


def raw(path, request, timeout=30.0):
    """Everything that a socket answers to these bytes."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(timeout)
        caller.connect(str(path))
        caller.sendall(request)
        return read_all(caller)


def read_all(caller):
    answer = b""
    while piece := caller.recv(65536):
        answer += piece
    return answer


def ask(path, method="GET", target="/status", timeout=30.0):
    """Status and JSON of one request on a control socket."""
    answer = raw(path, f"{method} {target} HTTP/1.1\r\nHost: control\r\n\r\n".encode(), timeout)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)
