//! Accepts connections.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::wsgi::environ::Peer;

use super::super::connection::{Connection, Phase};
use super::super::services::Dispatch;
use super::super::state::Net;
use super::super::vital;
use super::{Accepted, Turn};

/// Connections accepted per listener before the others are served.
const ACCEPTS_PER_TURN: usize = 128;
/// Rounds of [`ACCEPTS_PER_TURN`] when the server stops: more than any backlog holds.
const LAST_ROUNDS_MAX: usize = 64;

/// A connection may be closed for a new one after this time without a byte of a request: before,
/// its client may be about to send one.
const IDLE_MS_MIN: u64 = 1000;
/// The most connections that are looked for at once, because looking costs a pass over all.
const CLAIMED_MAX: usize = 32;

/// Idle connections that were claimed to be closed, the longest idle one last.
#[derive(Default)]
struct IdleConnections {
    #[expect(clippy::vec_box, reason = "slots hold boxes, and these may go back")]
    claimed: Vec<Box<Connection>>,
}

impl IdleConnections {
    /// Whether one can be closed; claims some if none is left.
    fn has_some(&mut self, net: &Net, now: Instant) -> bool {
        if self.claimed.is_empty() {
            let now_ms = net.milliseconds(now);
            let count = (net.open_connections() / CLAIMED_MAX).clamp(1, CLAIMED_MAX);
            self.claimed = net.slots.claim_lowest(count, |connection| {
                let is_idle = connection.phase == Phase::Head
                    && connection.reader.is_idle()
                    && connection.unread.is_empty();
                let since = connection.idle_since_ms;
                (is_idle && now_ms >= since.saturating_add(IDLE_MS_MIN)).then_some(since)
            });
        }
        !self.claimed.is_empty()
    }
}

impl Turn {
    /// Accepts the connections that wait in the backlogs of a server that stops: closing the
    /// listeners would reset them. On Linux the backlogs are closed to new ones before. Returns the
    /// number of requests that were queued.
    pub fn accept_the_rest(&mut self, net: &Net, dispatch: &dyn Dispatch) -> usize {
        self.queued = 0;
        self.now = Instant::now();
        net.close_backlogs();
        for index in 0..net.protocols.len() {
            for _ in 0..LAST_ROUNDS_MAX {
                let before = net.counters.accepted.load(Ordering::Relaxed);
                self.accept(net, dispatch, index);
                if net.counters.accepted.load(Ordering::Relaxed) == before {
                    break;
                }
            }
        }
        self.queued
    }

    /// Accepts waiting connections and reads from them at once: most clients have sent their
    /// request by now, and a connection without keep-alive never enters the poll.
    pub(super) fn accept(&mut self, net: &Net, dispatch: &dyn Dispatch, index: usize) {
        let mut idle = IdleConnections::default();
        self.accept_some(net, dispatch, index, &mut idle);
        for connection in idle.claimed {
            let (slot, deadline_ms) = (connection.slot, connection.deadline_ms);
            let back = match slot {
                Some(slot) => net.slots.give_back(slot, connection, deadline_ms),
                None => Some(connection),
            };
            if let Some(connection) = back {
                self.drive(net, dispatch, connection);
            }
        }
    }

    fn accept_some(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        index: usize,
        idle: &mut IdleConnections,
    ) {
        for _ in 0..ACCEPTS_PER_TURN {
            let bound = net.site().settings.connections_max;
            let is_full = net.open_connections() >= bound;
            if is_full && !idle.has_some(net, self.now) {
                net.accept_paused.store(true, Ordering::Release);
                return;
            }
            let accepted = net.with_listeners(|listeners| {
                let listener = listeners.get(index)?;
                Some((listener.accept(), listener.expects_proxy()))
            });
            let Some((accepted, expects_preamble)) = accepted else {
                return;
            };
            match accepted {
                Ok((_, address)) if expects_preamble && !self.may_send_preamble(net, address) => {}
                Ok((stream, address)) => {
                    if !cfg!(target_os = "linux")
                        && let Err(error) = stream.plain().set_nodelay()
                    {
                        tracing::debug!(%error, "setting TCP_NODELAY");
                    }
                    if is_full {
                        self.make_room(net, dispatch, idle);
                        if net.full_warning.is_due(net.milliseconds(self.now)) {
                            tracing::warn!(
                                "{bound} connections are open (--max-connections): the longest \
                                 idle ones are closed for new ones"
                            );
                        }
                    }
                    let accepted = Accepted {
                        stream,
                        address,
                        listener: index,
                        expects_preamble,
                    };
                    self.begin(net, dispatch, accepted, None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    if vital::is_loss(&error) {
                        vital::lost("a listener");
                    }
                    // Out of descriptors or memory. An idle connection has a descriptor; without
                    // one the next sweep tries again.
                    if net.accept_warning.is_due(net.milliseconds(self.now)) {
                        tracing::warn!(%error, "cannot accept connections for now");
                    }
                    if idle.has_some(net, self.now) && self.make_room(net, dispatch, idle) {
                        continue;
                    }
                    net.accept_paused.store(true, Ordering::Release);
                    return;
                }
            }
        }
        // More are waiting: the listener reports them once it is registered again.
        net.accept_paused.store(true, Ordering::Release);
        net.resume_accepting();
    }

    /// Closes the longest idle connection. `false`: each of them has just sent something.
    fn make_room(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        idle: &mut IdleConnections,
    ) -> bool {
        while let Some(mut connection) = idle.claimed.pop() {
            if self.has_input(&mut connection) {
                self.drive(net, dispatch, connection);
                continue;
            }
            self.close(net, connection);
            return true;
        }
        false
    }

    /// Begins to serve a connection. `unread`: for one that another process used before, the bytes
    /// that it read already.
    pub(in crate::net) fn begin(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        accepted: Accepted,
        unread: Option<Vec<u8>>,
    ) {
        net.connection_opened();
        let Accepted {
            stream,
            address,
            listener,
            expects_preamble,
        } = accepted;
        let (peer, protocol) = (Peer::new(address), net.protocol_of(listener));
        let mut connection = Connection::new(stream, peer, listener, protocol, self.now);
        if expects_preamble {
            connection.phase = Phase::Preamble;
            connection.io.had_preamble = true;
        }
        connection.idle_since_ms = net.milliseconds(self.now);
        // A connection that was used before may be idle for as long as any other.
        if unread.as_ref().is_none_or(|unread| !unread.is_empty()) {
            connection.since_ms = net.milliseconds(self.now);
        }
        connection.unread = unread.unwrap_or_default();
        if let Some(proxies) = &net.site().settings.proxies {
            connection.is_trusted = proxies.trusted.trusts(address.map(|at| at.ip()));
        }
        self.drive(net, dispatch, connection);
    }
}

/// `accept` also returns the error of one waiting connection; the next one may be fine (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
    )
}
