"""The peers: how each is started for an app and a shape, at the settings its documentation gives
for production.

A peer that cannot be what a scenario asks for raises `Unfit` with the reason, and the reason is
printed in its row.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

from .server import Failed, Server, free_port

BENCHES = pathlib.Path(__file__).parent.parent
APPS, SERVERS = BENCHES / "apps", BENCHES / "servers"
# `daemon` on Debian.
OTHER_ACCOUNT = (1, 1)


class Unfit(Failed):
    """The peer has no such thing."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of a server: interpreters or processes, threads in each, with or without a request
    log, and the kind of its socket.
    """

    processes: int = 1
    threads: int = 1
    log: bool = False
    # "http", "tls", "uwsgi" (nginx in front speaks it), "kept" (nginx speaks HTTP and keeps its
    # connections), "static" (a folder of files beside the app)
    speaks: str = "http"
    # Only singlemalt has a choice.
    isolation: str = ""
    # The format of log lines, of singlemalt alone.
    log_format: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """One server to start."""

    app: str
    shape: Shape
    port: int
    folder: pathlib.Path
    tools: "Tools"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def socket(self):
        return self.folder / f"{self.port}.sock"

    @property
    def certificate(self):
        return self.folder / "tls.crt", self.folder / "tls.key"

    @property
    def static(self):
        return self.folder / "static"


@dataclasses.dataclass(frozen=True)
class Tools:
    """Paths of the installed servers, and why others are missing."""

    singlemalt: pathlib.Path
    venv: pathlib.Path
    # The build for the default CPython, where BENCH_PYTHON names another one.
    default_build: pathlib.Path | None = None

    def python(self, name="python"):
        return self.venv / "bin" / name

    def is_free_threaded(self):
        asked = 'import sysconfig; print(sysconfig.get_config_var("Py_GIL_DISABLED"))'
        done = subprocess.run([self.python(), "-c", asked], capture_output=True, text=True)
        return done.stdout.strip() == "1"

    def need(self, package):
        """The reason why a peer is not installed is in a file of its name, left there by
        tools/bench.
        """
        reason = self.venv / "not-installable" / package
        if reason.exists():
            raise Unfit(f"not installable: {reason.read_text().strip()}")


def only_http(case, *more):
    if case.shape.speaks not in ("http", *more):
        raise Unfit(f"has no {case.shape.speaks}")


def singlemalt(case):
    shape = case.shape
    command = [case.tools.singlemalt, APPS / f"{case.app}.py", "-H", case.tools.venv]
    match shape.speaks:
        case "http":
            command += ["--http", case.address]
        case "tls":
            command += ["--https", ",".join(map(str, (case.address, *case.certificate)))]
        case "uwsgi":
            command += ["--socket", case.socket, "--chmod-socket=666"]
        case "kept":
            command += [
                "--http-socket",
                case.socket,
                "--chmod-socket=666",
                "--trusted-proxies",
                "unix",
            ]
        case "static":
            command += ["--http", case.address, "--static-map", f"/static={case.static}"]
    command += ["--processes", shape.processes, "--threads", shape.threads]
    if shape.isolation:
        command += ["--isolation", shape.isolation]
    if shape.log_format:
        command += ["--log-format", shape.log_format]
    return command if shape.log else [*command, "--disable-logging"]


def default_build(case):
    """singlemalt for the default CPython. Its packages would be another virtualenv's."""
    only_http(case)
    if not case.tools.default_build:
        raise Unfit("BENCH_PYTHON names no other CPython")
    command = [case.tools.default_build, APPS / f"{case.app}.py", "--http", case.address]
    command += ["--processes", case.shape.processes, "--threads", case.shape.threads]
    return [*command, "--isolation", case.shape.isolation or "auto", "--disable-logging"]


