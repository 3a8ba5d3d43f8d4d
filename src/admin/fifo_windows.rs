//! Windows: there are no named pipes of that kind; `--control` and its commands do the same.

use std::sync::Arc;

use super::control_server::ControlHandler;
use crate::config::Config;
use crate::config::Failure;

pub struct Fifos;

impl Fifos {
    /// Says what to use instead, if there is to be any.
    pub fn start(
        config: &Config,
        _handler: &Arc<ControlHandler>,
        _is_successor: bool,
    ) -> Result<Self, Failure> {
        if let Some(origin) = config.origin("master-fifo") {
            tracing::warn!(
                "{origin}: without effect, this system has no such pipes; singlemalt reload, stop and status do the same"
            );
        }
        Ok(Self)
    }

    pub fn leave(&self) {}
}

/// There is nothing to make.
#[expect(clippy::unnecessary_wraps, reason = "as on the other systems")]
pub fn check(_config: &Config) -> Result<(), Failure> {
    Ok(())
}
