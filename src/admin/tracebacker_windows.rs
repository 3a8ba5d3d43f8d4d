//! `--py-tracebacker` wants unix sockets, which this system does not have for us.

use std::sync::Arc;

use crate::app::process::Process;
use crate::config::Config;
use crate::config::Failure;
use crate::os::vacuum::Vacuum;

pub fn start(
    config: &Config,
    _process: &Arc<Process>,
    _vacuum: &mut Vacuum,
) -> Result<(), Failure> {
    check(config)
}

pub fn check(config: &Config) -> Result<(), Failure> {
    match config.python.tracebacker {
        None => Ok(()),
        Some(_) => Err(Failure::about(
            config,
            "py-tracebacker",
            "this system has no such sockets; leave it out",
        )),
    }
}
