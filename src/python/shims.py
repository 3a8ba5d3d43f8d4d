"""Compatibility shims: what takes an interpreter for a process, changed when it is imported.

Libraries tell processes apart by os.getpid() and by what the kernel keeps for a process; here several interpreters share both.
docs/subinterpreters.md has the table. A shim changes as little as it can, and its library's own tests would still pass.
"""

import os
import sys

# The files that modules were loaded from, by names that nothing else can import (load.py).
FILES_BY_NAME = {}

CANNOT_FORK = (
    "{} does not work in an interpreter of its own: CPython cannot fork a process that has several. Start the server with "
    "--isolation main; or run a program with subprocess; or use multiprocessing.get_context('spawn')"
)
CANNOT_EXEC = (
    "{} does not work in an interpreter of its own: it would replace the whole server. Run the program with subprocess, or "
    "start the server with --isolation main"
)
CANNOT_CALL = (
    "preexec_fn does not work in an interpreter of its own: CPython cannot run Python code in a child of a process that has "
    "several. Use start_new_session, process_group, umask, user, group or cwd of subprocess.Popen; or start the server with "
    "--isolation main"
)


def apply_shims(identity):
    """`identity`: this interpreter's name among those of the process; None in the main one."""
    if any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        return  # the main interpreter is prepared by each of its creators
    shims = {"multiprocessing.util": tell_children_of_files}
    if identity is not None:
        refuse_to_fork()
        make_waits_interruptible()
        shims["select"] = watch_end
        shims["prometheus_client.values"] = lambda module: identify(module, identity)
        shims["fcntl"] = lock_by_descriptor
        shims["_posixsubprocess"] = explain_preexec
    for name in list(shims):
        if name in sys.modules:
            shims.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, ShimFinder(shims))


class ShimFinder:
    """Finds what the finders behind it find, and applies the shim after the module's own code."""

    def __init__(self, shims):
        self.shims = shims

    def find_spec(self, name, path=None, target=None):
        if name not in self.shims:
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = ShimLoader(spec.loader, self.shims[name])
                    return spec
        return None


class ShimLoader:
    def __init__(self, loader, shim):
        self.loader, self.shim = loader, shim

    def __getattr__(self, name):
        return getattr(self.__dict__["loader"], name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        spec = getattr(module, "__spec__", None)
        if spec is not None:
            spec.loader = self.loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.shim(module)


def refuse_to_fork():
    import posix

    def refusal(name, text):
        def refuse(*arguments, **keywords):
            raise RuntimeError(text.format(f"os.{name}()"))

        refuse.__name__ = refuse.__qualname__ = name
        return refuse

    for names, text in (
        (("fork", "fork1", "forkpty"), CANNOT_FORK),
        (("execv", "execve"), CANNOT_EXEC),
    ):
        for name in names:
            if hasattr(posix, name):
                function = refusal(name, text)
                setattr(posix, name, function)
                setattr(os, name, function)


def explain_preexec(module):
    original = module.fork_exec

    def fork_exec(*arguments):
        try:
            return original(*arguments)
        except RuntimeError as error:
            if "preexec_fn" not in str(error):
                raise
            raise RuntimeError(CANNOT_CALL) from None

    module.fork_exec = fork_exec


def identify(module, identity):
    """prometheus_client, multiprocess mode: a file for each process, named by its id, which each keeps a copy of in memory."""
    factory = getattr(module, "MultiProcessValue", None)
    if factory is None or not hasattr(module, "get_value_class"):
        return
    name = f"{os.getpid()}-{identity}"
    factory.__defaults__ = (lambda: name,)
    module.ValueClass = module.get_value_class()


def lock_by_descriptor(module):
    """fcntl.lockf: the kernel keeps these locks for the process, so a second interpreter would get what the first one holds.
    Locks of an open file (Linux) are the same to others, and exclude each other within a process too."""
    if not hasattr(module, "F_OFD_SETLK") or sys.maxsize < 1 << 32:
        return
    from struct import pack

    def lockf(fd, cmd, len=0, start=0, whence=0, /):
        if cmd & module.LOCK_UN:
            kind = module.F_UNLCK
        elif cmd & module.LOCK_EX:
            kind = module.F_WRLCK
        elif cmd & module.LOCK_SH:
            kind = module.F_RDLCK
        else:
            raise ValueError("unrecognized lockf argument")
        how = module.F_OFD_SETLK if cmd & module.LOCK_NB else module.F_OFD_SETLKW
        # struct flock: type, whence, start, length, process id.
        try:
            module.fcntl(fd, how, pack("hhqqi4x", kind, whence, start, len, 0))
        except OSError as error:
            # As lockf has it.
            raise type(error)(error.errno, os.strerror(error.errno)) from None

    module.lockf = lockf


def tell_children_of_files(module):
    """multiprocessing, spawn and forkserver: a child imports the modules of what it is given by their names. One that was
    loaded from a file (app.py) has a name that no path leads to; without this a Pool starts children for ever."""
    original = module.spawnv_passfds

    def spawnv_passfds(path, args, passfds):
        args = list(args)
        at = args.index("-c") + 1 if "-c" in args[:-1] else 0
        if at and FILES_BY_NAME and "from multiprocessing." in args[at]:
            args[at] = CHILD.format(files=FILES_BY_NAME) + args[at]
        return original(path, args, passfds)

    module.spawnv_passfds = spawnv_passfds


# One line, in front of multiprocessing's own. The ending of a file need not be .py.
CHILD = (
    "import sys; from importlib.util import spec_from_file_location as spec; "
    "from importlib.machinery import SourceFileLoader as source, SourcelessFileLoader as compiled; "
    "sys.meta_path.append(type('Files', (), dict(find_spec=staticmethod("
    "lambda name, path=None, target=None, spec=spec, source=source, compiled=compiled, files={files!r}: "
    "spec(name, files[name], loader=(compiled if files[name].endswith('.pyc') else source)(name, files[name])) "
    "if name in files else None)))); "
)
