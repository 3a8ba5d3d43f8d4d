"""Modules that the server brings with it, importable like any other; nothing of them is kept in memory before."""

import sys


class EmbeddedFinder:
    """Finds them in front of what is installed: uWSGI's own uwsgidecorators.py may lie in the virtualenv, and knows less."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "uwsgidecorators":
            from importlib.machinery import ModuleSpec

            return ModuleSpec(name, EmbeddedFinder, origin="singlemalt")
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(embedded_code(module.__name__), vars(module))


sys.meta_path.insert(0, EmbeddedFinder)
