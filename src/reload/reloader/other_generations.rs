//! The generations beside the one in charge. Used by the main thread.

use std::sync::Arc;
use std::time::Instant;

use crate::app::Generation;
use crate::reload::canary::Canary;
use crate::reload::version::Version;

/// The generations beside the one in charge, and what follows from how it came into charge.
#[derive(Default)]
pub(super) struct OtherGenerations {
    pub(super) canary: Option<CanaryGeneration>,
    pub(super) previous: Option<PreviousGeneration>,
    /// The generation in charge is older than the code on the disk: a later one was withdrawn.
    pub(super) is_put_back: bool,
    /// The generation that loads now is not to come into charge.
    pub(super) is_unwanted: bool,
}

/// A new generation that gets a share of the requests.
pub(super) struct CanaryGeneration {
    pub(super) generation: Arc<Generation>,
    pub(super) version: Arc<Version>,
    pub(super) canary: Canary,
}

/// The generation before the one in charge, kept for a rollback.
pub(super) struct PreviousGeneration {
    pub(super) generation: Arc<Generation>,
    pub(super) version: Arc<Version>,
    pub(super) until: Instant,
}

impl OtherGenerations {
    /// Every interpreter was loaded anew from the disk.
    pub(super) fn note_all_fresh(&mut self) {
        self.is_put_back = false;
    }

    pub(super) fn take_unwanted(&mut self) -> bool {
        std::mem::take(&mut self.is_unwanted)
    }
}
