//! Linux: the requests that were in progress in a process that was killed, from the memory that it
//! has shared.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::channel::Handle;
use crate::telemetry::in_progress::{SHARED_BYTES, left_in};

/// Threads use places one after the other: more than one of them is in so many bytes.
const BLOCK_BYTES: usize = 16 << 10;

/// Logs them, unless the process has.
pub(super) fn report(memory: Option<&Handle>) {
    let Some(memory) = memory else { return };
    let words = match read(memory) {
        Ok(words) => words,
        Err(error) => {
            tracing::debug!(%error, "reading the requests in progress");
            return;
        }
    };
    let Some(jobs) = left_in(&words) else { return };
    if jobs.is_empty() {
        tracing::error!("in progress: no request");
    }
    for job in jobs {
        tracing::error!("in progress: {job}");
    }
}

/// The memory up to its first block that no thread has used.
fn read(memory: &Handle) -> io::Result<Vec<u64>> {
    let file = File::from(memory.try_clone()?);
    let (mut words, mut at) = (Vec::new(), 0);
    while at < SHARED_BYTES {
        let mut bytes = vec![0; BLOCK_BYTES.min(SHARED_BYTES - at)];
        file.read_exact_at(&mut bytes, at as u64)?;
        at += bytes.len();
        let (read, _rest) = bytes.as_chunks::<8>();
        let before = words.len();
        words.extend(read.iter().map(|word| u64::from_ne_bytes(*word)));
        let is_unused = |words: &[u64]| words.iter().all(|word| *word == 0);
        if words.get(before..).is_some_and(is_unused) {
            break;
        }
    }
    Ok(words)
}
