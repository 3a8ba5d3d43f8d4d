//! Output generated from the option table: the report on real uWSGI configurations, the reference
//! in docs/, the completion scripts.
//!
//! `just gen` (GENERATE=1) writes the files that a test here compares.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use singlemalt::config::{self, Command};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    match config::from_args(arguments.iter().map(OsString::from), []) {
        Ok(Command::Print(text)) => text,
        Ok(Command::Explain(explained)) => explained.text(None),
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[track_caller]
fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

/// The report of a file, without what depends on the machine.
fn explained(path: &Path) -> String {
    let folder = format!("{}/tests/explain", root().display()).replace('\\', "/");
    let text = printed(&["--explain", &path.display().to_string()]).replace('\\', "/");
    text.replace(&format!("{folder}/"), "").replace(&folder, "")
}

#[test]
fn configurations_of_uwsgi_are_explained() {
    let mut names: Vec<PathBuf> = std::fs::read_dir(root().join("tests/explain"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "ini"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 11);
    for path in names {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        snapshot(&format!("config__explain_{stem}"), &explained(&path));
    }
}

#[test]
fn configurations_of_gunicorn_are_explained() {
    snapshot(
        "config__explain_gunicorn_file",
        &explained(&root().join("tests/explain/gunicorn.conf.py")),
    );
    snapshot(
        "config__explain_gunicorn_line",
        &printed(&[
            "--explain",
            "gunicorn -w 4 -k gevent --bind 0.0.0.0:8000 --timeout=120 --max-requests 500 \
             --access-logfile - --env 'A=b c' --preload --paste x mysite.wsgi:application",
        ]),
    );
}

/// The configuration that a report suggests can be served unchanged, except one without an
/// application.
#[test]
fn suggestions_can_be_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let mut reports: Vec<String> = std::fs::read_dir(root().join("tests/explain"))
        .unwrap()
        .map(|entry| printed(&["--explain", &entry.unwrap().path().display().to_string()]))
        .collect();
    reports.push(printed(&[
        "--explain",
        "gunicorn -w 4 -b :8000 -b unix:a.sock app:app",
    ]));
    assert_eq!(reports.len(), 13);
    for (number, report) in reports.iter().enumerate() {
        let start = report.find("[uwsgi]\n").unwrap();
        let end = report[start..]
            .find("\nworth a look:")
            .unwrap_or(report.len() - start);
        let text = &report[start..start + end];
        let file = directory.path().join(format!("{number}.ini"));
        std::fs::write(&file, text).unwrap();
        match config::from_args([OsString::from(&file)], []) {
            Ok(Command::Run(_)) => {}
            Err(error) if text.contains("; name the application") => {
                assert_eq!(error.message(), "no application was named", "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn what_is_generated_is_not_stale() {
    let files = [
        ("docs/options.md", printed(&["--reference", "markdown"])),
        ("docs/singlemalt.1", printed(&["--reference", "man"])),
        (
            "completions/singlemalt.bash",
            printed(&["--completions", "bash"]),
        ),
        (
            "completions/_singlemalt",
            printed(&["--completions", "zsh"]),
        ),
        (
            "completions/singlemalt.fish",
            printed(&["--completions", "fish"]),
        ),
        (
            "completions/singlemalt.ps1",
            printed(&["--completions", "powershell"]),
        ),
    ];
    for (name, expected) in files {
        let path = root().join(name);
        if std::env::var_os("GENERATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, expected).unwrap();
            continue;
        }
        let found = std::fs::read_to_string(&path)
            .unwrap_or_default()
            .replace("\r\n", "\n");
        assert!(found == expected, "{name} is stale: run `just gen`");
    }
}
