//! Sources of options, stacked: defaults, environment, command line, files.
//!
//! Each source is a figment provider that carries its name as metadata. figment merges them (the
//! last one wins, lists add up: uWSGI's rule), and [`Stack::settle`] extracts each value as it was
//! [`Written`], with the source that its tag leads to. Nothing is interpreted here.
//!
//! The topics are not extracted as structs of serde;
//! [`Reader`](crate::config::values::reader::Reader) reads them value by value, for three reasons.
//! An option's row is a static, so a row that no code reads is a warning of the compiler and a name
//! without a row does not compile; in serde both are strings that meet at run time. uWSGI's texts
//! have a warning beside their value (`4 ; four` is 4, with a warning that names file and line),
//! and serde has no way to return it. Bounds are data of the rows, from which help and reference
//! are made; types would say them a second time.

use std::collections::BTreeMap;
use std::fmt;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};

use crate::config::error::ConfigError;
use crate::config::table;
use crate::config::table::row::OptionRow;

/// The name of the source that holds the table's defaults.
pub(crate) const DEFAULTS: &str = "default";
pub(crate) const COMMAND_LINE: &str = "command line";
pub(crate) const ENVIRONMENT: &str = "environment";

/// One value as it stands in a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The name of the option that was used, an alias or the row's own: `workers`.
    pub(crate) name: String,
    /// The option as it was written: `--workers`, `-p`, `UWSGI_WORKERS`, `workers`.
    pub(crate) spelled: String,
    pub(crate) text: String,
    /// The line of a file, or the number of the argument on the command line.
    pub(crate) place: u32,
}

/// Where something stands, for messages: `command line`, `uwsgi.ini line 3`.
pub(crate) fn place(source: &str, place: u32) -> String {
    match source {
        DEFAULTS | COMMAND_LINE | ENVIRONMENT => source.to_owned(),
        file => format!("{file} line {place}"),
    }
}

/// Whether the source of this name is a file, or standard input.
pub(crate) fn is_file(source: &str) -> bool {
    ![DEFAULTS, COMMAND_LINE, ENVIRONMENT].contains(&source)
}

#[derive(Debug)]
pub(crate) struct Layer {
    source: String,
    entries: Vec<(&'static OptionRow, Written)>,
}

impl Layer {
    pub(crate) fn new(source: impl Into<String>) -> Layer {
        Layer {
            source: source.into(),
            entries: Vec::new(),
        }
    }

    pub(crate) fn defaults() -> Layer {
        let mut layer = Layer::new(DEFAULTS);
        for row in table::rows() {
            if let Some(text) = row.default {
                layer.push(
                    row,
                    Written {
                        name: row.name.to_owned(),
                        spelled: format!("--{}", row.name),
                        text: text.to_owned(),
                        place: 0,
                    },
                );
            }
        }
        layer
    }

