//! The events of the supervisor. Any thread sends; the main thread receives.

use std::borrow::Cow;

use crossbeam::channel::Sender;

use super::handover::message::FromPredecessor;
use super::task::TaskResult;
use crate::app::RecycleRequest;

/// An event of the supervisor. `by` names the cause, for the log.
pub enum Event {
    /// Stop; a second one stops at once.
    Stop {
        by: &'static str,
        signal: i32,
    },
    /// Stop without waiting for requests in progress.
    StopNow {
        by: &'static str,
    },
    /// Reload, and open the log again.
    Reload {
        by: Cow<'static, str>,
    },
    /// Reload, and answer the client with this request number (`ReloadHistory::next_number`).
    Asked {
        number: u64,
        /// One interpreter after the other.
        is_rolling: bool,
    },
    ReopenLog {
        by: String,
    },
    RotateLog {
        by: String,
    },
    /// Log what `singlemalt status` shows.
    #[cfg_attr(windows, expect(dead_code, reason = "only a signal asks for it"))]
    LogStatus {
        by: &'static str,
    },
    /// Replace one interpreter after the other.
    ChainReload {
        by: Cow<'static, str>,
    },
    /// Withdraw the canary, or put the previous generation back in charge.
    Rollback {
        by: Cow<'static, str>,
        /// Gets the outcome: what was done, or why nothing was.
        reply: Option<Sender<Result<String, String>>>,
    },
    /// The file of a `hook-touch` was touched: the number of the hook.
    Touched(usize),
    Due(RecycleRequest),
    /// The generation with this number has requests and no interpreter.
    Wanted(u64),
    /// One more interpreter, or one less (`+` and `-` of uWSGI's master-fifo).
    Adjust {
        by: Cow<'static, str>,
        is_up: bool,
    },
    /// No interpreter until the next request (`C` of uWSGI's master-fifo).
    #[cfg_attr(windows, expect(dead_code, reason = "only the fifo asks for it"))]
    Rest {
        by: Cow<'static, str>,
    },
    Done(Box<TaskResult>),
    Retired {
        generation: u64,
    },
    /// Renew the process, which has workers that cannot be ended otherwise.
    Renew {
        by: String,
    },
    /// The application needs the main interpreter: an extension has refused another one.
    MainInterpreter,
    /// An interpreter could not be ended and stays.
    InterpreterParked,
    /// This process, which a successor replaces, has no request in progress any more, or its time
    /// is up.
    Drained {
        /// The successor's process id.
        pid: u32,
        all_closed: bool,
    },
    /// A message from the predecessor.
    Predecessor(FromPredecessor),
    SuccessorEnded {
        how: String,
    },
    Stopped,
}

impl Event {
    pub fn stop(by: &'static str, signal: i32) -> Self {
        Self::Stop { by, signal }
    }

    /// Start or end one interpreter.
    #[cfg_attr(
        windows,
        expect(dead_code, reason = "only a signal or the fifo asks for it")
    )]
    pub fn adjust(by: impl Into<Cow<'static, str>>, is_up: bool) -> Self {
        Self::Adjust {
            by: by.into(),
            is_up,
        }
    }

    pub fn reload(by: impl Into<Cow<'static, str>>) -> Self {
        Self::Reload { by: by.into() }
    }

    /// Roll back, without an answer.
    pub fn rollback(by: impl Into<Cow<'static, str>>) -> Self {
        Self::Rollback {
            by: by.into(),
            reply: None,
        }
    }
}
