//! Locks on files: not on this system.

use crate::config::Config;
use crate::config::Failure;

pub type Locks = ();

pub fn take(
    config: &Config,
    late: bool,
    _say: &dyn Fn(&str),
    _left: &mut Locks,
) -> Result<Locks, Failure> {
    match config.start.locks.iter().find(|lock| lock.is_late == late) {
        Some(lock) => Err(Failure::about(
            config,
            lock.option,
            "files cannot be locked this way on this system",
        )),
        None => Ok(()),
    }
}

/// Whether there are none.
pub fn check(config: &Config, is_late: bool) -> Result<(), Failure> {
    take(config, is_late, &|_| {}, &mut ())
}
