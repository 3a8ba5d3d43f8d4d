//! Settings of the logs become [`LogConfig`].

use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::values::reader::Reader;
use crate::config::values::value;

use super::options;
use super::time_format::strftime;
use super::types::{
    DatePrefix, LineStyle, LogChain, LogConfig, LogEncoder, LogFileRules, LogRoute, LogTarget,
    LoggedRequests, Logger, MemoryReport, SyslogPackets,
};
use super::{encoders, format, loggers};
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
        let messages = self.message_chain()?;
        Ok(LogConfig {
            requests: !self.flag(&options::DISABLE_LOGGING),
            which: self.logged_requests()?,
            line: self.line_style()?,
            micros: self.flag(&options::LOG_MICROS),
            memory: self.memory_report()?,
            date,
            time_format,
            json: self.flag(&options::LOG_JSON),
            request_lines: self.request_chain(&messages)?,
            messages,
            drain: self.patterns(&options::LOG_DRAIN)?,
            filter: self.patterns(&options::LOG_FILTER)?,
            syslog_packets: SyslogPackets {
                bytes_max: self.small(&options::RSYSLOG_PACKET_SIZE)?,
                splits: self.flag(&options::RSYSLOG_SPLIT_MESSAGES),
            },
            file: self.log_file_rules()?,
            touch_rotate: self.paths(&options::TOUCH_LOGROTATE)?,
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
        if self.flag(&options::LOG_JSON) {
            return Ok(LineStyle::Json);
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

    fn log_file_rules(&mut self) -> Result<LogFileRules, ConfigError> {
        let bytes = self.number(&options::LOG_MAXSIZE)?;
        let mode = self.raw.last(&options::LOGFILE_CHMOD);
        Ok(LogFileRules {
            bytes_max: (bytes > 0).then_some(bytes),
            backup: self.path(&options::LOG_BACKUPNAME)?,
            truncate: self.flag(&options::LOG_TRUNCATE),
            chown: self.flag(&options::LOGFILE_CHOWN),
            mode: mode
                .map(|setting| value::mode(&setting.text).map_err(|why| setting.error(why)))
                .transpose()?,
        })
    }

    /// The way of messages.
    fn message_chain(&self) -> Result<LogChain, ConfigError> {
        let mut loggers = self.loggers(&options::LOGGER, "")?;
        loggers.extend(self.loggers(&options::LOG_SYSLOG, "syslog:")?);
        loggers.extend(self.loggers(&options::LOG_SOCKET, "socket:")?);
        Ok(LogChain {
            encoders: self.encoders(&options::LOG_ENCODER)?,
            routes: self.routes(&options::LOG_ROUTE, &[&loggers])?,
            loggers,
        })
    }

    /// The way of request lines, if an option names one.
    fn request_chain(&self, messages: &LogChain) -> Result<Option<LogChain>, ConfigError> {
        let loggers = self.loggers(&options::REQ_LOGGER, "")?;
        let chain = LogChain {
            encoders: self.encoders(&options::LOG_REQ_ENCODER)?,
            routes: self.routes(&options::LOG_REQ_ROUTE, &[&messages.loggers, &loggers])?,
            loggers,
        };
        Ok((!chain.is_empty()).then_some(chain))
    }

    fn loggers(&self, row: &OptionRow, kind: &str) -> Result<Vec<Logger>, ConfigError> {
        let settings = self.raw.all(row).iter();
        let one = |setting: &Setting| {
            let parsed = loggers::parse(&format!("{kind}{}", setting.text));
            parsed.map_err(|why| setting.error(why))
        };
        settings.map(one).collect()
    }

    fn encoders(&self, row: &OptionRow) -> Result<Vec<LogEncoder>, ConfigError> {
        let settings = self.raw.all(row).iter();
        let one =
            |setting: &Setting| encoders::parse(&setting.text).map_err(|why| setting.error(why));
        settings.map(one).collect()
    }

    /// `NAME REGEX`; the name is that of a logger.
    fn routes(&self, row: &OptionRow, loggers: &[&[Logger]]) -> Result<Vec<LogRoute>, ConfigError> {
        let names = || {
            let all = loggers.iter().copied().flatten();
            all.filter_map(|logger| logger.id.as_deref())
        };
        let one = |setting: &Setting| {
            let Some((name, pattern)) = setting.text.split_once(' ') else {
                let text = &setting.text;
                return Err(setting.error(format_args!("wants 'NAME REGEX', got '{text}'")));
            };
            if !names().any(|known| known == name) {
                let known: Vec<&str> = names().collect();
                let known = match known.as_slice() {
                    [] => "no logger has a name: give it one in front, as in --logger 'NAME \
                           file:PATH'"
                        .to_owned(),
                    _ => format!("there are {}", known.join(", ")),
                };
                return Err(setting.error(format_args!(
                    "names a logger '{name}' that does not exist; {known}"
                )));
            }
            Ok(LogRoute {
                pattern: pattern_of(setting, pattern)?,
                logger: name.to_owned(),
            })
        };
        self.raw.all(row).iter().map(one).collect()
    }

    fn patterns(&self, row: &OptionRow) -> Result<Vec<String>, ConfigError> {
        let settings = self.raw.all(row).iter();
        settings
            .map(|setting| pattern_of(setting, &setting.text))
            .collect()
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

/// A regular expression that can be read.
fn pattern_of(setting: &Setting, pattern: &str) -> Result<String, ConfigError> {
    match regex_lite::Regex::new(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(why) => Err(setting.error(format_args!(
            "has a regular expression that cannot be read: '{pattern}': {why}"
        ))),
    }
}
