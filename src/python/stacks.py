"""Who runs in this interpreter, and in which request, as far as Python code knows; see stacks.rs."""

import sys

# The idents of the workers' threads by the numbers of their states.
worker_idents = {}


def replace_current_frames():
    """CPython's own make objects of the frames of all interpreters' threads and refer to them from this one: with own GILs that
    crashes sooner or later. Profilers and error reporters call them."""

    def _current_frames():
        sys.audit("sys._current_frames")
        frames = {}
        for state, frame in own_frames(None):
            ident = worker_idents.get(state)
            if ident is None:
                thread = thread_of(outermost(frame))
                ident = thread.ident if thread is not None else None
            if ident is not None:
                frames[ident] = frame
        frames[threading.get_ident()] = sys._getframe(1)
        return frames

    def _current_exceptions():
        """Of the calling thread: nobody can ask for those of others, one interpreter at a time."""
        sys.audit("sys._current_exceptions")
        return {threading.get_ident(): sys.exception()}

    sys._current_frames, sys._current_exceptions = _current_frames, _current_exceptions


def current_frame_pairs():
    """Where there is no GIL: the innermost frames by threads, without the calling thread, which only looks."""
    frames = sys._current_frames()
    frames.pop(threading.get_ident(), None)
    return tuple(frames.items())


def name_of_thread(ident):
    thread = threading._active.get(ident)
    if thread is None or isinstance(thread, threading._DummyThread):
        return None
    return str(thread._name)


def outermost(frame):
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def thread_of(frame):
    """The thread that `threading` started with this call."""
    if frame.f_code.co_name != "_bootstrap":
        return None
    thread = frame.f_locals.get("self")
    return thread if isinstance(thread, threading.Thread) else None


def describe_stack(frames):
    """`frames`: the outermost calls, that one first. The name of the thread, and method and target of its request."""
    thread = thread_of(frames[0])
    environ = next(filter(None, map(environ_of, frames)), None)
    if environ is None:
        return thread and str(thread._name), None, None
    target = environ.get("REQUEST_URI") or str(environ.get("SCRIPT_NAME", "")) + str(
        environ.get("PATH_INFO", "")
    )
    return thread and str(thread._name), str(environ.get("REQUEST_METHOD", "")), str(target)


def environ_of(frame):
    if (
        not frame.f_code.co_flags & 1
    ):  # code of a module or a class: its names are the program's, not a call's
        return None
    for value in tuple(frame.f_locals.values()):
        if type(value) is dict and "wsgi.input" in value and "REQUEST_METHOD" in value:
            return value
    return None
