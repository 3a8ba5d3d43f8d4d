"""Extension modules and subinterpreters: who refuses, who asked for it, and what can take its place.

Most C extensions refuse a subinterpreter with a GIL of its own. Packages often catch that and go on in pure Python, or fail
later with an error that names something else; so every refusal is noted where it happens.
"""

import sys

LIBRARY = sys._stdlib_dir or "<none>"
REFUSED = []  # (module, importer or "", reason, replaced by its .py twin)
IMPORTED = []  # module, file, importer, line, the line of the app: see record_extensions
PENDING = {}  # threads and weak references of refusals whose exceptions may still be on their way


class Refused(ImportError):
    """Raised for an extension that refuses. Where it ends shows whether its own package goes on without the extension."""

    def __del__(self):
        judge(self)


# What the app sees and logs is an ImportError.
Refused.__module__, Refused.__name__, Refused.__qualname__ = (
    "builtins",
    "ImportError",
    "ImportError",
)


# Many a Python is built without them.
OF_TERMINALS = ("readline", "_curses", "_curses_panel", "_tkinter")


def watch_extensions():
    """Sees every extension that refuses, also those whose exception nobody gets to see: all loaders end in these functions."""
    import _imp

    global create_dynamic
    create_dynamic = _imp.create_dynamic

    def watched(original, spec_of):
        def load(subject, *rest):
            try:
                return original(subject, *rest)
            except ImportError as error:
                reason = str(error)
                # Another extension's comes through, of one that imports it.
                if isinstance(error, Refused) or not is_refusal(reason):
                    raise
            raise refused(spec_of(subject), reason)

        return load

    def itself(spec):
        return spec

    def spec_of(module):
        return module.__spec__

    _imp.create_dynamic = watched(_imp.create_dynamic, itself)
    _imp.create_builtin = watched(_imp.create_builtin, itself)
    _imp.exec_dynamic = watched(_imp.exec_dynamic, spec_of)
    _imp.exec_builtin = watched(_imp.exec_builtin, spec_of)


GIL_LOADS = []  # extensions that are being created
GIL_SUSPECTS = []  # those that found the GIL on, while others were created


def watch_gil():
    """Tells the server which extension turns the GIL of a free-threaded Python on. CPython turns it on for each while it is
    created, and leaves it on for one that does not declare Py_MOD_GIL_NOT_USED: so only the last of several knows."""
    import _imp

    original = _imp.create_dynamic
    if getattr(original, "__module__", None) == __name__:
        return
    if sys._is_gil_enabled():
        note_gil([])
        return
    lock = threading.Lock()

    def create_dynamic(spec, *rest):
        with lock:
            GIL_LOADS.append(spec)
        try:
            return original(spec, *rest)
        finally:
            is_on = sys._is_gil_enabled()
            facts = [spec.name, spec.origin or "", *importer(), request()] if is_on else None
            told = []
            with lock:
                GIL_LOADS.remove(spec)
                if is_on:
                    GIL_SUSPECTS.append(facts)
                if not GIL_LOADS:
                    told += GIL_SUSPECTS
                    GIL_SUSPECTS.clear()
            if told and sys._is_gil_enabled():
                _imp.create_dynamic = original
                for facts in told:
                    note_gil([*facts, "turns the GIL on", "", "", ""])

    _imp.create_dynamic = create_dynamic


def refused(spec, reason):
    from _weakref import ref

    origin = spec.origin if spec.has_location else ""
    error = Refused(reason, name=spec.name, path=origin or None)
    error.facts = [spec.name, origin or "", *importer(), request(), reason]
    REFUSED.append((spec.name, error.facts[2], reason, False))
    link = ref(error)
    PENDING[id(link)] = threading.get_ident(), link
    expect_refusal()
    return error


