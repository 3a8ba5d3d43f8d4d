//! The option table held against uWSGI's own: `tests/uwsgi-options.txt` lists every option of its
//! core and plugins, taken from its C tables. Each must be known here, by the same letter; those
//! that have an effect must take a value in the same way and add up where uWSGI's do.
//!
//! Where the tables differ on purpose, the lists below say why; a difference that went away must
//! leave them. Tests only; reads nothing at run time.

use std::collections::BTreeSet;

use crate::config::table::row::{Class, Kind, OptionRow, Takes};
use crate::config::table::{lettered, named, rows};

/// One line of the list.
struct Theirs {
    plugin: &'static str,
    name: &'static str,
    takes: char,
    letter: Option<char>,
    /// flag, number, text, list or own.
    kept: &'static str,
}

fn theirs() -> Vec<Theirs> {
    let mut plugin = "";
    let mut found = Vec::new();
    for line in include_str!("../../../../tests/uwsgi-options.txt").lines() {
        if let Some(heading) = line.strip_prefix('[') {
            plugin = heading.trim_end_matches(']');
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, takes, letter, kept] = fields[..] else {
            panic!("four fields: {line}");
        };
        found.push(Theirs {
            plugin,
            name,
            takes: takes.chars().next().expect("one of - + ?"),
            letter: letter.chars().next().filter(|letter| *letter != '.'),
            kept,
        });
    }
    found
}

/// The letter leads elsewhere here.
const LETTERS: &[(&str, &str)] = &[(
    "uwsgi-socket",
    "both have -s there, and the first of them, --socket, is meant",
)];

/// The value is given in another way here.
const ARGUMENTS: &[(&str, &str)] = &[
    (
        "memory-report",
        "a flag there, whose level 2 only a file can give",
    ),
    ("help", "a word is new"),
    ("usage", "a word is new"),
    ("so-send-timeout", NUMBER_IS_LOST),
    ("socket-send-timeout", NUMBER_IS_LOST),
    ("so-write-timeout", NUMBER_IS_LOST),
    ("socket-write-timeout", NUMBER_IS_LOST),
    ("ssl-option", NUMBER_IS_LOST),
    ("need-app", WORD_MAY_FOLLOW),
    ("http-enable-proxy-protocol", WORD_MAY_FOLLOW),
    ("alarm-cheap", WORD_MAY_FOLLOW),
    ("log-sendfile", WORD_MAY_FOLLOW),
    ("log-ioerror", WORD_MAY_FOLLOW),
    ("http-quiet", WORD_MAY_FOLLOW),
    ("http-server-name-as-http-host", WORD_MAY_FOLLOW),
    ("fastrouter-quiet", WORD_MAY_FOLLOW),
];

/// Of what is declared without a value there, although its function reads a number.
const NUMBER_IS_LOST: &str = "a number that uWSGI's command line does not take, its files do";

/// Of flags for which uWSGI's command line wants or takes a word.
const WORD_MAY_FOLLOW: &str = "a flag, which may be followed by true, false, 1 or 0";

/// Values add up here and not there, or the other way round.
const KEPT: &[(&str, &str)] = &[
    (
        "memory-report",
        "has a level, which uWSGI reads from a flag's text",
    ),
    (
        "mules",
        "a number of mules: the last one wins, as a reader expects",
    ),
];

/// Fails with every difference that no list excuses, and with every excuse that excuses nothing.
#[track_caller]
fn only_excused(what: &str, found: Vec<(String, String)>, excused: &[(&str, &str)]) {
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let unexcused: Vec<&str> = found
        .iter()
        .filter(|(name, _)| !excused.iter().any(|(other, _)| other == name))
        .map(|(_, difference)| difference.as_str())
        .collect();
    let stale: Vec<&str> = excused
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !names.contains(name))
        .collect();
    assert!(
        unexcused.is_empty() && stale.is_empty(),
        "{what}:\n{}\nno longer different: {stale:?}",
        unexcused.join("\n")
    );
    assert!(
        excused.iter().all(|(_, why)| why.len() > 10),
        "{what}: a reason for each"
    );
}

fn has_effect(row: &OptionRow) -> bool {
    matches!(row.class, Class::Same | Class::Mapped(_))
}

#[test]
fn every_option_is_known() {
    let theirs = theirs();
    assert!(theirs.len() > 1200, "{}", theirs.len());
    let missing: Vec<String> = theirs
        .iter()
        .filter(|theirs| named(theirs.name).is_none())
        .map(|theirs| format!("{} ({})", theirs.name, theirs.plugin))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join(" "));
}

#[test]
fn letters_mean_what_they_mean_there() {
    let mut found = Vec::new();
    for theirs in theirs() {
        let (Some(letter), Some(row)) = (theirs.letter, named(theirs.name)) else {
            continue;
        };
        let ours = lettered(letter).map(|row| row.name);
        if ours != Some(row.name) {
            let difference = format!("-{letter} is --{} there and {ours:?} here", theirs.name);
            found.push((theirs.name.to_owned(), difference));
        }
    }
    only_excused("letters", found, LETTERS);
}

#[test]
fn values_are_given_as_there() {
    let mut found = Vec::new();
    for theirs in theirs() {
        let Some(row) = named(theirs.name) else {
            continue;
        };
        let ours = match row.takes {
            Takes::Nothing => '-',
            Takes::Optionally(_) => '?',
            Takes::Always => '+',
        };
        if ours != theirs.takes {
            let difference = format!("--{}: {} there, {ours} here", theirs.name, theirs.takes);
            found.push((theirs.name.to_owned(), difference));
        }
    }
    only_excused("arguments", found, ARGUMENTS);
}

#[test]
fn lists_are_lists_and_flags_are_flags() {
    let mut found = Vec::new();
    for theirs in theirs() {
        let Some(row) = named(theirs.name).filter(|row| has_effect(row)) else {
            continue;
        };
        let differs = match theirs.kept {
            "list" => !row.adds_up,
            "flag" => row.kind != Kind::Flag,
            "number" => {
                row.adds_up
                    || matches!(
                        row.kind,
                        Kind::Flag | Kind::Path | Kind::Pair | Kind::Address
                    )
            }
            "text" => {
                row.adds_up
                    || matches!(
                        row.kind,
                        Kind::Flag | Kind::Number { .. } | Kind::Bytes { .. }
                    )
            }
            _ => false,
        };
        if differs {
            let difference = format!(
                "--{}: {} there; {:?}, adds up: {} here",
                theirs.name, theirs.kept, row.kind, row.adds_up
            );
            found.push((theirs.name.to_owned(), difference));
        }
    }
    only_excused("values", found, KEPT);
}

#[test]
fn the_list_is_read_as_it_is_written() {
    let theirs = theirs();
    let processes = theirs
        .iter()
        .find(|theirs| theirs.name == "processes")
        .expect("it is there");
    assert_eq!(
        (
            processes.plugin,
            processes.takes,
            processes.letter,
            processes.kept
        ),
        ("core", '+', Some('p'), "number")
    );
    let plugins: BTreeSet<&str> = theirs.iter().map(|theirs| theirs.plugin).collect();
    assert!(
        plugins.contains("python") && plugins.contains("http"),
        "{plugins:?}"
    );
    assert!(rows().count() > 400);
}
