//! The output of `--show-config` can be loaded again, in every format: it gives the same
//! configuration and the same output.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use singlemalt::config::{self, Command, ConfigError};

fn run(arguments: &[&Path]) -> Result<Command, ConfigError> {
    config::from_args(
        arguments.iter().map(|argument| OsString::from(*argument)),
        [],
    )
}

#[track_caller]
fn shown(file: &Path) -> String {
    match run(&[Path::new("--show-config"), file]) {
        Ok(Command::ShowConfig(text)) => text,
        other => panic!("{}: {other:?}", file.display()),
    }
}

/// The values as text, without their origins. `Err`: the reason why the configuration is invalid.
fn meant(file: &Path) -> Result<String, String> {
    let config = match run(&[file]) {
        Ok(Command::Run(config)) => config,
        Ok(other) => panic!("{}: {other:?}", file.display()),
        // The origin differs.
        Err(error) => {
            let text = error.to_string();
            return Err(text.split(" (").next().unwrap_or_default().to_owned());
        }
    };
    let mut kept = String::new();
    let mut inside = false;
    for line in format!("{config:#?}").lines() {
        let of_config = line.strip_prefix("    ").unwrap_or(line);
        let lists = [
            "magic_table",
            "written",
            "values",
            "warnings",
            "remarks",
            "origins",
        ];
        let begins = lists
            .iter()
            .any(|list| of_config.starts_with(&format!("{list}: [")));
        if begins {
            inside = !of_config.ends_with("],");
        } else if inside {
            inside = of_config != "],";
        } else if !line.trim_start().starts_with("origin: ") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Ok(kept)
}

/// Origins are comments, which differ.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    let kept = lines.filter(|line| !line.starts_with([';', '#']));
    kept.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(file: &Path) {
    let text = shown(file);
    let directory = tempfile::tempdir().expect("a directory");
    let ending = if text.starts_with("[uwsgi]") {
        "ini"
    } else {
        "toml"
    };
    let again = directory.path().join(format!("again.{ending}"));
    std::fs::write(&again, &text).expect("a file");
    assert_eq!(meant(file), meant(&again), "{}\n{text}", file.display());
    assert_eq!(without_comments(&text), without_comments(&shown(&again)));
}

fn files_of(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_read = |path: &PathBuf| {
        path.extension()
            .is_some_and(|ending| ending == "ini" || ending == "toml")
    };
    paths.filter(is_read).collect()
}

#[test]
fn every_file_of_ours() {
    let files = [files_of("configs"), files_of("tests/explain")].concat();
    assert!(files.len() >= 18, "{files:?}");
    for file in files {
        check(&file);
    }
}

const SAME_IN_EVERY_FORMAT: [(&str, &str); 5] = [
    (
        "a.ini",
        "[uwsgi]\nhttp-socket = :8000\nmodule = app\nbase = /srv/100%%\nchdir = %(base)/x\nenv = A=1\nenv = B=%(base)\n\
         master = true\nprocesses = 4\nmade = = b %(no)\nprint = hello\nhook-asap = print:x\nhook-as-user = print:y\n",
    ),
    (
        "a.xml",
        "<uwsgi><http-socket>:8000</http-socket><module>app</module><base>/srv/100%%</base><chdir>%(base)/x</chdir>\
         <env>A=1</env><env>B=%(base)</env><master/><processes>4</processes><made>= b %(no)</made><print>hello</print>\
         <hook-asap>print:x</hook-asap><hook-as-user>print:y</hook-as-user></uwsgi>",
    ),
    (
        "a.yaml",
        "uwsgi:\n  http-socket: ':8000'\n  module: app\n  base: /srv/100%%\n  chdir: \"%(base)/x\"\n  env: A=1\n  env: B=%(base)\n  \
         master: true\n  processes: 4\n  made: = b %(no)\n  print: hello\n  hook-asap: print:x\n  hook-as-user: print:y\n",
    ),
    (
        "a.json",
        "{\"uwsgi\": {\"http-socket\": \":8000\", \"module\": \"app\", \"base\": \"/srv/100%%\", \"chdir\": \"%(base)/x\", \
         \"env\": [\"A=1\", \"B=%(base)\"], \"master\": true, \"processes\": 4, \"made\": \"= b %(no)\", \"print\": \"hello\", \
         \"hook-asap\": \"print:x\", \"hook-as-user\": \"print:y\"}}",
    ),
    (
        "a.toml",
        "[uwsgi]\nhttp-socket = ':8000'\nmodule = 'app'\nbase = '/srv/100%%'\nchdir = '%(base)/x'\nenv = ['A=1', 'B=%(base)']\n\
         master = true\nprocesses = 4\nmade = '= b %(no)'\nprint = 'hello'\nhook-asap = 'print:x'\nhook-as-user = 'print:y'\n",
    ),
];

#[test]
fn every_format_says_the_same_and_is_shown_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut first: Option<(Result<String, String>, String)> = None;
    for (name, text) in SAME_IN_EVERY_FORMAT {
        let file = directory.path().join(name);
        std::fs::write(&file, text).expect("a file");
        check(&file);
        let found = (meant(&file), without_comments(&shown(&file)));
        assert!(found.0.is_ok(), "{name}: {:?}", found.0);
        assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{name}");
    }
}

#[test]
fn values_that_no_ini_file_has_are_shown_in_toml() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.json");
    let text = r#"{"uwsgi": {"module": "app", "env": ["A=two\nlines\u007f", "B=\"quoted\\\""], "procname-prefix": "x ", "a=b": "%%d"}}"#;
    std::fs::write(&file, text).expect("a file");
    check(&file);
    match run(&[&file]) {
        Ok(Command::Run(config)) => {
            assert_eq!(config.python.environment_set[0].1, "two\nlines\u{7f}")
        }
        other => panic!("{other:?}"),
    }
    assert!(shown(&file).starts_with("# In TOML"), "{}", shown(&file));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    /// Every value that a JSON file can contain.
    #[test]
    fn whatever_was_written(
        values in proptest::collection::vec(
            "([ -~\n\t\r\"'\\\\é]|%%|%\\(base\\)|%\\(no\\)|%n|;|#|=|\\$\\(NO:x\\)|\\$\\(NO\\)){0,12}",
            1..6,
        ),
        key in "[a-z =;#%-]{1,6}",
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.json");
        // A parenthesis of a variable that is never closed would swallow the rest.
        let of = |name: &str, value: &String| format!("{name}={}", value.replace('@', ""));
        let pairs: Vec<String> = values.iter().map(|value| of("A", value)).collect();
        let lists = [
            ("base", vec!["/srv".to_owned()]),
            ("module", vec!["app".to_owned()]),
            ("env", pairs),
            ("print", vec![of("p", &values[0])]),
            (key.as_str(), vec![of("k", &values[0])]),
        ];
        let quoted = |text: &str| {
            let mut quoted = String::new();
            for letter in text.chars() {
                match letter {
                    '"' | '\\' => quoted.extend(['\\', letter]),
                    letter if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
                    letter => quoted.push(letter),
                }
            }
            format!("\"{quoted}\"")
        };
        let members: Vec<String> = lists
            .iter()
            .map(|(name, values)| {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("{}: [{}]", quoted(name), values.join(", "))
            })
            .collect();
        std::fs::write(&file, format!("{{\"uwsgi\": {{{}}}}}", members.join(", "))).expect("a file");
        if meant(&file).is_ok() {
            check(&file);
        }
    }
}
