//! Unix: descriptors that end a wait, and a signal that interrupts one. Any thread.

use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Once, OnceLock};

/// A descriptor that is readable between [`set`](Self::set) and [`clear`](Self::clear). It is made
/// when it is first asked for: most interpreters need none.
#[derive(Debug, Default)]
pub(super) struct WakeUp(OnceLock<Option<[UnixStream; 2]>>);

impl WakeUp {
    pub(super) fn get(&self) -> Option<c_int> {
        let pair = self.0.get_or_init(|| {
            let (reader, writer) = UnixStream::pair().ok()?;
            for end in [&reader, &writer] {
                end.set_nonblocking(true).ok()?;
            }
            Some([reader, writer])
        });
        let [reader, _writer] = pair.as_ref()?;
        Some(reader.as_raw_fd())
    }

    pub(super) fn set(&self) {
        if let Some([_reader, writer]) = self.0.get().and_then(Option::as_ref) {
            // An error: it is readable already.
            std::io::Write::write(&mut &*writer, &[1]).ok();
        }
    }

    pub(super) fn clear(&self) {
        if let Some([reader, _writer]) = self.0.get().and_then(Option::as_ref) {
            let mut read = [0; 64];
            while std::io::Read::read(&mut &*reader, &mut read).is_ok_and(|count| count > 0) {}
        }
    }
}

/// See `end_reads` of `functions`.
pub(super) fn end_reads(descriptor: c_int) {
    let Ok((end, closed)) = UnixStream::pair() else {
        return;
    };
    drop(closed);
    // SAFETY: both are descriptors; `descriptor` belongs to an object of the interpreter that ends,
    // whose GIL is held, so the object has not closed it meanwhile.
    unsafe {
        if libc::dup2(end.as_raw_fd(), descriptor) >= 0 {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// The signal that interrupts a system call. By default it is ignored, and nothing else uses it here.
const SIGNAL: c_int = libc::SIGURG;

extern "C" fn interrupted(_signal: c_int) {}

/// See `nudge` of `functions`.
pub(super) fn nudge(ident: u64) {
    static HANDLED: Once = Once::new();
    HANDLED.call_once(|| {
        // SAFETY: the action is a plain struct; the handler does nothing. Without SA_RESTART the
        // system call returns.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = interrupted as extern "C" fn(c_int) as usize;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut());
        }
    });
    // SAFETY: the caller's thread lives (`nudge` of `functions`), so its number is valid.
    unsafe {
        libc::pthread_kill(ident as libc::pthread_t, SIGNAL);
    }
}
