//! Who the client of a request is: the peer of its connection, or whom a trusted proxy speaks for.
//!
//! Run by whoever polls, once per request and only if proxies are named; otherwise it costs a branch.

use crate::protocol::proxy::forwarded;
use crate::wsgi::Head;
use crate::wsgi::environ::Peer;

use super::Proxies;
use super::connection::Connection;

/// What a trusted proxy said of a request.
pub(super) struct Forwarded {
    /// Who the client is; `None` if the proxy did not say.
    peer: Option<Peer>,
    /// It came by https, or by http.
    pub(super) is_https: Option<bool>,
}

impl Connection {
    /// Looks at a head that is complete. What strangers say of a client is taken out of it.
    pub(super) fn hear(&mut self, proxies: &Proxies) {
        // The variables of a web server are believed whatever they say: they have no such fields.
        let Head::Http(head) = &mut self.head else {
            return;
        };
        if !self.is_trusted {
            head.take_out(forwarded::is_about_the_client);
            return;
        }
        let told = forwarded::read(head, &proxies.trusted, proxies.believed);
        if let Some(host) = &told.host {
            head.set_host(host);
        }
        if told.client.is_some() || told.is_https.is_some() {
            self.forwarded = Some(Box::new(Forwarded {
                peer: told.client.map(|(address, port)| Peer::of(address, port)),
                is_https: told.is_https,
            }));
        }
    }

    /// Who asks, for the log.
    pub(super) fn client(&self) -> &Peer {
        asking(&self.peer, self.forwarded.as_deref())
    }
}

/// Who asks: the peer, or whom a proxy speaks for.
pub(super) fn asking<'a>(peer: &'a Peer, told: Option<&'a Forwarded>) -> &'a Peer {
    told.and_then(|told| told.peer.as_ref()).unwrap_or(peer)
}
