"""Asks an interpreter's own threads to finish and runs its exit hooks, attached on its creator, right before it is ended."""

import sys


def quiesce(seconds, daemon_seconds):
    import atexit
    import time

    end = time.monotonic() + seconds
    left = lambda: max(0.0, end - time.monotonic())
    me = threading.current_thread()
    # What threading._shutdown would run first: it joins the workers of a ThreadPoolExecutor.
    hooks, threading._threading_atexits = list(getattr(threading, "_threading_atexits", ())), []
    for hook in reversed(hooks):
        run(hook)
    # Sentry, OpenTelemetry and the like flush and stop their threads here.
    run(atexit._run_exitfuncs)
    for thread in others(me):
        if not thread.daemon:
            join(thread, left())
    stubborn = others(me)
    for thread in stubborn:
        interrupt(thread.ident)
    daemons_end = time.monotonic() + daemon_seconds
    for thread in stubborn:
        join(thread, min(left(), max(0.0, daemons_end - time.monotonic())))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            run(stream.flush)
    # Refusals that are kept somewhere go when this namespace is half gone.
    if hasattr(Refused, "__del__"):
        del Refused.__del__
    left_over = len(others(me))
    # From 3.13 on the phantom of this worker is struck off by a __del__ that runs when threading is half gone, and prints an
    # error; so now.
    phantom = getattr(threading, "_thread_local_info", None)
    if phantom is not None:
        vars(phantom).pop("_track_dummy_thread_ref", None)
    return left_over


def others(me):
    """The threads that `threading` started. The phantom MainThread of a subinterpreter never ends; a _DummyThread stands for a
    thread of somebody else and cannot be joined."""
    phantoms = (me, threading.main_thread())
    return [
        t
        for t in threading.enumerate()
        if t not in phantoms and t.ident and not isinstance(t, threading._DummyThread)
    ]


def join(thread, seconds):
    run(thread.join, seconds)


def run(hook, *arguments):
    try:
        hook(*arguments)
    except BaseException as error:  # SystemExit of a hook must not skip the others
        import traceback

        emit("at exit: " + "".join(traceback.format_exception(error)).rstrip())
