//! Locks on files: not on this system.

use super::failure::Failure;
use crate::config::Config;

/// Locks nothing.
///
/// # Errors
/// Something is to be locked.
pub fn take(config: &Config, late: bool, _say: &dyn Fn(&str)) -> Result<(), Failure> {
    match config.start.locks.iter().find(|lock| lock.is_late == late) {
        Some(lock) => Err(Failure::about(
            config,
            lock.option,
            "files cannot be locked this way on this system",
        )),
        None => Ok(()),
    }
}