    pub(crate) fn into_entries(self) -> Vec<(&'static OptionRow, Written)> {
        self.entries
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &(&'static OptionRow, Written)> {
        self.entries.iter()
    }

    pub(crate) fn push(&mut self, row: &'static OptionRow, written: Written) {
        self.entries.push((row, written));
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut dict = Dict::new();
        for (row, written) in &self.entries {
            let value = Value::serialize(written)?;
            match dict.get_mut(row.name) {
                Some(Value::Array(_, values)) if row.adds_up => values.push(value),
                _ if row.adds_up => {
                    dict.insert(row.name.to_owned(), Value::from(vec![value]));
                }
                _ => {
                    dict.insert(row.name.to_owned(), value);
                }
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) source: String,
    /// figment's mark of the source: a later source has a higher one.
    pub(crate) layer: Tag,
    /// The line, or the number of the argument.
    pub(crate) place: u32,
}

impl Origin {
    pub(crate) fn is_file(&self) -> bool {
        is_file(&self.source)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&place(&self.source, self.place))
    }
}

/// A value after the sources were stacked: what stands, and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The name of the option that was used, an alias or the row's own.
    pub(crate) name: String,
    pub(crate) spelled: String,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

impl Setting {
    /// An error about this value; `why` ends the sentence that begins with the option.
    pub(crate) fn error(&self, why: impl fmt::Display) -> ConfigError {
        ConfigError::new(format!("{} {why} ({})", self.spelled, self.origin))
    }

    /// Likewise, about a text that is none of what is wanted: `why` says `wants SOMETHING, got
    /// ...`.
    pub(crate) fn error_of_value(&self, why: &str, otherwise: &str) -> ConfigError {
        match unset_variable(&self.text, why) {
            Some((name, why)) => self.error(why).hint(format!(
                "set it, or say what it is otherwise: $({name}:{otherwise})"
            )),
            None if self.text.contains("${") => self.error(why).hint(format!(
                "braces are a shell's: $(NAME), or $(NAME:{otherwise}) where it may be unset"
            )),
            None => self.error(why),
        }
    }

    /// `--chdir (command line)`.
    pub(crate) fn place(&self) -> String {
        format!("{} ({})", self.spelled, self.origin)
    }

    pub(crate) fn was_written(&self) -> bool {
        self.origin.source != DEFAULTS
    }
}

/// The environment variable that is not set, where a text still names one, and what is wrong then
/// instead of `why`.
pub(crate) fn unset_variable<'t>(text: &'t str, why: &str) -> Option<(&'t str, String)> {
    let name = text.split_once("$(")?.1.split(')').next()?;
    let (wanted, _) = why.split_once(", got ")?;
    let why = format!("{wanted}, and {name} is not set in the environment");
    Some((name, why))
}

/// All sources, in the order in which they take effect.
#[derive(Debug)]
pub(crate) struct Stack {
    figment: Figment,
}

impl Stack {
    /// An empty stack. The defaults are put below it in the end: a merge costs as much as the stack
    /// has options, and there may be many.
    pub(crate) fn new() -> Stack {
        Stack {
            figment: Figment::new(),
        }
    }

    /// Puts a source on top: its values win, its list items come last.
    pub(crate) fn on_top(self, layer: Layer) -> Stack {
        Stack {
            figment: self.figment.admerge(layer),
        }
    }

    /// The values after every source was put on the stack.
    pub(crate) fn settle(self) -> Result<Raw, ConfigError> {
        let figment = self.figment.join(Layer::defaults());
        Ok(Raw {
            settings: settings_of(&figment)?,
        })
    }
}

fn unsettled(error: Error) -> ConfigError {
    ConfigError::new(error.to_string())
}

fn settings_of(figment: &Figment) -> Result<BTreeMap<String, Vec<Setting>>, ConfigError> {
    let setting = |value: &Value| -> Result<Setting, ConfigError> {
        let Written {
            name,
            spelled,
            text,
            place,
        } = value.deserialize().map_err(unsettled)?;
        let source = figment.get_metadata(value.tag());
        Ok(Setting {
            name,
            spelled,
            text,
            origin: Origin {
                source: source.map_or_else(String::new, |found| found.name.to_string()),
                layer: value.tag(),
                place,
            },
        })
    };
    let values = figment.data().map_err(unsettled)?.into_values().flatten();
    values
        .map(|(name, value)| {
            let settings = match &value {
                Value::Array(_, values) => values.iter().map(setting).collect(),
                value => setting(value).map(|setting| vec![setting]),
            };
            settings.map(|settings| (name, settings))
        })
        .collect()
}

/// What was written, by option; the last word of each, and every word of lists.
#[derive(Debug)]
pub(crate) struct Raw {
    settings: BTreeMap<String, Vec<Setting>>,
}

impl Raw {
    pub(crate) fn last(&self, row: &OptionRow) -> Option<&Setting> {
        self.all(row).last()
    }

    /// Every value of an option, in the order of the sources.
    pub(crate) fn all(&self, row: &OptionRow) -> &[Setting] {
        self.settings.get(row.name).map_or(&[], Vec::as_slice)
    }

    /// Every option that was written, in the order of the table.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&'static OptionRow, &[Setting])> {
        table::rows().filter_map(|row| {
            let settings = self.all(row);
            let written = settings.last().is_some_and(Setting::was_written);
            written.then_some((row, settings))
        })
    }
}
