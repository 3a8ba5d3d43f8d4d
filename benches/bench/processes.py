"""CPU in nanoseconds and memory of a process tree, and how busy the machine was with other
processes.
"""

import os
import pathlib
import re
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")
PROC = pathlib.Path("/proc")


def tree(pid):
    """The process and its living descendants; empty if it has ended."""
    found = [pid]
    for parent in found:
        for children in PROC.glob(f"{parent}/task/*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue  # gone since it was listed
    return [one for one in found if (PROC / str(one)).exists()]


def cpu_seconds(pid):
    """User and system time of the tree, children that ended (and were waited for) too.

    The clock of a process counts nanoseconds, where /proc/PID/stat counts hundredths of a second:
    over a slice of one second that is the difference between 0.001 % and 1 %. Only what ended
    children used comes from there.
    """
    total = 0.0
    for one in tree(pid):
        try:
            total += time.clock_gettime(
                ~one << 3 | 2
            )  # CPUCLOCK_SCHED of that process: clock_getcpuclockid(3)
            fields = (PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) * TICK
        except (OSError, IndexError):
            continue
    return total


def pss_megabytes(pid):
    """Proportional set size of the tree: what it alone needs, and its share of what it shares."""
    total = 0
    for one in tree(pid):
        try:
            text = (PROC / str(one) / "smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
    return total / 1024


def threads(pid):
    return sum(len(list(PROC.glob(f"{one}/task/*"))) for one in tree(pid))


class Others:
    """How many cores' worth of work was done between start and end by processes that are not ours,
    and stolen by the host.
    """

    def __init__(self, pids):
        self.pids = pids
        self.started, self.before, self.own = time.monotonic(), self.counters(), self.ours()

    @staticmethod
    def counters():
        fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
        user, nice, system, _idle, _wait, irq, softirq, steal = fields[:8]
        return (user + nice + system + irq + softirq) * TICK, steal * TICK

    def ours(self):
        # Our own processes, and what wrk and other clients used that are reaped by now.
        times = os.times()
        return (
            sum(map(cpu_seconds, self.pids))
            + times.user
            + times.system
            + times.children_user
            + times.children_system
        )

    def end(self):
        """(cores busy with others, cores stolen), each as a share of one core."""
        wall = time.monotonic() - self.started
        busy, steal = (after - before for after, before in zip(self.counters(), self.before))
        return max(0.0, (busy - (self.ours() - self.own)) / wall), steal / wall
