//! Settings of the spooler become [`SpoolerConfig`].

use std::time::Duration;

use crate::config::app::target;
use crate::config::error::ConfigError;
use crate::config::table::row::OptionRow;
use crate::config::values::reader::Reader;

use super::options;
use super::types::SpoolerConfig;

/// The shortest pause between two looks at a directory.
const FREQUENCY_MIN: Duration = Duration::from_millis(10);

impl Reader<'_> {
    pub(crate) fn spooler(&mut self) -> Result<SpoolerConfig, ConfigError> {
        let tasks_max = self.number(&options::SPOOLER_MAX_TASKS)?;
        let config = SpoolerConfig {
            folders: self.paths(&options::SPOOLER)?,
            external_folders: self.paths(&options::SPOOLER_EXTERNAL)?,
            threads: self.count(&options::SPOOLER_PROCESSES)?,
            imports: target::imports(self.raw, &options::SPOOLER_IMPORT)?,
            frequency: self
                .seconds(&options::SPOOLER_FREQUENCY)?
                .max(FREQUENCY_MIN),
            tasks_max: (tasks_max > 0).then_some(tasks_max),
            harakiri: self.time_limit(&options::SPOOLER_HARAKIRI)?,
            working_folder: self.path(&options::SPOOLER_CHDIR)?,
            is_quiet: self.flag(&options::SPOOLER_QUIET),
            is_cheap: self.flag(&options::SPOOLER_CHEAP),
            counts_signals: self.flag(&options::SPOOLER_SIGNAL_AS_TASK),
            retry_delay: match self.raw.last(&options::SPOOLER_RETRY_DELAY) {
                Some(_) => self.time_limit(&options::SPOOLER_RETRY_DELAY)?,
                None => None,
            },
            tries_max: self.optional_number(&options::SPOOLER_RETRY_MAX)?,
            nice: self
                .optional_number::<u8>(&options::SPOOLER_NICE)?
                .map(i32::from),
            is_durable: !self.flag(&options::SPOOLER_NO_SYNC),
        };
        if config.folders.is_empty()
            && let Some(setting) = self.raw.last(&options::SPOOLER_IMPORT)
        {
            let setting = setting.clone();
            self.warn(&setting, "is without effect: there is no --spooler");
        }
        Ok(config)
    }

    /// Seconds, where 0 is none.
    fn time_limit(&mut self, row: &OptionRow) -> Result<Option<Duration>, ConfigError> {
        let time = self.seconds(row)?;
        Ok((!time.is_zero()).then_some(time))
    }
}
