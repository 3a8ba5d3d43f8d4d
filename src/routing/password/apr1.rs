//! Apache's variant of MD5-crypt (`$apr1$`), which htpasswd writes by default. The algorithm is that
//! of apr_md5.c.

use md5::{Digest, Md5};

const MAGIC: &[u8] = b"$apr1$";
const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The hash of a password with the salt of `hash`: `$apr1$SALT$...`. `None`: this is none.
pub(super) fn apr1(password: &[u8], hash: &[u8]) -> Option<Vec<u8>> {
    let rest = hash.strip_prefix(MAGIC)?;
    let end = rest.iter().position(|byte| *byte == b'$')?;
    let salt = &rest[..end.min(8)];
    let inner = Md5::digest(&[password, salt, password].concat());
    let mut outer = Md5::new();
    outer.update(password);
    outer.update(MAGIC);
    outer.update(salt);
    for left in (0..password.len()).step_by(16) {
        outer.update(&inner[..(password.len() - left).min(16)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        match bits & 1 {
            1 => outer.update([0]),
            _ => outer.update(&password[..1]),
        }
        bits >>= 1;
    }
    let mut sum = outer.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        next.update(if round % 2 == 1 { password } else { &sum });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round % 2 == 1 { &sum } else { password });
        sum = next.finalize();
    }
    let mut out = [MAGIC, salt, b"$"].concat();
    let mut letters = |bits: u32, count: u32| {
        out.extend((0..count).map(|place| LETTERS[(bits >> (6 * place)) as usize & 63]));
    };
    let byte = |at: usize| u32::from(sum[at]);
    for at in 0..5 {
        let last = if at == 4 { 5 } else { at + 12 };
        letters(byte(at) << 16 | byte(at + 6) << 8 | byte(last), 4);
    }
    letters(byte(11), 2);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::apr1;

    #[test]
    fn hashes_of_openssl() {
        // openssl passwd -apr1 -salt ...
        for (password, hash) in [
            ("secret", "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0"),
            ("", "$apr1$saltsalt$a8ml/vK5HEjiZ5oypDWA7/"),
            ("a", "$apr1$saltsalt$OEnK0QmmvoDzFw9W2yFYT/"),
            (
                "a password that is longer than sixteen bytes",
                "$apr1$saltsalt$BkBJlUqsWJCbYBr8uCpeT.",
            ),
        ] {
            let made = apr1(password.as_bytes(), hash.as_bytes());
            assert_eq!(made.as_deref(), Some(hash.as_bytes()), "{password}");
        }
        assert_eq!(apr1(b"x", b"$1$salt$x"), None);
    }
}
