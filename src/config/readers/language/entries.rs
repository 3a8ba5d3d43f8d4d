//! What the loader gives back: options and placeholders as they were written, in the order in which
//! they take effect, each with its place. Plain values.

use std::rc::Rc;

use crate::config::error::ConfigError;
use crate::config::readers::layers;
use crate::config::readers::layers::{Layer, Stack, Written};
use crate::config::table::row::OptionRow;

/// An option, or a placeholder, as it was written, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name, without dashes: `workers`, or that of a placeholder.
    pub(crate) key: String,
    /// The row of that name; `None` for a placeholder.
    pub(crate) row: Option<&'static OptionRow>,
    /// As it was written: `--workers`, `UWSGI_WORKERS`, `workers`.
    pub(crate) spelled: String,
    /// The value, after `Loader::finish` expanded.
    pub(crate) text: String,
    /// The value as it was read: magic variables and `%(_)` are replaced, nothing else.
    pub(crate) before: String,
    pub(crate) source: Rc<str>,
    /// The line, or the number of the argument.
    pub(crate) place: u32,
    pub(crate) standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Of a usual source.
    Written,
    /// A variable that was not meant as an option (`VIRTUAL_ENV`): placeholders do not see it.
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
    pub(crate) fn position(&self) -> String {
        layers::place(&self.source, self.place)
    }

    pub(crate) fn is_of_file(&self) -> bool {
        layers::is_file(&self.source)
    }

    /// An error about it; `why` ends the sentence that begins with its name.
    pub(crate) fn error(&self, why: impl std::fmt::Display) -> ConfigError {
        ConfigError::new(format!("{} {why} ({})", self.spelled, self.position()))
    }
}

/// A key that is no option: in uWSGI that makes it a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) key: String,
    /// `uwsgi.ini line 3`.
    pub(crate) place: String,
    pub(crate) is_used: bool,
}

/// A line that became no entry: a condition, a loop, or what a condition kept out.
#[derive(Clone, Debug)]
pub(crate) struct PassedOver {
    pub(crate) before: usize,
    pub(crate) entry: Entry,
    /// The condition that kept it out; `None` for conditions and loops themselves.
    pub(crate) kept_out_by: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// In the order in which it takes effect.
    pub(crate) entries: Vec<Entry>,
    pub(crate) unknown: Vec<Unknown>,
    /// What decided over reading, and what was not read: in front of which entry it stands.
    pub(crate) passed_over: Vec<PassedOver>,
    pub(crate) warnings: Vec<String>,
    /// What could not be read and was left out, where the loader goes on.
    pub(crate) left_out: Vec<ConfigError>,
    /// What `print` asked for.
    pub(crate) prints: Vec<String>,
    /// What the magic variables stood for in the file that was read last.
    pub(crate) magic_table: Vec<(char, String)>,
}

impl Loaded {
    /// Whether every source can be read once more; standard input and descriptors cannot.
    pub(crate) fn reads_again(&self) -> bool {
        let is_read_once = |entry: &Entry| {
            &*entry.source == "standard input"
                || entry.source.starts_with("fd://")
                || entry.before.contains("@(-")
                || entry.before.contains("@(fd://")
        };
        !self.entries.iter().any(is_read_once)
    }

    /// The options, stacked: entries of one source that follow each other are one layer.
    pub(crate) fn stack(&self) -> Stack {
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
    pub(crate) fn asks_for_variable(&self, name: &str) -> bool {
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
    pub(crate) fn written(&self) -> Vec<(String, String)> {
        let seen = self
            .entries
            .iter()
            .filter(|entry| !matches!(entry.standing, Standing::Implied | Standing::Made));
        seen.map(|entry| (entry.key.clone(), entry.text.clone()))
            .collect()
    }
}
