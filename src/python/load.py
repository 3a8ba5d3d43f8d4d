"""Finds and loads the app, and says in a person's words why it could not.

`load` returns ("loaded", {...}, app) or (kind of failure, {...}); values are text, lists of text, or None.
"""

import os
import sys


class Failure(Exception):
    def __init__(self, kind, **facts):
        self.kind, self.facts = kind, facts


def load(kind, target, expression, isolated, imports):
    """`imports`: kinds, targets and second names in turn, of what is wanted before the first app; None for a further one."""
    where = "--eval" if kind == "code" else target
    table = getattr(sys.modules.get("uwsgi"), "applications", None)
    try:
        if imports is not None:
            FILES.clear()
            import_all(zip(imports[::3], imports[1::3], imports[2::3]), isolated)
        if kind == "nothing":
            return "imported", {}
        if kind.startswith("paste"):
            app, name, note = load_paste(target, kind == "paste logged")
        else:
            found = load_app_file(target) if kind == "file" else LOADERS[kind](target)
            several = declared_apps(found, table) if kind == "module" else None
            if several:
                app, name = by_script_name(several), "applications"
                note = "`applications` is served: " + ", ".join(place or "/" for place in several)
            else:
                app, name, note = find_callable(found, expression, where)
    except Failure as failure:
        return failure.kind, failure.facts
    except BaseException as error:
        end_child(error)
        if isinstance(error, SystemExit) and error.__context__ is None and error.__cause__ is None:
            problem = f"it called sys.exit({error.code!r}) while it was loaded"
            return "raised", {"exception": problem, "traceback": trimmed(error), "hint": None}
        return explained(error, isolated)
    return (
        "loaded",
        {
            "name": where if kind != "module" else found.__name__,
            "callable": name,
            "note": note,
        },
        app,
    )


def import_only(kind, target, isolated):
    try:
        LOADERS[kind](target)
    except Failure as failure:
        return failure.kind, failure.facts
    except BaseException as error:
        end_child(error)
        return explained(error, isolated)
    return "imported", {}


def run_script(path):
    """The exit code of a script."""
    import runpy

    sys.argv[:1] = [path]
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    code = 0
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        # From the script on: what ran it is ours.
        own = error.__traceback__
        while own is not None and own.tb_frame.f_code.co_filename != path:
            own = own.tb_next
        code = trimmed(error.with_traceback(own or error.__traceback__), standard_library=True)
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    return (code or 0) & 0xFF


# What the apps of one interpreter were loaded from, by absolute path: a file that is mounted twice is one module, as a module is.
FILES = {}


def load_app_file(path):
    if (
        path.endswith(".wsgi")
        and not os.path.exists(path)
        and all(part.isidentifier() for part in path.split("."))
    ):
        # What `django-admin startproject` makes is the module mysite.wsgi, and looks like a file of mod_wsgi's.
        return load_module(path)
    place = os.path.abspath(path)
    if place not in FILES:
        FILES[place] = load_file(path)
    return FILES[place]


def load_paste(uri, logged):
    """What PasteDeploy makes of a URI; a relative path is one of the working directory."""
    path, _, name = uri.removeprefix("config:").partition("#")
    if uri.startswith("config:") and not os.path.isfile(path):
        raise Failure(
            "not_found",
            wanted=path,
            is_file="yes",
            missing=None,
            near=[],
            folder=os.getcwd(),
            problem=None,
        )
    try:
        from paste.deploy import loadapp
    except ModuleNotFoundError as error:
        if error.name not in ("paste", "paste.deploy"):
            raise
        raise Failure(
            "raised",
            exception=str(error),
            traceback="",
            hint=f"--paste needs the package PasteDeploy (pip install PasteDeploy), and {sys.prefix} has none",
        ) from None
    if logged and uri.startswith("config:"):
        from logging.config import fileConfig

        place = os.path.abspath(path)
        fileConfig(
            place,
            {"__file__": place, "here": os.path.dirname(place)},
            disable_existing_loggers=False,
        )
    return loadapp(uri, relative_to=os.getcwd()), name or "main", None


def load_file(path, name=None):
    """uWSGI's name for such a module, unless it is given one: `uwsgi_file_`, then the path with dots and slashes replaced,
    without `_py`."""
    # Where importlib has them from. Its package alone would be 45 KB in each interpreter whose app does not import it.
    from _frozen_importlib import module_from_spec, spec_from_loader
    from _frozen_importlib_external import SourceFileLoader, SourcelessFileLoader

    if not os.path.isfile(path):
        is_folder = os.path.isdir(path)
        raise Failure(
            "not_found",
            wanted=path,
            is_file="yes",
            missing=None,
            near=near_files(path),
            folder=os.getcwd(),
            problem="it is a folder" if is_folder else None,
        )
    if name is None:
        name = "uwsgi_file_" + "".join(
            "_" if letter in "./\\:" else letter for letter in path
        ).removesuffix("_py")
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        # The app's siblings are importable wherever the server was started; behind the working directory.
        sys.path.insert(1 if sys.path[:1] == [os.getcwd()] else 0, folder)
    loader = (SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader)(
        name, os.path.abspath(path)
    )
    module = module_from_spec(spec_from_loader(name, loader))
    sys.modules[name] = module
    FILES_BY_NAME[name] = module.__file__
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def source_files():
    """Name and file of each module that is loaded, in turn; without the standard library's."""
    found = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and (
            not path.startswith(LIBRARY + os.sep) or "-packages" + os.sep in path
        ):
            found += [name, path]
    return found


