//! Raw settings of the control socket, the fifos and the stats server become their part of the
//! [`Config`](super::Config).

use super::options;
use super::types::{ControlConfig, ControlDoor};
use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::values::address;
use crate::config::values::address::Address;
use crate::config::values::reader::Reader;

impl Reader<'_> {
    pub(crate) fn control(&mut self) -> Result<ControlConfig, ConfigError> {
        let door = self.raw.last(&options::CONTROL).map(door).transpose()?;
        let stats = self.raw.last(&options::STATS).map(|setting| {
            match address::parse(&setting.text).map_err(|why| wrong(setting, &why))? {
                Address::Descriptor(_) => Err(setting.error("wants a port or a path of its own")),
                address => Ok(address),
            }
        });
        Ok(ControlConfig {
            door: door.unwrap_or_default(),
            token_file: self.path(&options::CONTROL_TOKEN)?,
            fifos: self.paths(&options::MASTER_FIFO)?,
            stats: stats.transpose()?,
            stats_http: self.flag(&options::STATS_HTTP),
            stats_minified: self.flag(&options::STATS_MINIFIED),
            stats_cores: !self.flag(&options::STATS_NO_CORES),
        })
    }
}

/// What `--control` says.
pub(crate) fn door(setting: &Setting) -> Result<ControlDoor, ConfigError> {
    if setting.text == "none" {
        return Ok(ControlDoor::Shut);
    }
    let text = match setting.text.as_str() {
        // A bare port is one of this machine here.
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("127.0.0.1:{port}"),
        text if text.starts_with(':') => format!("127.0.0.1{text}"),
        text => text.to_owned(),
    };
    match address::parse(&text).map_err(|why| wrong(setting, &why))? {
        Address::Tcp(address) if !address.ip().is_loopback() => Err(setting
            .error(format_args!(
                "must not be reached from elsewhere, got {address}"
            ))
            .hint("use 127.0.0.1 or a unix socket; ssh goes to it from elsewhere")),
        Address::Descriptor(_) => Err(setting.error("wants a port or a path of its own")),
        address => Ok(ControlDoor::At(address)),
    }
}

fn wrong(setting: &Setting, why: &str) -> ConfigError {
    setting.error(format_args!("'{}': {why}", setting.text))
}
