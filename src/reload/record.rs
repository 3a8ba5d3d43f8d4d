//! Reloads as the status and the control socket report them. The fields' names are names of JSON.
//!
//! Times are seconds since 1970, spans are in the unit that their name says.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reload {
    /// `none`, `loading`, `canary`, `serves`, `partly`, `failed`, `withdrawn` or `given up`.
    pub outcome: &'static str,
    /// Counts them, from 1; 0 for none.
    pub number: u64,
    pub by: String,
    /// `swap`, `rolling`, `exec` or `rollback`.
    pub way: &'static str,
    /// The generation that served when it began; 0 if another process served then.
    pub old: u64,
    /// The generation that it makes, made or put back; 0 for none.
    pub makes: u64,
    pub since: u64,
    /// How long it took, or has taken so far.
    pub seconds: f64,
    /// The generation that serves because of it, 0 for none.
    pub generation: u64,
    /// Why it failed: one line; the log has the rest.
    pub reason: String,
    pub one_more_waits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryReport>,
}

/// What a canary has shown so far. The numbers are of its present stage; they are updated every
/// second while it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CanaryReport {
    /// Of the requests, in percent.
    pub share_percent: f64,
    /// Which stage it is in, from 1.
    pub stage: usize,
    pub stages: usize,
    pub until: u64,
    pub requests: u64,
    /// Of these, failed ones.
    pub failed: u64,
    /// Requests that the old generation has answered in the same time.
    pub others_requests: u64,
    /// Of these, failed ones.
    pub others_failed: u64,
}

/// The generation that a rollback would put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RollbackTarget {
    pub generation: u64,
    pub until: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloads {
    /// That ended well; rollbacks to a kept generation, too.
    pub done: u64,
    /// That failed before they served a request, or failed in part.
    pub failed: u64,
    /// That were withdrawn while they were tried out, by their numbers or by hand.
    pub withdrawn: u64,
}
