//! The niceness of a thread: Linux gives each its own. Runs on the thread itself.

pub(super) fn set_nice(nice: i32) {
    // The calling thread only.
    if nice > 0
        && let Err(error) = rustix::process::setpriority_process(None, nice)
    {
        tracing::warn!("cannot set the niceness of the spooler (--spooler-nice): {error}");
    }
}
