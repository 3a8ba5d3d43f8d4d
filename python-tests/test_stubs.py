"""The stubs of `uwsgi` and `uwsgidecorators` in the wheel name what is there, and the types of the
attributes are right."""

import ast

import pytest

from server import FOLDER

STUBS = FOLDER.parent / "wheel/python"

APP = """
    import json, sys, uwsgi, uwsgidecorators

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        module = sys.modules[environ["PATH_INFO"][1:]]
        names = {name: type(value).__name__ for name, value in vars(module).items()}
        return [json.dumps(names).encode()]
"""
# Assigned by the application; there with an option only; names of the stub alone.
NOT_ALWAYS = {"post_fork_hook", "after_req_hook", "atexit", "pidfile"}
OF_THE_STUB = {"Text", "P", "R", "Handler"}


def declared(module):
    """Names, and the types of attributes as far as the stub has a simple one."""
    tree = ast.parse((STUBS / f"{module}-stubs/__init__.pyi").read_text())
    names = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = None
        elif isinstance(node, ast.AnnAssign):
            names[node.target.id] = ast.unparse(node.annotation).split("[")[0]
    return names


@pytest.mark.parametrize("module", ["uwsgi", "uwsgidecorators"])
def test_the_names_of_the_stub_are_in_the_module(serve, module):
    there = serve(source=APP).ask(f"/{module}").json()
    stub = declared(module)
    missing = set(stub) - OF_THE_STUB - NOT_ALWAYS - set(there)
    assert not {name for name in missing if "spool" not in name and "cache" not in name}
    for name, kind in stub.items():
        if kind in ("int", "bytes", "bool", "dict", "list", "tuple"):
            assert there.get(name, kind) == kind, name
