"""Runs once in every interpreter, before the app: streams, sys.path, threads, and the two WSGI objects that need no C.

This file, extensions.py, load.py, shims.py, quiesce.py, embedded.py, harakiri.py, stacks.py and fork.py are executed into one private namespace that is no module: the app cannot
import it, and nothing here is imported that every interpreter does not need (memory: each further one pays for it).
Rust puts `emit`, `interrupt`, `warn_once` and `compile_module` into the namespace first.
"""

import os
import sys
import threading

WSGI_VERSION = (1, 0)
NODE = (
    os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "localhost")
).encode()


def prepare(python_path, guard, twins, executable):
    """`guard`: extensions may refuse this interpreter. `twins`: load the .py beside one that does. `executable`: for sys, or None."""
    if executable is not None:
        sys.executable = executable
    for stream in (sys.stdout, sys.stderr):
        # None where the descriptor is closed. Several interpreters write to one descriptor: lines must stay whole.
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    add_to_path(python_path)
    distrust_bytecode()
    compile_without_trees()
    ignore_signal_handlers()
    tell_of_exit()
    if guard:
        watch_extensions()
        replace_current_frames()
    if twins:
        prefer_twins()


def undo_script(argv, script_folder, further_packages, assigns):
    """Python was started for the script `singlemalt`, and every interpreter begins as that did."""
    sys.argv[:] = argv
    if script_folder is not None and sys.path[:1] == [script_folder]:
        del sys.path[0]
    sys.path += [folder for folder in further_packages if folder not in sys.path]
    if assigns:
        assign_variables_safely()


def assign_variables_safely():
    """The C library's setenv moves what another interpreter may be reading (environment_linux.rs)."""
    import posix

    def checked(name):
        name = os.fsencode(name)
        if not name or b"=" in name:
            raise ValueError("illegal environment variable name")
        return name

    def assign(text):
        if b"\0" in text:
            raise ValueError("embedded null byte")
        assign_variable(text)

    def putenv(name, value, /):
        """Change or add an environment variable."""
        name, value = checked(name), os.fsencode(value)
        sys.audit("os.putenv", name, value)
        assign(name + b"=" + value)

    def unsetenv(name, /):
        """Delete an environment variable."""
        name = checked(name)
        sys.audit("os.unsetenv", name)
        assign(name)

    if os.putenv.__module__ != __name__:
        os.putenv = posix.putenv = putenv
        os.unsetenv = posix.unsetenv = unsetenv


def add_to_path(python_path):
    """The working directory first, as uWSGI has it, then the option's folders in their order."""
    try:
        wanted = [os.getcwd(), *python_path]
    except OSError:  # the directory was removed under us
        wanted = list(python_path)
    at = 0
    for folder in wanted:
        if folder not in sys.path:
            sys.path.insert(at, folder)
            at += 1


def begin_environment(texts):
    """`texts`: names and values in turn, a letter for each byte. The process keeps its variables: others use them."""
    if os.supports_bytes_environ:
        data = [text.encode("latin-1") for text in texts]
        os.environ._data.clear()
        os.environ._data.update(zip(data[::2], data[1::2]))


def environment():
    """What `begin_environment` takes, as it is now."""
    if not os.supports_bytes_environ:
        return []
    return [text.decode("latin-1") for pair in list(os.environ._data.items()) for text in pair]


def distrust_bytecode():
    """A .pyc names its source by size and time in whole seconds, so one that was made between two saves of the same second
    passes for the second one's, for ever. A reload is just when that happens: such a file is neither trusted nor made."""
    import time
    from _frozen_importlib_external import SourceFileLoader

    read, write = SourceFileLoader.get_data, SourceFileLoader.set_data
    if (
        getattr(read, "__module__", None) == __name__
    ):  # the main interpreter is prepared by each of its creators
        return
    second = 1_000_000_000

    def get_data(self, path):
        data = read(self, path)
        if path.endswith(".pyc") and data[4:8] == bytes(
            4
        ):  # it goes by its source's time, not by a hash
            made, saved = os.stat(path).st_mtime_ns, os.stat(self.path).st_mtime_ns
            if made < saved and made // second == saved // second:
                raise OSError("made before the last save")
        return data

    def set_data(self, path, data, **mode):
        if not 0 <= time.time_ns() // second - os.stat(self.path).st_mtime_ns // second < 2:
            write(self, path, data, **mode)

    get_data.__module__ = set_data.__module__ = __name__
    SourceFileLoader.get_data, SourceFileLoader.set_data = get_data, set_data


