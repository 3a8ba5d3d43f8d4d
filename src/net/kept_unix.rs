//! Connections that outlive the process's image (unix).
//!
//! When the process starts anew in its own place, a connection on which nothing is under way need not end: its descriptor stays
//! open, and the next image goes on with it. What the client sends meanwhile waits in the kernel. A connection with
//! a request under way is kept when that has been answered.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use socket2::Socket;

use super::connection::Connection;
use super::stream::Stream;
use super::turn::Turn;
use super::{Dispatch, Net};

/// More are closed as at a stop: their numbers have to fit into an environment variable.
const KEPT_MAX: usize = 8000;

/// A connection without a request under way.
#[derive(Debug)]
pub struct Kept {
    /// The socket.
    pub descriptor: OwnedFd,
    /// The listener that it came from, in their order.
    pub listener: usize,
}

impl Net {
    /// Stops accepting, as [`start_draining`](Self::start_draining) does, but nothing is closed: whoever connects waits, and idle
    /// connections are kept. Returns the listening sockets, in their order.
    ///
    /// # Errors
    /// There are no descriptors left; nothing has changed then.
    pub fn start_keeping(&self) -> io::Result<Vec<OwnedFd>> {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|listener| listener.as_fd().try_clone_to_owned())
            .collect::<io::Result<Vec<_>>>()?;
        self.keeping.store(true, Ordering::SeqCst);
        self.start_draining();
        Ok(listeners)
    }

    /// Idle connections are closed after all.
    pub fn stop_keeping(&self) {
        self.keeping.store(false, Ordering::SeqCst);
        drop(self.take_kept());
    }

    /// What was kept.
    pub fn take_kept(&self) -> Vec<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }

    /// Keeps the socket of a connection on which nothing is under way, if that is wanted and possible. The connection itself is
    /// to be closed then.
    pub(super) fn keep(&self, connection: &mut Connection) -> bool {
        if !self.is_keeping() || !connection.io.stream.outlives_the_image() {
            return false;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            return false;
        }
        let Ok(descriptor) = connection.io.stream.as_fd().try_clone_to_owned() else {
            return false;
        };
        // The poll would go on reporting it: it goes by the open socket, not by the number.
        if connection.slot.is_some()
            && let Err(error) =
                mio::event::Source::deregister(&mut connection.io.stream, self.poll.registry())
        {
            tracing::debug!(%error, "deregistering a connection that is kept");
            return false;
        }
        kept.push(Kept {
            descriptor,
            listener: connection.listener,
        });
        true
    }
}

impl Turn {
    /// Goes on with a connection of this process's earlier image. Call it when somebody serves.
    ///
    /// # Errors
    /// It is no connection.
    pub fn adopt(&mut self, net: &Net, dispatch: &dyn Dispatch, kept: Kept) -> io::Result<()> {
        let socket = Socket::from(kept.descriptor);
        socket.set_nonblocking(true)?;
        let address = socket.peer_addr()?.as_socket();
        let stream = match address {
            Some(_) => Stream::Tcp(mio::net::TcpStream::from_std(socket.into())),
            None => Stream::Unix(mio::net::UnixStream::from_std(socket.into())),
        };
        self.begin(net, dispatch, (stream, address), kept.listener);
        Ok(())
    }
}
