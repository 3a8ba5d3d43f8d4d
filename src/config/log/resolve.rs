//! Settings of the logs become [`LogConfig`].

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;

use super::options;
use super::types::{LogConfig, LogTarget};
use crate::config::table::row::OptionRow;

impl Reader<'_> {
    pub(crate) fn log(&mut self) -> Result<LogConfig, ConfigError> {
        Ok(LogConfig {
            requests: !self.flag(&options::DISABLE_LOGGING),
            times: self.flag(&options::LOG_TIMES),
            target: self.log_target(&options::LOGTO)?,
            late_target: self.log_target(&options::LOGTO2)?,
            touch_reopen: self.paths(&options::TOUCH_LOGREOPEN)?,
        })
    }

    pub(crate) fn log_target(&self, row: &OptionRow) -> Result<Option<LogTarget>, ConfigError> {
        match self.raw.last(row) {
            None => Ok(None),
            Some(setting) if setting.text.is_empty() || setting.text.contains('\0') => {
                Err(setting.error("wants a file, or udp:HOST:PORT"))
            }
            Some(setting) => Ok(Some(LogTarget::parse(&setting.text))),
        }
    }
}
