//! docs/adding-an-option.md is followed: the code that it shows stands in the files that it names, and
//! the option of its example is in everything that derives from the table.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use singlemalt::config::{self, Command};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of Rust code of the page: the file that the first line names, and the other lines.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in page.lines().map(str::trim) {
        match line {
            "```rust" => {
                inside = true;
                found.push((String::new(), Vec::new()));
            }
            "```" => inside = false,
            line if inside => {
                let (file, lines) = found.last_mut().expect("a block that has begun");
                match line.strip_prefix("// ") {
                    Some(name) if file.is_empty() => *file = name.to_owned(),
                    _ => lines.push(line.to_owned()),
                }
            }
            _ => {}
        }
    }
    found
}

/// Where `lines` stand in `text` one behind the other; `...` stands for any number of lines.
fn stands_in(lines: &[String], text: &str) -> Result<(), String> {
    let code: Vec<&str> = text.lines().map(str::trim).collect();
    let mut from = 0;
    for (index, part) in lines.split(|line| line == "...").enumerate() {
        let at = code[from..]
            .windows(part.len())
            .position(|seen| seen == part);
        let at = at.ok_or_else(|| format!("part {} is not there: {part:#?}", index + 1))?;
        from += at + part.len();
    }
    Ok(())
}

#[test]
fn the_code_of_the_page_is_the_code_of_the_tree() {
    let blocks = blocks(&read("docs/adding-an-option.md"));
    let files: Vec<&str> = blocks.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(
        files,
        [
            "src/config/http/options.rs",
            "src/config/http/types.rs",
            "src/config/http/resolve.rs",
            "src/server/settings.rs",
            "src/config/tests.rs",
        ]
    );
    for (file, lines) in &blocks {
        assert!(!lines.is_empty(), "{file}: an empty block");
        if let Err(why) = stands_in(lines, &read(file)) {
            panic!("docs/adding-an-option.md, {file}: {why}");
        }
    }
}

#[test]
fn every_text_of_the_table_has_the_option_of_the_example() {
    let run = |arguments: &[&str]| config::from_args(arguments.iter().map(OsString::from), []);
    let printed = |arguments: &[&str]| match run(arguments) {
        Ok(Command::Help(text) | Command::Print(text) | Command::ShowConfig(text)) => text,
        other => panic!("{arguments:?}: {other:?}"),
    };
    let shown = ["--show-config", "--ready-path", "/readyz", "app.py"];
    for (arguments, wanted) in [
        (&["--help", "readiness"][..], "--ready-path"),
        (&["--completions", "bash"], "--ready-path"),
        (&["--reference", "markdown"], "`--ready-path`"),
        (&shown, "ready-path = /readyz"),
    ] {
        let text = printed(arguments);
        assert!(text.contains(wanted), "{arguments:?}: {wanted} is missing");
    }
    assert!(read("docs/options.md").contains("`--ready-path`"));
    let error = run(&["--ready-path", "readyz", "app.py"]).expect_err("no path");
    assert!(error.to_string().contains("wants a path such as /readyz"));
}

#[test]
fn the_check_sees_what_it_looks_for() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let code = "a\n  b\nc\nd\n";
    assert_eq!(stands_in(&lines("a\nb\n...\nd"), code), Ok(()));
    assert!(stands_in(&lines("a\nc"), code).is_err());
    assert!(stands_in(&lines("d\n...\na"), code).is_err());
}
