//! Signals as bytes in sockets, and signals that are held while a process has no handlers for them.
//!
//! A handler writes one byte into the socket of its signal. Bytes that nothing has read survive an
//! exec with the descriptors, so a signal is not lost while the process starts another program.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::low_level::pipe;

/// Signals that this process catches, each with the socket that its handler writes into.
#[derive(Debug)]
pub struct CaughtSignals(Vec<CaughtSignal>);

#[derive(Debug)]
struct CaughtSignal {
    number: i32,
    bytes: UnixStream,
}

/// A signal whose handler is gone.
pub struct LeftSignal {
    /// Its number.
    pub number: i32,
    /// Where the handler has written.
    pub socket: OwnedFd,
}

impl CaughtSignals {
    /// Sets handlers for these signals.
    ///
    /// # Errors
    /// A signal cannot be caught, or no descriptor is free.
    pub fn catch(numbers: impl IntoIterator<Item = i32>) -> io::Result<Self> {
        let catch = |number| {
            let (bytes, written) = UnixStream::pair()?;
            bytes.set_nonblocking(true)?;
            pipe::register(number, written)?;
            Ok(CaughtSignal { number, bytes })
        };
        let caught: io::Result<Vec<CaughtSignal>> = numbers.into_iter().map(catch).collect();
        caught.map(Self)
    }

    /// The sockets of an earlier program of this process, with bytes that it has not read.
    ///
    /// # Errors
    /// One is no socket.
    pub fn left(sockets: impl IntoIterator<Item = LeftSignal>) -> io::Result<Self> {
        let take = |left: LeftSignal| {
            let bytes = UnixStream::from(left.socket);
            bytes.set_nonblocking(true)?;
            Ok(CaughtSignal {
                number: left.number,
                bytes,
            })
        };
        let taken: io::Result<Vec<CaughtSignal>> = sockets.into_iter().map(take).collect();
        taken.map(Self)
    }

    /// The number and the socket of each signal.
    pub fn sockets(&self) -> impl Iterator<Item = (i32, BorrowedFd<'_>)> {
        self.0.iter().map(|one| (one.number, one.bytes.as_fd()))
    }

    /// Waits until a signal has come. It is not read yet.
    ///
    /// # Errors
    /// The system refuses to wait, or the application has closed a socket that is not its own.
    pub fn wait(&self) -> io::Result<()> {
        let sockets = self.sockets();
        let mut polled: Vec<PollFd<'_>> = sockets
            .map(|(_, socket)| PollFd::from_borrowed_fd(socket, PollFlags::IN))
            .collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let closed = PollFlags::NVAL | PollFlags::HUP | PollFlags::ERR;
        if polled.iter().any(|one| one.revents().intersects(closed)) {
            return Err(rustix::io::Errno::BADF.into());
        }
        Ok(())
    }

    /// The signals that have come and were not read yet.
    pub fn read(&self) -> Vec<i32> {
        let mut read = Vec::new();
        for one in &self.0 {
            let mut bytes = [0; 64];
            if let Ok(count) = (&one.bytes).read(&mut bytes) {
                read.extend(std::iter::repeat_n(one.number, count));
            }
        }
        read
    }
}

/// Holds these signals back in this thread and in the programs that it starts.
///
/// # Errors
/// The system refuses.
pub fn hold(numbers: &[i32]) -> io::Result<()> {
    set_of(numbers).thread_block().map_err(io::Error::from)
}

/// Lets signals through that were held back.
pub fn release(numbers: &[i32]) {
    if let Err(error) = set_of(numbers).thread_unblock() {
        tracing::error!(%error, "signals stay blocked");
    }
}

/// The signals that end a process that has no handlers for them, and that servers are sent.
pub const ENDING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Signals that would end the process, that servers are hardly sent, and that mean nothing here.
pub const UNASSIGNED: [i32; 4] = [libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGIO];

/// Such signals no longer end this process, except those in `assigned`. Programs that it starts get
/// the usual handling.
///
/// # Errors
/// The handlers could not be set.
pub fn ignore_unassigned(assigned: &[i32]) -> io::Result<()> {
    let unassigned = UNASSIGNED
        .iter()
        .filter(|number| !assigned.contains(number));
    for number in unassigned {
        signal_hook::flag::register(*number, Arc::default())?;
    }
    Ok(())
}

fn set_of(numbers: &[i32]) -> SigSet {
    let signals = numbers.iter().copied();
    signals
        .filter_map(|one| Signal::try_from(one).ok())
        .collect()
}

/// The name of a signal.
pub fn name(number: i32) -> &'static str {
    signal_hook::low_level::signal_name(number).unwrap_or("a signal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_read_once() {
        // No test of this program sends it otherwise.
        let caught = CaughtSignals::catch([libc::SIGWINCH]).expect("it can be caught");
        assert!(caught.read().is_empty());
        for _ in 0..2 {
            signal_hook::low_level::raise(libc::SIGWINCH).expect("a signal");
            caught.wait().expect("it came");
        }
        assert_eq!(caught.read(), [libc::SIGWINCH, libc::SIGWINCH]);
        assert!(caught.read().is_empty());
    }
}
