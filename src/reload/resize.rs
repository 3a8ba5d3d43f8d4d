//! More interpreters or fewer: what the reloader has done on `sm-reload`, through the same births and dismissals as a reload's.

use std::time::Duration;

use crate::app::{Patience, Roster, StartError};

use super::pending::Change;

/// What came of a change.
pub(crate) enum Changed {
    /// The numbers of the new ones.
    Grew(Result<Vec<usize>, StartError>),
    /// The one that went, if any could.
    Shrank(Option<usize>),
    /// Whether nobody serves now.
    Rested(bool),
    /// With how many, or how long nobody tries again.
    Woke(Result<usize, (StartError, Duration)>),
}

/// Changes how many interpreters there are. Runs on `sm-reload`.
pub(crate) fn carry_out(
    change: Change,
    roster: &Roster,
    at_waking: usize,
    patience: &Patience,
    grace: Duration,
) -> Changed {
    match change {
        Change::Grow { count, why } => {
            tracing::info!("{why}: starting {count} more");
            Changed::Grew(roster.hire(count, patience))
        }
        Change::Shrink { why } => {
            tracing::info!("{why}: ending one");
            Changed::Shrank(roster.let_one_go(grace))
        }
        Change::Rest => Changed::Rested(roster.go_to_rest(grace)),
        Change::Wake => {
            // The first one is what the request waits for; the others follow side by side.
            let born = roster.hire(1, patience).and_then(|first| {
                let others = roster.hire(at_waking.saturating_sub(first.len()), patience)?;
                Ok(first.len() + others.len())
            });
            Changed::Woke(born.or_else(|error| match roster.crews().len() {
                0 => Err((error, roster.give_up_waking())),
                // Some serve; the policy, or the next waking, tries again.
                count => {
                    tracing::error!("not all interpreters could be started: {error}");
                    Ok(count)
                }
            }))
        }
    }
}

/// Numbers, for the log.
pub(crate) fn listed(workers: &[usize]) -> String {
    let words: Vec<String> = workers.iter().map(usize::to_string).collect();
    words.join(", ")
}
