"""Decorators for signals, timers, locks and threads, as uWSGI's users know them. Built in: `import uwsgidecorators`.

Every interpreter imports this for itself and registers its own functions; what is registered alike in all of them is one timer.
What needs a part of the server that this version does not have raises when it is used, and says so.
"""

from functools import wraps
from threading import Thread

import uwsgi

if uwsgi.masterpid() == 0:
    raise Exception("you have to enable the uWSGI master process to use this module")

spooler_functions = {}
mule_functions = {}
postfork_chain = []


def get_free_signal():
    for signum in range(256):
        if not uwsgi.signal_registered(signum):
            return signum
    raise Exception("No free uwsgi signal available")


def postfork_chain_hook():
    for f in postfork_chain:
        f()


uwsgi.post_fork_hook = postfork_chain_hook


class postfork:
    """@postfork: called in each interpreter when its application has been loaded. @postfork(2): in that one only."""

    def __init__(self, f):
        if callable(f):
            self.wid = 0
            self.f = f
        else:
            self.wid = f
            self.f = None
        if self.f is not None:
            postfork_chain.append(self)

    def __call__(self, *args, **kwargs):
        if self.f is not None:
            if self.wid > 0 and self.wid != uwsgi.worker_id():
                return None
            return self.f(*args, **kwargs)
        self.f = args[0]
        postfork_chain.append(self)
        return self


class _registered:
    """What all that raises signals has in common: a number, a target, a function."""

    def __init__(self, options):
        signum = options.get("signum")
        self.num = get_free_signal() if signum is None else signum
        self.target = options.get("target", "")

    def __call__(self, f):
        uwsgi.register_signal(self.num, self.target, f)
        self.add()
        return f

    def add(self):
        pass


class signal(_registered):
    def __init__(self, num, **kwargs):
        super().__init__({**kwargs, "signum": num})


class timer(_registered):
    def __init__(self, secs, **kwargs):
        super().__init__(kwargs)
        self.secs = secs

    def add(self):
        uwsgi.add_timer(self.num, self.secs)


class mstimer(_registered):
    def __init__(self, msecs, **kwargs):
        super().__init__(kwargs)
        self.msecs = msecs

    def add(self):
        uwsgi.add_ms_timer(self.num, self.msecs)


class rbtimer(_registered):
    def __init__(self, secs, **kwargs):
        super().__init__(kwargs)
        self.secs = secs
        self.iterations = kwargs.get("iterations", 0)

    def add(self):
        uwsgi.add_rb_timer(self.num, self.secs, self.iterations)


class cron(_registered):
    def __init__(self, minute, hour, day, month, dayweek, **kwargs):
        super().__init__(kwargs)
        self.when = (minute, hour, day, month, dayweek)

    def add(self):
        uwsgi.add_cron(self.num, *self.when)


class filemon(_registered):
    def __init__(self, fsobj, **kwargs):
        super().__init__(kwargs)
        self.fsobj = fsobj

    def add(self):
        uwsgi.add_file_monitor(self.num, self.fsobj)


def lock(f):
    """Runs the function while no other thread of any interpreter runs one that is locked."""

    @wraps(f)
    def locked(*args, **kwargs):
        # Not in the spooler, as in uWSGI.
        if uwsgi.i_am_the_spooler():
            return None
        uwsgi.lock()
        try:
            return f(*args, **kwargs)
        finally:
            uwsgi.unlock()

    return locked


def thread(f):
    """Runs the function in a thread of its own."""

    @wraps(f)
    def started(*args, **kwargs):
        t = Thread(target=f, args=args, kwargs=kwargs)
        t.daemon = True
        t.start()
        return t

    return started


def _needs(function, message):
    if not hasattr(uwsgi, function):
        raise Exception(message)


def _encoded(value):
    return value.encode() if isinstance(value, str) else value


