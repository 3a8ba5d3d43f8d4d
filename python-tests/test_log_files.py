"""Log files: rotation under load, opening again, owner and mode."""

import glob
import os
import pwd
import re
import signal
import stat
import threading
import time

import pytest
from client import Connection

APP = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/size":
            import uwsgi
            return [str(uwsgi.logsize()).encode()]
        os.write(2, f"app {environ['QUERY_STRING']}\\n".encode())
        return [b"hello"]
"""
FORMAT = ("--log-format", "line %(var.QUERY_STRING) %(status)")


def listening(server, log):
    server.wait_until(lambda: log.exists() and "ready after" in log.read_text(), what="ready")
    return int(re.search(r"listening on http://[^:]+:(\d+)", log.read_text())[1])


def every_line(log):
    lines = []
    for file in [*glob.glob(f"{log}.*"), str(log)]:
        with open(file) as opened:
            text = opened.read()
        assert text.endswith("\n") or not text, file
        lines += text.splitlines()
    return lines


@pytest.mark.parametrize("by", ["logto", "logger"])
def test_two_hundred_rotations_lose_and_split_no_line(serve, tmp_path, by):
    """Lines of requests, and what the application writes to standard error itself."""
    log = tmp_path / "a.log"
    # A line of both kinds is some thirty bytes.
    options = {
        "logto": ("--logto", log, "--log-maxsize", "4000"),
        "logger": (
            "--logger", "stdio", "--logger", f"file:logfile={log},maxsize=4000",
        ),
    }  # fmt: skip
    server = serve(*FORMAT, *options[by], "--threads", "4", source=APP, wait=by == "logger")
    if by == "logto":
        port = listening(server, log)
        server.connect = lambda: Connection(("127.0.0.1", port))
    asked = set()
    round = 0
    while len(glob.glob(f"{log}.*")) < 200:
        round += 1
        assert round < 200
        asked |= {f"{round}.{one}" for one in load_round(server, round)}
    server.stop()
    lines = every_line(log)
    assert sum("triggering rotation to" in line for line in lines) >= 200
    of = lambda kind: [line.split()[1] for line in lines if line.startswith(kind)]
    assert sorted(of("line ")) == sorted(asked)
    assert sorted(of("app ")) == sorted(asked)
    others = [line for line in lines if not re.fullmatch(r"(line \S+ 200|app \S+)", line)]
    assert not [line for line in others if re.search(r"(line|app) \d", line)]


def load_round(server, round):
    def run(number):
        with server.connect() as connection:
            for at in range(500):
                head = f"GET /?{round}.{number}-{at} HTTP/1.1\r\nHost: a\r\n\r\n"
                connection.send(head.encode())
                assert connection.receive().status == 200

    workers = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {f"{number}-{at}" for number in range(2) for at in range(500)}


def test_a_touch_and_the_fifo_rotate_to_the_backups_name(serve, tmp_path):
    log, backup, touched = tmp_path / "a.log", tmp_path / "old.log", tmp_path / "touch"
    touched.touch()
    server = serve(
        *FORMAT, "--logto", log, "--log-backupname", backup, "--touch-logrotate", touched,
        "--master-fifo", tmp_path / "fifo", source=APP, wait=False,
    )  # fmt: skip
    listening(server, log)
    os.utime(touched, (1, 1))
    server.wait_until(backup.exists, what="the backup")
    assert "ready after" in backup.read_text()
    assert re.search(rf"logsize: \d+, triggering rotation to {backup}\.\.\.$", backup.read_text())
    (tmp_path / "fifo").write_text("L")
    server.wait_until(lambda: "master-fifo: L: rotating" in backup.read_text(), what="the next one")


@pytest.mark.parametrize("how", ["SIGUSR1", "touch"])
def test_files_are_opened_again(serve, tmp_path, how):
    log, req, touched = tmp_path / "a.log", tmp_path / "req.log", tmp_path / "touch"
    touched.touch()
    server = serve(
        *FORMAT, "--logto", log, "--req-logger", f"file:{req}", "--touch-logreopen", touched,
        source=APP, wait=False,
    )  # fmt: skip
    port = listening(server, log)
    log.rename(tmp_path / "moved")
    req.rename(tmp_path / "req.moved")
    if how == "touch":
        os.utime(touched, (1, 1))
    else:
        server.send_signal(signal.SIGUSR1)
    server.wait_until(lambda: log.exists() and "opened again" in log.read_text(), what="a new file")
    server.wait_until(req.exists, what="a new file of the logger")
    with Connection(("127.0.0.1", port)) as connection:
        connection.send(b"GET /?x HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.receive()
    server.wait_until(lambda: "line x 200\n" in req.read_text(), what="the line")
    server.wait_until(lambda: "app x\n" in log.read_text(), what="the application's line")


def test_truncated_with_a_mode_and_the_size(serve, tmp_path):
    log = tmp_path / "a.log"
    log.write_text("of an earlier run\n")
    server = serve(
        "--logto", log, "--log-truncate", "--logfile-chmod", "604", "--disable-logging",
        source=APP, wait=False,
    )  # fmt: skip
    port = listening(server, log)
    assert "of an earlier run" not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o604
    with Connection(("127.0.0.1", port)) as connection:
        connection.send(b"GET /size HTTP/1.1\r\nHost: a\r\n\r\n")
        assert int(connection.receive().body) == log.stat().st_size


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_the_file_is_the_users(serve, tmp_path):
    """The server itself may end: that user cannot read every Python."""
    log = tmp_path / "a.log"
    nobody = pwd.getpwnam("nobody")
    server = serve(
        "--logto", log, "--logfile-chown", "--uid", "nobody", "--gid", str(nobody.pw_gid),
        source=APP, wait=False,
    )  # fmt: skip
    server.exit_code_expected = None
    end = time.monotonic() + 20
    while not (log.exists() and "running as user nobody" in log.read_text()):
        assert time.monotonic() < end, server.log()
        threading.Event().wait(0.01)
    assert (log.stat().st_uid, log.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
