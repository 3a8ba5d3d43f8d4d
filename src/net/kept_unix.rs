//! Connections that outlive the process's image (unix).
//!
//! When the process starts anew in its own place, a connection on which nothing is under way need not end: its descriptor stays
//! open, and the next image goes on with it. What the client sends meanwhile waits in the kernel. A connection with
//! a request under way is kept when that has been answered.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use socket2::Socket;

use super::connection::{Connection, Phase};
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

/// What has been kept so far.
#[derive(Default)]
pub(super) struct Keeper {
    /// For each listener, whether its connections can be.
    can_keep: Vec<bool>,
    connections: Vec<Kept>,
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
            .unwrap_or_else(PoisonError::into_inner);
        let sockets = listeners
            .iter()
            .map(|listener| listener.as_fd().try_clone_to_owned())
            .collect::<io::Result<Vec<_>>>()?;
        // What a PROXY line has said would not be said again.
        let can_keep = listeners.iter().map(|one| !one.expects_proxy()).collect();
        drop(listeners);
        self.lock_kept().can_keep = can_keep;
        self.keeping.store(true, Ordering::SeqCst);
        self.start_draining();
        Ok(sockets)
    }

    fn lock_kept(&self) -> MutexGuard<'_, Keeper> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Idle connections are closed after all.
    pub fn stop_keeping(&self) {
        self.keeping.store(false, Ordering::SeqCst);
        drop(self.take_kept());
    }

    /// What was kept.
    pub fn take_kept(&self) -> Vec<Kept> {
        std::mem::take(&mut self.lock_kept().connections)
    }

    /// Keeps the socket of a connection on which nothing is under way, if that is wanted and possible. The connection itself is
    /// to be closed then.
    pub(super) fn keep(&self, connection: &mut Connection) -> bool {
        if !self.is_keeping() || !connection.io.stream.outlives_the_image() {
            return false;
        }
        let mut keeper = self.lock_kept();
        let can_keep = keeper.can_keep.get(connection.listener);
        if can_keep != Some(&true) || keeper.connections.len() >= KEPT_MAX {
            return false;
        }
        let socket = connection.io.stream.unencrypted();
        let Some(Ok(descriptor)) = socket.map(|socket| socket.try_clone_to_owned()) else {
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
        keeper.connections.push(Kept {
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
        self.begin(
            net,
            dispatch,
            (stream, address),
            (kept.listener, Phase::Head),
        );
        Ok(())
    }
}
