//! Linux: the requests that were in progress in a process that was killed, from the memory that it
//! has shared.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::channel::Handle;
use crate::telemetry::in_progress::{SHARED_BYTES, left_in};

/// Logs them, unless the process has.
pub(super) fn report(memory: Option<&Handle>) {
    let Some(memory) = memory else { return };
    let mut bytes = vec![0; SHARED_BYTES];
    let read = memory
        .try_clone()
        .and_then(|memory| File::from(memory).read_exact_at(&mut bytes, 0));
    if let Err(error) = read {
        tracing::debug!(%error, "reading the requests in progress");
        return;
    }
    let (words, _rest) = bytes.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    let Some(jobs) = left_in(&words) else { return };
    if jobs.is_empty() {
        tracing::error!("in progress: no request");
    }
    for job in jobs {
        tracing::error!("in progress: {job}");
    }
}
