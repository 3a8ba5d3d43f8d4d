//! The option table: every option that singlemalt knows, declared once, a file for each subject.
//!
//! `app`, `python`, `sockets`, `http`, `limits`, `workers`, `process`, `start`, `control`,
//! `reload`, `background`, `spooler`,
//! `logging`, `alarms`, `static_files` and `configuration` hold what this version does: each row is
//! a static that `resolve` names, so that a row without a reader is a compile-time warning.
//! `planned` holds what later versions do, `accepted` and `unsupported` what uWSGI has and one
//! process does not need or cannot do. Command line, environment, files, help and documentation all
//! derive from these rows.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::config::{
    alarms, app, background, cache, control, http, limits, log, process, proxies, python, readers,
    reload, routing, sockets, spooler, start, static_files, tls, workers,
};

use row::OptionRow;

/// Declares rows as statics and lists them, so that none can be forgotten.
macro_rules! options {
    ($( $(#[$meta:meta])* $name:ident = $row:expr; )*) => {
        $( $(#[$meta])* pub(crate) static $name: OptionRow = $row; )*
        /// Every row of this file, in help order.
        pub(crate) static ROWS: &[&OptionRow] = &[$(&$name),*];
    };
}

/// The kinds by name; numbers without bounds of their own.
macro_rules! kind {
    (Number) => {
        Kind::Number {
            min: 0,
            max: u64::MAX,
        }
    };
    (Bytes) => {
        Kind::Bytes {
            min: 0,
            max: u64::MAX,
        }
    };
    ($kind:ident) => {
        Kind::$kind
    };
}

pub(crate) mod accepted;
pub(crate) mod planned;
pub(crate) mod row;
pub(crate) mod unsupported;

/// The rows that `resolve` or `loader` name, in help order. A row among them that is marked as
/// later has its place in the configuration already: the mark is all that has to go.
pub(crate) fn named_rows() -> impl Iterator<Item = &'static OptionRow> {
    [
        app::options::ROWS,
        python::options::ROWS,
        sockets::options::ROWS,
        tls::options::ROWS,
        http::options::ROWS,
        proxies::options::ROWS,
        limits::options::ROWS,
        workers::options::ROWS,
        process::options::ROWS,
        start::options::ROWS,
        control::options::ROWS,
        background::options::ROWS,
        spooler::options::ROWS,
        cache::options::ROWS,
        reload::options::ROWS,
        log::options::ROWS,
        alarms::options::ROWS,
        static_files::options::ROWS,
        routing::options::ROWS,
        readers::options::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Every row, in help order.
pub(crate) fn rows() -> impl Iterator<Item = &'static OptionRow> {
    named_rows().chain(
        [planned::ROWS, accepted::ROWS, unsupported::ROWS]
            .into_iter()
            .flatten()
            .copied()
            .flatten(),
    )
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static OptionRow>> = LazyLock::new(|| {
    rows()
        .flat_map(|row| row.names().map(move |name| (name, row)))
        .collect()
});

static BY_LETTER: LazyLock<HashMap<char, &'static OptionRow>> = LazyLock::new(|| {
    rows()
        .filter_map(|row| row.short.map(|letter| (letter, row)))
        .collect()
});

/// The option of this name or alias, as uWSGI spells it: `_` and `-` are not the same.
pub(crate) fn named(name: &str) -> Option<&'static OptionRow> {
    BY_NAME.get(name).copied()
}

/// Whether an option of this name is a flag.
pub fn is_flag(name: &str) -> bool {
    named(name).is_some_and(|row| row.kind == row::Kind::Flag)
}

pub(crate) fn lettered(letter: char) -> Option<&'static OptionRow> {
    BY_LETTER.get(&letter).copied()
}

#[cfg(test)]
mod tests {
    mod against_uwsgi;

    use std::collections::{BTreeMap, BTreeSet};

    use super::row::{Class, Kind, Ready, Takes};
    use super::*;

    #[test]
    fn no_two_options_share_a_name_or_a_letter() {
        let mut seen = BTreeMap::new();
        for row in rows() {
            for name in row.names() {
                let before = seen.insert(name.to_owned(), row.name);
                assert_eq!(before, None, "{name} is in {} too", row.name);
            }
            if let Some(letter) = row.short {
                let before = seen.insert(format!("-{letter}"), row.name);
                assert_eq!(before, None, "-{letter} is in {} too", row.name);
            }
        }
    }

    #[test]
    fn rows_are_well_formed() {
        for row in rows() {
            let name = row.name;
            for name in row.names() {
                assert!(
                    name.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                        && !name.starts_with('-'),
                    "{name}"
                );
            }
            assert!(
                row.help.ends_with('.') && row.help.len() > 10,
                "{name}: {}",
                row.help
            );
            let sentence = row.class.sentence();
            assert_eq!(sentence.is_empty(), row.class == Class::Same, "{name}");
            assert!(
                !sentence.ends_with('.'),
                "{name}: a sentence goes into a list"
            );
            assert_eq!(
                row.placeholder.is_empty(),
                row.takes == Takes::Nothing,
                "{name}"
            );
            if matches!(row.class, Class::Accepted(_) | Class::Unsupported(_)) {
                assert_eq!(row.default, None, "{name}: no effect, so no default");
            }
            if matches!(row.ready, Ready::Later) {
                assert_eq!(row.default, None, "{name}: not there yet, so no default");
            }
            if let (Kind::Choice(words), Some(default)) = (row.kind, row.default) {
                assert!(words.contains(&default), "{name}");
            }
            assert!(
                !row.adds_up || row.default.is_none(),
                "{name}: it would add up"
            );
        }
    }

    #[test]
    fn statics_and_lists_agree() {
        // A name in two files would be found by the test above; this one counts the files in.
        let listed: BTreeSet<_> = rows().map(|row| row.name).collect();
        assert!(listed.len() > 400, "{}", listed.len());
        assert!(named("processes").is_some() && named("no-such-option").is_none());
        assert_eq!(lettered('p').map(|row| row.name), Some("processes"));
    }
}
