"""The spooler: tasks in uWSGI's files, run beside requests, lost by nothing."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import PYTHON
from versions import reload

from server import binary, environment

ISOLATIONS = ["main", "own-gil"] if PYTHON >= (3, 13) else ["main", "shared-gil"]
SUBINTERPRETERS = ISOLATIONS[1]

# The handler says what it got, and does what the task asks for.
APP = """
    import json, os, time
    import uwsgi

    VERSION = "one"

    def say(*words):
        os.write(1, (" ".join(str(word) for word in words) + "\\n").encode())

    def handler(task):
        began = time.time()
        kind = task.get(b"kind", b"").decode()
        say("ran", task.get(b"id", b"-").decode(), VERSION, kind, began - float(task.get(b"sent", began)))
        if kind == "show":
            say("task", sorted(task.items(), key=repr))
            say("spooler", uwsgi.worker_id(), uwsgi.i_am_the_spooler(), uwsgi.spooler_dir())
        if kind == "raise":
            raise LookupError("on purpose")
        if kind == "wait":
            while not os.path.exists(task[b"for"]):
                time.sleep(0.005)
        if kind == "deaf":
            while not os.path.exists(task[b"for"]):
                try:
                    time.sleep(0.005)
                except BaseException:
                    pass
        result = task.get(b"result", b"-2").decode()
        say("end", task.get(b"id", b"-").decode(), VERSION)
        return None if result == "None" else int(result)

    uwsgi.spooler = handler

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        path = environ["PATH_INFO"]
        if path == "/spool":
            keys = json.loads(environ["wsgi.input"].read())
            return [uwsgi.spool({key.encode(): value.encode() for key, value in keys.items()})]
        if path == "/eval":
            return [repr(eval(environ["wsgi.input"].read())).encode()]
        return [b"hello"]
