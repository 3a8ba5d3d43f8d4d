//! Settings of the logs become [`LogConfig`].

use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;

use super::format;
use super::options;
use super::time_format::strftime;
use super::types::{DatePrefix, LineStyle, LogConfig, LogTarget, LoggedRequests, MemoryReport};
use crate::config::table::row::OptionRow;

impl Reader<'_> {
    pub(crate) fn log(&mut self) -> Result<LogConfig, ConfigError> {
        let date = self.date_prefix()?;
        let time_format = match &date {
            Some(DatePrefix::Format(format)) if self.flag(&options::LOG_FORMAT_STRFTIME) => {
                Some(format.clone())
            }
            _ => None,
        };
        Ok(LogConfig {
            requests: !self.flag(&options::DISABLE_LOGGING),
            which: self.logged_requests()?,
            line: self.line_style()?,
            micros: self.flag(&options::LOG_MICROS),
            memory: self.memory_report()?,
            date,
            time_format,
            target: self.log_target(&options::LOGTO)?,
            late_target: self.log_target(&options::LOGTO2)?,
            touch_reopen: self.paths(&options::TOUCH_LOGREOPEN)?,
        })
    }

    fn logged_requests(&mut self) -> Result<LoggedRequests, ConfigError> {
        let slow = self.number(&options::LOG_SLOW)?;
        let big = self.number(&options::LOG_BIG)?;
        Ok(LoggedRequests {
            empty: self.flag(&options::LOG_ZERO),
            slow: (slow > 0).then(|| Duration::from_millis(slow)),
            client_errors: self.flag(&options::LOG_4XX),
            server_errors: self.flag(&options::LOG_5XX),
            big: (big > 0).then_some(big),
            files: self.flag(&options::LOG_SENDFILE),
            broken: self.flag(&options::LOG_IOERROR),
        })
    }

    fn line_style(&mut self) -> Result<LineStyle, ConfigError> {
        if let Some(setting) = self.raw.last(&options::LOG_FORMAT) {
            let pieces = format::parse(&setting.text).map_err(|why| setting.error(why))?;
            return Ok(LineStyle::Format(pieces));
        }
        Ok(match self.flag(&options::LOG_TIMES) {
            true => LineStyle::Times,
            false => LineStyle::Uwsgi,
        })
    }

    fn date_prefix(&mut self) -> Result<Option<DatePrefix>, ConfigError> {
        let Some(setting) = self.raw.last(&options::LOG_DATE) else {
            return Ok(None);
        };
        match setting.text.to_ascii_lowercase().as_str() {
            "" | "true" | "1" | "on" | "yes" => Ok(Some(DatePrefix::Ctime)),
            _ => match strftime(&setting.text) {
                Ok(format) => Ok(Some(DatePrefix::Format(format))),
                Err(why) => Err(setting.error(why)),
            },
        }
    }

    /// Words of truth are level 1, as a number of uWSGI's that strtol cannot read never was.
    fn memory_report(&mut self) -> Result<MemoryReport, ConfigError> {
        let Some(setting) = self.raw.last(&options::MEMORY_REPORT) else {
            return Ok(MemoryReport::Off);
        };
        match setting.text.as_str() {
            "" | "0" | "false" | "off" | "no" => Ok(MemoryReport::Off),
            "1" | "true" | "on" | "yes" => Ok(MemoryReport::Basic),
            "2" => Ok(MemoryReport::Shares),
            other => Err(setting.error(format_args!("wants 1 or 2, got '{other}'"))),
        }
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
