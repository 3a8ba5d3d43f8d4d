//! The bytes of a task: a uwsgi packet with modifier1 17, and then the body. uWSGI writes and reads
//! the same (core/spooler.c). Pure.

use std::fmt;

/// The modifier1 of a task.
const MODIFIER: u8 = 17;
/// The packet's length field has 16 bits.
pub const PAIRS_BYTES_MAX: usize = 0xffff;
const HEADER_BYTES: usize = 4;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What a task says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Keys and values, in their order.
    pub pairs: Vec<Pair>,
    /// Bytes of any number.
    pub body: Vec<u8>,
}

/// Why bytes are no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They end before the packet does: it may still be written.
    TooShort,
    /// Another modifier1.
    Modifier(u8),
    /// A key or value is longer than the packet.
    Pair,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(out, "it is shorter than its header says"),
            Self::Modifier(other) => write!(
                out,
                "its first byte (modifier1) is {other}, and a task has {MODIFIER}"
            ),
            Self::Pair => write!(out, "a key or value is longer than the packet"),
        }
    }
}

/// The keys and values need more than [`PAIRS_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge(pub usize);

impl fmt::Display for TooLarge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "keys and values have {} bytes together, and at most {PAIRS_BYTES_MAX} are possible: \
             put large values into 'body'",
            self.0
        )
    }
}

impl Packet {
    /// The value of a key; the last one if there are several, as in the dict of a handler.
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        let found = self.pairs.iter().rev().find(|(other, _)| other == key);
        found.map(|(_, value)| value.as_slice())
    }

    /// All bytes of the file.
    ///
    /// # Errors
    /// Keys and values are too long.
    pub fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        let longest = |(key, value): &Pair| key.len().max(value.len());
        let length: usize = self
            .pairs
            .iter()
            .map(|(key, value)| 4 + key.len() + value.len())
            .sum();
        let is_long = self
            .pairs
            .iter()
            .any(|pair| longest(pair) > PAIRS_BYTES_MAX);
        let Some(size) = u16::try_from(length).ok().filter(|_| !is_long) else {
            return Err(TooLarge(length));
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + length + self.body.len());
        bytes.push(MODIFIER);
        bytes.extend(size.to_le_bytes());
        bytes.push(0);
        for text in self.pairs.iter().flat_map(|(key, value)| [key, value]) {
            // Not longer than the packet, as checked above.
            let size = u16::try_from(text.len()).unwrap_or(u16::MAX);
            bytes.extend(size.to_le_bytes());
            bytes.extend(text);
        }
        bytes.extend(&self.body);
        Ok(bytes)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// They are no task.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let [modifier, low, high, _] = *bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or(Malformed::TooShort)?;
        if modifier != MODIFIER {
            return Err(Malformed::Modifier(modifier));
        }
        let rest = &bytes[HEADER_BYTES..];
        let size = usize::from(u16::from_le_bytes([low, high]));
        let (mut packet, body) = rest.split_at_checked(size).ok_or(Malformed::TooShort)?;
        let mut pairs = Vec::new();
        while !packet.is_empty() {
            let key = take(&mut packet)?;
            let value = take(&mut packet)?;
            pairs.push((key, value));
        }
        Ok(Self {
            pairs,
            body: body.to_vec(),
        })
    }
}

/// A length of 16 bits and so many bytes.
fn take(packet: &mut &[u8]) -> Result<Vec<u8>, Malformed> {
    let (length, rest) = packet.split_first_chunk::<2>().ok_or(Malformed::Pair)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (text, rest) = rest.split_at_checked(length).ok_or(Malformed::Pair)?;
    *packet = rest;
    Ok(text.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(pairs: &[(&str, &str)], body: &str) -> Packet {
        let owned = |text: &str| text.as_bytes().to_vec();
        Packet {
            pairs: pairs
                .iter()
                .map(|(key, value)| (owned(key), owned(value)))
                .collect(),
            body: owned(body),
        }
    }

    #[test]
    fn the_bytes_are_those_of_uwsgi() {
        let encoded = packet(&[("a", "xy"), ("at", "")], "body").encode();
        assert_eq!(
            encoded.expect("short"),
            b"\x11\x0d\x00\x00\x01\x00a\x02\x00xy\x02\x00at\x00\x00body"
        );
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let packet = packet(&[("a", "1"), ("a", "2")], "");
        assert_eq!(packet.value(b"a"), Some(&b"2"[..]));
        assert_eq!(packet.value(b"b"), None);
    }

    #[test]
    fn bytes_that_are_no_task_say_why() {
        assert_eq!(Packet::decode(b""), Err(Malformed::TooShort));
        assert_eq!(
            Packet::decode(b"\x11\x05\0\0abcd"),
            Err(Malformed::TooShort)
        );
        assert_eq!(Packet::decode(b"\x00\0\0\0"), Err(Malformed::Modifier(0)));
        let key_without_value = b"\x11\x03\0\0\x01\0a";
        assert_eq!(Packet::decode(key_without_value), Err(Malformed::Pair));
        let long_key = b"\x11\x04\0\0\xff\0ab";
        assert_eq!(Packet::decode(long_key), Err(Malformed::Pair));
    }

    #[test]
    fn too_much_is_refused_and_a_body_is_not() {
        let large = "x".repeat(PAIRS_BYTES_MAX);
        assert!(packet(&[("k", &large)], "").encode().is_err());
        assert!(
            packet(&[("k", &large[5..])], &large.repeat(3))
                .encode()
                .is_ok()
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs: Vec<(Vec<u8>, Vec<u8>)>, body: Vec<u8>) {
            let packet = Packet { pairs, body };
            let bytes = packet.encode().expect("short");
            prop_assert_eq!(Packet::decode(&bytes), Ok(packet));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            drop(Packet::decode(&bytes));
        }
    }
}