def bjoern(case):
    case.tools.need("bjoern")
    only_http(case)
    if case.shape.threads > 1:
        raise Unfit("has no threads")
    if case.shape.log:
        raise Unfit("has no access log")
    return [
        case.tools.python(),
        SERVERS / "bjoern_server.py",
        case.app,
        case.port,
        case.shape.processes,
    ]


def granian(case):
    case.tools.need("granian")
    only_http(case, "tls")
    command = [
        case.tools.python("granian"),
        "--interface",
        "wsgi",
        "--host",
        "127.0.0.1",
        "--port",
        case.port,
    ]
    command += [
        "--workers",
        case.shape.processes,
        "--blocking-threads",
        case.shape.threads,
        "--no-ws",
    ]
    command += ["--access-log"] if case.shape.log else ["--no-access-log", "--log-level", "error"]
    if case.shape.speaks == "tls":
        certificate, key = case.certificate
        command += ["--ssl-certificate", certificate, "--ssl-keyfile", key, "--http", "1"]
    return [*command, f"{case.app}:application"]


def uwsgi(case, http="--http11-socket"):
    """http11-socket answers on one connection until that closes; see uwsgi_router for its other way
    to keep connections.
    """
    case.tools.need("uwsgi")
    only_http(case, "uwsgi", "tls")
    shape = case.shape
    command = [
        case.tools.python("uwsgi"),
        "--master",
        "--die-on-term",
        "--need-app",
        "-H",
        case.tools.venv,
    ]
    command += ["--pythonpath", APPS, "--module", f"{case.app}:application", "--listen", "100"]
    command += ["--processes", shape.processes]
    if shape.threads > 1:
        command += ["--enable-threads", "--threads", shape.threads]
    match shape.speaks:
        case "uwsgi":
            command += ["--socket", case.socket, "--chmod-socket=666"]
        case "tls":
            if http != "--http":
                raise Unfit("TLS is its router's: see uwsgi-router")
            command += ["--https", ",".join(map(str, (case.address, *case.certificate)))]
        case _:
            command += [http, case.address]
    if http == "--http":
        command += ["--http-keepalive", "--http-auto-chunked"]
    return command if shape.log else [*command, "--disable-logging"]


def uwsgi_router(case):
    if case.shape.speaks == "uwsgi":
        raise Unfit("the same as uwsgi")
    return uwsgi(case, "--http")


def gunicorn(case, kind="gthread"):
    case.tools.need("gunicorn")
    only_http(case, "tls")
    shape = case.shape
    command = [case.tools.python("gunicorn"), "--bind", case.address, "--worker-class", kind]
    command += ["--workers", shape.processes, "--log-level", "error"]
    if kind == "gthread":
        # With one thread it would be the sync worker; its documentation begins at two to four.
        command += ["--threads", max(shape.threads, 4), "--keep-alive", "75"]
    elif shape.threads > 1:
        raise Unfit("has no threads")
    if shape.log:
        command += ["--access-logfile", "-"]
    if shape.speaks == "tls":
        certificate, key = case.certificate
        command += ["--certfile", certificate, "--keyfile", key]
    return [*command, f"{case.app}:application"]


def gunicorn_sync(case):
    return gunicorn(case, "sync")


def one_process(case):
    if case.shape.processes > 1 and case.shape.threads == 1:
        raise Unfit("has one process only")
    if case.shape.log:
        raise Unfit("has no access log")


def waitress(case):
    case.tools.need("waitress")
    only_http(case)
    one_process(case)
    threads = max(case.shape.processes * case.shape.threads, 4)
    command = [
        case.tools.python("waitress-serve"),
        f"--listen={case.address}",
        f"--threads={threads}",
    ]
    return [*command, "--connection-limit=10000", "--asyncore-use-poll", f"{case.app}:application"]


def cheroot(case):
    case.tools.need("cheroot")
    only_http(case)
    one_process(case)
    threads = max(case.shape.processes * case.shape.threads, 10)
    return [
        case.tools.python("cheroot"),
        "--bind",
        case.address,
        "--threads",
        threads,
        f"{case.app}:application",
    ]


