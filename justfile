# The project's commands. `just` lists them; the README says how to install just.
# They use the CPython that tools/find-python finds: PYO3_PYTHON or an active virtualenv if set.

set positional-arguments

# Recipes run in sh, also on Windows (git's sh).
set windows-shell := ["sh", "-cu"]

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")

# Snapshots must match; only `just snap` writes them.
export INSTA_UPDATE := "no"

[private]
default:
    @{{ quote(just_executable()) }} --list --unsorted

# Serve an app: `just run app.py`, `just run examples/flask_app.py --processes 2 --threads 4`
[group('use')]
[no-cd]
[no-exit-message]
run *arguments:
    @{{ quote(justfile_directory()) }}/tools/run "$@"

# All checks of a change: format, lint, Rust tests, Python tests
[group('test')]
test: fmt-check lint test-rust test-python

# Unit and integration tests and snapshots; arguments go to `cargo test`
[group('test')]
[no-exit-message]
test-rust *arguments:
    tools/with-python cargo test {{ if arguments == "" { "" } else { "\"$@\"" } }}

# Tests of the real binary over sockets; arguments go to pytest: `just test-python -k keep_alive`
[group('test')]
[no-exit-message]
test-python *arguments:
    tools/with-python cargo build
    SINGLEMALT_BIN={{ quote(target) }}/debug/singlemalt tools/test-python "$@"

# Build a wheel, install it into a new virtualenv, and test it there; `just test-wheel dist/NAME.whl -n auto` runs the whole suite
[group('test')]
[no-exit-message]
test-wheel *arguments:
    tools/test-wheel "$@"

# The Rust and Python tests, against binary and wheel, on every CPython of the machine (NEWER_PYTHONS: see tools/matrix)
[group('test')]
[no-exit-message]
matrix:
    MATRIX_WHEEL=1 tools/matrix

# Build for Windows and type-check for macOS (NEWER_PYTHONS: see tools/portability)
[group('test')]
[no-exit-message]
portability:
    tools/portability

# Fuzz the parsers of HTTP, uwsgi, FastCGI and SCGI (needs cargo-fuzz: cargo install cargo-fuzz)
[group('test')]
[no-exit-message]
fuzz seconds="60":
    cargo run --quiet --manifest-path fuzz/Cargo.toml --bin seeds
    RUSTC_BOOTSTRAP=1 cargo fuzz run request -- -max_total_time={{ seconds }} -dict=fuzz/http.dict
    RUSTC_BOOTSTRAP=1 cargo fuzz run front_ends -- -max_total_time={{ seconds }}

# Compare a release build with ten other servers: `just bench --quick`, `just bench hello-c32 --peers bjoern`, `just bench --list`
[group('measure')]
[no-exit-message]
bench *arguments:
    tools/bench "$@"

# Draw a flame graph of a release build under a scenario: `just profile hello-c32` (needs perf)
[group('measure')]
[no-exit-message]
profile *arguments:
    tools/profile "$@"

# Count instructions per request under valgrind, compared with benches/instructions.json: `just instructions --update` after a change
[group('measure')]
[no-exit-message]
instructions *arguments:
    tools/instructions "$@"

# Reload a release build many times under load: `just storm --reloads 300 --flask`, `just storm --seed 7`
[group('test')]
[no-exit-message]
storm *arguments:
    tools/with-python cargo build --release
    SINGLEMALT_BIN={{ quote(target) }}/release/singlemalt tools/storm "$@"

# Compare reloads with uWSGI, gunicorn and granian: `just bench-reload`, `just bench-reload --write`
[group('measure')]
[no-exit-message]
bench-reload *arguments:
    tools/bench-reload "$@"

# Measure the spooler beside uWSGI's: `just bench-spooler`, `just bench-spooler --tasks 5000`
[group('measure')]
[no-exit-message]
bench-spooler *arguments:
    tools/bench-spooler "$@"

# Wheels for every CPython of the machine, and the source distribution, into dist/ (NEWER_PYTHONS: see tools/wheels)
[group('release')]
[no-exit-message]
wheels *arguments:
    tools/wheels "$@"

# Check version and changelog, build into dist/, tag, and print what a maintainer uploads: `just release 0.1.0`
[group('release')]
[no-exit-message]
release *arguments:
    tools/release "$@"

# Rewrite the snapshots that changed, and show the diff
[group('change')]
[no-exit-message]
snap:
    INSTA_UPDATE=always tools/with-python cargo test --no-fail-fast
    git status --short snapshots
    git diff snapshots

# Generate docs/options.md, the manual page and completions from the option table
[group('change')]
[no-exit-message]
gen:
    GENERATE=1 tools/with-python cargo test --test config_reports -- what_is_generated
    git status --short docs completions

# Format the Rust and the Python code
[group('change')]
fmt:
    cargo fmt
    tools/ruff check --quiet --select I --fix
    tools/ruff format --quiet

[private]
[no-exit-message]
fmt-check:
    cargo fmt --check
    tools/ruff format --quiet --check

# Clippy, rustc and ruff: every warning is an error
[group('change')]
[no-exit-message]
lint:
    tools/ruff check --quiet
    tools/with-python cargo clippy --all-targets -- -D warnings
    tools/with-python cargo clippy --package singlemalt-wheel -- -D warnings

# The API documentation, private items included
[group('change')]
[no-exit-message]
docs *arguments:
    RUSTDOCFLAGS="-D warnings" tools/with-python cargo doc --no-deps --document-private-items "$@"
