//! The client of a request: the peer of its connection, or the client that a trusted proxy names.
//!
//! Runs on the thread that polls, once per request, and only if proxies are configured.

use crate::protocol::proxy::forwarded;
use crate::wsgi::Head;
use crate::wsgi::environ::Peer;

use crate::protocol::proxy::ProxyRules;

/// What a trusted proxy said about a request.
pub(super) struct Forwarded {
    /// The client; `None` if the proxy named none.
    peer: Option<Peer>,
    /// Whether the client used https, if the proxy said so.
    pub(super) is_https: Option<bool>,
}

impl Forwarded {
    /// Reads the forwarding fields of a complete head. Removes those of an untrusted peer.
    pub(super) fn read(
        head: &mut Head,
        proxies: &ProxyRules,
        is_trusted: bool,
    ) -> Option<Box<Self>> {
        // Variables of a web server are trusted and have no such fields.
        let Head::Http(head) = head else {
            return None;
        };
        if !is_trusted {
            head.take_out(forwarded::is_about_the_client);
            return None;
        }
        let claims = forwarded::read(head, &proxies.trusted, proxies.fields);
        if let Some(host) = &claims.host {
            head.set_host(host);
        }
        if claims.client.is_none() && claims.is_https.is_none() {
            return None;
        }
        Some(Box::new(Self {
            peer: claims.client.map(|(address, port)| Peer::of(address, port)),
            is_https: claims.is_https,
        }))
    }
}

pub(super) fn requester<'a>(peer: &'a Peer, forwarded: Option<&'a Forwarded>) -> &'a Peer {
    forwarded
        .and_then(|forwarded| forwarded.peer.as_ref())
        .unwrap_or(peer)
}
