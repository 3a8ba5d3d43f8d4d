//! Who the client is, by the fields that proxies add to a request: `X-Forwarded-For`, `-Proto` and
//! `-Host`, or `Forwarded` (RFC 7239).
//!
//! Every proxy adds to the right, so a list is read from there: an address that is itself a trusted
//! proxy vouches for its left neighbour; the first that is not is the client. A value that is no
//! address ends the walk. Pure; called for requests of trusted peers only.

use std::net::{IpAddr, SocketAddr};

use super::trusted::Trusted;
use crate::protocol::http::RequestHead;

/// Which fields are read. A proxy hands on what the client sent in all others, so a field that the
/// proxy does not set itself must not be among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustedFields {
    /// `X-Forwarded-For`
    pub x_for: bool,
    /// `X-Forwarded-Proto`
    pub x_proto: bool,
    /// `X-Forwarded-Host`
    pub x_host: bool,
    /// `Forwarded`, which says all three.
    pub forwarded: bool,
}

/// The proxies' statements, as far as they are trusted and valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyClaims {
    /// The client, with its port if it was said.
    pub client: Option<(IpAddr, Option<u16>)>,
    /// The client came by https, or by http.
    pub is_https: Option<bool>,
    /// The host that the client asked for.
    pub host: Option<Vec<u8>>,
}

/// Reads the fields of a request that came from a trusted peer.
pub fn read(head: &RequestHead, trusted: &Trusted, fields: TrustedFields) -> ProxyClaims {
    let mut claims = ProxyClaims::default();
    if fields.forwarded {
        claims = forwarded(head, trusted);
    }
    let mut hops = 0;
    if fields.x_for {
        let list = listed(head, b"X-Forwarded-For");
        if let Some((place, client)) =
            client_among(list.iter().rev().map(|text| address(text)), trusted)
        {
            claims.client = Some(client);
            hops = place;
        }
    }
    if fields.x_proto {
        let list = listed(head, b"X-Forwarded-Proto");
        // One value is what the last proxy set; of several, the one beside the client's address.
        let place = hops.min(list.len().saturating_sub(1));
        let word = list.iter().rev().nth(place);
        claims.is_https = word.and_then(|word| is_https(word)).or(claims.is_https);
    }
    if fields.x_host {
        let list = listed(head, b"X-Forwarded-Host");
        let place = hops.min(list.len().saturating_sub(1));
        let host = list.iter().rev().nth(place);
        let host = host.filter(|host| is_host(host)).map(|host| host.to_vec());
        claims.host = host.or(claims.host);
    }
    claims
}

/// Whether a field says who the client is: to be taken out of a request that no proxy sent.
pub fn is_about_the_client(name: &[u8]) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let prefix = b"X-Forwarded-";
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        || is(b"Forwarded")
        || is(b"X-Real-IP")
        || is(b"X-Client-IP")
}

/// The items of all fields of this name, in wire order.
fn listed<'a>(head: &'a RequestHead, name: &'a [u8]) -> Vec<&'a [u8]> {
    head.values(name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect()
}

type Node = (IpAddr, Option<u16>);

/// The client among addresses from right to left, and how many trusted proxies stand to the right
/// of it.
fn client_among(
    addresses: impl Iterator<Item = Option<Node>>,
    trusted: &Trusted,
) -> Option<(usize, Node)> {
    let mut client = None;
    for (place, node) in addresses.enumerate() {
        let Some(node) = node else {
            break;
        };
        client = Some((place, node));
        if !trusted.trusts(Some(node.0)) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:5000`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5000`
fn address(text: &[u8]) -> Option<Node> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        // A zone is not part of an address that anybody else could use.
        return Some((address.ip(), Some(address.port())));
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    Some((IpAddr::V6(inner.parse().ok()?), None))
}

fn is_https(word: &[u8]) -> Option<bool> {
    let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
    if is(b"https") || is(b"wss") {
        Some(true)
    } else if is(b"http") || is(b"ws") {
        Some(false)
    } else {
        None
    }
}

/// A host and perhaps a port: what may stand in `Host` (RFC 9110, 7.2; RFC 3986, 3.2.2).
fn is_host(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte);
    let (host, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = memchr::memchr(b']', rest) else {
                return false;
            };
            let inside = rest
                .get(..end)
                .and_then(|inside| std::str::from_utf8(inside).ok());
            if inside
                .and_then(|inside| inside.parse::<std::net::Ipv6Addr>().ok())
                .is_none()
            {
                return false;
            }
            (&b"v6"[..], rest.get(end + 1..).unwrap_or_default())
        }
        None => {
            let colon = memchr::memchr(b':', text).unwrap_or(text.len());
            text.split_at(colon)
        }
    };
    let is_port = match port.split_first() {
        None => true,
        Some((b':', digits)) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    !host.is_empty() && host.iter().all(is_plain) && is_port
}

/// One element of `Forwarded`: what one proxy said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Element {
    by_whom: Option<Vec<u8>>,
    proto: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
}