def load_code(code):
    """uWSGI's name for such a module."""
    from types import ModuleType

    module = ModuleType("uwsgi_eval_config")
    sys.modules[module.__name__] = module
    exec(compile(code, "<eval>", "exec"), vars(module))
    return module


def import_all(targets, isolated):
    """What cannot be imported is told, as in uWSGI, and the rest goes on; unless it is a matter of the interpreter."""
    for kind, target, alias in targets:
        try:
            if not alias:
                LOADERS[kind](target)
            elif kind == "file":
                load_file(target, alias)
            else:
                sys.modules[alias] = LOADERS[kind](target)
        except Failure as failure:
            emit(
                f"[ERROR] cannot import {target}: {failure.facts.get('problem') or 'there is no such ' + kind}"
            )
        except BaseException as error:
            end_child(error)
            if isolated and refusal(error) is not None:
                raise
            advice = hint(error)
            text = f"[ERROR] importing {target} failed:\n{trimmed(error)}" + (
                f"\n  {advice}" if advice else ""
            )
            for line in text.splitlines():
                emit(line)


def near_files(path):
    """What the user may have meant."""
    import difflib

    folder, wanted = (path, "") if os.path.isdir(path) else os.path.split(path)
    try:
        names = [name for name in os.listdir(folder or ".") if name.endswith(".py")]
    except OSError:
        return []
    close = difflib.get_close_matches(wanted, names, 3) or sorted(names)[:5]
    return [os.path.join(folder, name) for name in close]


def load_module(name):
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        # Only if the module itself (or its package) is what is missing; a missing import inside of it is another story.
        if error.name and (name + ".").startswith(error.name + "."):
            raise Failure(
                "not_found",
                wanted=name,
                is_file=None,
                missing=error.name,
                near=[],
                folder=os.getcwd(),
                problem="it is a file: give it as --wsgi-file" if os.path.isfile(name) else None,
            ) from None
        raise


def begin_plugin(path):
    """In the first interpreter of a generation: uWSGI calls a plugin's init once, before it forks. The others import it only."""
    init = getattr(load_file(path), "init", None)
    if init is not None:
        init()


LOADERS = {"file": load_file, "module": load_module, "code": load_code, "plugin": begin_plugin}


def declared_apps(module, table):
    """As in uWSGI a module may declare apps by their mountpoints: `uwsgi.applications = {...}` while it is imported, else
    `applications = {...}`. Both str and bytes are mountpoints. A table of something else is none: None."""
    declared = getattr(sys.modules.get("uwsgi"), "applications", None)
    if declared is table or not isinstance(declared, dict):
        declared = getattr(module, "applications", None)
    if not isinstance(declared, dict):
        return None
    apps = {}
    for place, app in declared.items():
        place = place.decode("latin-1") if isinstance(place, bytes) else place
        app = getattr(module, app, None) if isinstance(app, str) else app
        if not isinstance(place, str) or place[:1] not in ("", "/") or not callable(app):
            return None
        apps[place.rstrip("/")] = app
    return apps


def by_script_name(apps):
    """The app of several that the front end's SCRIPT_NAME names, or under manage-script-name the path; else the first one."""
    first = next(iter(apps.values()))
    options = getattr(sys.modules.get("uwsgi"), "opt", {})
    manages = options.get("manage-script-name") not in (None, b"false", b"no", b"off", b"0")
    # The first one is uWSGI's app 0, at the root whatever its place is.
    places = sorted((place for place in list(apps)[1:] if place), key=len, reverse=True)

    def application(environ, start_response):
        script, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        if manages:
            for place in places:
                if path == place or path.startswith(place + "/"):
                    environ["SCRIPT_NAME"], environ["PATH_INFO"] = place, path[len(place) :]
                    return apps[place](environ, start_response)
        return (
            apps.get(script, first)(environ, start_response)
            if script
            else first(environ, start_response)
        )

    return application


def find_callable(module, expression, where):
    """(app, what it is called, a remark or None). `expression`: dotted name, or a factory call with literal arguments."""
    if expression is None:
        if hasattr(module, "application"):
            return checked(module, module.application, "application", where)
        if hasattr(module, "app"):
            app, name, _ = checked(module, module.app, "app", where)
            return app, name, f"{where} has no `application`; its `app` is served"
        raise no_callable(module, "application", where, None)
    name, bracket, _ = expression.partition("(")
    name = name.strip()
    if not bracket:
        return checked(module, attribute(module, name, where), name, where)
    arguments, keywords = literal_call(expression)
    factory = attribute(module, name, where)
    if not callable(factory):
        raise no_callable(
            module, name, where, f"`{name}` is of type {type(factory).__name__}, not a function"
        )
    try:
        made = factory(*arguments, **keywords)
    except TypeError as error:
        if error.__traceback__.tb_next is not None:
            raise
        # Not one line of it ran: the call does not fit.
        raise no_callable(
            module, expression, where, f"`{expression}` cannot be called like that: {error}"
        ) from None
    if not callable(made):
        raise no_callable(
            module, expression, where, f"`{expression}` returned {made!r:.60}, not a WSGI app"
        )
    return made, expression, None


