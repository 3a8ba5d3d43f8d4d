"""The app's side of gate.py."""

import os
import socket


def knock(word=""):
    """Says `word` at the test's gate and waits until it opens; returns what the test said."""
    with socket.create_connection(("127.0.0.1", int(os.environ["GATE_PORT"])), timeout=60) as door:
        door.sendall(f"{word}\n".encode())
        return door.recv(16).decode()