"""


@pytest.fixture(params=ISOLATIONS)
def isolation(request):
    return request.param


def start(serve, *arguments, isolation="main", source=APP, **keywords):
    return serve(
        "--spooler", "tasks", "--isolation", isolation, *arguments, source=source, **keywords
    )


def spool(server, **keys):
    response = server.ask("/spool", "POST", json.dumps(keys).encode())
    assert response.status == 200, server.log()
    return response.body.decode()


def evaluate(server, text):
    response = server.ask("/eval", "POST", text.encode())
    assert response.status == 200, server.log()
    return response.body.decode()


def command(*arguments, stdin=None):
    return subprocess.run(
        [str(binary()), "spool", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=environment(),
        timeout=60,
    )


def files(server, folder="tasks"):
    return [
        name
        for name in os.listdir(server.directory / folder)
        if name.startswith("uwsgi_spoolfile_on_")
    ]


def wait_until_empty(server):
    server.wait_until(lambda: not files(server), what="all tasks are done")


def test_a_task_runs_once_and_is_gone(serve, isolation):
    server = start(serve, isolation=isolation)
    path = spool(server, id="a", kind="show", at="1", body="\0body")
    server.wait_for_log(r"^end a one$")
    # Keys of the task are bytes, the others text: as in uWSGI on Python 3.
    task = server.wait_for_log(r"^task (.*)$")[1]
    assert dict(eval(task)) == {
        "spooler_task_name": path.encode(),
        b"id": b"a",
        b"kind": b"show",
        b"at": b"1",
        "body": b"\0body",
    }
    folder = os.fsencode(os.path.realpath(server.directory / "tasks"))
    number = 1 if isolation == "main" else 0
    server.wait_for_log(rf"^spooler {number} True {re.escape(repr(folder))}$")
    assert os.path.dirname(path) == os.fsdecode(folder)
    wait_until_empty(server)
    server.wait_for_log(r"done with task uwsgi_spoolfile_on_\S+ after 0 seconds")
    assert len(re.findall(r"^ran a", server.log(), re.MULTILINE)) == 1


def test_the_functions_of_the_module(serve):
    server = start(serve, "--spooler-external", "other")
    folder, other = (os.path.realpath(server.directory / name) for name in ("tasks", "other"))
    assert evaluate(server, "uwsgi.spoolers") == repr((folder.encode(), other.encode()))
    assert evaluate(server, "uwsgi.i_am_the_spooler()") == "None"
    assert evaluate(server, "uwsgi.spooler_pid()") == str(server.process.pid)
    assert len(eval(evaluate(server, "uwsgi.spooler_pids()"))) == 2
    path = eval(evaluate(server, "uwsgi.send_to_spooler(id='k', at=time.time() + 99, body=b'b')"))
    assert eval(evaluate(server, "uwsgi.spooler_jobs()")) == [path]
    found = eval(evaluate(server, f"uwsgi.spooler_get_task({path!r})"))
    assert (found[b"id"], found["body"]) == (b"k", b"b")
    assert evaluate(server, "uwsgi.spooler_get_task('nothing')") == "None"
    for wrong, error in [
        ("uwsgi.spool()", "must be a dictionary"),
        ("uwsgi.spool([])", "must be a dictionary"),
        ("uwsgi.spool({b'k': None})", "must contains only bytes"),
        ("uwsgi.spool({b'k': b'x' * 65536})", "'body'"),
        ("uwsgi.spool({b'spooler': b'nowhere'})", "unable to spool job: there is no spooler"),
        ("uwsgi.spool(priority='../x')", "a number"),
        ("uwsgi.spool(at='soon')", "in seconds since 1970"),
        ("uwsgi.spooler_dir()", "not a spooler"),
    ]:
        assert server.ask("/eval", "POST", wrong.encode()).status == 500
        server.wait_for_log(f"ValueError: .*{re.escape(error)}")
    # For another server, which is not there.
    evaluate(server, f"uwsgi.spool(id='o', spooler={other!r})")
    assert len(files(server, "other")) == 1


def test_without_a_spooler_the_module_is_as_in_uwsgi(serve):
    server = serve(source=APP)
    assert evaluate(server, "hasattr(uwsgi, 'spool'), hasattr(uwsgi, 'spoolers')") == (
        "(False, False)"
    )
    server.wait_for_log("uwsgi.spool is there with a spooler: name its directory with --spooler")


@pytest.mark.parametrize("result", ["-1", "None", "0", "raise"])
def test_a_task_that_is_not_done_is_tried_at_the_next_look(serve, result):
    server = start(serve, "--spooler-frequency", "0.2")
    keys = {"kind": "raise"} if result == "raise" else {"result": result}
    spool(server, id="a", **keys)
    server.wait_for_log(r"^ran a", count=3)
    assert len(files(server)) == 1
    if result == "raise":
        server.wait_for_log(r"^LookupError: on purpose$")


DECORATED = """
    import os, uwsgi
    from uwsgidecorators import spool, spoolforever, spoolraw

    def say(*words):
        os.write(1, (" ".join(str(word) for word in words) + "\\n").encode())

    @spool
    def plain(task):
        say("plain", task["text"], task["raw"], task["body"])

    @spool(pass_arguments=True)
    def add(a, b=1):
        say("sum", a + b)

    @spoolraw
    def raw(task):
        say("raw")
        return uwsgi.SPOOL_OK

    @spoolforever
    def forever(task):
        say("forever")

    @spoolraw
    def nothing(task):
        pass

    def application(environ, start_response):
        start_response("200 OK", [])
        plain.spool({"text": "ä", "raw": b"\\xff"}, body="b")
        add(2, b=3)
        raw.spool()
        forever()
        nothing()
        return []
