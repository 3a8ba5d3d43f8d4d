//! Connections that outlive the process, or its image.
//!
//! While a process renews itself another one serves, and none of its connections need end for it: a connection without a request
//! under way is *kept*: its socket is put into a queue from which the server hands it on, with the bytes of the next request
//! that were read already. A connection with a request under way is kept when that has been answered.
//!
//! From [`Net::start_keeping`] on no request is begun here that may be begun elsewhere: whoever reads the first bytes of one looks
//! at the flag *after* the read. Whatever a client has sent because of an answer of the other process was sent after the flag
//! was raised, so it is never answered by the version that leaves.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;

use mio::Interest;
use parking_lot::{Condvar, Mutex};
use socket2::Socket;

use super::connection::{Connection, Phase};
use super::listener::Listener;
use super::poll;
use super::stream::Stream;
use super::turn::Turn;
use super::{Dispatch, Net};

/// A socket of any kind, owned, without the poll.
#[cfg(unix)]
pub type Handle = std::os::fd::OwnedFd;
/// A socket of any kind, owned, without the poll. Windows' completion ports go by the open socket, and there is one for each; mio
/// asks another device about sockets (AFD) and gives that to its port, so a socket can be in the polls of two processes.
#[cfg(windows)]
pub type Handle = std::os::windows::io::OwnedSocket;

/// A connection without a request under way.
#[derive(Debug)]
pub struct Kept {
    /// The socket.
    pub socket: Handle,
    /// The listener that it came from, in their order.
    pub listener: usize,
    /// What was read from it of its next requests.
    pub unread: Vec<u8>,
}

/// What is kept.
#[derive(Default)]
pub(super) struct Keeper {
    queue: Mutex<Queue>,
    /// Something was put into the queue, or nothing will be any more.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    is_open: bool,
    connections: VecDeque<Kept>,
    /// The listeners, which accept nothing meanwhile.
    listeners: Vec<Listener>,
}

impl Net {
    /// Second handles to the listening sockets, in their order.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn share_listeners(&self) -> io::Result<Vec<Handle>> {
        let listeners = self.listeners.read();
        let sockets = listeners.iter();
        sockets.map(Listener::handle).collect()
    }

    /// Stops accepting and begins no further request, but closes nothing: the listening sockets stay open, and connections are
    /// kept for whoever serves instead.
    pub fn start_keeping(&self) {
        let listeners = self.stop_listening();
        let mut queue = self.kept.queue.lock();
        queue.listeners = listeners;
        queue.is_open = true;
        drop(queue);
        self.keeping.store(true, Ordering::SeqCst);
        self.drain_now();
    }

    /// Nothing more is kept: what is idle is closed as at a stop. What is in the queue stays there.
    pub fn stop_keeping(&self) {
        self.keeping.store(false, Ordering::SeqCst);
        self.kept.queue.lock().is_open = false;
        self.kept.changed.notify_all();
    }

    /// Nobody serves instead after all: goes on as if nothing had happened. What is in the queue stays there.
    pub fn go_on(&self) {
        self.stop_keeping();
        let mut aside = std::mem::take(&mut self.kept.queue.lock().listeners);
        for (index, listener) in aside.iter_mut().enumerate() {
            let token = poll::listener_token(index);
            let registry = self.poll.registry();
            if let Err(error) = registry.register(listener, token, Interest::READABLE) {
                tracing::error!(%error, "cannot accept on {} any more", listener.address());
            }
        }
        *self.listeners.write() = aside;
        self.stage.store(super::SERVING, Ordering::SeqCst);
        let (lock, closed) = &self.all_closed;
        drop(lock.lock());
        closed.notify_all();
    }

    /// The listening sockets that were set aside, in their order.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn take_listeners(&self) -> io::Result<Vec<Handle>> {
        let listeners = std::mem::take(&mut self.kept.queue.lock().listeners);
        let sockets = listeners.iter();
        sockets.map(Listener::handle).collect()
    }

    /// The next connection that was kept; waits for one. `None`: there are no more, and will be none.
    pub fn next_kept(&self) -> Option<Kept> {
        let mut queue = self.kept.queue.lock();
        loop {
            if let Some(kept) = queue.connections.pop_front() {
                return Some(kept);
            }
            if !queue.is_open {
                return None;
            }
            self.kept.changed.wait(&mut queue);
        }
    }

    /// It could not be handed on.
    pub fn put_back(&self, kept: Kept) {
        self.kept.queue.lock().connections.push_front(kept);
    }

    /// All that was kept and not handed on.
    pub fn take_kept(&self) -> Vec<Kept> {
        self.kept.queue.lock().connections.drain(..).collect()
    }

    /// Whether this connection's next request is to be begun elsewhere. Costs a load of a flag unless something is kept.
    #[inline]
    pub(super) fn gives_away(&self, connection: &Connection) -> bool {
        self.is_keeping()
            && connection.phase == Phase::Head
            && connection.reader.can_start_over()
            && connection.io.can_move()
    }

    /// Keeps the socket of a connection on which nothing is under way, if that is wanted and possible. The connection itself is
    /// to be closed then.
    pub(super) fn keep(&self, connection: &mut Connection) -> bool {
        if !self.gives_away(connection) {
            return false;
        }
        let mut queue = self.kept.queue.lock();
        let socket = connection.io.stream.unencrypted();
        let Some(Ok(socket)) = socket.map(|socket| socket.try_clone_to_owned()) else {
            return false;
        };
        if !queue.is_open {
            return false;
        }
        // The poll would go on reporting it: it goes by the open socket, not by the number.
        if connection.slot.is_some()
            && let Err(error) =
                mio::event::Source::deregister(&mut connection.io.stream, self.poll.registry())
        {
            tracing::debug!(%error, "deregistering a connection that is kept");
            return false;
        }
        queue.connections.push_back(Kept {
            socket,
            listener: connection.listener,
            unread: std::mem::take(&mut connection.unread),
        });
        self.kept.changed.notify_all();
        true
    }
}

impl Turn {
    /// Goes on with a connection that was kept elsewhere. Call it when somebody serves, and see to it that a worker looks at the
    /// queue: its next request may be in it already.
    ///
    /// # Errors
    /// It is no connection any more.
    pub fn adopt(&mut self, net: &Net, dispatch: &dyn Dispatch, kept: Kept) -> io::Result<()> {
        let socket = Socket::from(kept.socket);
        socket.set_nonblocking(true)?;
        let address = socket.peer_addr()?.as_socket();
        let stream = match address {
            Some(_) => Stream::Tcp(mio::net::TcpStream::from_std(socket.into())),
            #[cfg(unix)]
            None => Stream::Unix(mio::net::UnixStream::from_std(socket.into())),
            #[cfg(windows)]
            None => return Err(io::ErrorKind::Unsupported.into()),
        };
        let begun = (kept.listener, Phase::Head);
        self.begin_with(net, dispatch, (stream, address), begun, Some(kept.unread));
        Ok(())
    }
}
