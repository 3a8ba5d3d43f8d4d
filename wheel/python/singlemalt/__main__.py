"""The command: `singlemalt`, `python -m singlemalt`, and what the server starts by this file's path."""

# `signal` would bring `enum` along: 0.2 MB.
import _signal
import faulthandler
import os
import sys


def main():
    """Runs the command of `sys.argv`, and ends the process."""
    script_folder = leave_script()
    try:
        extension = find_extension()
    except ImportError as error:
        sys.exit(f"error: {explained(error)}")
    # As a program without Python begins: signals are the server's, and the handlers of crashes are
    # set in an order of its own.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    faulthandler.disable()
    open_standard_streams()
    packages = [folder for folder in sys.path if folder.startswith(sys.prefix + os.sep)]
    extension.main((os.path.abspath(__file__), extension.__file__), script_folder, packages)


def leave_script():
    """Takes out of `sys.path` what Python has put there for this script, and returns it. An archive
    (a zipapp) stays: the application's packages may be in it."""
    if sys.flags.safe_path or not sys.path:
        return None
    first = sys.path[0]
    if os.path.isfile(first) and not first.endswith(".exe"):
        return None
    return sys.path.pop(0)


def find_extension():
    """The module that belongs to this file: another environment's Python may have started it."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.dirname(folder))
    try:
        from singlemalt import _singlemalt
    finally:
        del sys.path[0]
    return _singlemalt


def explained(error):
    """What to do about an extension module that cannot be loaded here."""
    import sysconfig

    folder = os.path.dirname(os.path.abspath(__file__))
    here = f"CPython {sys.version_info[0]}.{sys.version_info[1]}"
    here += f"{getattr(sys, 'abiflags', '')} for {sysconfig.get_platform()}"
    found = [name for name in os.listdir(folder) if name.startswith("_singlemalt.")]
    if not found:
        problem = f"{folder} has no extension module"
    else:
        problem = f"{os.path.join(folder, found[0])} is not made for it ({error})"
    return (
        f"this singlemalt cannot run on {here}: {problem}. Install the wheel for this Python and "
        f"system: {sys.executable} -m pip install --force-reinstall singlemalt"
    )


def open_standard_streams():
    """A descriptor below 3 that is closed would become one of the server's."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
