"""What harakiri needs of an interpreter: the exception that is raised in a request that has taken too long."""


class Harakiri(BaseException):
    """The request has taken longer than it may (--harakiri, uwsgi.set_user_harakiri). Not an Exception: `except Exception` lets it pass."""

    __module__ = "uwsgi"
