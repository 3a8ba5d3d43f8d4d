"""Serves an app of benches/apps with pyruvate, which has no command: pyruvate_server.py APP PORT WORKERS."""

import importlib
import pathlib
import sys

import pyruvate

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "apps"))
application = importlib.import_module(sys.argv[1]).application
# Off by default there: more than one request on a connection. (Chunked answers stay off: with them it puts the last chunk behind
# bodies of a known length too.)
more = {"max_reuse_count": 255}
pyruvate.serve(application, f"127.0.0.1:{sys.argv[2]}", int(sys.argv[3]), **more)
