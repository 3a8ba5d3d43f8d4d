//! Unix: what a process is for.

pub use crate::os::held_signals::take_signals;
use crate::reload::handover::channel::Line;
use crate::reload::handover::message::VERSION;
use crate::reload::handover::origin::{Step, VARIABLE};

/// What this process is for. Call it once, at start.
pub fn step() -> Step {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Step::First;
    };
    let words: Vec<&str> = text.split(' ').collect();
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    match words.as_slice() {
        ["successor", VERSION, pid] if parent.as_deref() == Some(*pid) => Line::to_starter()
            .inspect_err(|error| tracing::error!(%error, "the process to succeed is gone"))
            .map_or(Step::First, Step::Successor),
        _ => Step::First,
    }
}
