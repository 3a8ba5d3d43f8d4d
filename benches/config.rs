//! Time to read the configuration before Python starts: files, their syntax, figment, the resolved
//! `Config`, and its messages. `cargo bench --bench config`.
//!
//! Prints the best of several rounds in microseconds, without the start of the process. The bar is
//! 5,000 for the largest.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark reports on its standard output"
)]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use singlemalt::config::{self, Command};

const ROUNDS: usize = 40;

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("{:>8} {:>8}  file", "lines", "µs");
    for name in [
        "configs/minimal.ini",
        "configs/production.ini",
        "configs/production.toml",
    ] {
        let path = root.join(name);
        let text = std::fs::read_to_string(&path).expect(name);
        measure(name, text.lines().count(), &path);
    }
    for (name, text) in [
        ("one line of each kind, 2800 lines.ini", large(2800)),
        ("typos, 300 lines.ini", typos(300)),
        ("placeholders of placeholders.ini", chain(400)),
        (
            "variables, 2000.xml",
            variables(2000, "<uwsgi>\n", "<env>", "</env>\n", "</uwsgi>"),
        ),
        (
            "variables, 2000.yaml",
            variables(2000, "uwsgi:\n", "  env: ", "\n", ""),
        ),
        (
            "variables, 2000.json",
            variables(
                2000,
                "{\"uwsgi\": {\"env\": [\"A=B\"\n",
                ", \"",
                "\"\n",
                "]}}",
            ),
        ),
        (
            "variables, 2000.toml",
            variables(2000, "[uwsgi]\nenv = [\n", "  \"", "\",\n", "]\n"),
        ),
        (
            "50 files of 40 lines.ini",
            included(directory.path(), 50, 40),
        ),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, &text).expect(name);
        measure(name, text.lines().count(), &path);
    }
}

fn measure(name: &str, lines: usize, path: &Path) {
    let arguments = [
        OsString::from("--config"),
        path.into(),
        "--check-config".into(),
        "app.py".into(),
    ];
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let command = config::from_args(arguments.clone(), variables.clone());
        best = best.min(start.elapsed());
        match black_box(command) {
            Ok(Command::CheckConfig(_)) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    println!("{lines:>8} {:>8}  {name}", best.as_micros());
}

/// A very large file: lists, variables, arithmetic, conditions, loops, placeholders, planned and
/// unknown options.
fn large(lines: usize) -> String {
    let mut text = "[uwsgi]\nbase = /srv/site\ncores = 4\n".to_owned();
    for number in 0..lines / 14 {
        write!(
            text,
            "; part {number}\n\
             env = VARIABLE_{number}=value of $(HOME)\n\
             pythonpath = %(base)/lib/{number}\n\
             add-header = X-Part-{number}: %n\n\
             name{number} = %(base)/part\n\
             env = PART_{number}=%(name{number})/%(cores * 2)\n\
             threads = 4\n\
             master = true\n\
             import = part{number}\n\
             if-env = NO_SUCH_VARIABLE\n\
             env = UNSEEN_{number}=1\n\
             endif =\n\
             hook-pre-app = print:part {number}\n\
             set-placeholder = x{number}=%(name{number})\n"
        )
        .expect("a string takes what it is given");
    }
    text
}

/// Each wants a suggestion.
fn typos(lines: usize) -> String {
    let mut text = "[uwsgi]\n".to_owned();
    for number in 0..lines {
        writeln!(text, "vaccum-{number} = true").expect("a string takes what it is given");
    }
    text
}

/// Each value refers to the one before.
fn chain(lines: usize) -> String {
    let mut text = "[uwsgi]\np0 = x\n".to_owned();
    for number in 1..lines {
        writeln!(text, "p{number} = %(p{})", number - 1).expect("a string takes what it is given");
    }
    text
}

/// One list, in another format.
fn variables(lines: usize, open: &str, before: &str, behind: &str, close: &str) -> String {
    let mut text = open.to_owned();
    for number in 0..lines {
        write!(
            text,
            "{before}VARIABLE_{number}=value of $(HOME) {number}{behind}"
        )
        .expect("a string takes what it is given");
    }
    text + close
}

/// A file that reads others, with an option of its own between them.
fn included(directory: &Path, files: usize, lines: usize) -> String {
    let mut text = "[uwsgi]\n".to_owned();
    for file in 0..files {
        let path = directory.join(format!("part{file}.ini"));
        let part = variables(lines, "[uwsgi]\n", "env = ", "\n", "");
        std::fs::write(&path, part).expect("a part");
        writeln!(text, "include = {}\nthreads = {}", path.display(), file + 1)
            .expect("a string takes what it is given");
    }
    text
}
