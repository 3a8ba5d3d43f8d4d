//! What the process prints to standard output and standard error, if these are a pipe to itself.

use std::io::{self, PipeReader, Read as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// A line without an end is one after so many bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The reading end.
#[derive(Default)]
pub(super) struct Captured {
    /// To ask how much waits there.
    pipe: OnceLock<PipeReader>,
    /// Bytes were read and are not lines of the log yet.
    is_busy: AtomicBool,
    /// Text that has no line end yet.
    begun: Mutex<Vec<u8>>,
}

impl Captured {
    pub(super) fn watch(&self, pipe: &PipeReader) -> io::Result<()> {
        let pipe = pipe.try_clone()?;
        self.pipe.get_or_init(|| pipe);
        Ok(())
    }

    /// Whether text was printed that is no line of the log yet.
    pub(super) fn has_unread(&self) -> bool {
        #[cfg(unix)]
        let waits = self
            .pipe
            .get()
            .is_some_and(|pipe| rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes > 0));
        #[cfg(not(unix))]
        let waits = false;
        waits || self.is_busy.load(Ordering::SeqCst)
    }

    /// Reads until the other ends are closed. `send` gets each whole line.
    pub(super) fn read(&self, pipe: &mut PipeReader, mut send: impl FnMut(&[u8])) {
        let mut buffer = vec![0; LINE_BYTES_MAX];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            self.is_busy.store(true, Ordering::SeqCst);
            let mut begun = self.begun.lock();
            begun.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let mut rest = begun.as_slice();
            while let Some(end) = memchr::memchr(b'\n', rest) {
                let (line, after) = rest.split_at(end + 1);
                send(line);
                rest = after;
            }
            if rest.len() > LINE_BYTES_MAX {
                send(rest);
                rest = &[];
            }
            let kept = begun.len() - rest.len();
            begun.drain(..kept);
            self.is_busy.store(false, Ordering::SeqCst);
        }
        self.end_line(send);
    }

    /// `send` gets the text that has no line end yet.
    pub(super) fn end_line(&self, mut send: impl FnMut(&[u8])) {
        let begun = std::mem::take(&mut *self.begun.lock());
        if !begun.is_empty() {
            send(&begun);
        }
    }
}
