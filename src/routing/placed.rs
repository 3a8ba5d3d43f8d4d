//! Rules with the places where they are written, as the configuration has them.

use std::fmt;

use super::language::action::{Action, Users};
use super::language::{Chain, Step};

/// A rule, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub chain: Chain,
    pub step: Step,
    /// For messages: `route (uwsgi.ini line 3)`.
    pub origin: String,
}

impl Placed {
    pub(super) fn error(&self, why: String) -> RulesError {
        RulesError {
            origin: self.origin.clone(),
            why,
        }
    }
}

/// Rules that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError {
    pub origin: String,
    /// The end of a sentence that begins with the origin.
    pub why: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.origin, self.why)
    }
}

/// Whether some rules take long: the hashes of an htpasswd file may be slow on purpose.
pub fn may_take_long(placed: &[Placed]) -> bool {
    let mut rules = placed.iter().filter_map(|placed| match &placed.step {
        Step::Rule(rule) => Some(rule),
        Step::Label(_) => None,
    });
    rules.any(|rule| {
        matches!(&rule.action, Action::BasicAuth(auth) if matches!(auth.users, Users::File(_)))
    })
}
