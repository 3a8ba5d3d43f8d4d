"""Reads the sockets of --py-tracebacker."""

import socket


def read(path):
    """Reads to the end, as `uwsgi --connect-and-read` does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces).decode()
