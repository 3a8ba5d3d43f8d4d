"""Asks an interpreter's own threads to finish and runs its exit hooks, attached on its creator, right before it is ended."""

import sys

# Seconds that threads have after SystemExit, also if others have used up the time before it.
LEAST_AFTER_EXIT = 1.0
# Seconds between two looks at threads that have not ended.
LOOK = 0.1


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
    if others(me) or places():
        end_threads(me, min(daemon_seconds, max(LEAST_AFTER_EXIT, left())))
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


def end_threads(me, seconds):
    """Raises SystemExit in all threads. One that has not moved since waits in C: its wait is ended. One that has moved may be
    at work that ends with it (a `finally`), and has half of the time for that."""
    import time

    end = time.monotonic() + seconds
    half = end - seconds / 2
    run(interrupt_threads, others(me))
    at_first = places()
    run(end_waits)
    run(end_notifications)
    while True:
        until = min(end, time.monotonic() + LOOK)
        for thread in others(me):
            join(thread, max(0.0, until - time.monotonic()))
        now = places()
        # A thread of _thread cannot be joined.
        while now and not others(me) and time.monotonic() < until:
            time.sleep(0.001)
            now = places()
        if not (now or others(me)) or time.monotonic() >= end:
            return
        if time.monotonic() >= half or all(now[one] == at_first.get(one) for one in now):
            run(end_everything, others(me))


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
