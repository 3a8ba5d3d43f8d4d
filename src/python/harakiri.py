"""What harakiri needs of an interpreter: the exception that is raised in a request that has taken too long, and the stack it stands in."""

import sys


class Harakiri(BaseException):
    """The request has taken longer than it may (--harakiri, uwsgi.set_user_harakiri). Not an Exception: `except Exception` lets it pass."""

    __module__ = "uwsgi"


def harakiri_stack(ident):
    import traceback
    frame = sys._current_frames().get(ident)
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else ""
