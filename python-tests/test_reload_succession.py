"""A reload of the whole process where it cannot start anew in its own place (Windows): another one succeeds it.

A build with debug assertions does it on Unix, too, when it is told to by the environment; all but the way in which a socket gets into
another process is the same then. The process that was started first stays, and waits for the end of the last one.

The application knocks at the test's gate when it is imported, and in requests for /held.
"""

import os
import signal
import socket
from pathlib import Path

import control
import pytest
from certificates import Authority, TlsConnection
from storm import BROKEN, Load, Site
from test_reload_exec import GET, ROOT, app, children, is_there
from versions import rewrite

from server import binary

SUCCESSION = "_SINGLEMALT_SUCCESSION"

pytestmark = pytest.mark.skipif(
    SUCCESSION.encode() not in binary().read_bytes(), reason="a build without debug assertions"
)


class Succession:
    """A server of version 1, and who it is by now."""

    def __init__(self, serve, *arguments, **more):
        self.server = serve(
            "--isolation",
            "main",
            "--threads",
            "4",
            "--pidfile",
            "app.pid",
            "--vacuum",
            *arguments,
            environment={SUCCESSION: "1"},
            **more,
        )
        self.pidfile = self.server.directory / "app.pid"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        """A stop, by whoever is the server."""
        if self.server.process.poll() is None:
            os.kill(self.pid(), signal.SIGTERM)
            assert self.server.wait_for_exit() == self.server.exit_code_expected

    def pid(self):
        return int(self.pidfile.read_text())

    def serving(self):
        return int(self.server.ask("/pid").text)

    def reload(self, text):
        rewrite(self.server, text)
        os.kill(self.pid(), signal.SIGHUP)

    def successor(self, count=1):
        return int(
            self.server.wait_for_log(
                r"the new version is loaded: process (\d+) serves", count=count
            )[1]
        )

    def is_settled(self, count=1):
        pid = int(self.server.wait_for_log(r"process (\d+) is the server now", count=count)[1])
        self.server.wait_until(lambda: self.pid() == pid, what="the successor's pidfile")
        self.server.wait_until(
            lambda: (
                len([one for one in family(self.server) if one != self.server.process.pid]) == 1
            ),
            what="the end of the one before",
        )
        return pid