"""


def test_decorators(serve, isolation):
    server = start(
        serve,
        "--spooler-frequency",
        "0.2",
        isolation=isolation,
        source=DECORATED,
        environment={"PYTHONIOENCODING": "utf-8"},
    )
    server.ask()
    server.wait_for_log(r"^plain ä b'\\xff' b$")
    server.wait_for_log(r"^sum 5$")
    server.wait_for_log(r"^raw$")
    server.wait_for_log(r"^forever$", count=2)
    server.wait_for_log(r"TypeError: a @spoolraw function returns .* nothing\(\) returned None")
    server.wait_until(lambda: len(files(server)) == 2, what="three tasks are done")


def test_tasks_start_by_priority_and_at_their_time(serve, tmp_path):
    folder = tmp_path / "tasks"
    soon = time.time() + 1.5
    for keys in (["id=a"], ["id=b", "priority=2"], ["id=c", "priority=1"], ["id=d", f"at={soon}"]):
        added = command("add", folder, *keys)
        assert added.returncode == 0, added.stderr
    server = start(serve, "--spooler-ordered", directory=tmp_path)
    server.wait_for_log(r"^end d")
    assert time.time() >= soon
    assert re.findall(r"^ran (.)", server.log(), re.MULTILINE) == ["c", "b", "a", "d"]


def test_a_new_task_starts_at_once(serve, isolation):
    # Ten minutes pass until a look at the directory: it is not what finds them.
    server = start(serve, "--spooler-frequency", "600", isolation=isolation)
    for number in range(1, 11):
        spool(server, id="t")
        server.wait_for_log(r"^end t", count=number)
    # Of another process: the kernel tells.
    assert command("add", server.directory / "tasks", "id=other").returncode == 0
    server.wait_for_log(r"^end other", seconds=30)


def test_a_task_that_fails_too_often_is_kept_for_people(serve):
    server = start(serve, "--spooler-retry-delay", "0.01", "--spooler-retry-max", "3")
    path = spool(server, id="a", kind="raise")
    server.wait_for_log(
        r"a task has failed 3 times \(--spooler-retry-max\) and is kept as .*failed"
    )
    assert server.log().count("ran a") == 3
    folder = server.directory / "tasks"
    name = os.path.basename(path)
    listed = json.loads(command("ls", folder, "--json").stdout)
    assert [(one["task"], one["state"], one["tries"]) for one in listed] == [(name, "failed", 3)]
    assert "LookupError: on purpose" in listed[0]["failure"]
    shown = command("show", folder, name).stdout.decode()
    assert "id = a" in shown and "LookupError: on purpose" in shown
    assert b"1 task to run now" in command("retry", folder, "--all").stdout
    server.wait_for_log(r"^ran a", count=6)
    server.wait_for_log("a task has failed 3 times", count=2)
    assert command("rm", folder, name).returncode == 0
    assert command("ls", folder).stdout == b"no tasks\n"


def test_the_pause_between_tries_doubles(serve):
    server = start(serve, "--spooler-retry-delay", "0.2")
    spool(server, id="a", result="-1")
    began = time.monotonic()
    server.wait_for_log(r"^ran a", count=4)
    # 0.2 + 0.4 + 0.8
    assert time.monotonic() - began > 1.2


def test_files_that_are_no_tasks_are_set_aside(serve):
    server = start(serve, "--spooler-frequency", "0.2")
    name = "uwsgi_spoolfile_on_here_1_1_1_1_1"
    (server.directory / "tasks" / name).write_bytes(b"no task at all")
    server.wait_for_log(r"is no task \(its first byte \(modifier1\) is 110.*kept as .*broken")
    assert (server.directory / "tasks" / "broken" / name).read_bytes() == b"no task at all"
    spool(server, id="a")
    server.wait_for_log(r"^end a")


def test_directories(serve, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    server = serve("--spooler", file, source=APP, wait=False)
    server.exit_code_expected = 1
    server.wait_for_exit()
    assert re.search(
        r"--spooler .*cannot use the spooler directory .*file: .*exist", server.log()
    ), server.log()


def test_interpreters_are_renewed(serve):
    code = APP.replace('VERSION = "one"', 'VERSION = str(id(object())) + "x" + repr(os.urandom(4))')
    server = start(serve, "--spooler-max-tasks", "2", isolation=SUBINTERPRETERS, source=code)
    for number in range(4):
        spool(server, id=f"t{number}")
    server.wait_for_log(r"maximum number of tasks reached \(2\) recycling", count=2)
    versions = [re.search(rf"^ran t{n} (\S+)", server.log(), re.MULTILINE)[1] for n in range(4)]
    assert versions[0] == versions[1] != versions[2] == versions[3]


def test_cheap_spoolers_are_made_for_a_task(serve):
    code = APP + '\n    say("loaded by", uwsgi.worker_id())\n'
    server = start(
        serve,
        "--spooler-cheap",
        "--spooler-frequency",
        "0.3",
        isolation=SUBINTERPRETERS,
        source=code,
    )
    assert "loaded by 0" not in server.log()
    for count in (1, 2):
        spool(server, id="a")
        server.wait_for_log(r"^end a", count=count)
        server.wait_for_log(r"^loaded by 0", count=count)
        threads = f"/proc/{server.process.pid}/task"
        if count == 1 and os.path.isdir(threads):
            # It has ended its interpreter when nothing came.
            time.sleep(1)


def test_imports_of_the_spooler(serve, isolation):
    server = start(
        serve,
        "--spooler-import",
        "extra.py",
        "--spooler-import",
        "missing_module",
        isolation=isolation,
        files={"extra.py": "import os, uwsgi\nos.write(1, b'extra %d\\n' % uwsgi.worker_id())\n"},
    )
    server.wait_for_log(r"^extra \d$")
    server.wait_for_log("--spooler-import: .*missing_module")
    spool(server, id="a")
    server.wait_for_log(r"^end a")


def test_a_spooler_needs_no_application(serve):
    server = serve(
        "--spooler",
        "tasks",
        "--spooler-import",
        "tasks.py",
        files={"tasks.py": APP},
        listen=(),
        wait=False,
    )
    server.wait_for_log("ready after")
    assert command("add", server.directory / "tasks", "id=a").returncode == 0
    server.wait_for_log(r"^end a")


def test_tasks_that_take_too_long_are_ended(serve, isolation):
    server = start(
        serve,
        "--spooler-harakiri",
        "1",
        "--harakiri-graceful-timeout",
        "1",
        "--spooler-frequency",
        "0.5",
        isolation=isolation,
    )
    go = server.directory / "go"
    spool(server, id="slow", kind="wait", **{"for": str(go)})
    server.wait_for_log(r"HARAKIRI ON THE SPOOLER .* has taken 1.* s and is ended")
    server.wait_for_log(r"^uwsgi.Harakiri")
    go.write_text("")
    server.wait_for_log(r"^end slow")
    go.unlink()
    # It catches the exception: another thread goes on.
    spool(server, id="deaf", kind="deaf", **{"for": str(go)})
    server.wait_for_log(r"goes on 1 s after its exception .* this one stays locked")
    spool(server, id="next")
    server.wait_for_log(r"^end next")
    server.wait_until(lambda: len(files(server)) == 1, what="the other one is done")
    assert server.log().count("ran deaf") == 1
    go.write_text("")
    server.wait_for_log(r"^end deaf")
    wait_until_empty(server)


def test_a_reload_gives_new_tasks_to_the_new_version(serve, isolation):
    server = start(serve, "--reload-mercy", "30", isolation=isolation)
    go = server.directory / "go"
    spool(server, id="a", kind="wait", **{"for": str(go)})
    server.wait_for_log(r"^ran a one")
    reload(server, APP.replace('"one"', '"two"'))
    pattern = "the new version is loaded" if isolation == "main" else "generation 2 serves"
    server.wait_for_log(pattern)
    assert command("add", server.directory / "tasks", "id=b").returncode == 0
    server.wait_for_log(r"^end b two")
    assert "end a" not in server.log()
    go.write_text("")
    server.wait_for_log(r"^end a one")
    wait_until_empty(server)
    assert server.log().count("ran a") == 1


def test_a_stop_waits_for_a_task_and_keeps_one_that_does_not_end(serve):
    server = start(serve)
    go = server.directory / "go"
    spool(server, id="a", kind="wait", **{"for": str(go)})
    server.wait_for_log(r"^ran a")
    server.send_signal(signal.SIGTERM)
    server.wait_for_log("waiting for 1 tasks of the spooler")
    go.write_text("")
    assert server.wait_for_exit() == 0
    assert "end a" in server.log() and not files(server)
    server = start(serve, "--reload-mercy", "0.3")
    spool(server, id="b", kind="wait", **{"for": "never"})
    server.wait_for_log(r"^ran b")
    assert server.stop() == 0
    assert "1 tasks of the spooler have not finished in time; they are kept" in server.log()
    assert len(files(server)) == 1


def test_signals_for_the_spooler(serve, isolation):
    code = (
        APP
        + '\n    uwsgi.register_signal(7, "spooler", lambda n: say("signal", n, uwsgi.i_am_the_spooler()))\n'
    )
    server = start(serve, isolation=isolation, source=code)
    evaluate(server, "uwsgi.signal(7)")
    server.wait_for_log(r"^signal 7 True$")
    assert len(re.findall("^signal 7", server.log(), re.MULTILINE)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads have one directory there")
def test_the_working_directory_is_of_the_spooler_alone(serve, tmp_path):
    code = APP.replace('say("end"', 'say("in", os.getcwd())\n        say("end"')
    server = start(serve, "--spooler-chdir", tmp_path, source=code)
    spool(server, id="a")
    if "--spooler-chdir is without effect" in server.log():
        pytest.skip("unshare is forbidden here")
    server.wait_for_log(f"^in {re.escape(str(tmp_path))}$")
    assert evaluate(server, "os.getcwd()") == repr(str(server.directory))


def test_statistics(serve, tmp_path):
    server = start(serve, "--stats", "127.0.0.1:0", "--pidfile", "pid", "--spooler-frequency", "60")
    spool(server, id="a")
    spool(server, id="b", kind="raise")
    server.wait_for_log("LookupError: on purpose")
    wait_for = server.wait_until
    status = {}

    def is_done():
        done = subprocess.run(
            [str(binary()), "status", "--json", "--pidfile", "pid"],
            cwd=server.directory,
            capture_output=True,
            env=environment(),
        )
        status.update(json.loads(done.stdout)["spoolers"][0])
        return (status["done"], status["raised"]) == (1, 1)

    wait_for(is_done, what="both have run")
    assert (status["tasks"], status["running"], status["added"]) == (1, 0, 2)
    assert "LookupError: on purpose" in status["last_failure"]
    port = int(re.search(r"statistics at .*:(\d+)", server.log())[1])
    with socket.create_connection(("127.0.0.1", port)) as stats:
        document = json.loads(stats.makefile("rb").read())
    folder = os.path.realpath(server.directory / "tasks")
    assert document["spoolers"] == [
        {"dir": folder, "pid": server.process.pid, "tasks": 2, "respawns": 0, "running": 0}
    ]


def test_the_command(tmp_path):
    folder = tmp_path / "tasks"
    added = command("add", folder, "id=a", "--body", "-", stdin=b"body of it")
    path = added.stdout.decode().strip()
    assert added.returncode == 0 and os.path.exists(path)
    assert b"waiting" in command("ls", folder).stdout
    assert b"body   10 bytes" in command("show", folder, "uwsgi").stdout
    assert command("drain", folder, "--timeout", "0.2").returncode == 4
    assert command("rm", folder, "nothing").stderr == b"error: there is no task nothing\n"
    assert command("rm", folder, path).stdout == b"1 task removed\n"
    drained = command("drain", folder)
    assert (drained.returncode, drained.stdout) == (0, b"no task is left; 0 have failed\n")
    assert b"there is no directory" in command("ls", tmp_path / "none").stderr


KILLS = int(os.environ.get("SINGLEMALT_SPOOLER_KILLS", "6"))


def test_no_task_is_lost_however_often_the_server_is_killed(serve, tmp_path):
    """Tasks are added and run while the server is killed again and again."""
    told, logs = {}, []
    arguments = ("--spooler-processes", "2", "--spooler-frequency", "0.2", "--disable-logging")

    def client(server, name, stopped):
        number = 0
        while not stopped.is_set():
            number += 1
            # One of seven is to be tried for ever.
            task, result = f"{name}-{number}", "-2" if number % 7 else "-1"
            try:
                path = spool(server, id=task, result=result)
            except (OSError, http.client.HTTPException):
                return
            told[os.path.basename(path)] = task

    for life in range(KILLS):
        isolation = ISOLATIONS[life % 2]
        server = start(serve, *arguments, isolation=isolation, directory=tmp_path)
        stopped = threading.Event()
        names = [f"{life}-{number}" for number in range(3)]
        clients = [threading.Thread(target=client, args=(server, n, stopped)) for n in names]
        for one in clients:
            one.start()
        time.sleep(0.3 + 0.1 * life)
        server.kill()
        stopped.set()
        for one in clients:
            one.join()
        logs.append(server.log())
    server = start(serve, *arguments, directory=tmp_path)
    server.wait_until(
        lambda: set(files(server)) <= begun_and_not_done([*logs, server.log()]),
        seconds=60,
        what="what can be done is done",
    )
    logs.append(server.log())
    assert len(told) > 20 * KILLS
    left = set(files(server))
    text = "\n".join(logs)
    ran = re.findall(r"^ran (\S+)", text, re.MULTILINE)
    ended = set(re.findall(r"^end (\S+)", text, re.MULTILINE))
    lost = [task for name, task in told.items() if name not in left and task not in ended]
    assert not lost, f"{lost} were acknowledged, and did not run to their ends"
    # The log says that a task is done when its file is gone for good.
    done = set()
    for log in logs:
        for action, name in re.findall(r"(managing request|done with task) (\S+)", log):
            if action == "done with task":
                done.add(name)
            assert action != "managing request" or name not in done, (
                f"{name} was done and ran again"
            )
    # Few were running when the server was killed.
    again = [task for name, task in told.items() if name in done and ran.count(task) > 1]
    assert len(again) <= 2 * KILLS, again


def begun_and_not_done(logs):
    text = "\n".join(logs)
    ran = set(re.findall(r"managing request (\S+)", text))
    return ran - set(re.findall(r"done with task (\S+)", text))


@pytest.mark.skipif(sys.platform != "linux", reason="uWSGI is installed on Linux only")
def test_uwsgi_and_this_server_at_one_directory(serve, tmp_path):
    """Both add tasks, both run them: each runs once."""
    uwsgi = shutil.which("uwsgi", path=os.path.dirname(sys.executable))
    if uwsgi is None:
        pytest.skip("uwsgi is not installed")
    code = APP.replace(
        'VERSION = "one"', 'VERSION = "uwsgi" if "IS_REAL_ITSELF" in os.environ else "ours"'
    )
    server = start(
        serve,
        "--spooler-frequency",
        "1",
        source=code,
        isolation=SUBINTERPRETERS,
        directory=tmp_path,
    )
    log = open(tmp_path / "uwsgi.log", "wb")
    other = subprocess.Popen(
        [uwsgi, "--http-socket", str(tmp_path / "http.sock"), "--wsgi-file", "app.py", "--master"]
        + ["--spooler", "tasks", "--spooler-frequency", "1", "--die-on-term"],
        cwd=tmp_path,
        env={**os.environ, "IS_REAL_ITSELF": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        written = lambda: (tmp_path / "uwsgi.log").read_text()
        ran = lambda: re.findall(r"^ran (\S+) (\S+)", server.log() + written(), re.MULTILINE)
        server.wait_until(
            lambda: "spawned uWSGI worker 1" in written() or other.poll() is not None,
            what="uWSGI serves",
            seconds=60,
        )
        assert other.poll() is None, written()
        count = 0
        # Which of the two takes a task is chance: until each has had some.
        while count < 60 or {who for _, who in ran()} != {"ours", "uwsgi"}:
            assert count < 3000, ran()
            spool(server, id=f"ours-{count}")
            ask_uwsgi(tmp_path / "http.sock", {"id": f"theirs-{count}", "body": "b" * (count % 60)})
            count += 1
        wait_until_empty(server)
        # The other one reads a task of ours as its own.
        path = spool(server, id="later", at=str(time.time() + 999), body="text")
        found = ask_uwsgi(tmp_path / "http.sock", f"uwsgi.spooler_get_task({path!r})", "/eval")
        assert b"b'later'" in found and b"'body': b'text'" in found
    finally:
        other.terminate()
        other.wait(60)
        log.close()
    names = sorted(name for name, _ in ran())
    expected = [f"{who}-{number}" for who in ("ours", "theirs") for number in range(count)]
    assert names == sorted(expected), server.log() + written()


def ask_uwsgi(path, content, target="/spool"):
    body = content if isinstance(content, str) else json.dumps(content)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        head = f"POST {target} HTTP/1.0\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        answer = connection.makefile("rb").read()
    assert b" 200 " in answer.split(b"\r\n")[0], answer
    return answer
