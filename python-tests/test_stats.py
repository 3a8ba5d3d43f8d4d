"""The stats server: uWSGI's JSON, its forms, and its readers."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
from control import ask, read_all, singlemalt
from test_isolation import own_gil_only

APP = """
    from knock import knock

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            knock("slow")
        if environ["PATH_INFO"] == "/fails":
            raise ValueError("on purpose")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""

# The names of uwsgi_master_generate_stats() (core/master_utils.c), in its order.
TOP = "version listen_queue listen_queue_errors signal_queue load pid uid gid cwd locks sockets workers".split()
WORKER = (
    "id pid accepting requests delta_requests exceptions harakiri_count signals signal_queue status rss vsz running_time last_spawn "
    "respawn_count tx avg_rt apps cores"
).split()
APPS = "id modifier1 mountpoint startup_time requests exceptions chdir".split()
CORE = "id requests static_requests routed_requests offloaded_requests write_errors read_errors in_request vars req_info".split()


def with_stats(serve, gate, *arguments, stats="127.0.0.1:0", **more):
    return serve("--stats", stats, *arguments, source=APP, gate=gate, **more)


def address(server):
    host, _, port = server.wait_for_log(r"statistics at (\S+)$")[1].rpartition(":")
    return host, int(port)


def raw(server):
    with socket.create_connection(address(server), 30) as caller:
        return read_all(caller)


def stats(server):
    return json.loads(raw(server))


@own_gil_only
def test_names_and_order_are_uwsgis(serve, gate):
    server = with_stats(serve, gate, "--processes", "2", "--threads", "2")
    told = stats(server)
    assert list(told) == TOP
    assert [worker["id"] for worker in told["workers"]] == [1, 2]
    for worker in told["workers"]:
        assert list(worker) == WORKER
        assert [list(app) for app in worker["apps"]] == [APPS]
        assert [list(core) for core in worker["cores"]] == [CORE, CORE]
        assert (
            worker["pid"] == server.process.pid
            and worker["status"] == "idle"
            and worker["rss"] > 1 << 20
        )
    assert told["version"].startswith("2.")
    assert (told["pid"], told["uid"], told["cwd"]) == (
        server.process.pid,
        os.getuid(),
        str(server.directory),
    )
    assert told["sockets"] == [
        {
            "name": f"127.0.0.1:{server.port}",
            "proto": "http",
            "queue": 0,
            "max_queue": told["sockets"][0]["max_queue"],
            "shared": 0,
            "can_offload": 0,
        }
    ]


def test_numbers(serve, gate):
    server = with_stats(serve, gate)
    for _ in range(3):
        assert server.ask().status == 200
    assert server.ask("/fails").status == 500
    server.wait_until(
        lambda: stats(server)["workers"][0]["exceptions"] == 1, what="the end of the last request"
    )
    [worker] = stats(server)["workers"]
    assert (worker["requests"], worker["exceptions"], worker["respawn_count"]) == (4, 1, 1)
    assert (worker["apps"][0]["requests"], worker["apps"][0]["exceptions"]) == (4, 1)
    assert worker["tx"] > 100


def test_a_request_in_progress(serve, gate):
    server = with_stats(serve, gate)
    client = server.connect()
    client.send(b"GET /slow?a=b HTTP/1.1\r\nHost: x\r\n\r\n")
    held = gate.visitor()
    [worker] = stats(server)["workers"]
    assert worker["status"] == "busy"
    [core] = worker["cores"]
    assert core["in_request"] == 1
    assert core["vars"] == [
        "REQUEST_METHOD=GET",
        "REQUEST_URI=/slow?a=b",
        "PATH_INFO=/slow",
        "QUERY_STRING=a=b",
    ]
    assert core["req_info"]["request_start"] >= worker["last_spawn"]
    held.release()
    client.close()


def test_with_http_around_it(serve, gate):
    server = with_stats(serve, gate, "--stats-http")
    connection = http.client.HTTPConnection(*address(server), timeout=30)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert list(json.loads(response.read())) == TOP
    connection.close()


