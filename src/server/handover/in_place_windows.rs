//! Windows: what a process is for.

use crate::reload::handover::channel::Line;
use crate::reload::handover::message::VERSION;
use crate::reload::handover::origin::{Step, VARIABLE};

/// There are no signals.
pub fn take_signals() {}

/// What this process is for. Call it once, at start. The variable alone is nothing: whoever starts
/// a successor also talks to it.
pub fn step() -> Step {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let mut words = text.split(' ');
    if (words.next(), words.next()) != (Some("successor"), Some(VERSION)) {
        return Step::First;
    }
    Line::to_starter()
        .inspect_err(|error| tracing::error!(%error, "the process to succeed is gone"))
        .map_or(Step::First, Step::Successor)
}
