//! The end of what serves: its connections, then its workers. Runs on `sm-stop`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::app::{Current, Roster};
use crate::net::Net;

/// What an interpreter's own threads are given to finish when it ends. Nobody waits for an answer any more then, so a stop
/// does not wait for one of them as it does for a request.
pub(super) const END_GRACE_MAX: Duration = Duration::from_secs(5);

/// What is left to workers when the mercy is over: the ones that are idle end their interpreters.
const CUT_OFF_GRACE: Duration = Duration::from_secs(1);

/// Ends the generation in charge, and waits for its workers and for those who are still at work of earlier ones.
pub fn end(
    net: &Net,
    current: &Current,
    mut at_work: Vec<Roster>,
    (mercy, all_closed): (Duration, bool),
) {
    if !all_closed {
        tracing::warn!(
            connections = net.open_connections(),
            "the time is up: cutting off what is still in progress"
        );
    }
    // Those of old generations that are still at work are in `at_work` already.
    if let Some(generation) = current.swap(None) {
        at_work.push(generation.roster());
    }
    // Workers that still run a request do not come back in time; the others only have to end their interpreters.
    let grace = if all_closed {
        mercy.min(END_GRACE_MAX)
    } else {
        CUT_OFF_GRACE
    };
    let deadline = Instant::now() + grace + CUT_OFF_GRACE;
    let left: usize = at_work.iter().map(|roster| roster.wait(deadline)).sum();
    if left > 0 && all_closed {
        tracing::warn!(threads = left, "workers did not end in time");
    }
}

/// What the server has done; what did not happen is not mentioned.
pub fn summary(net: &Net) -> String {
    let counters = &net.counters;
    let all = [
        (&counters.requests, "requests"),
        (&counters.refused, "refused"),
        (&counters.shed, "full queue"),
        (&counters.abandoned, "client gone"),
        (&counters.expired, "deadlines passed"),
        (&counters.accepted, "connections"),
    ];
    let words: Vec<String> = all
        .iter()
        .map(|(counter, what)| (counter.load(Ordering::Relaxed), what))
        .filter(|(count, what)| *count > 0 || **what == "requests")
        .map(|(count, what)| format!("{what}: {count}"))
        .collect();
    words.join(", ")
}
