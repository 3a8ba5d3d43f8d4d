//! Raw settings of reloads become their part of the [`Config`](super::Config).

use std::time::Duration;

use super::error::ConfigError;
use super::option::OptionRow;
use super::options::reload;
use super::reload_settings::{ExceptionRules, MemoryLimits, ReloadConfig, ReloadMode};
use super::resolve::Reader;

impl Reader<'_> {
    pub(super) fn reload(&mut self) -> Result<ReloadConfig, ConfigError> {
        Ok(ReloadConfig {
            mode: match self.chosen(&reload::RELOAD_MODE)? {
                1 => ReloadMode::Rolling,
                2 => ReloadMode::Exec,
                _ => ReloadMode::Swap,
            },
            touch: self.paths(&reload::TOUCH_RELOAD)?,
            touch_chain: self.paths(&reload::TOUCH_CHAIN_RELOAD)?,
            folders: self.paths(&reload::FS_RELOAD)?,
            watches_modules: self.time(&reload::PY_AUTORELOAD)?.is_some(),
            python_ignored: self.texts(&reload::PY_AUTORELOAD_IGNORE),
            exceptions: self.exceptions(),
            timeout: self.deadline(&reload::RELOAD_TIMEOUT)?,
            requests_max: self.limit(&reload::MAX_REQUESTS)?,
            requests_delta: self.number(&reload::MAX_REQUESTS_DELTA)?,
            lifetime_min: self.seconds(&reload::MIN_WORKER_LIFETIME)?,
            lifetime_max: self.time(&reload::MAX_WORKER_LIFETIME)?,
            lifetime_delta: self
                .time(&reload::MAX_WORKER_LIFETIME_DELTA)?
                .unwrap_or_default(),
            memory: MemoryLimits {
                resident_bytes: self.megabytes(&reload::RELOAD_ON_RSS)?,
                address_bytes: self.megabytes(&reload::RELOAD_ON_AS)?,
                own_bytes: self.megabytes(&reload::RELOAD_ON_USS)?,
                proportional_bytes: self.megabytes(&reload::RELOAD_ON_PSS)?,
            },
        })
    }

    fn exceptions(&mut self) -> Option<ExceptionRules> {
        let is_any = self.flag(&reload::RELOAD_ON_EXCEPTION);
        let rules = ExceptionRules {
            types: self.texts(&reload::RELOAD_ON_EXCEPTION_TYPE),
            values: self.texts(&reload::RELOAD_ON_EXCEPTION_VALUE),
            reprs: self.texts(&reload::RELOAD_ON_EXCEPTION_REPR),
        };
        if is_any {
            return Some(ExceptionRules::default());
        }
        Some(rules).filter(|rules| *rules != ExceptionRules::default())
    }

    /// 0 and nothing are no limit.
    fn limit(&mut self, row: &OptionRow) -> Result<Option<u64>, ConfigError> {
        Ok(Some(self.number(row)?).filter(|limit| *limit > 0))
    }

    fn megabytes(&mut self, row: &OptionRow) -> Result<Option<u64>, ConfigError> {
        let limit = self.limit(row)?;
        Ok(limit.map(|megabytes| megabytes.saturating_mul(1 << 20)))
    }

    /// 0 and nothing are no time.
    fn time(&mut self, row: &OptionRow) -> Result<Option<Duration>, ConfigError> {
        match self.raw.last(row) {
            None => Ok(None),
            Some(_) => Ok(Some(self.seconds(row)?).filter(|time| !time.is_zero())),
        }
    }
}
