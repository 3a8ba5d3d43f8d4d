"""Extension modules and subinterpreters: who refuses, who asked for it, and what can take its place.

Most C extensions refuse a subinterpreter with a GIL of its own. Packages often catch that and go on in pure Python, or fail
later with an error that names something else; so every refusal is noted where it happens.
"""

import sys

LIBRARY = sys._stdlib_dir or "<none>"
REFUSED = []  # (module, importer or "", reason, replaced by its .py twin)


def importer():
    """The module whose import statement we are inside of, and where in the app's own code that began."""
    frame = sys._getframe(1)
    direct = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith("<") and not is_importlib(name):
            direct = direct or frame.f_globals.get("__name__") or ""
            if not is_installed(name):
                where = f"{name.replace(chr(92), '/').rpartition('/')[2]}, line {frame.f_lineno}"
                return (
                    direct
                    if frame.f_globals.get("__name__") == direct
                    else f"{direct} (from {where})"
                )
        frame = frame.f_back
    return direct


def is_installed(filename):
    """Not the app's own: a package that was installed, or the standard library."""
    parts = filename.replace("\\", "/").split("/")
    return "site-packages" in parts or "dist-packages" in parts or filename.startswith(LIBRARY)


def is_importlib(filename):
    parts = filename.replace("\\", "/").rsplit("/", 2)
    return (
        len(parts) == 3
        and parts[1] == "importlib"
        and parts[2] in ("__init__.py", "_bootstrap.py", "_bootstrap_external.py")
    )


def watch_extensions():
    from _frozen_importlib_external import ExtensionFileLoader

    original = ExtensionFileLoader.create_module

    def create_module(self, spec):
        try:
            return original(self, spec)
        except ImportError as error:
            if is_refusal(str(error)):
                REFUSED.append((spec.name, importer(), str(error), False))
            raise

    ExtensionFileLoader.create_module = create_module


def is_refusal(text):
    return any(
        part in text
        for part in (
            "does not support loading in subinterpreters",  # CPython
            "can only be loaded into one interpreter per process",  # Cython
            "PyO3 modules do not yet support subinterpreters",
            "PyO3 modules may only be initialized once per interpreter process",
            "cannot load module more than once per process",  # numpy
            "can only be loaded once per process",
            "failed to import from subinterpreter",  # pybind11
            "daemon threads are disabled",
        )
    )


class TwinFinder:
    """Where an extension refuses and a .py of the same name lies beside it, loads that (SQLAlchemy 2.1, charset-normalizer)."""

    def find_spec(self, name, path=None, target=None):
        from _frozen_importlib_external import ExtensionFileLoader, PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
            return spec
        import _imp
        import os

        twin = os.path.join(os.path.dirname(spec.origin), name.rpartition(".")[2] + ".py")
        if not os.path.exists(twin):
            return spec
        try:
            _imp.create_dynamic(spec)
            return spec
        except ImportError as error:
            if not is_refusal(str(error)):
                return spec
            from _frozen_importlib_external import spec_from_file_location

            REFUSED.append((name, importer(), str(error), True))
            return spec_from_file_location(name, twin)


def prefer_twins():
    from _frozen_importlib_external import PathFinder

    sys.meta_path.insert(sys.meta_path.index(PathFinder), TwinFinder())


def chain(error):
    """The exception, its causes and contexts, and the members of groups, each once."""
    seen, todo = set(), [error]
    while todo:
        error = todo.pop(0)
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        todo += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]


def refusal(error):
    """(module, importer, reason) if an extension that refused is behind this exception, however well it is hidden."""
    import re

    for link in chain(error):
        # Some packages wrap the one line that matters into a page of advice.
        text = next((line.strip() for line in str(link).splitlines() if is_refusal(line)), None)
        if text is None:
            continue
        named = re.search(r"module (\S+) does not support loading in subinterpreters", text)
        text = named[0] if named else text
        for module, by, reason, twin in reversed(REFUSED):
            if not twin and (reason == text or (named and named[1] == module)):
                return module, by, text
        return (named[1] if named else getattr(link, "name", None) or ""), "", text
    # Swallowed: the error speaks of something else, but it was raised in code of a package whose extension refused.
    packages = set()
    for link in chain(error):
        frame = link.__traceback__
        while frame is not None:
            packages.add((frame.tb_frame.f_globals.get("__name__") or "").partition(".")[0])
            frame = frame.tb_next
    for module, by, reason, twin in reversed(REFUSED):
        if not twin and {module.partition(".")[0], by.partition(".")[0]} & (packages - {""}):
            return module, by, reason
    return None


def distribution(module):
    """The name to install by, where it can be told. Slow: it reads the metadata of all that is installed."""
    try:
        from importlib.metadata import packages_distributions, version

        name = packages_distributions()[module.partition(".")[0]][0]
        return f"{name} {version(name)}"
    except Exception:
        return None
