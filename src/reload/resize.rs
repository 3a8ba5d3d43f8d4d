//! Starts and ends single interpreters of the serving generation, on `sm-reload`.

use std::time::Duration;

use super::pending::Resize;
use crate::app::{Patience, Roster, StartError};

/// The result of a resize.
pub(crate) enum Resized {
    /// The numbers of the new workers.
    Grew(Result<Vec<usize>, StartError>),
    /// The worker that ended, unless it was the last one.
    Shrank(Option<usize>),
    /// Whether every interpreter has ended.
    Rested(bool),
    /// How many interpreters run.
    Woke(Result<usize, WakeError>),
}

/// No interpreter could be started for a waiting request.
pub(crate) struct WakeError {
    /// Why.
    pub error: StartError,
    /// How long no further attempt is made.
    pub pause: Duration,
}

/// Changes the number of interpreters. `at_waking`: how many there are after [`Resize::Wake`].
pub(crate) fn resize(
    resize: Resize,
    roster: &Roster,
    at_waking: usize,
    patience: &Patience,
    grace: Duration,
) -> Resized {
    match resize {
        Resize::Grow { count, why } => {
            tracing::info!("{why}: starting {count} more");
            Resized::Grew(roster.hire(count, patience))
        }
        Resize::Shrink { why } => {
            tracing::info!("{why}: ending one");
            Resized::Shrank(roster.let_one_go(grace))
        }
        Resize::Rest => Resized::Rested(roster.go_to_rest(grace)),
        Resize::Wake => Resized::Woke(wake(roster, at_waking, patience)),
    }
}

fn wake(roster: &Roster, at_waking: usize, patience: &Patience) -> Result<usize, WakeError> {
    // The request waits for the first one only; the others start side by side.
    let started = roster.hire(1, patience).and_then(|first| {
        let others = roster.hire(at_waking.saturating_sub(first.len()), patience)?;
        Ok(first.len() + others.len())
    });
    started.or_else(|error| match roster.crews().len() {
        0 => Err(WakeError {
            error,
            pause: roster.give_up_waking(),
        }),
        // The policy, or the next waking, tries again to start the others.
        count => {
            tracing::error!("not all interpreters could be started: {error}");
            Ok(count)
        }
    })
}
