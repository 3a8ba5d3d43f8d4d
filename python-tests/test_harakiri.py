"""Requests that take too long: what the client gets, what happens to the thread, and that other
requests are not affected.
"""

import collections
import contextlib
import os
import re
import ssl

import pytest
from certificates import Authority
from client import Closed, together
from conftest import PYTHON
from front_end import ask_uwsgi
from stacks import read as read_stacks

GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
POLLS = ["shared", "acceptor"]


@pytest.fixture(params=["own-gil", "shared-gil", "main"])
def mode(request, isolations):
    if request.param not in isolations:
        pytest.skip(f"this Python has no {request.param}")
    if request.param == "shared-gil" and PYTHON < (3, 13):
        pytest.skip("harakiri is refused with shared-gil on 3.12")
    return request.param


def serves_everybody(server, count=40):
    """Afterwards every request is answered."""
    answers = together(8, lambda _: [server.ask("/who").status for _ in range(count // 8)])
    assert answers == [[200] * (count // 8)] * 8


def is_ended(server, path):
    with server.connect() as connection:
        answer = connection.ask(GET % path.encode())
        assert (answer.status, answer.text) == (
            504,
            "504 Gateway Timeout\nThe application did not answer in time.\n",
        )
        assert not answer.keeps_alive
        assert connection.socket.recv(1) == b"", "and then the connection ends"


@pytest.mark.parametrize("path", ["/busy", "/naps", "/cautious", "/sleep/2", "/lock/2", "/recv/2"])
def test_python_is_interrupted_and_the_worker_stays(serve, mode, path):
    """Code that returns to Python within the grace time costs no worker; `except Exception` does
    not catch it.
    """
    server = serve(
        "--isolation",
        mode,
        "--harakiri",
        "500ms",
        "--harakiri-graceful-timeout",
        60,
        app="stuck.py",
    )
    before = server.ask("/who").text
    is_ended(server, path)
    server.wait_for_log(r"\*\*\* HARAKIRI ON WORKER 1 \(core 0, generation 1\) \*\*\*")
    server.wait_for_log(rf"HARAKIRI \[core 0\] GET {path} since 0\.\d+ s; the client got 504")
    assert server.ask("/who").text == before, "the same thread of the same interpreter"
    server.wait_for_log(rf"GET {path}.* 504")
    serves_everybody(server)
    assert "given up" not in server.log()


@pytest.mark.parametrize("poll", POLLS)
def test_a_worker_that_does_not_come_back_is_replaced(serve, mode, poll):
    """Code that catches BaseException and continues: another worker replaces it; when it returns,
    its thread ends.
    """
    server = serve(
        *(
            "--isolation",
            mode,
            "--poll",
            poll,
            "--harakiri",
            "300ms",
            "--harakiri-graceful-timeout",
            "300ms",
        ),
        app="stuck.py",
    )
    before = server.ask("/who").text
    is_ended(server, "/swallow/4")
    server.wait_for_log("a worker that was given up has a successor")
    assert server.ask("/who").text != before
    serves_everybody(server)
    server.wait_for_log("a worker that was given up has come back; it leaves")
    serves_everybody(server)


def test_code_that_holds_the_gil(serve, mode):
    """The client gets its 504; with own-gil the replacement serves before the GIL is free."""
    server = serve(
        "--isolation",
        mode,
        "--harakiri",
        "300ms",
        "--harakiri-graceful-timeout",
        "300ms",
        app="stuck.py",
    )
    is_ended(server, "/gil/4")
    server.wait_for_log("a worker that was given up has a successor")
    if mode == "own-gil":
        assert server.ask("/who").status == 200
        assert "has come back" not in server.log()
    server.wait_for_log("has come back; it leaves")
    serves_everybody(server)


def test_a_successor_is_tried_for_until_there_is_one(serve, tmp_path):
    """If the application does not load for a while, the worker is replaced later."""
    broken = tmp_path / "broken"
    source = f"""
        import os
        import time

        if os.path.exists({str(broken)!r}):
            raise RuntimeError("the database is away")

        def application(environ, start_response):
            end = time.monotonic() + (3600 if environ["PATH_INFO"] == "/stuck" else 0)
            while time.monotonic() < end:
                try:
                    time.sleep(0.01)
                except BaseException:
                    pass
            start_response("200 OK", [])
            return [b"in time"]
    """
    server = serve(
        "--harakiri",
        "300ms",
        "--harakiri-graceful-timeout",
        "300ms",
        "--isolation",
        "auto",
        source=source,
    )
    if "main" in re.search("isolation: (.*)", server.log())[1].split(",")[0]:
        pytest.skip("the main interpreter loads nothing anew")
    broken.touch()
    is_ended(server, "/stuck")
    server.wait_for_log(
        "cannot replace a worker that was given up: (?s:.*)the database is away(?s:.*)trying again"
    )
    broken.unlink()
    server.wait_for_log("a worker that was given up has a successor")
    assert server.ask("/").text == "in time"


def test_a_response_that_has_begun_is_broken_off(serve, mode):
    server = serve("--isolation", mode, "--harakiri", "500ms", app="stuck.py")
    with server.connect() as connection:
        connection.send(GET % b"/stream")
        answer = connection.head()
        assert answer.status == 200
        with pytest.raises(Closed):
            connection.body(answer)
    server.wait_for_log(
        "GET /stream since .*; the client was broken off in the middle of the response"
    )
    serves_everybody(server)


@pytest.mark.parametrize("poll", POLLS)
def test_neighbours_do_not_notice(serve, mode, poll):
    """Threads of the same interpreter continue, and connections stay."""
    server = serve(
        "--isolation", mode, "--poll", poll, "--threads", 4, "--harakiri", 1, app="stuck.py"
    )
    with server.connect() as kept:
        assert kept.ask(GET % b"/who").status == 200

        def ask(index):
            return server.ask("/naps" if index % 4 == 0 else "/late/0.6").status

        assert together(4, ask) == [504, 200, 200, 200]
        assert kept.ask(GET % b"/who").status == 200, "on the connection of before"
    serves_everybody(server)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("path", [b"/late/0.05", b"/tight/0.05"])
def test_at_the_deadline_it_is_one_or_the_other(serve, mode, threads, path):
    """Each client gets one complete response, and no exception reaches another request."""
    server = serve(
        "--isolation",
        mode,
        "--threads",
        threads,
        "--processes",
        2,
        "--harakiri",
        "50ms",
        app="stuck.py",
    )

    def ask(_):
        statuses = []
        for _ in range(40):
            with server.connect() as connection:
                answer = connection.ask(GET % path)
                statuses.append(answer.status)
                assert answer.text == "in time" or answer.status == 504
                if answer.status == 200:
                    # It may be the last one of this connection, if the deadline came behind its
                    # last byte.
                    try:
                        next_status = connection.ask(GET % b"/who").status
                    except (Closed, ConnectionError):
                        next_status = 200
                    assert next_status in (200, 504)
        return statuses

    statuses = sum(together(4, ask), [])
    assert set(statuses) <= {200, 504}
    serves_everybody(server, 400)
    assert "given up" not in server.log()


def workers_of(sockets):
    """The output of --py-tracebacker for each worker: its number, its core, its state."""
    return re.findall(r"^worker (\d+) core (\d+) .*: (.*)$", read_stacks(sockets), re.M)


def test_ten_thousand_around_the_deadline(serve, mode, tmp_path):
    """3,392 in each mode, of every length around the limit, busy, asleep and streaming: each client
    has its own whole answer or a 504, neighbours see nothing, and in the end the same workers wait
    for work in the same interpreters.
    """
    sockets = tmp_path / "tb"
    server = serve(
        *(
            "--isolation",
            mode,
            "--processes",
            2,
            "--threads",
            8,
            "--harakiri",
            "40ms",
            "--py-tracebacker",
            sockets,
        ),
        app="stuck.py",
    )
    # A thread is ready a moment before it waits for work.
    server.wait_until(
        lambda: {doing for *_, doing in workers_of(sockets)} == {"idle"}, what="idle workers"
    )
    before = sorted(workers_of(sockets))
    assert len(before) == 16

    def length(number):
        """In milliseconds: 30 to 49."""
        return 30 + number * 7 % 20

    def ask(client):
        """A quarter of the requests are short ones, between the others."""
        counts = collections.Counter()
        connection = None
        for number in range(212):
            seconds = length(client + number) / 1000
            path = [f"/late/{seconds}", f"/tight/{seconds / 4}", "/who", f"/pauses/{seconds / 4}"][
                (client + number) % 4
            ]
            is_fresh = connection is None
            try:
                connection = connection or server.connect()
                answer = connection.ask(GET % path.encode())
            except (Closed, ConnectionError):
                # Broken off in the middle of a stream; or the answer before was the last one of its
                # connection.
                assert path.startswith("/pauses") or not is_fresh, f"{path}: no answer"
                counts["broken off"] += 1
                connection.close()
                connection = None
                continue
            counts[answer.status] += 1
            if answer.status == 200 and path.startswith("/pauses"):
                assert answer.text == "in time," * 4
            elif answer.status == 200 and path != "/who":
                assert answer.text == "in time"
            else:
                assert answer.status == 504 or path == "/who"
            if not answer.keeps_alive:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
        return counts

    counts = sum(together(16, ask), collections.Counter())
    assert set(counts) <= {200, 504, "broken off"} and counts[200] and counts[504]
    serves_everybody(server, 400)
    server.wait_until(lambda: sorted(workers_of(sockets)) == before, what="all workers are back")
    assert "given up" not in server.log()


def test_workers_that_are_given_up_leave_nothing(serve, mode, tmp_path):
    """Twelve abandoned workers: when they have returned, the numbers of workers, interpreters and
    threads are as before.
    """
    sockets = tmp_path / "tb"
    server = serve(
        *(
            "--isolation",
            mode,
            "--processes",
            2,
            "--harakiri",
            "200ms",
            "--harakiri-graceful-timeout",
            "100ms",
        ),
        *("--py-tracebacker", sockets),
        app="stuck.py",
    )

    def numbers():
        """The thread that made the main interpreter stays until the end, although it serves no
        more.
        """
        return sorted(
            worker[:2]
            for worker in workers_of(sockets)
            if mode != "main" or not worker[2].startswith("leaving")
        )

    def threads():
        return len(os.listdir(f"/proc/{server.process.pid}/task"))

    before = numbers(), threads() + (mode == "main")
    for round_ in range(1, 7):
        assert together(2, lambda _: server.ask("/swallow/1").status) == [504, 504]
        server.wait_for_log("has come back; it leaves", count=2 * round_)
    serves_everybody(server)
    server.wait_until(
        lambda: (numbers(), threads())[0] == before[0] and threads() <= before[1],
        what="as many as before",
    )
    assert "parked" not in server.log()
    assert server.stop() == 0


@pytest.mark.parametrize("seconds", [4, 3600])
def test_a_sibling_that_is_given_up(serve, mode, tmp_path, gate, seconds):
    """An abandoned thread of several in an interpreter, not the one that made it: requests of the
    others finish, all of them have successors (own GIL) or it alone has (main), and the old
    interpreter ends, or is left alone for ever.
    """
    if mode == "shared-gil":
        pytest.skip("as own-gil")
    sockets = tmp_path / "tb"
    server = serve(
        *(
            "--isolation",
            mode,
            "--processes",
            1,
            "--threads",
            3,
            "--harakiri-graceful-timeout",
            "300ms",
        ),
        *("--py-tracebacker", sockets),
        app="stuck.py",
        gate=gate,
    )
    # From this request on, requests are watched from their start.
    assert server.ask("/lifted").status == 200
    with contextlib.ExitStack() as connections:
        # The one that made the interpreter is in a request of its own, which has no limit. A test
        # cannot choose the worker: it sends requests until that worker has one.
        held = {}
        while "0" not in held:
            connection = connections.enter_context(server.connect())
            connection.send(GET % b"/gate")
            visitor = gate.visitor()
            held[visitor.word] = visitor, connection
        first = held.pop("0")
        for visitor, connection in held.values():
            visitor.release()
            assert connection.receive().text == "in time"
        is_ended(server, f"/mine/{seconds}")
        server.wait_for_log("a worker that was given up has a successor")
        first[0].release()
        assert first[1].receive().text == "in time"
    cores = re.findall(r"HARAKIRI ON WORKER 1 \(core (\d)", server.log())
    assert len(cores) == 1 and cores != ["0"]
    serves_everybody(server)
    if seconds < 60:
        server.wait_for_log("has come back; it leaves")
        server.wait_until(lambda: len(workers_of(sockets)) == 3, what="three workers are left")
        assert "parked" not in server.log()
    elif mode == "own-gil":
        server.wait_for_log("an interpreter is parked")
    serves_everybody(server)
    assert server.stop() == 0


def test_an_application_sets_its_own_limit(serve, mode):
    """The first request that does so was not watched when it began: its worker answers it."""
    server = serve("--isolation", mode, app="stuck.py")
    for _ in range(2):
        assert server.ask("/user").status == 504
    server.wait_for_log("HARAKIRI .* GET /user since")
    assert server.ask("/lifted").text == "in time"
    serves_everybody(server)


def test_the_decorator(serve):
    source = """
        import time
        from uwsgidecorators import harakiri

        @harakiri(1)
        def slow():
            while True:
                time.sleep(0.01)

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/slow":
                slow()
            start_response("200 OK", [])
            return [b"hello"]
    """
    server = serve(source=source)
    is_ended(server, "/slow")
    assert server.ask("/").text == "hello"


def test_the_exception_has_a_name_and_is_not_an_exception(serve):
    source = """
        import time
        import uwsgi

        seen = []

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/slow":
                try:
                    while True:
                        time.sleep(0.01)
                except uwsgi.Harakiri as error:
                    seen.append(f"{type(error).__module__}.{type(error).__name__} {isinstance(error, Exception)}")
                    raise
            start_response("200 OK", [])
            return [repr(seen).encode()]
    """
    server = serve("--harakiri", "300ms", source=source)
    is_ended(server, "/slow")
    assert server.ask("/").text == "['uwsgi.Harakiri False']"


def test_verbose_shows_where_it_stood(serve, mode):
    server = serve("--isolation", mode, "--harakiri", "300ms", "--harakiri-verbose", app="stuck.py")
    is_ended(server, "/cautious")
    server.wait_for_log(r"the Python stack of worker 1:(?s:.*)in cautious(?s:.*)in naps")


def test_too_few_wait(serve):
    """--harakiri-queue-threshold: no request waits, so none is aborted."""
    server = serve("--harakiri", "300ms", "--harakiri-queue-threshold", 1, app="stuck.py")
    assert server.ask("/sleep/1").text == "in time"
    assert "HARAKIRI" not in server.log()


def test_a_uwsgi_socket(serve):
    server = serve("--uwsgi-socket", "127.0.0.1:0", "--harakiri", "300ms", app="stuck.py")
    answer = ask_uwsgi(server.addresses()[1], "/naps")
    assert answer.status == 504


def test_through_tls_the_worker_itself_answers(serve, tmp_path):
    """Only the worker's thread has the keys."""
    authority = Authority()
    files = authority.files(tmp_path)
    server = serve(
        "--https",
        ",".join(["127.0.0.1:0", *map(str, files)]),
        "--harakiri",
        "300ms",
        app="stuck.py",
        listen=(),
    )
    with server.connect() as connection:
        context = ssl.create_default_context(cadata=authority.pem.decode())
        connection.socket = context.wrap_socket(connection.socket, server_hostname="localhost")
        assert connection.ask(GET % b"/naps").status == 504
        assert connection.ask(GET % b"/who").status == 200, "and the connection goes on"


def test_the_stop_does_not_wait_for_those_that_were_given_up(serve):
    server = serve(
        "--processes",
        2,
        "--harakiri",
        "300ms",
        "--harakiri-graceful-timeout",
        "300ms",
        app="stuck.py",
    )
    is_ended(server, "/swallow/3600")
    server.wait_for_log("has a successor")
    assert server.stop() == 0


def test_many_are_stuck_at_once(serve, mode):
    server = serve(
        "--processes", 2, "--threads", 2, "--isolation", mode, "--harakiri", "500ms", app="stuck.py"
    )
    assert together(8, lambda _: server.ask("/naps").status) == [504] * 8
    serves_everybody(server)