def pyruvate(case):
    case.tools.need("pyruvate")
    only_http(case)
    one_process(case)
    workers = max(case.shape.processes * case.shape.threads, 2)
    return [case.tools.python(), SERVERS / "pyruvate_server.py", case.app, case.port, workers]


def as_another(folder):
    """Apache does not serve as root: started by root it uses another account that can read the same
    files.
    """
    folder.mkdir()
    if os.geteuid() != 0:
        return []
    os.chown(folder, *OTHER_ACCOUNT)
    user, group = OTHER_ACCOUNT
    account = [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return [
        "setpriv",
        *account,
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
        "--",
    ]


def mod_wsgi(case):
    case.tools.need("mod_wsgi")
    only_http(case)
    root = case.folder / f"mod_wsgi-{case.port}"
    command = [
        *as_another(root),
        case.tools.python("mod_wsgi-express"),
        "start-server",
        "--application-type",
        "module",
    ]
    command += ["--callable-object", "application", "--host", "127.0.0.1", "--port", case.port]
    command += [
        "--processes",
        case.shape.processes,
        "--threads",
        max(case.shape.threads, 5),
        "--working-directory",
        APPS,
    ]
    command += ["--keep-alive-timeout", "75", "--max-clients", "256", "--server-root", root]
    command += ["--log-to-terminal", *(["--access-log"] if case.shape.log else [])]
    return [*command, case.app]


# In the order of the tables; the names are those of --peers.
PEERS = {
    "singlemalt": singlemalt,
    "bjoern": bjoern,
    "granian": granian,
    "uwsgi": uwsgi,
    "uwsgi-router": uwsgi_router,
    "mod_wsgi": mod_wsgi,
    "pyruvate": pyruvate,
    "gunicorn": gunicorn,
    "gunicorn-sync": gunicorn_sync,
    "waitress": waitress,
    "cheroot": cheroot,
}
# In rows of their own only.
OTHER_BUILDS = {"singlemalt-default": default_build}
PACKAGES = {"uwsgi-router": "uwsgi", "gunicorn-sync": "gunicorn"}
OURS = "singlemalt"


def start(name, app, shape, tools, folder, cores=None, label=None):
    """Starts a peer and does not wait for it."""
    case = Case(app, shape, free_port(), folder, tools)
    command = {**PEERS, **OTHER_BUILDS}[name](case)
    environment = {
        "PYTHONPATH": str(APPS),
        "SINGLEMALT_BENCH_DATABASE": str(folder / "django.sqlite3"),
    }
    environment |= {
        "PATH": f"{tools.venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    log = folder / "logs" / f"{label or name}-{app}-{case.port}.log"
    server = Server(
        label or name, command, case.port, log, cores, environment, APPS, tls=shape.speaks == "tls"
    )
    server.socket = case.socket
    return server


def versions(tools):
    """{peer or tool: its version, or why it is not here}"""
    found = {}
    listed = subprocess.run(
        [tools.python(), "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
    ).stdout
    packages = {
        line.split("==")[0].lower().replace("-", "_"): line.split("==")[-1]
        for line in listed.splitlines()
    }
    for name in (*PEERS, "flask", "django"):
        package = PACKAGES.get(name, name)
        if name == OURS:
            said = subprocess.run(
                [tools.singlemalt, "--version"], capture_output=True, text=True
            ).stdout
            found[name] = said.split()[-1]
        elif package in packages:
            found[name] = packages[package]
        else:
            reason = tools.venv / "not-installable" / package
            found[name] = (
                f"not installable: {reason.read_text().strip()}"
                if reason.exists()
                else "not installed"
            )
    for name, option in (("nginx", "-v"), ("wrk", "-v")):
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if path:
            done = subprocess.run([path, option], capture_output=True, text=True)
            number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
            found[name] = number[0] if number else "?"
        else:
            found[name] = "not installed"
    return found
