"""The master fifo: uWSGI's commands through a named pipe."""

import os
import signal
import stat

import pytest
from test_control import NEXT, VERSION, rewrite
from test_isolation import own_gil_only


def write(server, letters, name="fifo"):
    # Without a reader this would wait for ever.
    pipe = os.open(server.directory / name, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(pipe, letters.encode())
    finally:
        os.close(pipe)


def with_fifo(serve, *arguments, **more):
    server = serve("--master-fifo", "fifo", *arguments, source=VERSION, **more)
    # The report comes before it.
    server.wait_until((server.directory / "fifo").exists, what="the fifo is there")
    return server


def test_it_is_a_pipe_of_the_users_own(serve):
    server = with_fifo(serve)
    mode = (server.directory / "fifo").stat().st_mode
    assert stat.S_ISFIFO(mode) and stat.S_IMODE(mode) == 0o600
    server.stop()
    assert not (server.directory / "fifo").exists()


@own_gil_only
def test_reload_and_its_kinds(serve):
    server = with_fifo(serve, "--processes", "2")
    rewrite(server, NEXT)
    write(server, "r\n")
    server.wait_for_log("master-fifo: r: reloading")
    server.wait_for_log("generation 2 serves")
    assert server.ask().body == b"two"
    write(server, "c")
    server.wait_for_log("every interpreter of generation 2 is new")
    write(server, "w")
    server.wait_for_log("generation 3 serves")
    write(server, "R")
    server.wait_for_log("requests in progress are finished all the same")
    server.wait_for_log("generation 4 serves")


@own_gil_only
def test_more_and_fewer_interpreters_and_none(serve):
    server = with_fifo(serve, "--processes", "2", "--cheaper", "1", "--cheaper-algo", "manual")
    write(server, "+")
    server.wait_for_log("master-fifo: \\+: starting 1 more")
    server.wait_for_log("interpreters: 2 ")
    write(server, "+")
    server.wait_for_log("master-fifo: \\+: there are 2 interpreters already")
    write(server, "-")
    server.wait_for_log("interpreters: 1 ")
    write(server, "C")
    server.wait_for_log("cheap mode enabled")
    assert server.ask().body == b"one"
    server.wait_for_log("cheap mode disabled")


@pytest.mark.parametrize("letter", ["q", "Q", "qq"])
def test_stop(serve, letter):
    server = with_fifo(serve)
    write(server, letter)
    assert server.wait_for_exit() == 0


def test_log_and_pidfile_and_state(serve):
    server = with_fifo(serve, "--pidfile", "app.pid", "--logto", "app.log", wait=False)
    log = server.directory / "app.log"
    server.wait_until(lambda: log.exists() and "ready after" in log.read_text(), what="ready")
    log.rename(server.directory / "old.log")
    write(server, "l")
    server.wait_until(log.exists, what="a new log")
    (server.directory / "app.pid").unlink()
    write(server, "P")
    server.wait_until((server.directory / "app.pid").exists, what="the pidfile")
    server.wait_until(
        lambda: (server.directory / "app.pid").read_text() == f"{server.process.pid}\n",
        what="the process id",
    )
    write(server, "s")
    server.wait_until(
        lambda: f"pid {server.process.pid}: serving" in log.read_text(), what="the status"
    )


@pytest.mark.parametrize(
    "letter, said",
    [
        ("p", "a server is not paused"),
        ("E", "there is no emperor"),
        ("B", "there is no emperor"),
        ("f", "nothing forks here"),
        ("S", "there are no subscriptions"),
        ("x", "no command has this letter"),
    ],
)
def test_what_it_does_not_do_it_says(serve, letter, said):
    server = with_fifo(serve)
    write(server, letter + "\n")
    server.wait_for_log(f"master-fifo: {letter}: .*{said}")
    assert server.ask().body == b"one"


def test_several_of_which_one_is_read(serve):
    server = with_fifo(serve, "--master-fifo", "other")
    assert not (server.directory / "other").exists()
    write(server, "1")
    server.wait_for_log("the master fifo .*/other is now the one that is read")
    assert not (server.directory / "fifo").exists()
    write(server, "r", "other")
    server.wait_for_log("master-fifo: r: reloading")
    # As in uWSGI, one that does not exist is the first.
    write(server, "7", "other")
    server.wait_for_log("the master fifo .*/fifo is now the one that is read")
    write(server, "q")
    assert server.wait_for_exit() == 0


def test_a_pipe_that_was_left_behind_is_made_anew(serve):
    first = with_fifo(serve)
    first.kill()
    assert (first.directory / "fifo").exists()
    second = with_fifo(serve, directory=first.directory)
    write(second, "q")
    assert second.wait_for_exit() == 0


def test_another_file_stays(serve):
    server = with_fifo(serve, files={"fifo": "mine"}, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert "--master-fifo (command line): cannot make the pipe" in server.log()
    assert (server.directory / "fifo").read_text() == "mine"


@own_gil_only
def test_a_pipe_that_is_removed_comes_back(serve):
    server = with_fifo(serve)
    (server.directory / "fifo").unlink()
    server.wait_for_log("was removed and is there again")
    write(server, "r")
    server.wait_for_log("generation 2 serves")


def test_it_is_there_when_another_process_is_the_server(serve):
    server = with_fifo(serve, "--reload-mode", "exec")
    for count in (1, 2):
        write(server, "r")
        server.wait_for_log(r"reloaded: process \d+ is the server now", count=count)
        server.wait_until(lambda: (server.directory / "fifo").exists(), what="the pipe")
    server.send_signal(signal.SIGTERM)
    assert server.wait_for_exit() == 0
