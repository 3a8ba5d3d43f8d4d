"""The machine that figures were measured on."""

import os
import pathlib
import platform
import re
import subprocess


def described():
    """The rows of a table about the machine."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)
    virtual = " (virtual)" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.M) else ""
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return {
        "CPU": f"{model[1] if model else platform.machine()}{virtual}",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 1024 / 1024:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}, {congestion}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def commit():
    """The commit that is measured; `+` where files differ from it."""
    here = pathlib.Path(__file__).parent

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True
        ).stdout.strip()

    try:
        name = git("rev-parse", "--short", "HEAD")
        changed = git(
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            "../../src",
            "../../Cargo.toml",
            "../../Cargo.lock",
        )
    except OSError:
        return "an unknown commit"
    return f"{name}{'+' if changed else ''}" if name else "an unknown commit"
