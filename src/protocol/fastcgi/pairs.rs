//! Names and values as FastCGI has them (section 3.4): both lengths first, each in one byte or,
//! with its high bit set, in four. Pure.

use std::ops::Range;

/// Where a name and its value lie.
pub(super) struct Pair {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// The pair that begins at `at`; `None` if any of it is outside.
pub(super) fn pair_at(bytes: &[u8], at: usize) -> Option<Pair> {
    let (name, at) = length_at(bytes, at)?;
    let (value, at) = length_at(bytes, at)?;
    let middle = at.checked_add(name)?;
    let end = middle.checked_add(value)?;
    (end <= bytes.len()).then_some(Pair {
        name: at..middle,
        value: middle..end,
    })
}

/// A length, and where what follows it begins.
fn length_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    match *rest.first()? {
        short @ 0..=0x7f => Some((usize::from(short), at + 1)),
        high => {
            let [_, rest @ ..] = *rest.first_chunk::<4>()?;
            let [second, third, fourth] = rest;
            let length = u32::from_be_bytes([high & 0x7f, second, third, fourth]);
            Some((usize::try_from(length).ok()?, at + 4))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_byte_or_four() {
        for (bytes, length, end) in [
            (&[0][..], Some(0), 1),
            (&[0x7f], Some(127), 1),
            (&[0x80, 0, 0, 5], Some(5), 4),
            (&[0x80, 0, 1, 0], Some(256), 4),
            (&[0xff, 0xff, 0xff, 0xff], Some(0x7fff_ffff), 4),
            (&[], None, 0),
            (&[0x80, 0, 1], None, 0),
        ] {
            assert_eq!(
                length_at(bytes, 0),
                length.map(|length| (length, end)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_pair_lies_inside() {
        let whole = b"\x01\x02abb\x00\x00";
        let pair = pair_at(whole, 0).expect("a pair");
        assert_eq!((pair.name, pair.value), (2..3, 3..5));
        let empty = pair_at(whole, 5).expect("a pair");
        assert!(empty.name.is_empty() && empty.value == (7..7));
        for cut in 1..5 {
            assert!(pair_at(&whole[..cut], 0).is_none(), "{cut}");
        }
        assert!(pair_at(b"\xff\xff\xff\xff\xff\xff\xff\xffx", 0).is_none());
    }
}
