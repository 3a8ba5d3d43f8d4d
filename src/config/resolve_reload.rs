//! Raw settings of reloads become their part of the [`Config`](super::Config).

use super::error::ConfigError;
use super::options::reload;
use super::reload_settings::ReloadConfig;
use super::resolve::Reader;

impl Reader<'_> {
    pub(super) fn reload(&mut self) -> Result<ReloadConfig, ConfigError> {
        Ok(ReloadConfig {
            timeout: self.deadline(&reload::RELOAD_TIMEOUT)?,
        })
    }
}
