//! Reads the values of options by their rows: the row's kind says what a text looks like and which
//! bounds it has. Every topic adds its own methods to [`Reader`]. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::value::{self, NEVER, Read};
use crate::config::error::ConfigError;
use crate::config::readers::layers::{Raw, Setting};
use crate::config::readers::system_facts::SystemFacts;
use crate::config::table::row::{Kind, OptionRow, Takes};

/// Reads values by their rows and collects what to warn of.
pub(crate) struct Reader<'a> {
    pub(crate) raw: &'a Raw,
    pub(crate) warnings: Vec<String>,
    pub(crate) system: &'a SystemFacts,
}

impl Reader<'_> {
    /// Notes a warning; `what` ends the sentence that begins with the option.
    pub(crate) fn warn(&mut self, setting: &Setting, what: &str) {
        self.warnings
            .push(format!("{} {what} ({})", setting.spelled, setting.origin));
    }

    pub(crate) fn keep<T>(&mut self, setting: &Setting, read: Read<T>) -> T {
        if let Some(warning) = read.warning {
            self.warnings.push(format!(
                "{} '{}' {warning} ({})",
                setting.spelled, setting.text, setting.origin
            ));
        }
        read.value
    }

    pub(crate) fn flag(&mut self, row: &OptionRow) -> bool {
        match self.raw.last(row) {
            Some(setting) => self.keep(setting, value::flag(&setting.text)),
            None => false,
        }
    }

    /// The value of an option that is a number of something. `true` is what the option means
    /// without a value, or nothing: then the default stands.
    fn numeric(&mut self, row: &OptionRow) -> Option<Setting> {
        let setting = self.raw.last(row)?;
        if !value::is_no_number(&setting.text) {
            return Some(setting.clone());
        }
        let text = match row.takes {
            Takes::Optionally(bare) if value::flag(&setting.text).value => bare,
            Takes::Optionally(_) | Takes::Nothing | Takes::Always => {
                let (spelled, origin) = (&setting.spelled, &setting.origin);
                self.warnings.push(format!(
                    "{spelled} '{}' {} ({origin})",
                    setting.text,
                    value::NO_NUMBER
                ));
                row.default?
            }
        };
        Some(Setting {
            text: text.to_owned(),
            ..setting.clone()
        })
    }

    /// A number or a number of bytes, within the row's bounds; 0 if the row has no default.
    pub(crate) fn number(&mut self, row: &OptionRow) -> Result<u64, ConfigError> {
        let Some(setting) = self.numeric(row) else {
            return Ok(0);
        };
        let (read, min, max) = match row.kind {
            Kind::Bytes { min, max } => (value::bytes(&setting.text), min, max),
            Kind::Number { min, max } => (value::number(&setting.text), min, max),
            _ => (value::number(&setting.text), 0, u64::MAX),
        };
        let read = read.map_err(|why| setting.error_of_value(&why, "4"))?;
        let number = self.keep(&setting, read);
        if number < min {
            return Err(setting.error(format_args!("wants at least {min}, got {number}")));
        }
        if number > max {
            return Err(setting.error(format_args!("wants at most {max}, got {number}")));
        }
        Ok(number)
    }

    pub(crate) fn count(&mut self, row: &OptionRow) -> Result<usize, ConfigError> {
        self.small(row)
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self, row: &OptionRow) -> Result<T, ConfigError> {
        let number = self.number(row)?;
        T::try_from(number).map_err(|_| match self.raw.last(row) {
            Some(setting) => setting.error(format_args!("is too large on this system: {number}")),
            None => ConfigError::new(format!("--{} is too large on this system", row.name)),
        })
    }

    pub(crate) fn seconds(&mut self, row: &OptionRow) -> Result<Duration, ConfigError> {
        let Some(setting) = self.numeric(row) else {
            return Ok(NEVER);
        };
        let read =
            value::seconds(&setting.text).map_err(|why| setting.error_of_value(&why, "60"))?;
        Ok(self.keep(&setting, read))
    }

    /// Seconds, where 0 switches the deadline off.
    pub(crate) fn deadline(&mut self, row: &OptionRow) -> Result<Duration, ConfigError> {
        let duration = self.seconds(row)?;
        Ok(if duration.is_zero() { NEVER } else { duration })
    }

    pub(crate) fn optional_number<T: TryFrom<u64>>(
        &mut self,
        row: &OptionRow,
    ) -> Result<Option<T>, ConfigError> {
        match self.raw.last(row) {
            None => Ok(None),
            Some(_) => self.small(row).map(Some),
        }
    }

    pub(crate) fn text(&self, row: &OptionRow) -> Option<String> {
        self.raw.last(row).map(|setting| setting.text.clone())
    }

    pub(crate) fn texts(&self, row: &OptionRow) -> Vec<String> {
        let settings = self.raw.all(row).iter();
        settings.map(|setting| setting.text.clone()).collect()
    }

    pub(crate) fn path(&self, row: &OptionRow) -> Result<Option<PathBuf>, ConfigError> {
        self.raw.last(row).map(path_of).transpose()
    }

    pub(crate) fn paths(&self, row: &OptionRow) -> Result<Vec<PathBuf>, ConfigError> {
        self.raw.all(row).iter().map(path_of).collect()
    }

    /// The place in the row's words of the one that was chosen.
    pub(crate) fn chosen(&self, row: &OptionRow) -> Result<usize, ConfigError> {
        let Kind::Choice(words) = row.kind else {
            return Ok(0);
        };
        let Some(setting) = self.raw.last(row) else {
            return Ok(0);
        };
        let found = words.iter().position(|word| *word == setting.text);
        found.ok_or_else(|| {
            let words = words.join(", ");
            setting.error(format_args!("wants one of {words}, got '{}'", setting.text))
        })
    }
}

pub(crate) fn path_of(setting: &Setting) -> Result<PathBuf, ConfigError> {
    if setting.text.is_empty() || setting.text.contains('\0') {
        return Err(setting.error(format_args!("wants a path, got '{}'", setting.text)));
    }
    Ok(PathBuf::from(&setting.text))
}
