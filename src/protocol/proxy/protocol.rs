//! The PROXY protocol, versions 1 and 2: a preamble that names the client of the proxy, before
//! everything else on a connection.
//!
//! By its specification (`proxy-protocol.txt` of HAProxy): on a connection where it is expected it
//! must be there, whole and well formed, or the connection is closed; nothing is guessed. Pure;
//! input comes in pieces, and no state is kept between calls: the caller keeps the bytes until the
//! preamble is complete. Not the crate `ppp`: it accepts a port with a sign, it waits for the end
//! of a line that cannot become a preamble, and it accepts transports that are not streams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, its end included (2.1).
const LINE_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is taken. Its length field would allow 64 KB; additions
/// (TLVs) are a few hundred bytes in practice, and nginx draws the line here too.
pub const HEADER_BYTES_MAX: usize = 4096;
const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;

/// The client of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// This one.
    Address(SocketAddr),
    /// A client on a unix socket of the proxy.
    Unix,
    /// The proxy itself (a health check), or an unknown client. The connection's own peer is the
    /// client.
    Itself,
}

/// How far the input reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preamble {
    /// All right so far, and not complete.
    NeedMore,
    /// Complete: so many bytes are the header's, the rest is the client's.
    Complete(usize, Client),
}

/// Why the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPreamble(pub &'static str);