def ignore_signal_handlers():
    """Signals are the server's, and Python sets handlers on a thread that runs no app. An app that wants to set one goes on
    without, as under mod_wsgi."""
    import _signal

    original = _signal.signal
    if getattr(original, "__module__", None) == __name__:
        return

    def signal(signalnum, handler, /):
        try:
            return original(signalnum, handler)
        except ValueError as error:
            if "main thread" not in str(error):
                raise
        before = _signal.getsignal(signalnum)
        # The module has names, if it was imported.
        names = getattr(sys.modules.get("signal"), "Signals", int)
        name = getattr(names(signalnum), "name", int(signalnum))
        frame = sys._getframe(1)
        while frame.f_back is not None and is_library(frame.f_code.co_filename):
            frame = frame.f_back
        warn_once(
            f"signal.signal({name}) is ignored ({place_of(frame)}): the server handles signals"
        )
        return before

    _signal.signal = signal


def tell_of_exit():
    """`os._exit` ends the whole server: the log says so."""
    original = os._exit
    if getattr(original, "__module__", None) == __name__:
        return

    def _exit(status):
        if not is_child():
            note_exit(status)
        original(status)

    _exit.__doc__ = original.__doc__
    os._exit = _exit


def compile_without_trees():
    """The built-in compile makes the types of syntax trees in each interpreter, whatever it is given (code.rs)."""
    import _frozen_importlib_external

    _frozen_importlib_external.compile = compile_module


def adopt_thread(name, state):
    """A worker is a thread that `threading` did not start: it would count as a daemon, and so would, by inheritance, every
    thread that the app starts; at the end those would be killed instead of joined."""
    thread = threading.current_thread()
    thread._daemonic = False
    thread._name = name
    worker_idents[state] = thread.ident


class ErrorStream:
    """wsgi.errors (PEP 3333): text, to the server's log, where it is before write() returns."""

    __slots__ = ()
    encoding = "utf-8"
    errors = "backslashreplace"
    closed = False

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            emit(text)
        return len(text)

    def writelines(self, lines):
        self.write("".join(lines))

    def flush(self):
        pass

    def isatty(self):
        return False

    def writable(self):
        return True

    def readable(self):
        return False

    def seekable(self):
        return False


class FileWrapper:
    """wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"): the server sends a real file by itself
    and iterates over anything else."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        block = self.filelike.read(self.blksize)
        if block:
            return block
        raise StopIteration

    def __getattr__(self, name):
        # Middleware looks at what it wraps (read, seek, fileno, name).
        return (
            getattr(self.__dict__["filelike"], name)
            if "filelike" in self.__dict__
            else object.__getattribute__(self, name)
        )


def sendable(filelike):
    """(descriptor, position) if reading `filelike` is exactly reading a real file from there; else None.

    Having fileno() proves nothing: gzip.GzipFile has one, of the compressed file. So what counts is whose read() this is."""
    import _io

    if (
        type(filelike).__name__ == "_TemporaryFileWrapper"
        and type(filelike).__module__ == "tempfile"
    ):
        filelike = filelike.file
    # Wrappers such as Django's File hand out the read of the file they hold.
    reader = getattr(getattr(filelike, "read", None), "__self__", None)
    raw = reader.raw if type(reader) in (_io.BufferedReader, _io.BufferedRandom) else reader
    if type(raw) is not _io.FileIO or raw.closed:
        return None
    try:
        return reader.fileno(), reader.tell()
    except (OSError, ValueError):  # a pipe, say
        return None
