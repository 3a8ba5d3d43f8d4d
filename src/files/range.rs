//! `Range` (RFC 9110, 14): the requested bytes of a file. Pure.
//!
//! A server may ignore ranges, so a doubtful one gets the whole file. Two bounds limit the cost of
//! one request: [`RANGES_MAX`] parts, and together no more bytes than the file has (the overlapping
//! ranges of CVE-2011-3192).

/// The most parts of one answer.
pub const RANGES_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From 0.
    pub from: u64,
    /// Never 0.
    pub length: u64,
}

impl Span {
    pub fn last(self) -> u64 {
        self.from + (self.length - 1)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    Whole,
    One(Span),
    Several(Vec<Span>),
    /// 416: the file has none of the parts.
    Unsatisfiable,
}

pub fn ranges(value: &[u8], length: u64) -> Ranges {
    // Some clients ask for the first bytes of everything; for an empty file that is no error.
    if length == 0 {
        return Ranges::Whole;
    }
    let Some(set) = behind_unit(value) else {
        return Ranges::Whole;
    };
    let mut spans: Vec<Span> = Vec::new();
    let mut is_anything_asked = false;
    let mut total = 0_u64;
    for spec in set.split(|byte| *byte == b',') {
        let spec = trim(spec);
        if spec.is_empty() {
            // Empty elements of a list mean nothing (RFC 9110, 5.6.1).
            continue;
        }
        is_anything_asked = true;
        match span(spec, length) {
            Err(Malformed) => return Ranges::Whole,
            Ok(None) => {}
            Ok(Some(span)) => {
                total = total.saturating_add(span.length);
                if spans.len() == RANGES_MAX {
                    return Ranges::Whole;
                }
                spans.push(span);
            }
        }
    }
    match spans.as_slice() {
        [] if is_anything_asked => Ranges::Unsatisfiable,
        [] => Ranges::Whole,
        [only] => Ranges::One(*only),
        _ if total > length => Ranges::Whole,
        _ => Ranges::Several(spans),
    }
}

/// The part behind `bytes=`. Range units are case-insensitive (RFC 9110, 14.1).
fn behind_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

struct Malformed;

/// One `first-last`, `first-` or `-length`. `None`: outside of the file.
fn span(spec: &[u8], length: u64) -> Result<Option<Span>, Malformed> {
    let dash = spec
        .iter()
        .position(|byte| *byte == b'-')
        .ok_or(Malformed)?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (first, last) {
        (b"", b"") => Err(Malformed),
        (b"", suffix) => {
            let wanted = number(suffix)?.min(length);
            Ok((wanted > 0).then(|| Span {
                from: length - wanted,
                length: wanted,
            }))
        }
        (first, last) => {
            let from = number(first)?;
            let to = match last {
                b"" => u64::MAX,
                last => number(last)?,
            };
            if to < from {
                return Err(Malformed);
            }
            Ok((from < length).then(|| Span {
                from,
                length: to.min(length - 1) - from + 1,
            }))
        }
    }
}

/// Decimal digits; an overflow counts as infinity.
fn number(digits: &[u8]) -> Result<u64, Malformed> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(digits.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

fn trim(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_space(byte));
    let end = text.iter().rposition(|byte| !is_space(byte));
    match (start, end) {
        (Some(start), Some(end)) => &text[start..=end],
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(from: u64, length: u64) -> Ranges {
        Ranges::One(Span { from, length })
    }

    #[test]
    fn the_examples_of_the_rfc() {
        for (value, found) in [
            ("bytes=0-499", one(0, 500)),
            ("bytes=500-999", one(500, 500)),
            ("bytes=-500", one(9500, 500)),
            ("bytes=9500-", one(9500, 500)),
            ("bytes=0-0", one(0, 1)),
            ("bytes=0-", one(0, 10_000)),
            ("bytes=9999-20000", one(9999, 1)),
            ("bytes=-20000", one(0, 10_000)),
            ("BYTES=1-1", one(1, 1)),
            ("bytes= 1-1 ", one(1, 1)),
            ("bytes=, ,1-1,,", one(1, 1)),
            ("bytes=1-1,10000-", one(1, 1)),
            ("bytes=1-18446744073709551616000", one(1, 9999)),
        ] {
            assert_eq!(ranges(value.as_bytes(), 10_000), found, "{value}");
        }
        let several = |spans: &[(u64, u64)]| {
            let spans = spans.iter().map(|&(from, length)| Span { from, length });
            Ranges::Several(spans.collect())
        };
        for (value, found) in [
            ("bytes=0-0,-1", several(&[(0, 1), (9999, 1)])),
            (
                "bytes= 0-999, 4500-5499, -1000",
                several(&[(0, 1000), (4500, 1000), (9000, 1000)]),
            ),
            ("bytes=500-600,601-999", several(&[(500, 101), (601, 399)])),
            // In the order of the request, and overlapping, as long as it is not more than the
            // file.
            ("bytes=9-9,0-4,2-6", several(&[(9, 1), (0, 5), (2, 5)])),
        ] {
            assert_eq!(ranges(value.as_bytes(), 10_000), found, "{value}");
        }
    }

    #[test]
    fn what_the_file_does_not_have() {
        for value in [
            "bytes=10-",
            "bytes=10-11",
            "bytes=-0",
            "bytes=99-,10-10,-0",
            "bytes=18446744073709551615-",
            "bytes=184467440737095516150-",
        ] {
            assert_eq!(
                ranges(value.as_bytes(), 10),
                Ranges::Unsatisfiable,
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=--1",
            "bytes=1",
            "bytes=a-b",
            "bytes=1-0",
            "bytes=0-1,5-4",
            "bytes=0x0-0x5",
            "bytes=+0-+5",
            "bytes= -",
            "bytes =0-1",
            "lines=0-1",
            "bytes=0-1;2-3",
            "bytes=0 - 1",
        ] {
            assert_eq!(ranges(value.as_bytes(), 10), Ranges::Whole, "{value}");
        }
        assert_eq!(ranges(b"bytes=0-", 0), Ranges::Whole, "an empty file");
    }

    #[test]
    fn many_or_overlapping_ranges_are_the_whole_file() {
        let many = |count: usize| {
            let specs: Vec<String> = (0..count).map(|at| format!("{at}-{at}")).collect();
            ranges(format!("bytes={}", specs.join(",")).as_bytes(), 1 << 20)
        };
        assert!(matches!(many(RANGES_MAX), Ranges::Several(spans) if spans.len() == RANGES_MAX));
        assert_eq!(many(RANGES_MAX + 1), Ranges::Whole);
        assert_eq!(ranges(b"bytes=0-,0-,0-,0-", 1000), Ranges::Whole);
        assert_eq!(ranges(b"bytes=0-9,0-0", 10), Ranges::Whole);
    }

    proptest! {
        /// No byte sequence panics, and whatever is found lies inside the file and is not more than
        /// it.
        #[test]
        fn what_is_found_is_there(set in "[0-9,\\- ]{0,24}", length: u64, small in 0_u64..50) {
            for length in [length, small] {
                let spans = match ranges(format!("bytes={set}").as_bytes(), length) {
                    Ranges::One(span) => vec![span],
                    Ranges::Several(spans) => spans,
                    Ranges::Whole | Ranges::Unsatisfiable => vec![],
                };
                let mut total = 0_u64;
                for span in &spans {
                    prop_assert!(span.length > 0 && span.from < length && span.last() < length);
                    total = total.saturating_add(span.length);
                }
                prop_assert!(total <= length);
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64), length: u64) {
            let _found = ranges(&value, length);
        }
    }
}
