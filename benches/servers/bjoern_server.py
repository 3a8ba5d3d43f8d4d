"""Serves an app of benches/apps with bjoern: bjoern_server.py APP PORT [PROCESSES].

bjoern has one thread and no command; several processes share the port as its documentation shows
it.
"""

import importlib
import os
import pathlib
import signal
import sys

import bjoern

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "apps"))
name, port, processes = sys.argv[1], int(sys.argv[2]), int((*sys.argv, "1")[3])
application = importlib.import_module(name).application
if processes == 1:
    bjoern.run(application, "127.0.0.1", port)
else:
    bjoern.listen(application, "127.0.0.1", port)
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            bjoern.run()
            os._exit(0)
        children.append(child)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGKILL) for child in children])
    for child in children:
        os.waitpid(child, 0)
