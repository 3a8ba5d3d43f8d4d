//! The second step of the loader, when every option is there: variables, files and placeholders are
//! expanded in values, `inherit` adds its files, declared options become what they stand for.

use std::collections::HashSet;

use super::entries::{Entry, Loaded, Standing, Unknown};
use super::expand;
use super::files::{Named, unreadable};
use super::loader::{Loader, Stop};
use super::magic::{FileMagic, Magic};
use crate::config::app::options as app;
use crate::config::error::ConfigError;
use crate::config::readers::contents;
use crate::config::readers::options as configuration;
use crate::config::table;
use crate::config::table::row::Group;

/// As much of a value as an error shows.
const SHOWN_CHARS: usize = 80;

impl Loader<'_> {
    /// Expands every value and gives everything back.
    pub(crate) fn finish(mut self) -> Result<Loaded, Stop> {
        let mut used: HashSet<String> = HashSet::new();
        for symbol in ['$', '@', '%'] {
            for index in 0..self.entries.len() {
                self.expand(index, symbol, &mut used)?;
            }
        }
        self.make_placeholders(&used);
        let mut index = 0;
        while let Some(entry) = self.entries.get(index).cloned() {
            index += 1;
            match entry.row {
                Some(row) if row.name == configuration::INHERIT.name => {
                    // Whatever it holds stands behind everything else (uWSGI's rule).
                    self.inheriting = true;
                    self.load(&entry, Named::ByEnding, None)?;
                    self.inheriting = false;
                }
                Some(row) if row.name == configuration::PRINT.name => self.prints.push(entry.text),
                _ => {}
            }
        }
        self.warn_of_inherited();
        self.make_declared()?;
        let unknown = self.entries.iter().filter(|entry| entry.row.is_none());
        let unknown: Vec<Unknown> = unknown
            .filter(|entry| entry.standing != Standing::Placeholder)
            .filter(|entry| !self.declared.iter().any(|(name, _)| *name == entry.key))
            .map(|entry| Unknown {
                key: entry.key.clone(),
                place: entry.position(),
                is_used: used.contains(&entry.key),
            })
            .collect();
        let nothing = FileMagic::default();
        let magic = Magic {
            file: self.last.as_ref().unwrap_or(&nothing),
            first: self.first.as_ref().unwrap_or(&nothing),
            system: self.system,
        };
        Ok(Loaded {
            unknown,
            magic_table: magic.table(),
            entries: self.entries,
            warnings: self.warnings,
            prints: self.prints,
            passed_over: self.passed_over,
            left_out: self.left_out,
        })
    }

    fn expand(
        &mut self,
        index: usize,
        symbol: char,
        used: &mut HashSet<String>,
    ) -> Result<(), ConfigError> {
        let Some(entry) = self.entries.get(index) else {
            return Ok(());
        };
        if entry.standing == Standing::Inherited || !entry.text.contains([symbol]) {
            return Ok(());
        }
        let position = entry.position();
        let mut missing: Vec<String> = Vec::new();
        let mut left_out = Vec::new();
        let lookup = |name: &str| -> Result<Option<String>, ConfigError> {
            match symbol {
                '$' => {
                    let value = self.variable(name, &position)?;
                    if value.is_none() {
                        missing.push(format!(
                            "$({name}) is not set, and stands as it is ({position})"
                        ));
                    }
                    Ok(value)
                }
                '@' => match contents::one_value(name, self.may_execute, &self.system.directory) {
                    Ok(text) => Ok(Some(text)),
                    Err(failure) if self.goes_on => {
                        left_out.push(unreadable(name, failure, entry));
                        Ok(None)
                    }
                    Err(failure) => Err(unreadable(name, failure, entry)),
                },
                _ => {
                    used.extend(name.split(' ').map(str::to_owned));
                    let value = expand::placeholder(name, |name| self.first_of(name));
                    if value.is_none() && expects_no_placeholder(entry) {
                        missing.push(missing_placeholder(name, &position));
                    }
                    Ok(value)
                }
            }
        };
        let text = expand::pass(&entry.text, symbol, lookup).map_err(|failure| match failure {
            expand::Failure::Name(error) => error,
            expand::Failure::Circle => {
                let before: String = entry.before.chars().take(SHOWN_CHARS).collect();
                entry.error(format_args!(
                    "refers to itself, or to more than can be meant: {before}"
                ))
            }
        })?;
        self.warnings.extend(missing);
        self.left_out.extend(left_out);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.text = text;
        }
        Ok(())
    }

    /// `NAME`, or `NAME:what it is otherwise`.
    fn variable(&self, name: &str, position: &str) -> Result<Option<String>, ConfigError> {
        let (name, otherwise) = match name.split_once(':') {
            Some((name, otherwise)) => (name, Some(otherwise.to_owned())),
            None => (name, None),
        };
        match self.system.environment.get(name) {
            Some(value) => match value.to_str() {
                Some(value) => Ok(Some(value.to_owned())),
                None => Err(ConfigError::new(format!(
                    "$({name}) is not UTF-8 ({position})"
                ))),
            },
            None => Ok(otherwise),
        }
    }

    /// uWSGI has no option `app`, so files written for it have `app = shop` and then `module =
    /// %(app).wsgi`.
    fn make_placeholders(&mut self, used: &HashSet<String>) {
        let is_meant = |entry: &&mut Entry| {
            let is_app = entry.row.is_some_and(|row| row.name == app::APP.name);
            is_app && entry.is_of_file() && used.contains(&entry.key)
        };
        for entry in self.entries.iter_mut().filter(is_meant) {
            entry.row = None;
        }
    }

    fn warn_of_inherited(&mut self) {
        let raw = self.entries.iter().find(|entry| {
            entry.standing == Standing::Inherited
                && ["%(", "$(", "@("]
                    .iter()
                    .any(|mark| entry.text.contains(mark))
        });
        if let Some(entry) = raw.filter(|entry| expects_no_placeholder(entry)) {
            let warning = format!(
                "{} is inherited, and so '{}' is not expanded, as in uWSGI; use include ({})",
                entry.spelled,
                entry.text,
                entry.position()
            );
            self.warnings.push(warning);
        }
    }

    /// Declared options become what they stand for.
    fn make_declared(&mut self) -> Result<(), ConfigError> {
        if self.declared.is_empty() {
            return Ok(());
        }
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            let template = self.declared.iter().find(|(name, _)| *name == entry.key);
            let Some((name, template)) = template.filter(|_| entry.row.is_none()) else {
                entries.push(entry);
                continue;
            };
            let arguments: Vec<&str> = entry
                .text
                .split(' ')
                .filter(|word| !word.is_empty())
                .collect();
            let fill = |text: &str| {
                // From the last one down, so that $1 does not eat the beginning of $10.
                let numbered = arguments.iter().enumerate().rev();
                numbered.fold(text.to_owned(), |text, (index, argument)| {
                    text.replace(&format!("${}", index + 1), argument)
                })
            };
            entries.push(entry.clone());
            for part in template.split(';').filter(|part| !part.is_empty()) {
                let Some((key, value)) = part.split_once('=') else {
                    return Err(entry.error(format_args!(
                        "is declared with '{part}', which is no OPTION=VALUE"
                    )));
                };
                let key = fill(key);
                let row = table::named(&key);
                if row.is_none() {
                    self.warnings.push(format!(
                        "{} is declared with {key}, which is no option and has no effect, as in \
                         uWSGI ({})",
                        entry.spelled,
                        entry.position()
                    ));
                    continue;
                }
                let Some(row) = row.filter(|row| !row.language && !row.command) else {
                    return Err(
                        entry.error(format_args!("is declared with {key}, which it cannot set"))
                    );
                };
                let value = fill(value);
                entries.push(Entry {
                    row: Some(row),
                    spelled: format!("{name}: {key}"),
                    key,
                    before: value.clone(),
                    text: value,
                    source: entry.source.clone(),
                    place: entry.place,
                    standing: Standing::Made,
                });
            }
        }
        self.entries = entries;
        Ok(())
    }
}

/// Formats of log lines and rules have names of their own in `%(...)` and `${...}`.
fn expects_no_placeholder(entry: &Entry) -> bool {
    entry.row.is_some_and(|row| {
        !row.language
            && !matches!(
                row.group,
                Group::Logging | Group::Routing | Group::Monitoring
            )
    })
}

fn missing_placeholder(name: &str, position: &str) -> String {
    let glued = !name.contains(' ') && name.contains(['+', '*', '/']);
    let hint = if glued {
        "; an operator wants spaces around it"
    } else {
        ""
    };
    format!("%({name}) stands for nothing, and is left as it is{hint} ({position})")
}
