//! Lines of ini files that do not say what they seem to: quotes and comments that belong to the
//! value, as in uWSGI. They are read as they stand, and warned of. Pure.

use crate::config::app::options as app;
use crate::config::process::options as process;
use crate::config::readers::formats::Line;
use crate::config::readers::layers;
use crate::config::table;
use crate::config::table::row::Kind;

/// What is taken for a value in an ini file and was meant to be none of it: quotes, comments.
pub(crate) fn warning(line: &Line, source: &str) -> Option<String> {
    let row = table::named(&line.key)?;
    let value = line.value.as_str();
    let position = || layers::place(source, line.number);
    let quoted = ['"', '\''].into_iter().any(|quote| {
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        inner.is_some_and(|inner| !inner.contains(quote))
    });
    if quoted && !row.language {
        return Some(format!(
            "{} {value}: the quotes belong to the value, as in uWSGI ({})",
            line.key,
            position()
        ));
    }
    let words = [&app::MODULE, &app::CALLABLE, &process::UID, &process::GID];
    let is_one_word = matches!(
        row.kind,
        Kind::Path | Kind::Address | Kind::Choice(_) | Kind::Mode
    ) || words.iter().any(|other| other.name == row.name);
    let comment = [" ;", " #", "\t;", "\t#"]
        .iter()
        .find_map(|mark| value.find(mark));
    let comment = comment.filter(|_| is_one_word)?;
    Some(format!(
        "{}: '{}' belongs to the value: a comment must have a line of its own ({})",
        line.key,
        value.get(comment..).unwrap_or_default().trim(),
        position()
    ))
}
