"""Modules that the server brings with it, importable like any other; nothing of them is kept in memory before."""

import sys


class EmbeddedFinder:
    """Finds them in front of what is installed: uWSGI's own uwsgidecorators.py may lie in the virtualenv, and knows less."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "uwsgidecorators":
            from importlib.machinery import ModuleSpec

            return ModuleSpec(name, EmbeddedFinder, origin="singlemalt")
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(embedded_code(module.__name__), vars(module))


sys.meta_path.insert(0, EmbeddedFinder)

# What uWSGI's module has and this one has not yet: beginnings of names, and names.
MISSING_FAMILIES = "async_ cache_ chunked_read farm_ metric_ mule_ queue_ recv rpc send sharedarea_ snmp_ wait_fd_ websocket_"
MISSING = (
    "call cl close connect connection_fd disconnect embedded_data extract in_farm is_connected "
    "offload parsefile ready_fd register_rpc request_context "
    "set_warning_message signal_received signal_wait suspend"
)


def missing_from_uwsgi(name):
    """`uwsgi.name` for what the module has not. Code that tests for nothing but the module itself gets an error that it may
    show to nobody: so it is told."""
    if name != "spooler" and (
        name.startswith("spool") or name in ("send_to_spooler", "set_spooler_frequency")
    ):
        # As in uWSGI these are there with a spooler only.
        warn_once(f"uwsgi.{name} is there with a spooler: name its directory with --spooler")
        raise AttributeError(f"module 'uwsgi' has no attribute {name!r}", name=name)
    # Functions that the app may assign.
    is_hook = name in ("spooler", "mule_msg_hook")
    if not is_hook and (
        name in MISSING.split() or name.startswith(tuple(MISSING_FAMILIES.split()))
    ):
        frame = sys._getframe(1)
        warn_once(
            f"uwsgi.{name} is not in this version of singlemalt ({place_of(frame)}); --no-uwsgi-module hides the module from "
            "code that asks for no more than that"
        )
    raise AttributeError(f"module 'uwsgi' has no attribute {name!r}", name=name)
