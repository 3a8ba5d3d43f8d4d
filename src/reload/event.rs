//! What the supervisor is asked and told. Any thread sends; the main thread receives.

use std::borrow::Cow;

use crossbeam::channel::Sender;

use super::handover::successor_process::Heard;
use super::reloader::Done;
use crate::app::Due;

/// What the supervisor is told.
pub enum Event {
    /// Stop; a second one stops at once.
    Stop {
        /// What asked for it, for the log.
        by: &'static str,
        /// The signal's number.
        signal: i32,
    },
    /// Stop without waiting for requests in progress.
    StopNow {
        /// What asked for it, for the log.
        by: &'static str,
    },
    /// Reload; the log is opened anew.
    Reload {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
    },
    /// Somebody waits for the reload with this number (`Journal::number`).
    Asked {
        /// The number.
        number: u64,
        /// One interpreter after the other.
        is_rolling: bool,
    },
    /// Open the log anew, and nothing else.
    ReopenLog {
        /// What asked for it, for the log.
        by: String,
    },
    /// One interpreter after the other is to be replaced.
    ChainReload {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
    },
    /// Go back to the generation before: a canary ends, or the one that is kept is put back.
    Rollback {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
        /// Who waits for the outcome, in words: what was done, or why nothing was.
        reply: Option<Sender<Result<String, String>>>,
    },
    /// The file of a `hook-touch` was touched: the number of the hook.
    Touched(usize),
    /// An interpreter is due to be replaced.
    Due(Due),
    /// A generation, of this number, has requests and no interpreter.
    Wanted(u64),
    /// One more interpreter, or one less (`+` and `-` of uWSGI's master-fifo).
    Adjust {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
        /// One more.
        is_up: bool,
    },
    /// No interpreter until the next request (`C` of uWSGI's master-fifo).
    #[cfg_attr(
        windows,
        expect(dead_code, reason = "only a fifo's letter asks for it")
    )]
    Rest {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
    },
    /// What was to be renewed is, or could not be.
    Done(Box<Done>),
    /// An old generation has ended.
    Retired {
        /// Its number.
        generation: u64,
    },
    /// The process itself is to be renewed: it has something that it cannot get rid of otherwise.
    Renew {
        /// What asked for it, for the log.
        by: String,
    },
    /// The process that leaves its place to a successor has nothing under way any more, or its time is up.
    Drained {
        /// The successor's process id.
        pid: i32,
        /// There is nothing under way.
        all_closed: bool,
    },
    /// What the process before this one tells, or the one after it.
    StandIn(Heard),
    /// The stop is complete.
    Stopped,
}

impl Event {
    /// A wish to stop.
    pub fn stop(by: &'static str, signal: i32) -> Self {
        Self::Stop { by, signal }
    }

    /// A wish for one more interpreter, or one less.
    #[cfg_attr(
        windows,
        expect(dead_code, reason = "only a signal or a fifo's letter asks for it")
    )]
    pub fn adjust(by: impl Into<Cow<'static, str>>, is_up: bool) -> Self {
        Self::Adjust {
            by: by.into(),
            is_up,
        }
    }

    /// A wish to reload.
    pub fn reload(by: impl Into<Cow<'static, str>>) -> Self {
        Self::Reload { by: by.into() }
    }

    /// A wish to go back; nobody waits for the outcome.
    pub fn rollback(by: impl Into<Cow<'static, str>>) -> Self {
        Self::Rollback {
            by: by.into(),
            reply: None,
        }
    }
}
