//! The text of a JSON file becomes lines: an object of texts, numbers, truths and lists of them
//! below a key. The order and repeats of keys are kept. Pure.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Failure, Line, LineEnds};

/// The lines below a key.
pub(super) fn read(text: &str, wanted: &str) -> Result<Vec<Line>, Failure> {
    let members = members(text, text)?;
    let mut seen = Vec::new();
    for (key, value) in members {
        if key == wanted {
            return section(text, value.get());
        }
        seen.push(key);
    }
    Err(Failure::NoSection(seen))
}

fn section(text: &str, object: &str) -> Result<Vec<Line>, Failure> {
    let ends = LineEnds::of(text);
    let mut lines = Vec::new();
    for (key, value) in members(text, object)? {
        if key.is_empty() {
            continue;
        }
        let raw = value.get();
        let items = match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(items) => items.into_iter().map(RawValue::get).collect(),
            Err(_) => vec![raw],
        };
        for item in items {
            let number = ends.line(offset_in(text, item));
            let value = scalar(item).ok_or_else(|| Failure::Syntax {
                line: number,
                why: format!("{key} wants a text, a number, true, false, or a list of them"),
            })?;
            lines.push(Line {
                number,
                key: key.clone(),
                value,
                of_placeholder: of_placeholder(item),
            });
        }
    }
    Ok(lines)
}

/// A value as the text that it would be in an ini file; `None` for objects and lists in lists.
fn scalar(raw: &str) -> Option<String> {
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).ok(),
        // As uWSGI reads it.
        Some(b'n') => Some("false".to_owned()),
        Some(b'{' | b'[') | None => None,
        Some(_) => Some(raw.to_owned()),
    }
}

/// uWSGI makes numbers of the words.
fn of_placeholder(raw: &str) -> Option<&'static str> {
    match raw {
        "true" => Some("1"),
        "false" | "null" => Some("0"),
        _ => None,
    }
}

/// Where a piece of the text begins: the pieces are borrowed from it.
fn offset_in(text: &str, piece: &str) -> usize {
    let (from, to) = (text.as_ptr().addr(), piece.as_ptr().addr());
    to.saturating_sub(from).min(text.len())
}

fn members<'t>(text: &'t str, object: &'t str) -> Result<Vec<(String, &'t RawValue)>, Failure> {
    let start = offset_in(text, object);
    let fail = |error: serde_json::Error| {
        let line = u32::try_from(error.line().max(1)).unwrap_or(u32::MAX);
        Failure::Syntax {
            line: LineEnds::of(text).line(start).saturating_add(line - 1),
            why: why(&error),
        }
    };
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let members = deserializer.deserialize_map(Members).map_err(fail)?;
    deserializer.end().map_err(fail)?;
    Ok(members)
}

/// Without serde's line: pieces are read by themselves, and so it may be another one.
fn why(error: &serde_json::Error) -> String {
    if error.is_data() {
        return r#"wants objects: {"uwsgi": {"http": ":8000"}}"#.to_owned();
    }
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map(|(what, _)| what);
    what.unwrap_or(&text).to_owned()
}

struct Members;

impl<'t> Visitor<'t> for Members {
    type Value = Vec<(String, &'t RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, &'t RawValue>()? {
            members.push(member);
        }
        Ok(members)
    }
}
