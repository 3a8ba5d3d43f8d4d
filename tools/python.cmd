#!/bin/sh
: <<'WINDOWS'
@echo off
where py <nul >nul 2>nul
if errorlevel 1 goto no_launcher
py %*
exit /b
:no_launcher
python %*
exit /b
WINDOWS
# The Python that a bare `cargo build` asks about itself: .cargo/config.toml names this file as
# PYO3_PYTHON, and PYO3_PYTHON in the environment wins. One file for both worlds, because cargo's
# configuration cannot tell them apart.
#
# A shell takes the lines above for an unused here-document; cmd.exe complains about the first line,
# takes the second for a label, and asks the py launcher (the active virtualenv's Python, else the
# newest) or the python on the path. A shell becomes the interpreter that tools/find-python finds.
# Where none is suitable it becomes whatever Python there is, so that build.rs can say in one line
# what is wrong.
here=$(dirname -- "$0")
python=$("$here/find-python" 2>/dev/null) || python=$(command -v python3 || command -v python) || {
  "$here/find-python"
  exit 1
}
exec "$python" "$@"
