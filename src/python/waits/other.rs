//! Windows: sleeps and waits for locks are interrupted, waits for sockets are not.

use std::ffi::c_int;

#[derive(Debug, Default)]
pub(super) struct WakeUp;

#[expect(clippy::unused_self, reason = "as on Unix")]
impl WakeUp {
    pub(super) fn get(&self) -> Option<c_int> {
        None
    }

    pub(super) fn set(&self) {}

    pub(super) fn clear(&self) {}
}

pub(super) fn end_reads(_descriptor: c_int) {}

pub(super) fn nudge(_ident: u64) {}
