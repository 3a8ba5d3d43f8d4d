"""Reloads under load: every kind of client at once, and an application that changes all the time.

    storm.py [--reloads N] [--seed N] [--flask | --django] [--mode swap|rolling|exec] [--isolation MODE]
             [--processes N] [--threads N] [--poll shared|acceptor] [--import-seconds S] [--work-seconds S]
             [--clients N] [--pause S] [--gaps N] [--log FILE]
             [-- OPTION ...]
    storm.py --recycle 50 --seconds 60 ...

What must hold: every request is answered, whole, with 200; and once an answer of a version has
come, no request that is sent after it is answered by an older one (in rolling mode versions may mix
meanwhile). Every fifth version is broken and must change nothing. Now and then a reload is asked
for twice in a row. At the end the server is told to stop while a reload is under way.

With --recycle nothing is reloaded: interpreters are replaced after so many requests
(--max-requests).

The exit code judges. It is 0 if no request failed, none was answered by an older version, the
server stopped cleanly, no interpreter was parked, and memory (PSS) after the last reload is at most
1.15 times that after the 20th, or at most 3 MB more: below that it is the noise of buffers and
allocators. `just storm` runs it; test_reload.py runs small ones.
"""

import argparse
import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from storm_load import Load
from storm_probe import NOTED_SECONDS
from storm_site import BROKEN, Site

from server import Server, virtualenv_arguments

__all__ = ["BROKEN", "Load", "Site", "reload_often"]

#: What memory may grow by from the 20th reload to the last.
GROWTH_MAX, GROWTH_FREE_MB = 1.15, 3.0
#: Memory is measured after so many reloads each, when the old generation has ended.
MEASURED_EVERY = 20
SETTLE_SECONDS = 120


class Stamped(Server):
    """Knows when it read each line of the log."""

    def __init__(self, *arguments, **more):
        self.stamps = []
        super().__init__(*arguments, **more)

    def _read_log(self):
        for line in self.process.stdout:
            text = line.decode("utf-8", "backslashreplace")
            self.stamps.append((time.monotonic(), text.rstrip()))
            self._add_to_log(text)
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def pss_megabytes(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) / 1024


#: What the log says when a new version serves, by how the reload goes.
TAKEN_OVER = {
    "swap": r"generation \d+ serves \(",
    "rolling": r"every interpreter of generation \d+ is new",
    "exec": r"reloaded: process \d+ is the server now",
}


class Progress:
    """What the log says of reloads, line by line: how many signals were heard, how many reloads
    ended, and whether one is under way.
    """

    EVENTS = re.compile(
        r"SIGHUP: (?P<begins>reloading)|SIGHUP: a reload is under way; (?P<follows>one more follows)|SIGHUP: (?P<known>one more reload waits)"
        r"|(?P<fails>reload failed)|(?P<good>generation \d+ serves \(|every interpreter of generation \d+ is new|reloaded: )"
    )

    def __init__(self, text):
        self.heard = self.good = self.failed = 0
        self.is_busy = self.is_owed = False
        for event in self.EVENTS.finditer(text):
            match event.lastgroup:
                case "begins":
                    self.heard += not self.is_owed
                    self.is_busy, self.is_owed = True, False
                case "follows":
                    self.heard += 1
                    self.is_owed = True
                case "known":
                    self.heard += 1
                case "fails":
                    self.failed += 1
                    self.is_busy = False
                case "good":
                    self.good += 1
                    self.is_busy = False

    @property
    def is_quiet(self):
        return not self.is_busy and not self.is_owed


def reload_once(server, twice=False):
    """Asks for a reload, and waits until it and all that were asked for are over. Returns how it
    went.
    """
    before = Progress(server.log())
    heard = before.heard
    for _ in range(2 if twice else 1):
        server.send_signal(signal.SIGHUP)
        heard += 1
        # Two signals at once are one for the kernel: the second is sent when the first has been
        # heard.
        server._wait(
            lambda text, heard=heard: Progress(text).heard >= heard,
            SETTLE_SECONDS,
            "that it heard SIGHUP",
        )

    def over(text):
        now = Progress(text)
        return now if now.is_quiet and now.good + now.failed > before.good + before.failed else None

    now = server._wait(over, SETTLE_SECONDS, "that the reload is over")
    return now.good - before.good, now.failed - before.failed


