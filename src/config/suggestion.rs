//! "Did you mean": the option that a misspelled one is closest to. Pure.

use std::sync::LazyLock;

use super::options;

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
    let by_typo = names()
        .filter(|name| name.len().abs_diff(word.len()) <= allowed)
        .map(|name| (strsim::damerau_levenshtein(&word, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, name)| (*distance, name.len()));
    if let Some((_, name)) = by_typo {
        return Some(name);
    }
    names()
        .filter(|name| name.starts_with(&word))
        .min_by_key(|name| name.len())
}

/// Every name; options that do something come first, so that they win a tie.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let (useful, rest): (Vec<_>, Vec<_>) = options::rows().partition(|row| row.has_effect());
    let rows = useful.into_iter().chain(rest);
    rows.flat_map(super::option::OptionRow::names).collect()
});

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::closest;

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
        for word in ["", "x", "zzzzzzzz", "start-time"] {
            assert_eq!(closest(word), None, "{word}");
        }
    }
}
