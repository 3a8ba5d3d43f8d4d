"""Ends the waits of an interpreter's threads, so that they raise the SystemExit that is due to them; see waits/mod.rs.

While the interpreter works only three functions are replaced, and they cost nothing more: time.sleep, select.select and
select.poll. Everything else is looked for at the end, among the objects of the interpreter, and only if threads are left.
"""

import gc
import sys

# Threads that _thread started and threading does not know, by their idents; those that have ended included.
raw_idents = set()
# Seconds. A shorter wait ends by itself.
SHORT_WAIT = 0.1


def make_waits_interruptible():
    import _thread
    import time

    time.sleep = interruptible_sleep(time.sleep)
    start = _thread.start_new_thread

    def start_new_thread(*arguments, **keywords):
        ident = start(*arguments, **keywords)
        raw_idents.add(ident)
        return ident

    _thread.start_new_thread = _thread.start_new = built_in(start_new_thread)


def watch_end(module):
    """select: waits end with the interpreter, by a descriptor of ours that becomes readable then."""
    select_on, make_poll = module.select, getattr(module, "poll", None)

    def select(rlist, wlist, xlist, timeout=None, /):
        is_short = type(timeout) in (int, float) and timeout < SHORT_WAIT
        wake = None if is_short or type(rlist) not in (list, tuple, set) else wake_descriptor()
        # select takes no higher numbers.
        if wake is None or wake >= 1024:
            return select_on(rlist, wlist, xlist, timeout)
        ready = select_on([*rlist, wake], wlist, xlist, timeout)
        if ready[0] and ready[0][-1] is wake:
            raise SystemExit
        return ready

    def poll():
        made = make_poll()
        wake = wake_descriptor()
        if wake is not None:
            made.register(wake, module.POLLIN)
        return made

    module.select = built_in(select)
    if make_poll is not None:
        module.poll = built_in(poll)


def interrupt_threads(threads):
    """Raises SystemExit in all threads of the app, and returns the idents of those that there are."""
    idents = {thread.ident for thread in threads} | raw_idents
    return {ident for ident in idents if interrupt(ident)}


def places():
    """Where each thread of the app is: its state, its innermost frame, and the instruction in it. A worker's is not told."""
    return {
        state: (id(frame), frame.f_lasti)
        for state, frame in own_frames(None)
        if state not in worker_idents
    }


def end_notifications():
    """Wakes the threads that wait for a Condition (an Event, a Queue, a Semaphore ...), or in an event loop."""
    for condition in objects_of(threading.Condition):
        for waiter in list(condition._waiters):
            give_up(waiter.release)
    end_polls(local_values())
    selectors = sys.modules.get("selectors")
    if hasattr(selectors, "EpollSelector"):
        end_polls(one._selector for one in objects_of(selectors.EpollSelector))


def end_everything(threads):
    """Frees all locks, ends all queues, and ends reads of connections and pipes: threads in such a wait cannot be woken
    otherwise. They raise SystemExit at their next call."""
    end_notifications()
    kept = {id(getattr(thread, "_tstate_lock", None)) for thread in threading.enumerate()}
    for lock in objects_of(type(threading.Lock())):
        if lock.locked() and id(lock) not in kept:
            give_up(lock.release)
    for lock in objects_of(type(threading.RLock())):
        if not lock._is_owned():
            give_up(lock._release_save)
    queues = sys.modules.get("_queue")
    if queues is not None:
        for queue in objects_of(queues.SimpleQueue):
            for _ in places():
                queue.put(None)
    if "select" in sys.modules:
        end_polls(one for container in gc.get_objects() for one in gc.get_referents(container))
    sockets = sys.modules.get("_socket")
    if sockets is not None:
        for connection in objects_of(sockets.socket):
            if connection.fileno() >= 0:
                end_reads(connection.fileno())
    for file in objects_of(__import__("_io").FileIO):
        if not file.closed and file.closefd and is_pipe(file.fileno()):
            end_reads(file.fileno())
    # The idents of those that live still: no thread can end while we run.
    for ident in interrupt_threads(threads):
        nudge(ident)


def end_polls(values):
    """An epoll object can be given one more descriptor while a thread waits for it."""
    select = sys.modules.get("select")
    kind = getattr(select, "epoll", None)
    wake = wake_descriptor() if kind is not None else None
    if wake is not None:
        for poll in values:
            if type(poll) is kind:
                give_up(poll.register, wake, select.EPOLLIN)


def local_values():
    for state, frame in own_frames(None):
        while frame is not None and state not in worker_idents:
            yield from list(frame.f_locals.values())
            frame = frame.f_back


def objects_of(kind):
    # Not isinstance: that would run code of proxies.
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def is_pipe(descriptor):
    import os
    import stat

    mode = os.fstat(descriptor).st_mode
    return descriptor > 2 and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


def give_up(action, *arguments):
    """Of two threads one may have been first, and another may have closed it."""
    try:
        action(*arguments)
    except (OSError, RuntimeError, ValueError):
        pass