def test_smaller(serve, gate):
    server = with_stats(serve, gate, "--stats-minified", "--stats-no-cores")
    answer = raw(server)
    assert b"\n" not in answer and b'": ' not in answer
    assert "cores" not in json.loads(answer)["workers"][0]
    spacious = with_stats(serve, gate)
    assert raw(spacious).startswith(b'{\n\t"version": "')


def test_on_a_path(serve, gate):
    server = with_stats(serve, gate, stats="./stats.sock")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(server.directory / "stats.sock"))
        assert list(json.loads(read_all(caller))) == TOP
    server.stop()
    assert not (server.directory / "stats.sock").exists()


def test_it_stays_open_when_the_process_starts_anew(serve, gate):
    server = with_stats(
        serve, gate, "--reload-mode", "exec", "--pidfile", "app.pid", stats="./stats.sock"
    )
    inode = (server.directory / "stats.sock").stat().st_ino
    assert singlemalt(server.directory, "reload", "app.pid").returncode == 0
    assert (server.directory / "stats.sock").stat().st_ino == inode
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(server.directory / "stats.sock"))
        assert json.loads(read_all(caller))["pid"] == server.process.pid


def test_the_control_socket_tells_the_same(serve, gate):
    server = with_stats(serve, gate, "--pidfile", "app.pid")
    server.ask()
    # The worker notes what a request took when its client has the answer already.
    server.wait_until(lambda: stats(server)["workers"][0]["tx"] > 0, what="the end of the request")
    ours, theirs = stats(server), ask(server.directory / "app.pid.control", target="/stats")[1]
    changing = {"rss", "vsz"}
    for told in (ours, theirs):
        told["workers"] = [
            {name: value for name, value in worker.items() if name not in changing}
            for worker in told["workers"]
        ]
    assert ours == theirs


def test_it_answers_while_every_worker_is_stuck_and_callers_are_slow(serve, gate):
    server = with_stats(serve, gate, "--stats-http")
    client = server.connect()
    client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    held = gate.visitor()
    silent = [socket.create_connection(address(server), 30) for _ in range(10)]
    connection = http.client.HTTPConnection(*address(server), timeout=30)
    connection.request("GET", "/")
    assert json.loads(connection.getresponse().read())["workers"][0]["status"] == "busy"
    for caller in [connection, client, *silent]:
        caller.close()
    held.release()


def test_an_address_in_use(serve, gate):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = with_stats(serve, gate, stats=f"127.0.0.1:{taken.getsockname()[1]}", wait=False)
        server.exit_code_expected = 1
        assert server.wait_for_exit() == 1
    assert "--stats (command line): cannot listen on 127.0.0.1:" in server.log()


@pytest.mark.parametrize("arguments", [[], ["--stats-http"]])
def test_uwsgitop(serve, gate, arguments):
    """The real uwsgitop, on a pseudo terminal, shows the workers and exits when told to."""
    script = shutil.which("uwsgitop", path=os.path.dirname(sys.executable))
    if script is None:
        pytest.skip("uwsgitop is not installed")
    import pty

    server = with_stats(serve, gate, *arguments, "--processes", "2")
    for _ in range(5):
        server.ask()
    host, port = address(server)
    target = f"http://{host}:{port}" if arguments else f"{host}:{port}"
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "LINES": "40", "COLUMNS": "120"}
    top = subprocess.Popen(
        [sys.executable, script, target],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
    )
    os.close(follower)
    shown = b""
    try:
        while (
            not re.search(rb"uwsgi-2\..* lq: 0", re.sub(rb"\x1b[^A-Za-z]*[A-Za-z]", b" ", shown))
            or b"idle" not in shown
        ):
            piece = os.read(leader, 4096)
            assert piece, shown
            shown += piece
        os.write(leader, b"q")
        while True:
            try:
                if not os.read(leader, 4096):
                    break
            except OSError:
                break
        assert top.wait(30) == 0, shown
    finally:
        top.kill()
        top.wait()
        os.close(leader)
