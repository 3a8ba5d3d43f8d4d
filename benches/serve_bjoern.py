"""Serves an app of benches/apps with bjoern: serve_bjoern.py APP PORT."""

import importlib
import pathlib
import sys

import bjoern

sys.path.insert(0, str(pathlib.Path(__file__).parent / "apps"))
bjoern.run(importlib.import_module(sys.argv[1]).application, "127.0.0.1", int(sys.argv[2]))
