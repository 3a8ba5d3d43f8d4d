//! Windows: nobody leaves his place, because nobody could come back to it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::rebirth::Inheritance;
use super::stand_in::StandIn;
use super::supervisor::Event;
use crate::app::Current;
use crate::net::Net;
use crossbeam::channel::Sender;

/// There is none.
pub struct Relay {
    /// Never looked at.
    pub wants_reload: bool,
    /// Never looked at.
    pub is_drained: bool,
    never: Infallible,
}

impl Relay {
    /// Never asked for.
    ///
    /// # Errors
    /// None.
    pub fn begin(
        _net: &Arc<Net>,
        _current: &Arc<Current>,
        stand_in: StandIn,
        _events: (&Sender<Event>, Duration),
    ) -> Result<Self, String> {
        match stand_in {}
    }

    /// Never.
    pub fn pid(&self) -> i32 {
        match self.never {}
    }

    /// Never.
    pub fn stand_in(&self) -> &StandIn {
        match self.never {}
    }

    /// Never.
    pub fn go_back(self, _net: &Arc<Net>, _current: &Current) {
        match self.never {}
    }

    /// Never.
    pub fn stop(self, _net: &Net) -> StandIn {
        match self.never {}
    }

    /// Never.
    ///
    /// # Errors
    /// None.
    pub fn finish(self, _net: &Net) -> std::io::Result<Inheritance> {
        match self.never {}
    }
}
