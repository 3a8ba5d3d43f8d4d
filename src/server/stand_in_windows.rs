//! Windows: a process cannot start anew in its own place, so nobody stands in for it.

use std::convert::Infallible;
use std::time::Instant;

/// A handle on a process that there is not.
#[derive(Clone, Debug)]
pub enum StandIn {}

/// What it would tell.
#[derive(Debug)]
pub enum Heard {
    /// Go on with this connection.
    Connection(Infallible),
    /// Its application wants a reload.
    WishReload,
    /// Its application wants a stop.
    WishStop,
    /// It has left: how.
    Left(String),
}

impl StandIn {
    /// Never.
    pub fn pid(&self) -> i32 {
        match *self {}
    }

    /// Never.
    pub fn tell(&self, _listening: impl FnMut(Heard) + Send + 'static) {
        match *self {}
    }

    /// Never.
    pub fn left(&self) -> Option<String> {
        match *self {}
    }

    /// Never.
    pub fn take_back(&self) -> bool {
        match *self {}
    }

    /// Never.
    pub fn stop(&self) {
        match *self {}
    }

    /// Never.
    pub fn kill(&self) {
        match *self {}
    }

    /// Never.
    pub fn see_off(&self, _deadline: Instant) {
        match *self {}
    }
}
