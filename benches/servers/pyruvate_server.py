"""Serves an app of benches/apps with pyruvate, which has no command: pyruvate_server.py APP PORT
WORKERS.
"""

import importlib
import pathlib
import sys

import pyruvate

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "apps"))
application = importlib.import_module(sys.argv[1]).application
# At its defaults. max_reuse_count would keep connections, but 1.6.1 then leaves the second request
# on one without an answer; chunked_transfer would end bodies of unknown length, but then it puts a
# last chunk behind those of a known one too.
pyruvate.serve(application, f"127.0.0.1:{sys.argv[2]}", int(sys.argv[3]))