def judge(error):
    """Tells the server of a refusal, once. `error` is about to go, so it was caught: by the code whose call is the first of its
    traceback. If that call still runs, it goes on without the extension; else another error has left it."""
    facts = vars(error).pop("facts", None)
    if facts is None:
        return
    trace = error.__traceback__
    catcher = trace.tb_frame if trace is not None else None
    frame = sys._getframe(1)
    while frame is not None and frame is not catcher:
        frame = frame.f_back
    module = file = ""
    if frame is not None:
        module, file = frame.f_globals.get("__name__") or "", frame.f_code.co_filename
    # The standard library copes with its own, as traceback does without _suggestions; and all code with the want of a terminal.
    copes = module and is_library(facts[1]) and (is_library(file) or facts[0] in OF_TERMINALS)
    note_refusal([*facts, module, file, "library" if copes else ""])


def judge_pending():
    """The thread has done a job: what it still holds of a refusal is no exception on its way. Whether other threads have some."""
    me = threading.get_ident()
    for key, (thread, link) in list(PENDING.items()):
        error = link()
        if error is None or thread == me:
            PENDING.pop(key, None)
            if error is not None:
                judge(error)
    return bool(PENDING)


def try_extension(name, path):
    """Loads an extension without running its module's code: what it answers, and its words."""
    from _frozen_importlib_external import ExtensionFileLoader, spec_from_file_location

    try:
        create_dynamic(spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path)))
    except BaseException as error:
        return ["Refuses" if is_refusal(str(error)) else "Fails", str(error)]
    return ["Loads", ""]


def record_extensions():
    """Notes who imports which extension from now on."""
    import _imp

    original = _imp.create_dynamic

    def create_dynamic(spec, *rest):
        IMPORTED.append([spec.name, spec.origin or "", *importer()])
        return original(spec, *rest)

    _imp.create_dynamic = create_dynamic


def recorded_extensions():
    return [fact for entry in IMPORTED for fact in entry]


def extension_places():
    """sys.path, an empty text, and how the names of extension files end."""
    import _imp

    return [*map(str, sys.path), "", *_imp.extension_suffixes()]


def request():
    """`GET /path` if this thread serves a request."""
    frame = sys._getframe(1)
    while frame is not None:
        environ = environ_of(frame)
        if environ is not None:
            target = environ.get("REQUEST_URI") or str(environ.get("SCRIPT_NAME", "")) + str(
                environ.get("PATH_INFO", "")
            )
            return f"{environ.get('REQUEST_METHOD', '')} {target}"
        frame = frame.f_back
    return ""


def importer():
    """The module whose import statement we are inside of, its line; and where in the app's own code that began, if elsewhere."""
    frame = sys._getframe(1)
    direct = None
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith("<") and not is_importlib(name):
            if direct is None:
                direct = frame
            if not is_installed(name):
                break
        frame = frame.f_back
    if direct is None:
        return "", "", ""
    begun = "" if frame is None or frame is direct else place_of(frame)
    return direct.f_globals.get("__name__") or "", place_of(direct), begun


def place_of(frame):
    name = frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{name}, line {frame.f_lineno}"


def is_installed(filename):
    """Not the app's own: a package that was installed, or the standard library."""
    parts = filename.replace("\\", "/").split("/")
    return "site-packages" in parts or "dist-packages" in parts or filename.startswith(LIBRARY)


def is_library(filename):
    """Part of Python: the standard library, or built in."""
    parts = filename.replace("\\", "/").split("/")
    is_extra = "site-packages" in parts or "dist-packages" in parts
    return not filename or (filename.startswith(LIBRARY) and not is_extra)


def is_importlib(filename):
    parts = filename.replace("\\", "/").rsplit("/", 2)
    return (
        len(parts) == 3
        and parts[1] == "importlib"
        and parts[2] in ("__init__.py", "_bootstrap.py", "_bootstrap_external.py")
    )


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
        import os

        twin = os.path.join(os.path.dirname(spec.origin), name.rpartition(".")[2] + ".py")
        if not os.path.exists(twin):
            return spec
        try:
            create_dynamic(spec)
            return spec
        except ImportError as error:
            if not is_refusal(str(error)):
                return spec
            from _frozen_importlib_external import spec_from_file_location

            by = importer()
            REFUSED.append((name, by[0], str(error), True))
            note_refusal([name, spec.origin, *by, request(), str(error), "", "", "twin"])
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