def family(server):
    """Every process of the server: they have its standard output."""
    log = os.fstat(server.process.stdout.fileno()).st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.stat(entry / "fd" / "1").st_ino == log and is_there(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def load_of(version):
    """Nobody holds up its import."""
    return app(version, held=False)


def plain(version):
    """Without a gate."""
    return load_of(version).replace("from knock import knock", "knock = print")


def test_a_successor_takes_everything_over(serve):
    with Succession(serve, "--stats", "127.0.0.1:0", source=plain(1)) as succession:
        server, first = succession.server, succession.server.process.pid
        stats = server.wait_for_log(r"statistics at (\S+)")[1]
        assert succession.serving() == first == succession.pid()
        before = first
        with server.connect() as kept:
            assert kept.ask(ROOT).text == "1"
            for count, version in enumerate((2, 3), 1):
                succession.reload(plain(version))
                pid = succession.is_settled(count)
                # The same connection goes on.
                assert kept.ask(ROOT).text == str(version)
                assert kept.ask(GET % b"/pid").text == str(pid) == str(succession.pid())
                assert pid not in (before, first)
                assert is_there(first) and (before == first or not is_there(before))
                before = pid
                told = control.singlemalt(server.directory, "status", "app.pid")
                assert (
                    f"pid {pid}: serving" in told.stdout and "the new version serves" in told.stdout
                ), told
                with connect_to(stats) as caller:
                    assert f'"pid":{pid}' in control.read_all(caller).decode().replace(" ", "")
        os.kill(pid, signal.SIGTERM)
        assert server.wait_for_exit() == 0
        assert (
            sorted(
                path.name for path in server.directory.iterdir() if path.name.startswith("app.pid")
            )
            == []
        )


def connect_to(address):
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_reloads_under_load_lose_nothing(serve, tmp_path):
    site = Site(tmp_path)
    site.version(1)
    with Succession(serve, "app.py", directory=tmp_path) as succession:
        server = succession.server
        with Load(server.address, seed="succession") as load:
            good = failed = 0
            for number in range(2, 10):
                if number % 4 == 0:
                    failed += 1
                    site.write(BROKEN["an exception"])
                    os.kill(succession.pid(), signal.SIGHUP)
                    server.wait_for_log("reload failed: ", count=failed)
                else:
                    good += 1
                    site.version(number)
                    os.kill(succession.pid(), signal.SIGHUP)
                    succession.is_settled(good)
        assert not load.failures, load.failures[:5]
        assert load.newest == 9


@pytest.mark.parametrize("what", BROKEN)
def test_a_version_that_does_not_load_changes_nothing(serve, what):
    with Succession(serve, source=plain(1)) as succession:
        server = succession.server
        succession.reload(BROKEN[what])
        server.wait_for_log(
            r"reload failed: the application could not be loaded, see above; generation 1 serves on"
        )
        assert server.ask("/").text == "1"
        assert not children(server)
        # And this is still how the server is told.
        told = control.singlemalt(server.directory, "reload", "app.pid")
        assert told.returncode == 2 and "the version before serves on" in told.stdout, told
        rewrite(server, plain(2))
        told = control.singlemalt(server.directory, "reload", "app.pid")
        assert told.returncode == 0, told
        succession.is_settled()
        assert server.ask("/").text == "2"


def test_a_configuration_that_cannot_be_read_any_more(serve):
    files = {"site.ini": "[uwsgi]\nmodule = app\n", "app.py": plain(1)}
    with Succession(serve, "--ini", "site.ini", files=files) as succession:
        server = succession.server
        (server.directory / "site.ini").write_text("[uwsgi]\nmodule = app\nthreads = many\n")
        os.kill(succession.pid(), signal.SIGHUP)
        server.wait_for_log("reload failed: .*; generation 1 serves on")
        told = control.singlemalt(server.directory, "status", "app.pid")
        assert "threads" in told.stdout, told
        assert server.ask("/").text == "1"


def test_requests_in_progress_are_finished_in_the_old_version(serve, gate):
    with Succession(serve, gate=gate, source=load_of(1)) as succession:
        server = succession.server
        with server.connect() as held, server.connect() as half, server.connect() as begun:
            held.send(GET % b"/held" + ROOT)
            request = gate.visitor()
            half.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
            begun.send(b"GET / HTTP/1.1\r\nHo")
            succession.reload(app(2))
            gate.visitor().release()
            pid = succession.successor()
            assert server.ask("/").text == "2"
            assert begun.ask(b"st: a\r\n\r\n", "GET").text == "2"
            # Until the old one has finished it answers for the server.
            assert succession.pid() == server.process.pid
            request.release()
            assert [held.receive().text for _ in range(2)] == ["1", "2"]
            half.send(b"cd")
            assert half.receive("POST").text == "1 abcd"
            assert succession.is_settled() == pid
            assert half.ask(GET % b"/pid").text == str(pid)


def test_tls_connections_end_with_their_last_response(serve, gate, tmp_path):
    authority = Authority()
    certificate, key = authority.files(tmp_path)
    https = ("--https", f"127.0.0.1:0,{certificate},{key}")
    with Succession(serve, *https, listen=(), gate=gate, source=load_of(1)) as succession:
        server = succession.server

        def connect():
            return TlsConnection(server.address, authority.context(), "localhost")

        with connect() as held:
            held.send(GET % b"/held")
            request = gate.visitor()
            succession.reload(load_of(2))
            succession.successor()
            with connect() as new:
                assert new.ask(ROOT).text == "2"
            request.release()
            answer = held.receive()
            assert answer.text == "1" and not answer.keeps_alive
        succession.is_settled()


def test_a_reload_during_a_reload_is_one_more(serve, gate):
    with Succession(serve, gate=gate, source=load_of(1)) as succession:
        server = succession.server
        with server.connect() as held:
            held.send(GET % b"/held")
            request = gate.visitor()
            succession.reload(load_of(2))
            succession.successor()
            succession.reload(load_of(3))
            server.wait_for_log("a reload is under way; one more follows")
            request.release()
            assert held.receive().text == "1"
        succession.is_settled(2)
        assert server.ask("/").text == "3"


def test_threads_of_the_old_version_halt(serve):
    """The first process stays, but nothing of its application goes on."""
    thread = """\

    def count():
        import time
        while True:
            time.sleep(0.01)
            with open("ticks", "a") as ticks:
                ticks.write(VERSION)

    import threading
    threading.Thread(target=count, daemon=True).start()
"""
    with Succession(serve, source=plain(1) + thread) as succession:
        ticks = succession.server.directory / "ticks"
        succession.server.wait_until(
            lambda: ticks.exists() and "1" in ticks.read_text(), what="a tick of version 1"
        )
        succession.reload(plain(2) + thread)
        succession.is_settled()
        # Whatever it was at just then it may finish.
        succession.server.wait_until(
            lambda: "1" not in ticks.read_text()[-20:], what="silence of version 1"
        )
        before = len(ticks.read_text())
        succession.server.wait_until(
            lambda: len(ticks.read_text()) > before + 50, what="fifty ticks"
        )
        assert "1" not in ticks.read_text()[before:]


TIMED = """\
    import os, uwsgi
    VERSION = "{version}"

    def tick(number):
        with open("ticks", "a") as ticks:
            ticks.write(VERSION)

    uwsgi.register_signal(7, "worker", tick)
    uwsgi.add_timer(7, 1)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/held":
            from knock import knock
            knock("request " + VERSION)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [VERSION.encode()]
"""


def test_timers_are_one_processes_at_a_time(serve, gate):
    with Succession(serve, gate=gate, source=TIMED.format(version=1)) as succession:
        server = succession.server
        ticks = server.directory / "ticks"
        with server.connect() as held:
            held.send(GET % b"/held")
            request = gate.visitor()
            succession.reload(TIMED.format(version=2))
            succession.successor()
            assert server.ask("/").text == "2"
            before = len(ticks.read_text()) if ticks.exists() else 0
            server.wait_until(
                lambda: ticks.exists() and len(ticks.read_text()) >= before + 2, what="two ticks"
            )
            assert "2" not in ticks.read_text()
            request.release()
            assert held.receive().text == "1"
        succession.is_settled()
        server.wait_until(lambda: "2" in ticks.read_text(), what="a tick of version 2")


# Ends


@pytest.mark.parametrize("phase", ["loading", "draining"])
def test_a_successor_that_is_killed(serve, gate, phase):
    with Succession(serve, gate=gate, source=load_of(1)) as succession:
        server = succession.server
        with server.connect() as held:
            held.send(GET % b"/held")
            request = gate.visitor()
            succession.reload(app(2))
            importing = gate.visitor()
            [pid] = children(server)
            if phase == "draining":
                importing.release()
                assert succession.successor() == pid
                assert server.ask("/").text == "2"
            os.kill(pid, signal.SIGKILL)
            server.wait_for_log("reload failed: .*; generation 1 serves on")
            assert server.ask("/").text == "1"
            request.release()
            assert held.receive().text == "1"
            assert held.ask(ROOT).text == "1"
        assert succession.pid() == server.process.pid
        succession.reload(load_of(3))
        succession.is_settled()
        assert server.ask("/").text == "3"


@pytest.mark.parametrize("phase", ["loading", "draining"])
def test_a_stop_in_every_phase_loses_nothing(serve, gate, phase):
    with Succession(serve, gate=gate, source=load_of(1)) as succession:
        server = succession.server
        with server.connect() as held:
            held.send(GET % b"/held")
            request = gate.visitor()
            succession.reload(app(2))
            importing = gate.visitor()
            [pid] = children(server)
            if phase == "draining":
                importing.release()
                succession.successor()
            server.send_signal(signal.SIGTERM)
            server.wait_for_log("SIGTERM: stopping")
            request.release()
            assert held.receive().text == "1"
            assert server.wait_for_exit() == 0
            assert not is_there(pid)


def test_a_stop_of_both_at_once_is_one_stop(serve, gate):
    """As Ctrl-C in a console, which every process of it gets."""
    with Succession(serve, gate=gate, source=load_of(1)) as succession:
        server = succession.server
        with server.connect() as held:
            held.send(GET % b"/held")
            request = gate.visitor()
            succession.reload(load_of(2))
            pid = succession.successor()
            for one in (server.process.pid, pid):
                os.kill(one, signal.SIGTERM)
            server.wait_for_log("SIGTERM: stopping", count=1)
            request.release()
            assert held.receive().text == "1"
            assert server.wait_for_exit() == 0
            assert not is_there(pid)


def test_no_process_outlives_the_first_one(serve):
    with Succession(serve, source=plain(1)) as succession:
        server = succession.server
        succession.reload(plain(2))
        succession.is_settled()
        succession.reload(plain(3))
        pid = succession.is_settled(2)
        server.exit_code_expected = None
        server.process.kill()
        server.process.wait()
        while is_there(pid):
            # Its log ends with it: the reader of the log sees the end of the file.
            server._reader.join(20)


def test_the_exit_code_is_that_of_the_last_process(serve, gate):
    with Succession(serve, gate=gate, source=load_of(1)) as succession:
        server = succession.server
        succession.reload(load_of(2))
        pid = succession.is_settled()
        server.exit_code_expected = 128 + signal.SIGTERM
        with server.connect() as held:
            held.send(GET % b"/held")
            gate.visitor()
            os.kill(pid, signal.SIGTERM)
            server.wait_for_log("SIGTERM: stopping")
            os.kill(pid, signal.SIGTERM)
            assert server.wait_for_exit() == 128 + signal.SIGTERM


def test_a_last_process_that_is_killed_is_a_failure(serve):
    with Succession(serve, source=plain(1)) as succession:
        server = succession.server
        succession.reload(plain(2))
        pid = succession.is_settled()
        server.exit_code_expected = 1
        os.kill(pid, signal.SIGKILL)
        assert server.wait_for_exit() == 1
