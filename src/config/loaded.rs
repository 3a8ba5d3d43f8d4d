//! What the loader gives back: options and placeholders as they were written, in the order in which
//! they take effect, each with its place. Plain values.

use std::rc::Rc;

use super::error::ConfigError;
use super::layer::{self, Layer, Stack, Written};
use super::option::OptionRow;

/// An option, or a placeholder, as it was written, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name, without dashes: `workers`, or that of a placeholder.
    pub(super) key: String,
    /// The row of that name; `None` for a placeholder.
    pub(super) row: Option<&'static OptionRow>,
    /// As it was written: `--workers`, `UWSGI_WORKERS`, `workers`.
    pub(super) spelled: String,
    /// The value, after `Loader::finish` expanded.
    pub(super) text: String,
    /// The value as it was read: magic variables and `%(_)` are replaced, nothing else.
    pub(super) before: String,
    /// The name of the source.
    pub(super) source: Rc<str>,
    /// The line, or the number of the argument.
    pub(super) place: u32,
    pub(super) standing: Standing,
}

/// How an entry came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Of a usual source.
    Written,
    /// Nobody wrote it for us (`VIRTUAL_ENV`): placeholders do not see it.
    Implied,
    /// Of a file that is inherited: its placeholders are not expanded.
    Inherited,
    /// Set as a placeholder, which even strict mode allows.
    Placeholder,
    /// Made from a declared option: nothing refers to it.
    Made,
}

impl Entry {
    /// Where it stands: `uwsgi.ini line 3`.
    pub(super) fn position(&self) -> String {
        layer::place(&self.source, self.place)
    }

    /// It stands in a file, or on standard input.
    pub(super) fn is_of_file(&self) -> bool {
        layer::is_file(&self.source)
    }

    /// An error about it; `why` ends the sentence that begins with its name.
    pub(super) fn error(&self, why: impl std::fmt::Display) -> ConfigError {
        ConfigError::new(format!("{} {why} ({})", self.spelled, self.position()))
    }
}

/// A key that is no option: in uWSGI that makes it a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) key: String,
    /// `uwsgi.ini line 3`.
    pub(super) place: String,
    /// A value refers to it.
    pub(super) is_used: bool,
}

/// A line that became no entry: a condition, a loop, or what a condition kept out.
#[derive(Clone, Debug)]
pub(super) struct PassedOver {
    /// The number of entries that were there before it.
    pub(super) before: usize,
    pub(super) entry: Entry,
    /// The condition that kept it out; `None` for conditions and loops themselves.
    pub(super) kept_out_by: Option<String>,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// In the order in which it takes effect.
    pub(super) entries: Vec<Entry>,
    pub(super) unknown: Vec<Unknown>,
    /// What decided over reading, and what was not read: in front of which entry it stands.
    pub(super) passed_over: Vec<PassedOver>,
    pub(super) warnings: Vec<String>,
    /// What could not be read and was left out, where the loader goes on.
    pub(super) left_out: Vec<ConfigError>,
    /// What `print` asked for.
    pub(super) prints: Vec<String>,
    /// What the magic variables stood for in the file that was read last.
    pub(super) magic_table: Vec<(char, String)>,
}

impl Loaded {
    /// The options, stacked: entries of one source that follow each other are one layer.
    pub(super) fn stack(&self) -> Stack {
        let mut stack = Stack::new();
        let mut layer: Option<(Rc<str>, Layer)> = None;
        for entry in &self.entries {
            let Some(row) = entry.row.filter(|row| !row.language) else {
                continue;
            };
            if layer
                .as_ref()
                .is_none_or(|(source, _)| *source != entry.source)
            {
                if let Some((_, full)) = layer.take() {
                    stack = stack.on_top(full);
                }
                layer = Some((entry.source.clone(), Layer::new(&*entry.source)));
            }
            if let Some((_, layer)) = &mut layer {
                layer.push(
                    row,
                    Written {
                        name: entry.key.clone(),
                        spelled: entry.spelled.clone(),
                        text: entry.text.clone(),
                        place: entry.place,
                    },
                );
            }
        }
        match layer {
            Some((_, layer)) => stack.on_top(layer),
            None => stack,
        }
    }

    /// Whether a value, or a condition, asks for this environment variable.
    pub(super) fn asks_for_variable(&self, name: &str) -> bool {
        let marks = [format!("$({name})"), format!("$({name}:")];
        let passed_over = self.passed_over.iter().map(|line| &line.entry);
        passed_over.chain(&self.entries).any(|entry| {
            let is_condition = matches!(entry.key.as_str(), "if-env" | "if-not-env");
            let subject = entry.before.split('=').next().unwrap_or_default();
            is_condition && subject == name
                || marks
                    .iter()
                    .any(|mark| entry.before.contains(mark.as_str()))
        })
    }

    /// Every option and placeholder that was written, as it was named.
    pub(super) fn written(&self) -> Vec<(String, String)> {
        let seen = self
            .entries
            .iter()
            .filter(|entry| !matches!(entry.standing, Standing::Implied | Standing::Made));
        seen.map(|entry| (entry.key.clone(), entry.text.clone()))
            .collect()
    }
}
