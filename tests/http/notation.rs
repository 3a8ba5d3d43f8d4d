//! The notation of `tests/requests/` (its README has the table): text in, the bytes of a connection out.
//! Used by `tests/http.rs` and, for its seeds, by the fuzz package.

/// The bytes that a file of the corpus stands for.
///
/// # Panics
/// On a malformed escape: the corpus is ours.
pub fn bytes(text: &str) -> Vec<u8> {
    let wire: String = text
        .lines()
        .skip_while(|line| line.starts_with('#'))
        .collect();
    let mut out = Vec::new();
    let rest = expand(wire.as_bytes(), &mut out);
    assert!(rest.is_empty(), "a stray }} in the corpus");
    out
}

/// Expands up to the `}` of the repetition that we are in, or to the end; what is behind it is returned.
fn expand<'t>(mut text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let mut depth_of_plain_braces = 0;
    loop {
        text = match text {
            [] => return text,
            [b'}', rest @ ..] if depth_of_plain_braces == 0 => return rest,
            [b'\\', b'r', rest @ ..] => one(b'\r', rest, out),
            [b'\\', b'n', rest @ ..] => one(b'\n', rest, out),
            [b'\\', b't', rest @ ..] => one(b'\t', rest, out),
            [b'\\', b'\\', rest @ ..] => one(b'\\', rest, out),
            [b'\\', b'x', high, low, rest @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                one(
                    u8::from_str_radix(digits, 16).expect("two hex digits behind \\x"),
                    rest,
                    out,
                )
            }
            [b'\\', b'{', rest @ ..] => {
                let space = rest
                    .iter()
                    .position(|&byte| byte == b' ')
                    .expect("\\{COUNT TEXT}");
                let count = std::str::from_utf8(&rest[..space]).expect("ASCII");
                let mut once = Vec::new();
                let rest = expand(&rest[space + 1..], &mut once);
                out.extend(once.repeat(count.parse().expect("a count behind \\{")));
                rest
            }
            [b'\\', ..] => panic!("an escape that is not in the table"),
            [byte @ (b'{' | b'}'), rest @ ..] => {
                depth_of_plain_braces += if *byte == b'{' { 1 } else { -1 };
                one(*byte, rest, out)
            }
            [byte, rest @ ..] => one(*byte, rest, out),
        };
    }
}

fn one<'t>(byte: u8, rest: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    out.push(byte);
    rest
}
