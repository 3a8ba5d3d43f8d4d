"""A process that the app made with os.fork() ends where the app's code ends (fork.rs)."""


def child_exit_code(error):
    """What the app let out of its code, or None: the exit code, as at the end of a script. Streams are flushed."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        code = failed_request(error).rstrip("\n")
    if code is not None and not isinstance(code, int):
        say_in_child(code)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # closed, or no stream
            pass
    return (code or 0) & 0xFF


def say_in_child(text):
    try:
        print(text, file=sys.stderr)
    except (AttributeError, OSError, ValueError):
        pass


def end_child(error):
    """Called where an exception of the app is caught: a child ends with it."""
    if is_child():
        os._exit(child_exit_code(error))
