"""nginx and Apache in front of the server: started in a folder of their own, unprivileged, with the
sample configurations of docs/deploy/. Only addresses are put in place of the samples' own.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from client import Connection

SAMPLES = Path(__file__).resolve().parent.parent / "docs" / "deploy"
START_SECONDS = 30.0
SOCKET = "/run/app/app.sock"


def find(*names):
    """The path of a program, also where a user's PATH does not lead."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        reason = f"{names[0]} is not installed: tools/front-ends"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class WebServer:
    """A web server between clients and the server. Another process may take its port first; then it
    is started again.
    """

    def __init__(self, folder, sample, address):
        self.folder = Path(folder)
        self.sample = (SAMPLES / sample).read_text()
        #: (host, port), or the path of a unix socket: what the server listens on.
        self.upstream = address
        for _ in range(5):
            self.port = free_port()
            self.write()
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
            )
            if self.is_ready():
                return
        raise AssertionError(f"it did not start:\n{self.log()}")

    def is_ready(self):
        """Polled, because neither reports when it listens. The process must be alive, so that the
        port is not another program's.
        """
        waiting = threading.Event()
        for _ in range(int(START_SECONDS / 0.02)):
            if self.process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return self.process.poll() is None
            except OSError:
                waiting.wait(0.02)
        return False

    def log(self):
        log = self.folder / "error.log"
        return log.read_text() if log.exists() else ""

    def connect(self):
        return Connection(("127.0.0.1", self.port))

    def ask(self, path="/", method="GET", body=b"", headers=()):
        """One request on a connection of its own; the answer strictly parsed."""
        fields = {"Host": "example.com", "Connection": "close", **dict(headers)}
        if body:
            fields["Content-Length"] = len(body)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        with self.connect() as connection:
            return connection.ask(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body, method)

    def reload(self):
        self.process.send_signal(self.RELOAD)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_SECONDS)


class Nginx(WebServer):
    RELOAD = signal.SIGHUP

    def command(self):
        return [
            find("nginx"),
            "-p",
            str(self.folder),
            "-e",
            "error.log",
            "-c",
            str(self.folder / "nginx.conf"),
        ]

    def write(self):
        # Files that the samples include are next to Debian's nginx.conf.
        for parameters in Path("/etc/nginx").glob("*_params"):
            shutil.copy(parameters, self.folder)
        where = (
            f"unix:{self.upstream}"
            if isinstance(self.upstream, str)
            else "{}:{}".format(*self.upstream)
        )
        site = replaced(self.sample, f"server unix:{SOCKET};", f"server {where};")
        site = replaced(site, "listen 80;", f"listen 127.0.0.1:{self.port};")
        # A worker of root's nginx would run as `nobody`, which cannot read a folder of root's.
        user = "user root;" if os.getuid() == 0 else ""
        temporary = "\n".join(
            f"{kind}_temp_path tmp_{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            f"daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log notice;\n"
            f"events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temporary}\n{site}\n}}\n"
        )


class Apache(WebServer):
    RELOAD = signal.SIGUSR1

    def command(self):
        return [
            find("apache2", "httpd"),
            "-D",
            "FOREGROUND",
            "-f",
            str(self.folder / "apache.conf"),
        ]

    def write(self):
        modules = next(
            (
                path
                for path in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules")
                if Path(path).is_dir()
            ),
            None,
        )
        names = [
            "mpm_event",
            "authz_core",
            "setenvif",
            "env",
            "headers",
            "proxy",
            *re.findall(r"a2enmod .*", self.sample)[0].split()[1:],
        ]
        loaded = [
            f"LoadModule {name}_module {modules}/mod_{name}.so"
            for name in dict.fromkeys(names)
            if Path(modules, f"mod_{name}.so").exists()
        ]
        if isinstance(self.upstream, str):
            site = replaced(self.sample, f"unix:{SOCKET}", f"unix:{self.upstream}")
        else:
            host, port = self.upstream
            site = re.sub(rf"unix:{SOCKET}\|(\w+)://app/", rf"\1://{host}:{port}/", self.sample)
        site = replaced(site, "<VirtualHost *:80>", f"<VirtualHost 127.0.0.1:{self.port}>")
        # Its workers may not be root.
        user = "User nobody\nGroup nogroup" if os.getuid() == 0 else ""
        (self.folder / "apache.conf").write_text(
            "\n".join(loaded)
            + f"\nServerRoot {self.folder}\nServerName example.com\nPidFile apache.pid\nErrorLog error.log\n{user}\n"
            + f"Listen 127.0.0.1:{self.port}\nDefaultRuntimeDir {self.folder}\nMutex file:{self.folder}\n{site}"
        )


def replaced(text, old, new):
    assert old in text, f"the sample has no {old!r}"
    return text.replace(old, new)
