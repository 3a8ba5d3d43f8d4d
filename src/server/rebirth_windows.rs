//! Windows: a process cannot start anew in its own place.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crossbeam::channel::Receiver;

use super::certificates::Certificates;
use super::failure::Failure;
use super::stand_in::StandIn;
use super::vacuum::Vacuum;
use crate::app::{Current, Patience};
use crate::config::Config;
use crate::net::{Listener, Net};

/// The variable that has a meaning elsewhere.
pub const VARIABLE: &str = "_SINGLEMALT_REBIRTH";

/// Whether this system can do it.
pub const IS_POSSIBLE: bool = false;

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Origin;

/// What this process is for.
pub enum Step {
    /// A start like any other.
    First,
}

impl Step {
    /// Never.
    pub fn is_stand_in(&self) -> bool {
        false
    }
}

/// What a process leaves to itself: there is none.
pub enum Inheritance {}

impl Origin {
    /// Nothing is needed.
    ///
    /// # Errors
    /// None.
    pub fn now() -> io::Result<Self> {
        Ok(Self)
    }

    /// There is no next image.
    pub fn forget(&mut self, _variable: &str) {}

    /// There is no next image.
    pub fn remember(&mut self, _variable: &str, _value: String) {}

    /// Never asked for.
    ///
    /// # Errors
    /// Always.
    pub fn stand_in(
        &self,
        _net: &Net,
        _needed: &[bool],
        _patience: &Patience,
    ) -> Result<StandIn, String> {
        Err("this system cannot do it".to_owned())
    }

    /// Never asked for.
    pub fn begin_again(&self, inheritance: &Inheritance) -> io::Error {
        match *inheritance {}
    }
}

impl Inheritance {
    /// Never.
    pub fn stand_in(&self) -> Option<StandIn> {
        match *self {}
    }

    /// Never.
    pub fn count_failure(&mut self) -> u32 {
        match *self {}
    }

    /// Never.
    pub fn wants_reload(&self) -> bool {
        match *self {}
    }

    /// Never.
    pub fn wants_stop(&self) -> bool {
        match *self {}
    }

    /// Never.
    pub fn since(&self) -> SystemTime {
        match *self {}
    }

    /// Nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(
        &mut self,
        _config: &Config,
        _certificates: &Certificates,
        _vacuum: &mut Vacuum,
    ) -> Result<(Vec<Listener>, Vec<Infallible>, Places), Failure> {
        match *self {}
    }
}

/// Nothing is left.
pub type Places = ();

/// Nothing comes back.
///
/// # Errors
/// None.
pub fn adopt(
    _given_back: Receiver<Infallible>,
    _places: Places,
    _net: &Arc<Net>,
    _current: &Arc<Current>,
) -> io::Result<()> {
    Ok(())
}

/// Nothing waits.
pub fn go_on(_waiting: Vec<Infallible>, _net: &Net, _current: &Current) {}

/// There are no signals.
pub fn take_signals() {}

/// This one.
pub fn pid_of(_step: &Step) -> u32 {
    std::process::id()
}

/// What this process is for.
pub fn step() -> Step {
    Step::First
}
