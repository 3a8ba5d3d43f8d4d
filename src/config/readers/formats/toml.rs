//! The text of a TOML file becomes lines: a table of texts, numbers, truths and lists of them.
//! Without a name the table is `[singlemalt]`, or `[uwsgi]` as in the other formats. Pure.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Failure, Line, LineEnds, Section};

/// Whether a text without a name is TOML: it can be read as such, and has quotes.
pub(super) fn is_meant(text: &str) -> bool {
    text.contains(['"', '\'']) && DeTable::parse(text).is_ok()
}

pub(super) fn read(text: &str, section: Section<'_>) -> Result<Vec<Line>, Failure> {
    let ends = LineEnds::of(text);
    let document = DeTable::parse(text).map_err(|error| Failure::Syntax {
        line: ends.line(error.span().map_or(0, |span| span.start)),
        why: error.message().to_owned(),
    })?;
    let names: &[&str] = match section {
        Section::Usual => &["singlemalt", "uwsgi"],
        Section::Named(name) => &[name],
    };
    let document = document.get_ref();
    let found = names.iter().find_map(|name| document.get(*name));
    let Some(DeValue::Table(table)) = found.map(Spanned::get_ref) else {
        let keys = document.keys().map(|key| key.get_ref().to_string());
        return Err(Failure::NoSection(keys.collect()));
    };
    let mut lines = Vec::new();
    for (key, value) in table {
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        for item in items {
            let offset = item.span().start;
            let Some(text_of_value) = scalar(item.get_ref()) else {
                return Err(Failure::Syntax {
                    line: ends.line(offset),
                    why: format!(
                        "{} wants a text, a number, true, false, or a list of them",
                        key.get_ref()
                    ),
                });
            };
            if !key.get_ref().is_empty() {
                lines.push((offset, key.get_ref().to_string(), text_of_value));
            }
        }
    }
    // Tables come in the order of their keys; options take effect in the order of the file.
    lines.sort_by_key(|(offset, _, _)| *offset);
    let line = |(offset, key, value)| Line {
        number: ends.line(offset),
        key,
        value,
        of_placeholder: None,
    };
    Ok(lines.into_iter().map(line).collect())
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