/// Reads a header from the beginning of `input`: everything that has come on the connection.
pub fn read(input: &[u8]) -> Result<Preamble, BadPreamble> {
    let begins = |start: &[u8]| input.iter().zip(start).all(|(byte, wanted)| byte == wanted);
    if begins(SIGNATURE) {
        binary(input)
    } else if begins(LINE_START) {
        line(input)
    } else {
        Err(BadPreamble("no PROXY protocol header"))
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`
fn line(input: &[u8]) -> Result<Preamble, BadPreamble> {
    let start = input.get(..LINE_BYTES_MAX).unwrap_or(input);
    let Some(end) = memchr::memmem::find(start, b"\r\n") else {
        return if input.len() < LINE_BYTES_MAX {
            Ok(Preamble::NeedMore)
        } else {
            Err(BadPreamble("the PROXY line does not end"))
        };
    };
    let text = input.get(LINE_START.len()..end).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| BadPreamble("the PROXY line is not ASCII"))?;
    let client = client_of(text).ok_or(BadPreamble("the PROXY line is malformed"))?;
    Ok(Preamble::Complete(end + 2, client))
}

fn client_of(text: &str) -> Option<Client> {
    let mut words = text.split(' ');
    let family = words.next()?;
    // Whatever else the line says is to be ignored (2.1).
    if family == "UNKNOWN" {
        return Some(Client::Itself);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    let _checked = destination_port;
    let address = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            IpAddr::V4(source.parse().ok()?)
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            IpAddr::V6(source.parse().ok()?)
        }
        _ => return None,
    };
    Some(Client::Address(SocketAddr::new(address, source_port)))
}

/// Digits, no sign, no zero in front.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// Version 2: a signature, command and version, family, length; then addresses and additions.
fn binary(input: &[u8]) -> Result<Preamble, BadPreamble> {
    let Some((fixed, rest)) = input.split_at_checked(FIXED_BYTES) else {
        // A certain error is reported before all bytes are there.
        if input.get(12).is_some_and(|byte| byte >> 4 != 2) {
            return Err(BadPreamble("an unknown version of the PROXY protocol"));
        }
        return Ok(Preamble::NeedMore);
    };
    let &[.., command, family, high, low] = fixed else {
        return Ok(Preamble::NeedMore);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 {
        return Err(BadPreamble("an unknown version of the PROXY protocol"));
    }
    if FIXED_BYTES + length > HEADER_BYTES_MAX {
        return Err(BadPreamble("the PROXY header is too long"));
    }
    let least = match (command & 0xf, family) {
        // LOCAL: addresses are to be ignored, whatever they are (2.2).
        (0, _) => 0,
        (1, 0x00) => 0,
        (1, 0x11) => 12,
        (1, 0x21) => 36,
        (1, 0x31) => 216,
        (1, _) => return Err(BadPreamble("an unknown family in the PROXY header")),
        _ => return Err(BadPreamble("an unknown command in the PROXY header")),
    };
    if length < least {
        return Err(BadPreamble(
            "the PROXY header is shorter than its addresses",
        ));
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Preamble::NeedMore);
    };
    let client = match (command & 0xf, family) {
        (1, 0x11) => address::<4>(body, 8).map(|(octets, port)| (IpAddr::from(octets), port)),
        (1, 0x21) => address::<16>(body, 32).map(|(octets, port)| (IpAddr::from(octets), port)),
        (1, 0x31) => return Ok(Preamble::Complete(FIXED_BYTES + length, Client::Unix)),
        _ => None,
    };
    let client = client.map_or(Client::Itself, |(address, port)| {
        Client::Address(SocketAddr::new(address, port))
    });
    Ok(Preamble::Complete(FIXED_BYTES + length, client))
}

/// The source: its address comes first, its port behind both addresses.
fn address<const BYTES: usize>(body: &[u8], port_at: usize) -> Option<([u8; BYTES], u16)> {
    let address = body.first_chunk::<BYTES>()?;
    let port = body.get(port_at..)?.first_chunk::<2>()?;
    Some((*address, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header of version 2.
    pub fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("it fits");
        let mut header = SIGNATURE.to_vec();
        header.extend_from_slice(&[0x20 | command, family]);
        header.extend_from_slice(&length.to_be_bytes());
        header.extend_from_slice(body);
        header
    }

    const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187];

    #[track_caller]
    fn complete(header: &[u8], client: Client) {
        let mut input = header.to_vec();
        input.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(
            read(&input),
            Ok(Preamble::Complete(header.len(), client)),
            "{}",
            header.escape_ascii()
        );
        for cut in 0..header.len() {
            assert_eq!(
                read(&header[..cut]),
                Ok(Preamble::NeedMore),
                "cut at {cut}: {}",
                header.escape_ascii()
            );
        }
    }

    #[track_caller]
    fn refused(input: &[u8]) {
        assert!(
            read(input).is_err(),
            "{}: {:?}",
            input.escape_ascii(),
            read(input)
        );
    }

    fn at(text: &str) -> Client {
        Client::Address(text.parse().expect("an address"))
    }

    #[test]
    fn lines() {
        complete(
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            at("192.0.2.1:56324"),
        );
        complete(
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            at("255.255.255.255:65535"),
        );
        complete(
            b"PROXY TCP6 2001:db8::1 ::1 0 443\r\n",
            at("[2001:db8::1]:0"),
        );
        complete(b"PROXY UNKNOWN\r\n", Client::Itself);
        complete(
            b"PROXY UNKNOWN ffff:f...f:ffff whatever 65535 65535\r\n",
            Client::Itself,
        );
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +5632 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 ::1 56324 443\r\n",
            "PROXY TCP4 ::1 ::1 56324 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY TCP6 ::1%eth0 ::1 56324 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            "GET / HTTP/1.1\r\n",
            " PROXY",
        ] {
            refused(line.as_bytes());
        }
        let mut long = b"PROXY UNKNOWN ".to_vec();
        long.resize(LINE_BYTES_MAX - 2, b'x');
        long.extend_from_slice(b"\r\n");
        assert_eq!(
            read(&long),
            Ok(Preamble::Complete(LINE_BYTES_MAX, Client::Itself))
        );
        long.insert(20, b'x');
        refused(&long);
    }

    #[test]
    fn headers() {
        complete(&version_2(1, 0x11, V4), at("192.0.2.1:56324"));
        let with_additions = [V4, &[4, 0, 2, 9, 9]].concat();
        complete(&version_2(1, 0x11, &with_additions), at("192.0.2.1:56324"));
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[32..34].copy_from_slice(&[0x1f, 0x90]);
        complete(&version_2(1, 0x21, &v6), at("[::1]:8080"));
        complete(&version_2(1, 0x31, &[b'/'; 216]), Client::Unix);
        complete(&version_2(1, 0x00, b""), Client::Itself);
        complete(&version_2(1, 0x00, b"\x04\0\x01x"), Client::Itself);
        complete(&version_2(0, 0x00, b""), Client::Itself);
        complete(&version_2(0, 0x11, V4), Client::Itself);
        complete(&version_2(0, 0xff, b"odd"), Client::Itself);
        refused(&version_2(1, 0x11, &V4[..11]));
        refused(&version_2(1, 0x21, &[0; 35]));
        refused(&version_2(1, 0x31, &[0; 215]));
        refused(&version_2(1, 0x12, V4));
        refused(&version_2(1, 0x41, V4));
        refused(&version_2(2, 0x11, V4));
        refused(&version_2(1, 0x00, &[0; HEADER_BYTES_MAX]));
        let mut version_3 = version_2(1, 0x11, V4);
        version_3[12] = 0x31;
        refused(&version_3);
        refused(&version_3[..13]);
        refused(b"\r\n\r\n\0\r\nQUIT\r");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_pieces_say_the_same(
            start in prop_oneof![Just(Vec::new()), Just(SIGNATURE.to_vec()), Just(LINE_START.to_vec())],
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let input = [start, rest].concat();
            let whole = read(&input);
            for cut in 0..input.len() {
                match read(&input[..cut]) {
                    Ok(Preamble::NeedMore) => {}
                    // What was decided early stays so.
                    decided => prop_assert_eq!(decided, whole),
                }
            }
            if let Ok(Preamble::Complete(length, _)) = whole {
                prop_assert!(length <= input.len());
            }
        }

        #[test]
        fn every_address_comes_back(client: SocketAddr) {
            let client = match client {
                SocketAddr::V6(v6) => SocketAddr::new(IpAddr::V6(*v6.ip()), v6.port()),
                v4 => v4,
            };
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let (ip, port) = (client.ip(), client.port());
            let line = format!("PROXY {family} {ip} {ip} {port} 1\r\n");
            prop_assert_eq!(read(line.as_bytes()), Ok(Preamble::Complete(line.len(), Client::Address(client))));
        }
    }
}
