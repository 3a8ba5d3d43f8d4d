"""Starts a command with inherited sockets, as systemd does: hand_over.py DESCRIPTOR[,...] COMMAND
...
"""

import fcntl
import os
import sys

numbers = [int(number) for number in sys.argv[1].split(",")]
# Moved out of the way first: a descriptor may have a number that another one needs.
moved = [fcntl.fcntl(number, fcntl.F_DUPFD, 100) for number in numbers]
for place, number in enumerate(moved):
    os.dup2(number, 3 + place, inheritable=True)
    os.close(number)
os.environ["LISTEN_FDS"] = str(len(numbers))
os.environ["LISTEN_FDNAMES"] = ":".join(["app.socket"] * len(numbers))
# exec keeps the process id.
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
