//! A stop that is asked for before the server serves. It ends the start at the next place that
//! waits; a second one ends the process. Any thread.

use std::convert::Infallible;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::app::Deadlines;

static STATE: Mutex<State> = Mutex::new(State::NoStart);

enum State {
    /// The start is over, or this process is a successor, which its predecessor stops.
    NoStart,
    /// Dropping the sender cancels the start.
    Starting(#[expect(dead_code, reason = "it is dropped")] Sender<Infallible>),
    Cancelled,
}

/// What a stop means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The supervisor handles it.
    Stop,
    /// It has cancelled the start.
    Cancel,
    /// The start was cancelled before and has not ended: the process ends.
    EndProcess,
}

/// The start begins. Its deadlines end when a stop is asked for.
pub fn begin() -> Deadlines {
    let (sender, cancelled): (_, Receiver<Infallible>) = bounded(0);
    *STATE.lock() = State::Starting(sender);
    Deadlines {
        until: None,
        cancelled,
    }
}

/// The server serves: stops are the supervisor's.
pub fn end() {
    *STATE.lock() = State::NoStart;
}

/// A stop is asked for. `cancels` runs before the start ends by it.
pub fn stop(cancels: impl FnOnce()) -> Meaning {
    let mut state = STATE.lock();
    match &*state {
        State::NoStart => Meaning::Stop,
        State::Cancelled => Meaning::EndProcess,
        State::Starting(_) => {
            cancels();
            *state = State::Cancelled;
            Meaning::Cancel
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_first_stop_cancels_and_the_second_ends() {
        let deadlines = begin();
        assert!(deadlines.pause(Duration::ZERO).is_ok());
        assert_eq!(stop(|| ()), Meaning::Cancel);
        assert!(deadlines.pause(Duration::from_secs(3600)).is_err());
        assert_eq!(stop(|| ()), Meaning::EndProcess);
        end();
        assert_eq!(stop(|| ()), Meaning::Stop);
    }
}
