//! The PROXY protocol's preamble, which comes before TLS and HTTP.
//!
//! Bytes behind the preamble belong to the client. A connection without a valid one is closed
//! without an answer, as the specification demands.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use crate::protocol::proxy::protocol::{self, BadPreamble, Client, Preamble};
use crate::wsgi::environ::Peer;

use super::super::connection::{Connection, Phase};
use super::super::state::{Net, count};
use super::super::stream::Stream;
use super::receive::may_have_more;
use super::{Next, READ_BUFFER_BYTES, Turn};

impl Turn {
    /// Whether a connection from this address may send a preamble. Warns once if not, because a
    /// wrong list of proxies refuses every client.
    pub(super) fn may_send_preamble(&mut self, net: &Net, address: Option<SocketAddr>) -> bool {
        if net
            .site()
            .settings
            .preamble_senders
            .trusts(address.map(|address| address.ip()))
        {
            return true;
        }
        count(&net.counters.refused);
        let peer = address.map_or("a unix socket".to_owned(), |address| {
            address.ip().to_string()
        });
        if net.has_warned_untrusted.swap(true, Ordering::Relaxed) {
            tracing::debug!("refused a connection from {peer}: it is no trusted proxy");
        } else {
            tracing::warn!(
                "refused a connection from {peer}: this address expects the PROXY protocol, and \
                 {peer} is none of --trusted-proxies (said once)"
            );
        }
        false
    }

    pub(super) fn read_preamble(&mut self, net: &Net, connection: &mut Connection) -> Next {
        loop {
            let mut buffer = mem::take(&mut self.read_buffer);
            let read = connection.io.stream.plain_mut().read(&mut buffer);
            if let Ok(count) = read {
                let received = buffer.get(..count).unwrap_or_default();
                connection.unread.extend_from_slice(received);
            }
            connection.may_have_more = may_have_more(&read, READ_BUFFER_BYTES);
            self.read_buffer = buffer;
            match read {
                Ok(0) => return Next::Close,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Wait,
                Err(_) => {
                    connection.io.broken = true;
                    return Next::Close;
                }
            }
            match protocol::read(&connection.unread) {
                Ok(Preamble::NeedMore) => {}
                Ok(Preamble::Complete(length, client)) => {
                    self.end_preamble(net, connection, length, client);
                    return Next::Again;
                }
                Err(BadPreamble(why)) => {
                    count(&net.counters.refused);
                    let peer = String::from_utf8_lossy(connection.peer.address());
                    tracing::debug!(%peer, "refused a connection: {why}");
                    connection.io.broken = true;
                    return Next::Close;
                }
            }
        }
    }

    fn end_preamble(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        length: usize,
        client: Client,
    ) {
        let trusts = |address: Option<SocketAddr>| {
            let site = net.site();
            let proxies = site.settings.proxies.as_ref();
            proxies.is_some_and(|proxies| proxies.trusted.trusts(address.map(|one| one.ip())))
        };
        match client {
            Client::Address(address) => {
                connection.peer = Peer::new(Some(address));
                // Forwarded fields are trusted if the peer behind this proxy is.
                connection.is_trusted = trusts(Some(address));
            }
            Client::Unix => {
                connection.peer = Peer::new(None);
                connection.is_trusted = trusts(None);
            }
            Client::Itself => {}
        }
        connection
            .unread
            .drain(..length.min(connection.unread.len()));
        if let Stream::Tls(tls) = &mut connection.io.stream {
            tls.put_back(&mem::take(&mut connection.unread));
        }
        connection.phase = Phase::Head;
    }
}
