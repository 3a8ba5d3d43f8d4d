//! Settings of work beside requests become [`BackgroundConfig`].

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;

use super::options;
use super::types::{BackgroundConfig, CronEntry};

impl Reader<'_> {
    pub(crate) fn background(&mut self) -> Result<BackgroundConfig, ConfigError> {
        Ok(BackgroundConfig {
            locks: self.count(&options::LOCKS)?,
            cron: self.cron()?,
            touch_exec: self.of_files(&options::TOUCH_EXEC, "COMMAND")?,
            touch_signals: self.signals_of(&options::TOUCH_SIGNAL)?,
            folder_signals: self.signals_of(&options::FS_SIGNAL)?,
        })
    }

    fn cron(&mut self) -> Result<Vec<CronEntry>, ConfigError> {
        let time_max = self.seconds(&options::CRON_HARAKIRI)?;
        let time_max = (!time_max.is_zero()).then_some(time_max);
        let mut entries = Vec::new();
        for row in [&options::CRON, &options::UNIQUE_CRON, &options::CRON2] {
            for setting in self.raw.all(row) {
                let entry = if row.name == options::CRON2.name {
                    CronEntry::parse_keys(&setting.text)
                } else {
                    CronEntry::parse(&setting.text).map(|entry| (entry, false))
                };
                let (mut entry, has_time_max) = entry.map_err(|why| setting.error(why))?;
                if !has_time_max {
                    entry.time_max = time_max;
                }
                entry.is_unique |= row.name == options::UNIQUE_CRON.name;
                entry.origin = setting.place();
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}