def literal_call(expression):
    import ast

    wrong = Failure("expression", expression=expression)
    try:
        call = ast.parse(expression.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            raise wrong
        if any(keyword.arg is None for keyword in call.keywords):
            raise wrong
        return (
            [ast.literal_eval(argument) for argument in call.args],
            {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords},
        )
    except (SyntaxError, ValueError):
        raise wrong from None


def attribute(module, name, where):
    found = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise no_callable(module, name, where, None) from None
    return found


def checked(module, app, name, where):
    if callable(app):
        return app, name, None
    raise no_callable(
        module, name, where, f"`{name}` is of type {type(app).__name__}, which cannot be called"
    )


def no_callable(module, wanted, where, problem):
    return Failure(
        "no_callable",
        where=where,
        wanted=wanted,
        found=[name for name in callables(module) if name != wanted],
        problem=problem,
        default="yes" if wanted == "application" else None,
    )


def callables(module):
    """What is defined in this module and could be the app, the likeliest first: what takes (environ, start_response), then
    factories, written as `name()`, then those that want arguments, `name(argument)`, if their names speak of an app."""
    apps, classes, factories, wanting = [], [], [], []
    for name, thing in vars(module).items():
        if name.startswith("_") or not callable(thing):
            continue
        kind = type(thing).__name__
        if kind == "function":
            if thing.__module__ != module.__name__:
                continue
            least = thing.__code__.co_argcount - len(thing.__defaults__ or ())
            if least <= 2 <= thing.__code__.co_argcount or thing.__code__.co_flags & 4:
                apps.append(name)
            elif least <= 0:
                factories.append(name + "()")
            elif speaks_of_an_app(name):
                wanting.append(f"{name}({', '.join(thing.__code__.co_varnames[:least])})")
        elif isinstance(thing, type):
            # A class can be an app: an instance for each request, which is iterated over.
            if thing.__module__ == module.__name__ and hasattr(thing, "__iter__"):
                classes.append(name)
        elif kind != "builtin_function_or_method":
            apps.append(name)
    # main() is more often what runs a development server.
    factories.sort(key=lambda name: not speaks_of_an_app(name))
    return apps + classes + factories + wanting


def speaks_of_an_app(name):
    return any(word in name.lower() for word in ("app", "wsgi", "create", "make", "factory"))


def explained(error, isolated):
    if isolated:
        refused = refusal(error)
        if refused is not None:
            module, by, reason = refused
            return "refused", {
                "module": module,
                "importer": by or None,
                "reason": reason,
                "traceback": trimmed(error),
            }
    import traceback

    lines = list(traceback.TracebackException.from_exception(error).format_exception_only())
    exception, frames = lines[-1].rstrip(), trimmed(error)
    # Without a frame of the app's own the traceback says nothing that the exception does not.
    return "raised", {
        "exception": exception,
        "traceback": frames if frames != exception else "",
        "hint": hint(error),
    }


def hint(error):
    for link in chain(error):
        if isinstance(link, SyntaxError) and "Missing parentheses in call to" in (link.msg or ""):
            return (
                f"this is Python 2 code (print without parentheses); singlemalt runs Python {sys.version_info[0]}."
                f"{sys.version_info[1]}: write print(...)"
            )
        if isinstance(link, SyntaxError):
            return None
        if isinstance(link, ModuleNotFoundError) and link.name:
            return (
                f"`{link.name.partition('.')[0]}` is not installed in {sys.prefix}; if the app has a virtualenv, "
                "name it with --virtualenv"
            )
    return None


def trimmed(error, standard_library=False):
    """The traceback as Python prints it, without the frames of importlib and of this server, and without those of the standard
    library unless they are wanted."""
    import traceback

    library = os.path.dirname(os.__file__) + os.sep

    def is_wanted(frame):
        name = frame.filename
        if name.startswith(("<frozen importlib", "<singlemalt")) or is_importlib(name):
            return False
        return standard_library or not name.startswith(library) or "-packages" + os.sep in name

    printed = traceback.TracebackException.from_exception(error)
    todo = [printed]
    while todo:
        one = todo.pop()
        if one is None:
            continue
        kept = [frame for frame in one.stack if is_wanted(frame)]
        one.stack = traceback.StackSummary.from_list(kept) if kept else None
        todo += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
    return "".join(printed.format()).rstrip()


def failed_request(error):
    """The traceback of an exception that the app let out of a request."""
    return trimmed(error, standard_library=True)