def reload_often(server, site, reloads, seed, first_version=2, during=None, mode="swap"):
    """Reloads `reloads` times, every fifth time a broken version, now and then asked for twice in a
    row. Returns the last version that was good.
    """
    dice = random.Random(f"{seed} reloads")
    version = first_version - 1
    good = version
    for number in range(1, reloads + 1):
        twice = mode != "exec" and dice.random() < 0.1
        if number % 5 == 0:
            what = dice.choice(sorted(BROKEN))
            site.write(BROKEN[what])
            succeeded, failed = reload_once(server, twice)
            assert failed and not succeeded, (
                f"{what}: {succeeded} reloads succeeded\n{server.log()}"
            )
        else:
            version += 1
            site.version(version)
            good = version
            succeeded, failed = reload_once(server, twice)
            assert succeeded and not failed, (
                f"version {version}: {failed} reloads failed\n{server.log()}"
            )
        if during is not None:
            during(number)
    # The last text may be a broken one: whoever reloads next finds a good one.
    site.version(good)
    return good


def settle(server, mode):
    """Waits until the generations before the one that serves have ended."""
    if mode == "swap":
        serves = lambda text: len(re.findall(r"generation \d+ serves \(", text))
        server._wait(
            lambda text: len(re.findall(r"generation \d+ ended", text)) >= serves(text) or None,
            SETTLE_SECONDS,
            "that the old ones ended",
        )


