//! "Did you mean": the option that a misspelled one is closest to. Pure.

use std::sync::LazyLock;

use crate::config::table;
use crate::config::table::row::Class;

/// What other servers call it.
const FOREIGN: &[(&str, &str)] = &[
    ("bind", "http"),
    ("port", "http"),
    ("host", "http"),
    ("address", "http"),
    ("timeout", "harakiri"),
    ("backlog", "listen"),
    ("worker-connections", "max-connections"),
    ("graceful-timeout", "reload-mercy"),
    ("limit-request-line", "max-target"),
    ("limit-request-fields", "max-fields"),
    // Typos that were found in files and are nearer to nothing, or to something else.
    ("pythonhome", "virtualenv"),
    ("gui", "gid"),
    ("exec-pre", "exec-pre-app"),
    ("stdout-logfile", "logto"),
    ("stderr-logfile", "logto"),
    ("chmod-pidfile", "pidfile"),
    ("log-buffering", "log-master-bufsize"),
    ("backlog-status", "stats"),
    ("py-autoreload-interval", "py-autoreload"),
    ("worker", "processes"),
    ("app-dir", "chdir"),
    ("chown", "chown-socket"),
    ("user", "uid"),
    ("group", "gid"),
];

/// The option that `word` was probably meant to be. Typos (at most two letters, fewer in short
/// words), words that were cut short (`proc`), and `_` for `-`.
pub(crate) fn closest(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    if let Some((_, meant)) = FOREIGN.iter().find(|(foreign, _)| *foreign == word) {
        return Some(meant);
    }
    let allowed = match word.len() {
        0..=2 => return None,
        3..=4 => 1,
        _ => 2,
    };
    let letters = letters(&word);
    let by_typo = NAMES
        .iter()
        .filter(|name| name.text.len().abs_diff(word.len()) <= allowed)
        .filter(|name| could_be_within(allowed, name.letters, letters))
        .map(|name| (strsim::damerau_levenshtein(&word, name.text), name.text))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, name)| (*distance, name.len()));
    if let Some((_, name)) = by_typo {
        return Some(name);
    }
    let longer = NAMES
        .iter()
        .filter(|name| name.is_supported && name.text.starts_with(&word));
    longer.map(|name| name.text).min_by_key(|name| name.len())
}

struct Name {
    text: &'static str,
    letters: u32,
    /// What cannot be had is not suggested for a word that is only its beginning (`name`).
    is_supported: bool,
}

/// Every name; options that do something come first, so that they win a tie.
static NAMES: LazyLock<Vec<Name>> = LazyLock::new(|| {
    let (useful, rest): (Vec<_>, Vec<_>) = table::rows().partition(|row| row.has_effect());
    let rows = useful.into_iter().chain(rest);
    let names = rows.flat_map(|row| row.names().map(move |text| (row, text)));
    names
        .map(|(row, text)| Name {
            text,
            letters: letters(text),
            is_supported: !matches!(row.class, Class::Unsupported(_)),
        })
        .collect()
});

/// The letters that occur in a word, a bit for each; whatever is no letter shares one.
fn letters(word: &str) -> u32 {
    word.bytes().fold(0, |letters, byte| {
        letters
            | match byte {
                b'a'..=b'z' => 1 << (byte - b'a'),
                _ => 1 << 26,
            }
    })
}

/// One typo brings in one letter and takes out one letter at most. A distance costs a hundred times
/// as much to measure, and there are 1,700 names.
fn could_be_within(typos: usize, name: u32, word: u32) -> bool {
    let alone = |one: u32, other: u32| (one & !other).count_ones() as usize;
    alone(name, word) <= typos && alone(word, name) <= typos
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{NAMES, closest, could_be_within, letters};

    #[test]
    fn typos_found_in_the_wild_are_understood() {
        for (typo, meant) in [
            ("vaccum", "vacuum"),
            ("optmize", "optimize"),
            ("process", "processes"),
            ("proceses", "processes"),
            ("guid", "uid"),
            ("plugin_dir", "plugin-dir"),
            ("wsgi_file", "wsgi-file"),
            ("thread", "threads"),
            ("http-sockt", "http-socket"),
            ("Master", "master"),
            ("isol", "isolation"),
            ("gui", "gid"),
            ("pythonhome", "virtualenv"),
            ("threaded-log", "threaded-logger"),
            ("chmod-pidfile", "pidfile"),
            ("log-buffering", "log-master-bufsize"),
            ("exec-pre", "exec-pre-app"),
            ("backlog-status", "stats"),
            ("chown", "chown-socket"),
            ("stdout_logfile", "logto"),
        ] {
            assert_eq!(closest(typo), Some(meant), "{typo}");
        }
    }

    #[test]
    fn a_word_from_nowhere_has_no_neighbour() {
        for word in ["", "x", "zzzzzzzz", "start-time", "name"] {
            assert_eq!(closest(word), None, "{word}");
        }
    }

    proptest! {
        /// What is not measured would have been too far away.
        #[test]
        fn the_letters_of_a_near_word_are_near(which in 0..1000_usize, word in "[a-z0-9é-]{1,12}", at in 0..9_usize) {
            let name = &NAMES[which % NAMES.len()];
            let mut typo = name.text.to_owned();
            typo.insert(typo.len().min(at), word.chars().next().unwrap_or('x'));
            for word in [word, typo] {
                let distance = strsim::damerau_levenshtein(&word, name.text);
                prop_assert!(could_be_within(distance, name.letters, letters(&word)), "{word} \
                    {}", name.text);
            }
        }
    }
}
