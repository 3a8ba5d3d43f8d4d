//! Windows has no numbers to become: a service runs as the account that it was set up with.

use crate::config::Config;
use crate::config::Failure;

/// `--immediate-uid` and `--immediate-gid`.
pub fn drop_at_once(config: &Config) -> Result<(), Failure> {
    let process = &config.process;
    refuse(config, process.immediate_uid.is_some(), "immediate-uid")?;
    refuse(config, process.immediate_gid.is_some(), "immediate-gid")
}

/// `--uid`, `--gid`, `--add-gid`.
pub fn drop(config: &Config) -> Result<(), Failure> {
    let process = &config.process;
    refuse(config, process.uid.is_some(), "uid")?;
    refuse(config, process.gid.is_some(), "gid")?;
    refuse(config, !process.add_gid.is_empty(), "add-gid")
}

/// Whether [`drop_at_once`] and [`drop`] would do.
pub fn check(config: &Config) -> Result<(), Failure> {
    drop_at_once(config)?;
    drop(config)
}

/// The server keeps its user.
pub fn future(_config: &Config) -> (Option<u32>, Option<u32>) {
    (None, None)
}

fn refuse(config: &Config, is_given: bool, option: &'static str) -> Result<(), Failure> {
    if !is_given {
        return Ok(());
    }
    Err(Failure::about(
        config,
        option,
        "Windows cannot change the user of a running process: start the server as that user",
    ))
}
