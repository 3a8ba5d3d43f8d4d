//! Why a request is refused. The peer is always to blame; the answer always closes the connection,
//! because the start of the next request is unknown after a refusal. Pure data, any thread.

use std::fmt;

/// A refusal: the status to answer with, and one sentence for the log and the curious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer: always 4xx or 5xx.
    pub status: u16,
    /// What was wrong, for people. Never holds bytes of the request, so it is safe in a log and in
    /// an answer.
    pub why: &'static str,
}

impl Refusal {
    /// 400: the bytes are not a request as RFC 9112 has it, or two parsers could disagree about
    /// them.
    pub(super) const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }

    pub(super) const fn with(status: u16, why: &'static str) -> Self {
        Self { status, why }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.status,
            super::response::reason(self.status),
            self.why
        )
    }
}

impl std::error::Error for Refusal {}
