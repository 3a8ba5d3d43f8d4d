//! The effective value of an option: what the text of its line means.

use crate::config::python::options as python;
use crate::config::table::row::{Kind, OptionRow, Takes};
use crate::config::values::value::Read;
use crate::config::values::{address, value};

/// What a value comes to where that is not what it says, and what to warn of.
pub(super) fn effective(
    row: &OptionRow,
    text: &str,
) -> Result<(Option<String>, Option<String>), String> {
    fn number<T: std::fmt::Display>(read: Read<T>, text: &str) -> (Option<String>, Option<String>) {
        let value = read.value.to_string();
        ((value != text).then(|| format!("is {value}")), read.warning)
    }
    let is_number = matches!(
        row.kind,
        Kind::Number { .. } | Kind::Bytes { .. } | Kind::Megabytes | Kind::Seconds
    );
    if is_number && value::is_no_number(text) {
        let has_bare_form = matches!(row.takes, Takes::Optionally(_)) && value::flag(text).value;
        let warning =
            (!has_bare_form && row.name != "http-keepalive").then(|| value::NO_NUMBER.to_owned());
        return Ok((None, warning));
    }
    Ok(match row.kind {
        Kind::Flag => {
            let read = value::flag(text);
            let off = (!read.value).then(|| "is off".to_owned());
            (off, read.warning)
        }
        Kind::Number { min, max } => match value::number(text) {
            Ok(read) if read.value < min => return Err(format!("wants at least {min}")),
            Ok(read) if read.value > max => return Err(format!("wants at most {max}")),
            Ok(read) => number(read, text),
            Err(why) => return Err(why),
        },
        Kind::Megabytes => number(value::number(text)?, text),
        Kind::Bytes { min, max } => match value::bytes(text)? {
            read if read.value < min => return Err(format!("wants at least {min}")),
            read if read.value > max => return Err(format!("wants at most {max}")),
            read => number(read, text),
        },
        Kind::Seconds => (None, value::seconds(text)?.warning),
        Kind::Mode if text == "true" => (Some("is 666".to_owned()), None),
        Kind::Mode => {
            value::mode(text)?;
            (None, None)
        }
        Kind::Pair if row.name == python::ENV.name && !text.contains('=') => {
            let warning = (!text.is_empty()).then(|| value::REMOVES.to_owned());
            (None, warning)
        }
        Kind::Pair => {
            value::pair(text)?;
            (None, None)
        }
        Kind::Address => {
            let bad = |why| format!("wants an address, got '{text}': {why}");
            let address = address::parse(text).map_err(bad)?;
            let shown = address.to_string();
            ((shown != text).then(|| format!("is {shown}")), None)
        }
        Kind::Choice(words) if !words.contains(&text) => {
            return Err(format!("wants one of {}", words.join(", ")));
        }
        Kind::Choice(_) | Kind::Text | Kind::Path => (None, None),
    })
}

/// A number without what follows it: the suggestion has no traps.
pub(super) fn effective_text(row: &OptionRow, text: &str) -> String {
    match row.kind {
        Kind::Number { .. } | Kind::Megabytes => {
            value::number(text).map_or_else(|_| text.to_owned(), |read| read.value.to_string())
        }
        Kind::Flag => value::flag(text).value.to_string(),
        _ => text.to_owned(),
    }
}
