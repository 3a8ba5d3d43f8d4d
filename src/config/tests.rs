//! Tests that hold for every row of the table: none is passed over in silence, none panics.

use std::ffi::OsString;

use proptest::prelude::*;

use crate::config::app::options as app;
use crate::config::sockets::options as sockets;
use crate::config::table;
use crate::config::table::row::{Kind, OptionRow, Ready, Takes};
use crate::config::{Command, Config, ConfigError, from_args};

fn run(arguments: &[String]) -> Result<Command, ConfigError> {
    from_args(arguments.iter().map(OsString::from), [])
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

/// A value that is not the default.
fn sample(row: &OptionRow) -> String {
    let special = match row.name {
        "add-header" => "X-Sample: value",
        "mount" => "/sample=sample.py",
        "umask" => "027",
        "plugin" => "./sample.py",
        "cron" => "5 -1 -1 -1 -1 sample",
        "unique-cron" | "cron2" => "5 4 -1 -1 -1 sample",
        "hook-asap" => "print:sample",
        "http-socket" => "127.0.0.1:4322",
        "cheaper-initial" => "3",
        "reload-probe" => "/sample",
        "reload-canary" => "5%,60s",
        "ready-path" => "/readyz",
        "cache2" => "name=sample,items=5",
        "add-cache-item" => "key=value",
        "log-date" | "log-prefix" => "%Y",
        "logger" | "req-logger" | "logger-req" => "null",
        "log-syslog" => "sample,local0",
        "log-encoder" | "log-req-encoder" => "nl",
        "log-route" | "log-req-route" => "audit sample",
        "memory-report" => "2",
        "route" | "error-route" | "response-route" => "^/sample addheader:X-Sample: value",
        "final-route" => "^/sample donotlog:",
        "cheaper-algo" => "busyness",
        _ => "",
    };
    if !special.is_empty() {
        return special.to_owned();
    }
    match row.kind {
        Kind::Flag => "true".to_owned(),
        Kind::Number { min, .. } => (min + 1).to_string(),
        Kind::Bytes { min, .. } => (min + 1).to_string(),
        Kind::Megabytes => "512".to_owned(),
        Kind::Seconds => "7".to_owned(),
        Kind::Mode => "600".to_owned(),
        Kind::Text | Kind::Path => "sample".to_owned(),
        Kind::Pair => "KEY=value".to_owned(),
        Kind::Address => "127.0.0.1:4321".to_owned(),
        Kind::Choice(words) => {
            let other = words.iter().find(|word| Some(**word) != row.default);
            other.copied().unwrap_or_default().to_owned()
        }
    }
}

/// What the option changes, with and without notices and origins. The application is named unless
/// the option names one.
fn effect(row: &OptionRow, name: &str) -> (bool, bool) {
    let names_app = [&app::APP, &app::WSGI_FILE, &app::MODULE, &app::PASTE]
        .iter()
        .any(|other| other.name == row.name);
    let mut without = words(if names_app { &[] } else { &["app.py"] });
    if row.name == sockets::PROTOCOL.name {
        without.extend(words(&["--socket", ":1"]));
    }
    if row.name == "log-route" || row.name == "log-req-route" {
        without.extend(words(&["--logger", "audit null"]));
    }
    if row.name == "log-format-strftime" {
        without.extend(words(&["--log-date=%Y"]));
    }
    if [
        "cache-blocksize",
        "cache-no-expire",
        "add-cache-item",
        "load-file-in-cache",
    ]
    .contains(&row.name)
    {
        without.extend(words(&["--cache=5"]));
    }
    if row.name == "cron-harakiri" {
        without.extend(words(&["--cron=5 -1 -1 -1 -1 sample"]));
    }
    for (timeout, awaited) in [
        ("wait-for-fs-timeout", "--wait-for-fs=sample"),
        ("wait-for-interface-timeout", "--wait-for-interface=sample"),
        ("wait-for-socket-timeout", "--wait-for-socket=sample:1"),
    ] {
        if row.name == timeout {
            without.push(awaited.to_owned());
        }
    }
    if row.name == "reload-probe-timeout" {
        without.extend(words(&["--reload-probe=/sample"]));
    }
    if row.name == sockets::ABSTRACT_SOCKET.name {
        without.extend(words(&["--http-socket", "app.sock"]));
    }
    if row.name == sockets::SHARED_SOCKET.name {
        without.extend(words(&["--http-socket", "=0"]));
    }
    if row.name.starts_with("cheaper") {
        without.extend(words(&["--processes=100"]));
        if row.name != "cheaper" {
            without.extend(words(&["--cheaper=1", "--cheaper-rss-limit-soft=9"]));
        }
        if row.name.starts_with("cheaper-busyness") {
            without.extend(words(&["--cheaper-algo=busyness"]));
        }
    }
    if row.name == "strict" {
        without.extend(words(&["--zerg", "x"]));
    }
    let mut with = without.clone();
    let value = if row.name == sockets::PROTOCOL.name {
        "http".to_owned()
    } else {
        sample(row)
    };
    with.push(format!("--{name}={value}"));
    let (before, after) = (run(&without), run(&with));
    let visible = before != after;
    let meaning = meaning_of(before) != meaning_of(after);
    (visible, meaning)
}

fn meaning_of(result: Result<Command, ConfigError>) -> Result<Command, ConfigError> {
    let bare = |config: Box<Config>| {
        Box::new(Config {
            warnings: Vec::new(),
            remarks: Vec::new(),
            origins: Vec::new(),
            written: Vec::new(),
            values: Vec::new(),
            magic_table: Vec::new(),
            ..*config
        })
    };
    result.map(|command| match command {
        Command::Run(config) => Command::Run(bare(config)),
        other => other,
    })
}

#[test]
fn every_option_with_an_effect_reaches_the_config() {
    // The language of files has tests of its own; a pidfile's commands take nothing else.
    for row in table::rows().filter(|row| row.has_effect() && !row.language) {
        for name in row.names() {
            let (_, meaning) = effect(row, name);
            assert!(meaning, "--{name} changes nothing");
        }
    }
}

#[test]
fn options_of_later_have_their_place_in_the_config_already() {
    for row in table::named_rows().filter(|row| row.ready == Ready::Later) {
        for name in row.names() {
            let (_, meaning) = effect(row, name);
            assert!(meaning, "--{name} changes nothing");
        }
    }
}

#[test]
fn no_option_is_passed_over_in_silence() {
    let everywhere = |config: &Config| {
        let mut lines = config.warnings.clone();
        lines.extend(config.remarks.clone());
        lines.join("\n")
    };
    for row in table::rows().filter(|row| !row.has_effect()) {
        for name in row.names() {
            let spelled = format!("--{name}");
            let mut arguments = words(&["app.py"]);
            arguments.push(format!("{spelled}={}", sample(row)));
            match run(&arguments) {
                Err(error) => {
                    assert!(error.message().starts_with(&spelled), "{error}");
                    assert!(matches!(row.ready, Ready::LaterAndEssential(_)), "{error}");
                }
                Ok(Command::Run(config)) => {
                    assert!(everywhere(&config).contains(&spelled), "{spelled}");
                }
                Ok(other) => panic!("{spelled} is a command: {other:?}"),
            }
        }
    }
}

#[test]
fn a_flag_that_is_off_asks_for_nothing() {
    for row in table::rows().filter(|row| row.kind == Kind::Flag && !row.has_effect()) {
        let arguments = words(&["app.py", &format!("--{}=false", row.name)]);
        match run(&arguments) {
            Ok(Command::Run(config)) => {
                assert!(
                    config.warnings.is_empty() && config.remarks.is_empty(),
                    "{row:?}"
                );
            }
            other => panic!("{}: {other:?}", row.name),
        }
    }
}

#[test]
fn every_default_is_a_value() {
    assert!(run(&words(&["app.py"])).is_ok());
}

fn argument() -> impl Strategy<Value = String> {
    let rows: Vec<&'static OptionRow> = table::rows().collect();
    let values = prop_oneof![
        Just(String::new()),
        "[0-9]{1,20}[kmgs]?",
        "(-|--)?[a-z:/.=]{0,8}",
        "\\PC{0,12}",
        Just("app.py".to_owned()),
        Just(":8000".to_owned()),
        Just("[::1]:0".to_owned()),
        Just("C:\\app.py:é".to_owned()),
    ];
    let option = proptest::sample::select(rows);
    prop_oneof![
        2 => values.clone(),
        2 => option.clone().prop_map(|row| format!("--{}", row.name)),
        3 => (option.clone(), values.clone()).prop_map(|(row, value)| {
            match row.takes {
                Takes::Nothing => format!("--{}", row.name),
                _ => format!("--{}={value}", row.name),
            }
        }),
        1 => (option, values).prop_map(|(row, value)| {
            format!("-{}{value}", row.short.unwrap_or('p'))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_command_line_panics(arguments in prop::collection::vec(argument(), 0..8)) {
        match run(&arguments) {
            Ok(Command::Run(config)) => {
                prop_assert!(config.workers.processes >= 1 && config.workers.threads >= 1);
                prop_assert!(!config.sockets.listen.is_empty());
                let needs_none = config.python.one_shot.as_ref().is_some_and(|one_shot| !one_shot.needs_app());
                prop_assert!(needs_none || config.app.choice.is_some() || !config.app.mounts.is_empty() || config.app.eval.is_some() || super::resolve::stands_alone(&config));
            }
            Ok(_) => {}
            Err(error) => prop_assert!(!error.message().is_empty()),
        }
    }

    #[test]
    fn no_environment_panics(
        variables in prop::collection::vec(
            ("(UWSGI|SINGLEMALT)_[A-Z_]{0,20}|UWSGI_HTTP|UWSGI_THREADS|VIRTUAL_ENV", "\\PC{0,20}"),
            0..6,
        )
    ) {
        let environment = variables
            .iter()
            .map(|(name, text)| (OsString::from(name), OsString::from(text)));
        let arguments = [OsString::from("app.py")];
        if let Err(error) = from_args(arguments, environment) {
            prop_assert!(!error.message().is_empty());
        }
    }
}