fn forwarded(head: &RequestHead, trusted: &Trusted) -> ProxyClaims {
    let mut elements = Vec::new();
    for value in head.values(b"Forwarded") {
        // A field that cannot be read says nothing, the whole of it.
        let Some(read) = self::elements(value) else {
            return ProxyClaims::default();
        };
        elements.extend(read);
    }
    let node = |element: &Element| element.by_whom.as_deref().and_then(address);
    let client = client_among(elements.iter().rev().map(node), trusted);
    let place = client.map_or(0, |(place, _)| place);
    let Some(element) = elements.iter().rev().nth(place) else {
        return ProxyClaims::default();
    };
    ProxyClaims {
        client: client.map(|(_, node)| node),
        is_https: element.proto.as_deref().and_then(is_https),
        host: element.host.clone().filter(|host| is_host(host)),
    }
}

/// `for=192.0.2.1;proto=https, for="[2001:db8::1]:80"` (RFC 7239, 4). `None` if it is not of that
/// form.
fn elements(value: &[u8]) -> Option<Vec<Element>> {
    let mut elements = vec![Element::default()];
    let mut rest = value.trim_ascii();
    while !rest.is_empty() {
        let equals = memchr::memchr3(b'=', b';', b',', rest)?;
        let (name, behind) = rest.split_at(equals);
        let name = name.trim_ascii();
        let behind = behind.strip_prefix(b"=")?;
        let (text, behind) = if behind.first() == Some(&b'"') {
            quoted(behind.get(1..)?)?
        } else {
            let end = memchr::memchr2(b';', b',', behind).unwrap_or(behind.len());
            let (text, behind) = behind.split_at(end);
            (text.trim_ascii().to_vec(), behind)
        };
        let element = elements.last_mut()?;
        let place = if name.eq_ignore_ascii_case(b"for") {
            Some(&mut element.by_whom)
        } else if name.eq_ignore_ascii_case(b"proto") {
            Some(&mut element.proto)
        } else if name.eq_ignore_ascii_case(b"host") {
            Some(&mut element.host)
        } else {
            None
        };
        if let Some(place) = place {
            // No parameter may stand twice in an element.
            if place.replace(text).is_some() {
                return None;
            }
        }
        rest = behind.trim_ascii_start();
        match rest.split_first() {
            None => break,
            Some((b';', behind)) => rest = behind.trim_ascii_start(),
            Some((b',', behind)) => {
                elements.push(Element::default());
                rest = behind.trim_ascii_start();
            }
            Some(_) => return None,
        }
    }
    Some(elements)
}

/// The inside of a quoted string (RFC 9110, 5.6.4), from behind its first quote; and what follows
/// its last.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut inside = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Some((inside, text.get(at + 1..)?)),
            b'\\' => inside.push(*bytes.next()?.1),
            byte => inside.push(byte),
        }
    }
    None
}

#[cfg(test)]
mod tests;
