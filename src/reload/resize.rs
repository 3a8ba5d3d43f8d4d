//! Starts and ends single interpreters of the serving generation, on `sm-reload`.

use std::time::Duration;

use super::pending::Resize;
use crate::app::{Deadlines, StartError, Workers};

pub(crate) enum Resized {
    Grew(Result<Vec<usize>, StartError>),
    /// The worker that ended, unless it was the last one.
    Shrank(Option<usize>),
    /// Whether every interpreter has ended.
    Rested(bool),
    Woke(Result<usize, WakeError>),
}

/// No interpreter could be started for a waiting request.
pub(crate) struct WakeError {
    pub error: StartError,
    /// How long no further attempt is made.
    pub pause: Duration,
}

/// Changes the number of interpreters. `at_waking`: how many there are after [`Resize::Wake`].
pub(crate) fn resize(
    resize: Resize,
    workers: &Workers,
    at_waking: usize,
    deadlines: &Deadlines,
    grace: Duration,
) -> Resized {
    match resize {
        Resize::Grow { count, why } => {
            tracing::info!("{why}: starting {count} more");
            Resized::Grew(workers.add_workers(count, deadlines))
        }
        Resize::Shrink { why } => {
            tracing::info!("{why}: ending one");
            Resized::Shrank(workers.remove_oldest(grace))
        }
        Resize::Rest => Resized::Rested(workers.go_idle(grace)),
        Resize::Wake => Resized::Woke(wake(workers, at_waking, deadlines)),
    }
}

fn wake(workers: &Workers, at_waking: usize, deadlines: &Deadlines) -> Result<usize, WakeError> {
    // The request waits for the first one only; the others start side by side.
    let started = workers.add_workers(1, deadlines).and_then(|first| {
        let others = workers.add_workers(at_waking.saturating_sub(first.len()), deadlines)?;
        Ok(first.len() + others.len())
    });
    started.or_else(|error| match workers.groups().len() {
        0 => Err(WakeError {
            error,
            pause: workers.fail_waking(),
        }),
        // The policy, or the next waking, tries again to start the others.
        count => {
            tracing::error!("not all interpreters could be started: {error}");
            Ok(count)
        }
    })
}
