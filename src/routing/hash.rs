//! The algorithms of the action `hash`, as uWSGI has them (core/hash.c).

use ring::rand::{SecureRandom, SystemRandom};

use super::language::action::HashAlgorithm;

pub(super) fn hash(algorithm: HashAlgorithm, key: &[u8]) -> u32 {
    match algorithm {
        HashAlgorithm::Djb33x => djb33x(key),
        HashAlgorithm::Murmur2 => murmur2(key),
        HashAlgorithm::Random => {
            let mut bytes = [0; 4];
            // Without the system's randomness every request gets the first item.
            let _first = SystemRandom::new().fill(&mut bytes);
            u32::from_ne_bytes(bytes)
        }
    }
}

/// Bytes are signed there.
fn djb33x(key: &[u8]) -> u32 {
    key.iter().fold(5381_u32, |hash, byte| {
        hash.wrapping_mul(33) ^ i32::from(*byte as i8) as u32
    })
}

fn murmur2(key: &[u8]) -> u32 {
    const FACTOR: u32 = 0x5bd1_e995;
    let mut hash = key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> 24;
        hash = hash.wrapping_mul(FACTOR) ^ word.wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        // uWSGI takes the first bytes of the key here, not the last ones: the items must be the
        // same.
        for (place, byte) in key.iter().take(rest.len()).enumerate() {
            hash ^= (i32::from(*byte as i8) as u32) << (8 * place);
        }
        hash = hash.wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn djb33x_is_that_of_bernstein() {
        assert_eq!(djb33x(b""), 5381);
        assert_eq!(djb33x(b"a"), (5381 * 33) ^ 97);
    }
}
