//! Hands idle connections to another process.
//!
//! While a process is replaced, another one serves, and idle connections survive: the socket of a
//! connection without a request under way is put into a queue ([`ParkedConnection`]), together with the bytes
//! of its next request that were read already. The server passes the queue to the other process. A
//! connection with a request under way is queued when the request is answered.
//!
//! After [`Net::start_parking`] this process begins no request that the other one can begin: the
//! thread that reads the first bytes of a request checks the flag *after* the read. A request that
//! a client sends because of an answer of the other process is sent after the flag was set, so the
//! old version never answers it.

use std::io;
use std::sync::atomic::Ordering;

use mio::event::Source as _;

use super::connection::{Connection, Phase};
use super::listener::Listener;
use super::parked::ParkedConnection;
use super::plain_stream::{Handle, PlainStream};
use super::services::Dispatch;
use super::state::Net;
use super::stream::Stream;
use super::turn::{Accepted, Turn};

impl Net {
    /// Second handles to the listening sockets, in their order.
    pub fn share_listeners(&self) -> io::Result<Vec<Handle>> {
        self.with_listeners(|listeners| listeners.iter().map(Listener::handle).collect())
    }

    /// Stops accepting and begins no further request, but closes nothing: the listening sockets
    /// stay open, and connections are parked for the process that serves instead.
    pub fn start_parking(&self) {
        self.parked.open(self.stop_listening());
        self.is_parking.store(true, Ordering::SeqCst);
        self.drain_now();
    }

    /// Parks no more connections: idle ones are closed as at a stop. The queue keeps its content.
    pub fn stop_parking(&self) {
        self.is_parking.store(false, Ordering::SeqCst);
        self.parked.close();
    }

    /// Serves again, because no other process does. The queue keeps its content.
    pub fn go_on(&self) {
        self.stop_parking();
        let listeners = std::mem::take(&mut self.parked.lock().listeners);
        self.start_listening(listeners);
    }

    /// The listening sockets that were set aside, in their order.
    pub fn take_listeners(&self) -> io::Result<Vec<Handle>> {
        let listeners = std::mem::take(&mut self.parked.lock().listeners);
        listeners.iter().map(Listener::handle).collect()
    }

    /// Waits for the next parked connection. `None`: there are no more and will be none.
    pub fn next_parked(&self) -> Option<ParkedConnection> {
        self.parked.wait()
    }

    /// Returns a connection that could not be handed over to the head of the queue.
    pub fn put_back(&self, parked: ParkedConnection) {
        self.parked.lock().connections.push_front(parked);
    }

    pub fn take_parked(&self) -> Vec<ParkedConnection> {
        self.parked.lock().connections.drain(..).collect()
    }

    /// Whether another process is to begin this connection's next request. Costs the load of a flag
    /// unless connections are being parked.
    #[inline]
    pub(super) fn should_park(&self, connection: &Connection) -> bool {
        self.is_parking()
            && connection.phase == Phase::Head
            && connection.reader.can_start_over()
            && connection.io.can_move()
    }

    /// Parks the socket of an idle connection if possible. The caller then closes the connection.
    pub(super) fn park(&self, connection: &mut Connection) -> bool {
        self.should_park(connection) && self.parked.push(|| self.detach(connection))
    }

    fn detach(&self, connection: &mut Connection) -> Option<ParkedConnection> {
        let socket = connection
            .io
            .stream
            .unencrypted()?
            .try_clone_to_owned()
            .ok()?;
        // The poll reports open sockets, not descriptors: it would go on reporting this one.
        if connection.slot.is_some()
            && let Err(error) = connection.io.stream.deregister(self.poll().registry())
        {
            tracing::debug!(%error, "deregistering a parked connection");
            return None;
        }
        Some(ParkedConnection {
            socket,
            listener: connection.listener,
            unread: std::mem::take(&mut connection.unread),
        })
    }
}

impl Turn {
    /// Continues a connection that another process parked. Call it while an application serves, and
    /// wake a worker afterwards: the next request may be queued already.
    pub fn adopt(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        parked: ParkedConnection,
    ) -> io::Result<()> {
        let (stream, address) = PlainStream::adopt(parked.socket)?;
        let accepted = Accepted {
            stream: Stream::Plain(stream),
            address,
            listener: parked.listener,
            expects_preamble: false,
        };
        self.begin(net, dispatch, accepted, Some(parked.unread));
        Ok(())
    }
}