class Probe:
    """A process that waits for answers, or only for the clock (storm_probe.py)."""

    def __init__(self, *arguments):
        self.noted, self.failed, self.last = [], [], {}
        command = [sys.executable, Path(__file__).with_name("storm_probe.py"), *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            facts = json.loads(line)
            if "start" in facts:
                self.noted.append((facts["start"], facts["seconds"]))
            elif "failed" in facts:
                self.failed.append(facts)
            else:
                self.last = facts

    def finish(self):
        self.process.stdin.close()
        self.process.wait()
        self.reader.join()

    def longest_between(self, start, end):
        return max(
            [
                min(at + seconds, end) - max(at, start)
                for at, seconds in self.noted
                if at < end and at + seconds > start
            ],
            default=0.0,
        )


@contextlib.contextmanager
def probing(*arguments):
    probe = Probe(*arguments)
    try:
        yield probe
    finally:
        probe.finish()


class Storm:
    """One run: the server, its clients, and what came of it."""

    def __init__(self, given, folder):
        self.given = given
        kind = "flask" if given.flask else "django" if given.django else "wsgi"
        self.site = Site(folder, given.import_seconds, given.work_seconds, kind)
        self.site.version(1)
        self.mode = "exec" if given.isolation == "main" and not given.recycle else given.mode
        recycling = (
            ["--max-requests", given.recycle, "--min-worker-lifetime", 0]
            if given.recycle
            else ["--reload-mode", self.mode]
        )
        self.server = Stamped(
            [
                "app.py",
                "--http-socket",
                "127.0.0.1:0",
                "--socket",
                "127.0.0.1:0",
                "--processes",
                given.processes,
                "--threads",
                given.threads,
                "--poll",
                given.poll,
                "--isolation",
                given.isolation,
                "--disable-logging",
                *recycling,
                *virtualenv_arguments(),
                *given.options,
            ],
            folder,
            {"SINGLEMALT_LOG": "debug"} if given.gaps or given.log else {},
        )
        self.memory = {}
        self.verdicts = []

    def run(self):
        given, server = self.given, self.server
        server.wait_until_ready()
        http, uwsgi = server.addresses()
        self.load = Load(
            http,
            given.seed,
            self.mode != "rolling" and not given.recycle,
            given.clients,
            uwsgi,
            given.pause,
        )
        self.began = time.monotonic()
        with self.load, probing("asker", *http) as self.asker, probing("sleeper") as self.sleeper:
            if given.recycle:
                self.last = 1
                self.watch_recycling(given.seconds)
            else:
                self.last = reload_often(
                    server, self.site, given.reloads, given.seed, during=self.note, mode=self.mode
                )
            self.seconds = time.monotonic() - self.began
            self.asker.finish()
            if not self.load.monotonous:
                self.asker.failed = [facts for facts in self.asker.failed if "older" not in facts]
            self.newest = self.load.newest
            self.leave()
        self.code = server.wait_for_exit(120)

    def leave(self):
        """A reload is under way when the server is told to stop, and one more is asked for after
        that.
        """
        self.load.farewell()
        if not self.given.recycle:
            before = Progress(self.server.log()).heard
            self.server.send_signal(signal.SIGHUP)
            self.server._wait(
                lambda text: Progress(text).heard > before or None,
                SETTLE_SECONDS,
                "that it heard the last SIGHUP",
            )
        self.server.send_signal(signal.SIGTERM)
        with contextlib.suppress(ProcessLookupError):
            self.server.send_signal(signal.SIGHUP)

    def watch_recycling(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.load.stopping.wait(min(left, 10))
            self.server.process.poll()
            print(
                f"{seconds - max(0, end - time.monotonic()):5.0f} s: {self.fresh()} interpreters replaced, {self.so_far()}",
                flush=True,
            )

    def fresh(self):
        return len(re.findall(r"has a fresh interpreter", self.server.log()))

    def so_far(self):
        return f"{self.load.answered} answers, {len(self.load.failures)} failed, PSS {pss_megabytes(self.server.process.pid):.1f} MB"

    def note(self, number):
        if number % MEASURED_EVERY == 0 or number == self.given.reloads:
            settle(self.server, self.mode)
            self.memory[number] = pss_megabytes(self.server.process.pid)
            print(
                f"{number:5} reloads, {time.monotonic() - self.began:.0f} s: {self.so_far()}",
                flush=True,
            )

    def judge(self, good, words):
        self.verdicts.append(good)
        print("ok     " if good else "FAILED ", words, sep="", flush=True)

    def verdict(self):
        given, load, log = self.given, self.load, self.server.log()
        print(
            f"{load.answered} answers and {self.asker.last['count']} to the probe in {self.seconds:.0f} s ({dict(load.by_kind)})"
        )
        kinds = ", ".join(f"{count} {kind}" for kind, count in load.failed.items())
        wrong = len(load.failures) + len(self.asker.failed)
        self.judge(
            wrong == 0,
            f"failed requests: {wrong} {f'({kinds or "the probe"})' if wrong else '(refused, reset, cut off, wrong: none)'}",
        )
        older = load.failed["of an older version"] + sum(
            "older" in facts for facts in self.asker.failed
        )
        self.judge(older == 0, f"answers of an older version: {older}")
        if given.recycle:
            self.judge(self.fresh() > 0, f"interpreters replaced: {self.fresh()}")
        else:
            self.judge(
                self.newest == self.last,
                f"newest version: {self.newest}, the last good one is {self.last}",
            )
            now = Progress(log)
            print(
                f"       reloads: {now.good} good, {now.failed} of broken versions, {now.heard} signals heard"
            )
        self.judge(
            self.code == 0,
            f"exit code {self.code}; {load.turned_away} clients turned away at the stop",
        )
        bad = self.server.never.search(log)
        self.judge(not bad, f"the log has {bad[0]!r}" if bad else "no crash in the log")
        parked = len(re.findall(r"an interpreter is parked", log))
        self.judge(parked == 0, f"parked interpreters: {parked}")
        if MEASURED_EVERY in self.memory and given.reloads > MEASURED_EVERY:
            first, last = self.memory[MEASURED_EVERY], self.memory[given.reloads]
            allowed = max(first * GROWTH_MAX, first + GROWTH_FREE_MB)
            self.judge(
                last <= allowed,
                f"PSS after the {MEASURED_EVERY}th reload {first:.1f} MB, after the last {last:.1f} MB (x {last / first:.2f}, at most {allowed:.1f})",
            )
        end = self.began + self.seconds
        machine = self.sleeper.longest_between(self.began, end)
        print(
            f"       longest time without an answer to the probe: {self.asker.last['longest'] * 1000:.0f} ms; "
            f"longest that the machine let a thread wait that only slept: {machine * 1000:.0f} ms"
        )
        waits = [seconds for _, seconds in self.asker.noted]
        print(
            f"       the probe waited {len(waits)} times for more than {NOTED_SECONDS * 1000:.0f} ms, {sum(waits):.2f} s in all; "
            f"the sleeper {len(self.sleeper.noted)} times, {sum(seconds for _, seconds in self.sleeper.noted):.2f} s"
        )
        self.tell_gaps(given.gaps)
        for failure in [*load.failures, *map(str, self.asker.failed)][:20]:
            print("FAILED: ", failure)
        if wrong:
            for trace in re.findall(
                r"^.*Traceback \(most recent call last\):\n(?:[ \t].*\n)*.*", log, re.M
            )[:200]:
                if (
                    "broken on purpose" not in trace
                    and "surely_not_there" not in trace
                    and "was never closed" not in trace
                ):
                    print("IN THE LOG:", trace)
        return all(self.verdicts)

    def tell_gaps(self, count):
        """What the log said last before each of the longest gaps ended."""
        for start, seconds in sorted(self.asker.noted, key=lambda gap: -gap[1])[:count]:
            machine = self.sleeper.longest_between(start, start + seconds)
            print(
                f"       {seconds * 1000:4.0f} ms at {start - self.began:.2f} s; the sleeper lost {machine * 1000:.0f} ms of it"
            )
            for at, line in self.server.stamps:
                if start - 0.3 <= at <= start + seconds:
                    print(
                        f"            {'in it' if at >= start else '     '} {(at - start) * 1000:+5.0f} ms  {line[:140]}"
                    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument(
        "--recycle",
        type=int,
        metavar="REQUESTS",
        help="no reloads: interpreters are replaced after so many requests",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long --recycle goes on")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--isolation", default="own-gil")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--import-seconds",
        type=float,
        default=0.0,
        help="what the application sleeps while it is imported",
    )
    parser.add_argument(
        "--work-seconds",
        type=float,
        help="what it computes while it is imported (0.5, with a framework 0)",
    )
    parser.add_argument("--mode", default="swap", choices=list(TAKEN_OVER))
    parser.add_argument("--poll", default="shared", choices=["shared", "acceptor"])
    parser.add_argument("--clients", type=int, help="how many (one of each kind)")
    parser.add_argument(
        "--pause",
        type=float,
        default=0.0,
        help="seconds that each client rests between two requests, at most",
    )
    parser.add_argument(
        "--gaps", type=int, default=0, help="tell of so many of the longest times without an answer"
    )
    parser.add_argument(
        "--log", metavar="FILE", help="where the server's log goes, with the seconds of each line"
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--flask",
        action="store_true",
        help="the application is Flask's, with sqlite open and a daemon thread",
    )
    kinds.add_argument(
        "--django",
        action="store_true",
        help="a Django project with the admin, sqlite open and a daemon thread",
    )
    parser.add_argument("options", nargs="*", help="more options of the server, after --")
    given = parser.parse_args()
    given.processes = given.processes or (4 if given.recycle else 2)
    if given.work_seconds is None:
        given.work_seconds = 0.0 if given.flask or given.django or given.recycle else 0.5
    what = (
        f"--max-requests {given.recycle} for {given.seconds:.0f} s"
        if given.recycle
        else f"{given.reloads} reloads ({given.mode})"
    )
    print(
        f"seed {given.seed}: {what}, {given.isolation}, {given.processes} x {given.threads}, "
        f"import {given.import_seconds} s of sleep and {given.work_seconds} s of work",
        flush=True,
    )
    # Told to end before its time, it still takes the server and the probes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        storm = Storm(given, folder)
        try:
            storm.run()
        finally:
            if storm.server.process.poll() is None:
                storm.server.process.kill()
        good = storm.verdict()
        if given.log:
            lines = (f"{at - storm.began:9.3f} {line}\n" for at, line in storm.server.stamps)
            Path(given.log).write_text("".join(lines))
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