def _decoded(value):
    # Values may be any bytes: what is no text stays as it is.
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def manage_spool_request(vars):
    """The spooler's handler: calls the function that the task was made for."""
    import pickle

    vars = {_decoded(key): value for key, value in vars.items()}
    if "args" in vars:
        args, kwargs = (pickle.loads(vars.pop(key)) for key in ("args", "kwargs"))
    else:
        args = None
    vars = {key: _decoded(value) for key, value in vars.items()}
    f = spooler_functions[vars["ud_spool_func"]]
    ret = f(*args, **kwargs) if args is not None else f(vars)
    if "ud_spool_ret" in vars:
        ret = int(vars["ud_spool_ret"])
    if not isinstance(ret, int):
        raise TypeError(
            f"a @spoolraw function returns uwsgi.SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE, and "
            f"{vars['ud_spool_func']}() returned {ret!r}"
        )
    return ret


uwsgi.spooler = manage_spool_request


class _spoolraw:
    result = None

    def __init__(self, f, pass_arguments):
        if "spooler" not in uwsgi.opt and "spooler-external" not in uwsgi.opt:
            name = type(self).__name__.lstrip("_")
            raise Exception(f"you have to enable the uWSGI spooler to use @{name} decorator")
        self.f = f
        self.pass_arguments = pass_arguments
        spooler_functions[f.__name__] = f
        # function.spool(...), as before uWSGI 1.9.13.
        f.spool = self.__call__

    def __call__(self, *args, **kwargs):
        arguments = {"ud_spool_func": self.f.__name__}
        if self.result is not None:
            arguments["ud_spool_ret"] = str(self.result)
        if self.pass_arguments:
            import pickle

            for key in ("message_dict", "spooler", "priority", "at", "body"):
                if key in kwargs:
                    arguments[key] = kwargs.pop(key)
            arguments["args"] = pickle.dumps(args)
            arguments["kwargs"] = pickle.dumps(kwargs)
        else:
            if args:
                arguments.update((_decoded(key), value) for key, value in args[0].items())
            arguments.update(kwargs)
        return uwsgi.spool({_encoded(key): _encoded(value) for key, value in arguments.items()})

    def spool(self, *args, **kwargs):
        return self(*args, **kwargs)


class _spool(_spoolraw):
    result = uwsgi.SPOOL_OK


class _spoolforever(_spoolraw):
    result = uwsgi.SPOOL_RETRY


def spool_decorate(f=None, pass_arguments=False, _class=_spoolraw):
    if f is None:
        return lambda f: _class(f, pass_arguments)
    return _class(f, pass_arguments)


def spoolraw(f=None, pass_arguments=False):
    """The function returns uwsgi.SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE."""
    return spool_decorate(f, pass_arguments)


def spool(f=None, pass_arguments=False):
    """A call puts a task into the spooler, which calls the function later, once unless it raises."""
    return spool_decorate(f, pass_arguments, _spool)


def spoolforever(f=None, pass_arguments=False):
    """The same, again and again."""
    return spool_decorate(f, pass_arguments, _spoolforever)


class rpc:
    def __init__(self, name):
        self.name = name

    def __call__(self, f):
        _needs("register_rpc", "rpc is not yet in this version of singlemalt: @rpc cannot be used")
        uwsgi.register_rpc(self.name, f)
        return f


class harakiri:
    def __init__(self, seconds):
        # Requests are watched from the first one on.
        uwsgi.set_user_harakiri(0)
        self.seconds = seconds

    def __call__(self, f):
        @wraps(f)
        def limited(*args, **kwargs):
            uwsgi.set_user_harakiri(self.seconds)
            try:
                return f(*args, **kwargs)
            finally:
                uwsgi.set_user_harakiri(0)

        return limited


class _of_mules:
    def __init__(self, *args, **kwargs):
        raise Exception(
            "mules are not yet in this version of singlemalt: @"
            + type(self).__name__
            + " cannot be used"
        )


class mule(_of_mules):
    pass


class muleloop(_of_mules):
    pass


class mulemsg(_of_mules):
    pass


class mulefunc(_of_mules):
    pass


class farm(_of_mules):
    pass


class erlang:
    def __init__(self, name):
        raise Exception("there is no Erlang in singlemalt: @erlang cannot be used")
