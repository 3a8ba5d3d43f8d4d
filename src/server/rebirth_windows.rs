//! Windows: a process cannot start anew in its own place.

use std::convert::Infallible;
use std::io;
use std::time::SystemTime;

use super::certificates::Certificates;
use super::failure::Failure;
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
    pub fn prove(&self, _patience: &Patience) -> Result<(), String> {
        Err("this system cannot do it".to_owned())
    }

    /// Never asked for.
    pub fn begin_again(&self, inheritance: &Inheritance) -> io::Error {
        match *inheritance {}
    }
}

impl Inheritance {
    /// Never.
    pub fn since(&self) -> SystemTime {
        match *self {}
    }

    /// Nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(
        self,
        _config: &Config,
        _certificates: &Certificates,
        _vacuum: &mut Vacuum,
    ) -> Result<(Vec<Listener>, Vec<Infallible>), Failure> {
        match self {}
    }
}

/// Nothing waits.
pub fn go_on(_waiting: Vec<Infallible>, _net: &Net, _current: &Current) {}

/// There are no signals.
pub fn take_signals() {}

/// What this process is for.
pub fn step() -> Step {
    Step::First
}
