//! Names: what a token is, and field names as numbers. One look at a field name gives a hash that
//! ignores case and tells whether an underscore is in it.
//!
//! Why not a std hasher: the hash must ignore case, and it runs for every field of every request.
//! It is not keyed and gives no protection against chosen collisions: every lookup compares the
//! name too. Pure, any thread.

/// A 32-bit hash of a field name that ignores ASCII case. Stable within a build only.
///
/// The Python layer keeps its interned `HTTP_*` keys under it ([`Field::name_hash`](super::Field)
/// is this, precomputed).
pub fn name_hash(name: &[u8]) -> u32 {
    scan(name).hash
}

/// A byte of a token (RFC 9110, 5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// A token: at least one byte, and token bytes only.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

pub(super) struct NameScan {
    /// As [`name_hash`].
    pub(super) hash: u32,
    /// An underscore is in the name: the field is dropped (it would shadow the one with a hyphen in
    /// the environ).
    pub(super) underscore: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;
/// An odd constant with well-mixed bits (2^64 over the golden ratio).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Eight bytes a step; the last step overlaps the one before instead of copying a tail.
#[inline]
pub(super) fn scan(name: &[u8]) -> NameScan {
    let mut mix = Mix {
        state: name.len() as u64,
        underscores: 0,
    };
    if let Some(last) = name.last_chunk::<8>() {
        let mut rest = name;
        while let Some((word, after)) = rest.split_first_chunk::<8>() {
            mix.word(u64::from_le_bytes(*word));
            rest = after;
        }
        if !rest.is_empty() {
            mix.word(u64::from_le_bytes(*last));
        }
    } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        mix.word(u64::from(first) | u64::from(last) << 32);
    } else {
        mix.word(
            name.iter()
                .fold(0, |word, &byte| word << 8 | u64::from(byte)),
        );
    }
    NameScan {
        hash: (mix.state ^ mix.state >> 32) as u32,
        underscore: mix.underscores != 0,
    }
}

struct Mix {
    state: u64,
    underscores: u64,
}

impl Mix {
    #[inline]
    fn word(&mut self, word: u64) {
        // A byte of `gap` is zero exactly where the word has an underscore; the next line is the
        // classic zero-byte test.
        let gap = word ^ (ONES * b'_' as u64);
        self.underscores |= gap.wrapping_sub(ONES) & !gap & HIGHS;
        // Bit 5 folds case. It also folds a few punctuation marks together, which costs a
        // collision, never an equality.
        let folded = word | (ONES * 0x20);
        self.state = (self.state.rotate_left(23) ^ folded).wrapping_mul(MULTIPLIER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_names_do_not_collide() {
        let names = [
            "host",
            "accept",
            "accept-encoding",
            "accept-language",
            "user-agent",
            "cookie",
            "connection",
            "content-type",
            "content-length",
            "referer",
            "origin",
            "cache-control",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-real-ip",
            "authorization",
            "if-none-match",
            "if-modified-since",
            "range",
            "te",
            "dnt",
            "a",
            "b",
            "upgrade-insecure-requests",
        ];
        let mut hashes: Vec<u32> = names
            .iter()
            .map(|name| name_hash(name.as_bytes()))
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), names.len());
    }

    proptest! {
        #[test]
        fn case_is_ignored_and_underscores_are_seen(name in "[a-zA-Z0-9_.-]{0,40}") {
            let seen = scan(name.as_bytes());
            prop_assert_eq!(seen.underscore, name.contains('_'));
            prop_assert_eq!(seen.hash, name_hash(name.to_ascii_lowercase().as_bytes()));
            prop_assert_eq!(seen.hash, name_hash(name.to_ascii_uppercase().as_bytes()));
        }
    }
}
