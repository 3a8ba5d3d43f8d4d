//! Lines of the log about generations. Pure.

use std::time::Duration;

use crate::app::Report;
use crate::python::Isolation;

/// A generation has taken over.
pub fn reloaded(id: u64, report: &Report, elapsed: Duration) -> String {
    let interpreters = counted(report.interpreters.len(), "interpreter");
    let seconds = elapsed.as_secs_f64();
    let mut text = format!("generation {id} serves ({interpreters} in {seconds:.2} s");
    if report.isolation == Isolation::Main {
        text.push_str(", isolation main");
    }
    text.push(')');
    text
}

/// A generation is ready and becomes the canary.
pub fn ready(id: u64, report: &Report, elapsed: Duration) -> String {
    let interpreters = counted(report.interpreters.len(), "interpreter");
    let seconds = elapsed.as_secs_f64();
    format!("generation {id} is ready ({interpreters} in {seconds:.2} s)")
}

/// A configured time: `5 min`, `90 s`, `0.5 s`.
pub fn time(time: Duration) -> String {
    // The rest of a stage is a moment less than the configured time.
    let tenths = (time.as_secs_f64() * 10.0).round();
    let seconds = tenths / 10.0;
    if seconds >= 120.0 && seconds % 60.0 == 0.0 {
        return format!("{} min", seconds / 60.0);
    }
    format!("{seconds} s")
}

/// An old generation has ended.
pub fn retired(id: u64, finished: u64, parked: usize) -> String {
    let finished = usize::try_from(finished).unwrap_or(usize::MAX);
    let requests = counted(finished, "request");
    let mut text = format!("generation {id} ended ({requests} finished)");
    if parked > 0 {
        let interpreters = counted(parked, "interpreter");
        let all = crate::python::parked_count();
        text = format!(
            "generation {id} ended ({requests} finished, {interpreters} parked, {all} in all)"
        );
    }
    text
}

/// `2 threads`, `1 thread`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
