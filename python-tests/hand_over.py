"""What systemd does at the start of a unit with sockets: hand_over.py DESCRIPTOR[,...] COMMAND ..."""

import fcntl
import os
import sys

numbers = [int(number) for number in sys.argv[1].split(",")]
# Out of the way first: one of them may lie where another has to go.
moved = [fcntl.fcntl(number, fcntl.F_DUPFD, 100) for number in numbers]
for place, number in enumerate(moved):
    os.dup2(number, 3 + place, inheritable=True)
    os.close(number)
os.environ["LISTEN_FDS"] = str(len(numbers))
os.environ["LISTEN_FDNAMES"] = ":".join(["app.socket"] * len(numbers))
# Whoever is started takes this process over, and with it the number.
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
