"""The options of limits and deadlines in one place, so that tests name limits and not options."""

LIMITS = {
    "head_bytes": "--buffer-size",
    "fields": "--max-fields",
    "target_bytes": "--max-target",
    "body_bytes": "--limit-post",
    "body_memory_bytes": "--post-buffering",
    "connections": "--max-connections",
    "queue": "--request-queue",
}
DEADLINES = {
    "header": "--header-timeout",
    "body": "--body-timeout",
    "body_rate": "--body-min-rate",
    "keep_alive": "--http-keepalive",
    "write": "--socket-timeout",
    "mercy": "--reload-mercy",
}


def limits(**values):
    """limits(body_bytes=10) gives the command line for it."""
    return [word for name, value in values.items() for word in (LIMITS[name], str(value))]


def deadlines(**values):
    return [word for name, value in values.items() for word in (DEADLINES[name], str(value))]
