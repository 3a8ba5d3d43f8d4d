//! Rules of internal routing: how each stands to uWSGI depends on its action, not on its option.

use crate::config::readers::language::entries::Entry;
use crate::config::table::row::{Class, Group, OptionRow, Ready};
use crate::routing;

/// Why the server does not start with a rule.
pub(super) fn refusal(row: &OptionRow, entry: &Entry) -> Option<String> {
    let is_rule = row.group == Group::Routing && row.adds_up;
    is_rule
        .then(|| routing::parse(&entry.key, &entry.text).err())
        .flatten()
}

/// How a line stands to uWSGI, and whether this version does what it says.
pub(super) fn class(row: &OptionRow, entry: &Entry) -> (Class, Ready) {
    match refusal(row, entry) {
        Some(_) => (
            Class::Unsupported("the server does not start with it"),
            row.ready,
        ),
        None => (row.class, row.ready),
    }
}
