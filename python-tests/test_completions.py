"""The completion scripts, in their shells (if these are installed)."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "completions"
SECONDS = 30


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "wonder_app.py").write_text("")
    return tmp_path


# The typed text, and the expected completion (a whole word, or the end of one).
CASES = [
    ("singlemalt --http-sock", "--http-socket"),
    ("singlemalt --cal", "--callable"),
    ("singlemalt --protocol fastcgi-", "fastcgi-nph"),
    ("singlemalt --wsgi-file wond", "wonder_app.py"),
    ("singlemalt --ini wond", "wonder_app.py"),
    ("singlemalt wond", "wonder_app.py"),
    ("singlemalt --master wond", "wonder_app.py"),
]


def shell(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


@shell("fish")
@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish(folder, line, offered):
    command = f"source '{SCRIPTS}/singlemalt.fish'; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.stderr == ""
    assert offered in [one.split("\t")[0] for one in done.stdout.splitlines()]


@shell("bash")
@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash(folder, line, offered):
    words = line.split()
    command = f"source '{SCRIPTS}/singlemalt.bash'; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _singlemalt; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "--norc", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.stderr == ""
    assert offered in done.stdout.split()


def typed_into_zsh(folder, line):
    """The command line of zsh after the Tab key, on a pseudo terminal."""
    import pty

    # The end of the line is marked with what follows the Tab, so that the test knows when the shell
    # is done.
    (folder / ".zshrc").write_text(
        f"fpath=({SCRIPTS} $fpath)\nautoload -U compinit\ncompinit -u -D\nPS1='ready> '\nunsetopt PROMPT_SP\n"
        'report() { print -r -- "<$BUFFER>" > $ZDOTDIR/line; zle kill-whole-line }\nzle -N report\n'
        "bindkey '^I' complete-word\nbindkey '^X' report\n"
    )
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(
            "zsh",
            ["zsh", "-i"],
            {**os.environ, "ZDOTDIR": str(folder), "TERM": "dumb", "COLUMNS": "200"},
        )
    try:
        seen, until = b"", time.monotonic() + SECONDS
        while b"ready> " not in seen:
            assert time.monotonic() < until, seen
            seen += os.read(terminal, 4096)
        os.write(terminal, line.encode() + b"\t\x18")
        answer = folder / "line"
        while not (answer.exists() and answer.read_text().endswith("\n")):
            assert time.monotonic() < until, "zsh did not answer"
            os.set_blocking(terminal, False)
            try:
                os.read(terminal, 4096)
            except BlockingIOError:
                time.sleep(0.02)
        return answer.read_text().strip()[1:-1]
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


@shell("zsh")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        *CASES,
        ("singlemalt -Cx --protocol=fastcgi-", "--protocol=fastcgi-nph"),
        ("singlemalt -H wond", "wonder_app.py"),
    ],
)
def test_zsh(folder, line, offered):
    after = typed_into_zsh(folder, line)
    assert after.rstrip(" =").split()[-1] == offered, after
