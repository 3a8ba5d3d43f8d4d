//! Texts become values, by the rules that uWSGI's users have learned.
//!
//! uWSGI reads numbers with strtol and takes every word but four for true. Both are kept where
//! files depend on them, and both are warned about: `4 ; four` is 4, and `master = off ; x` is
//! true. What cannot be meant (`--processes four`) is an error. Pure functions.

use std::time::Duration;

/// A deadline that is never reached, yet can be added to any clock: a hundred years.
pub const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[derive(Debug, PartialEq)]
pub(crate) struct Read<T> {
    pub(crate) value: T,
    /// The end of the sentence "`--processes 4 ; four` ...".
    pub(crate) warning: Option<String>,
}

impl<T> Read<T> {
    fn clean(value: T) -> Read<T> {
        Read {
            value,
            warning: None,
        }
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Read<U> {
        Read {
            value: change(self.value),
            warning: self.warning,
        }
    }
}

const TRUE_WORDS: &[&str] = &["true", "on", "yes", "1"];
/// False for these and nothing else, in upper case too (uWSGI's `uwsgi_opt_true`).
const FALSE_WORDS: &[&str] = &["false", "off", "no", "0"];

fn is_one_of(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// A word that a flag takes for its value when it stands behind it on the command line.
pub(crate) fn is_flag_word(text: &str) -> bool {
    is_one_of(TRUE_WORDS, text) || is_one_of(FALSE_WORDS, text)
}

/// A word of truth where a number is wanted: strtol makes 0 of it, and so uWSGI goes on without the
/// option.
pub(crate) fn is_no_number(text: &str) -> bool {
    is_flag_word(text) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// The end of the sentence about it.
pub(crate) const NO_NUMBER: &str =
    "is no number: uWSGI reads it as 0, and here it is as if it were not written";

/// Never fails: as in uWSGI every other word is true, with a warning here.
pub(crate) fn flag(text: &str) -> Read<bool> {
    if is_one_of(FALSE_WORDS, text) {
        return Read::clean(false);
    }
    let comment = if text.contains([';', '#']) {
        ", and a comment must have a line of its own"
    } else {
        ""
    };
    Read {
        value: true,
        warning: (!is_one_of(TRUE_WORDS, text))
            .then(|| format!("is true: only false, off, no and 0 are false{comment}")),
    }
}

/// A whole number. `Err` is the end of the sentence "`--processes` ...".
pub(crate) fn number(text: &str) -> Result<Read<u64>, String> {
    let (digits, rest) = leading_digits(text);
    if digits.is_empty() {
        return Err(format!("wants a number, got '{text}'"));
    }
    let Ok(value) = digits.parse() else {
        return Err(format!("wants a number, and {digits} is too large for one"));
    };
    Ok(Read {
        value,
        warning: (!rest.trim().is_empty()).then(|| {
            format!("is read as {value}: what follows the number is left out, as in uWSGI")
        }),
    })
}

/// Bytes: a number with an optional K, M or G (also KB, KiB ...), in powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<Read<u64>, String> {
    let (digits, rest) = leading_digits(text);
    let Some(shift) = byte_suffix(rest) else {
        return number(text).map_err(|why| why.replace("a number", "a number of bytes"));
    };
    let Ok(value) = digits.parse::<u64>() else {
        return Err(format!("wants a number of bytes, got '{text}'"));
    };
    match value.checked_mul(1 << shift) {
        Some(value) => Ok(Read::clean(value)),
        None => Err(format!(
            "wants a number of bytes, and {text} is too large for one"
        )),
    }
}

fn byte_suffix(text: &str) -> Option<u32> {
    let suffix = text.trim().to_ascii_lowercase();
    match suffix.as_str() {
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    }
}

/// Seconds: `60`, `0.5`, `500ms`, `30s`, `5m`, `1h`. Never more than [`NEVER`].
pub(crate) fn seconds(text: &str) -> Result<Read<Duration>, String> {
    let bad = || format!("wants seconds, got '{text}'");
    let (whole, rest) = leading_digits(text);
    if whole.is_empty() {
        return Err(bad());
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => leading_digits(rest),
        None => ("", rest),
    };
    let unit_millis: u64 = match rest.trim() {
        "" | "s" => 1_000,
        "ms" => 1,
        "m" => 60_000,
        "h" => 3_600_000,
        _ if fraction.is_empty() => {
            return number(text).map(|read| read.map(|s| Duration::from_secs(s).min(NEVER)));
        }
        _ => return Err(bad()),
    };
    let Ok(whole) = whole.parse::<u64>() else {
        return Ok(Read::clean(NEVER));
    };
    // Nine digits of a fraction are nanoseconds of a second; more are finer than any clock here.
    let kept = fraction.get(..fraction.len().min(9)).unwrap_or_default();
    let nanos: u64 = format!("{kept:0<9}").parse().map_err(|_| bad())?;
    let millis = u128::from(whole) * u128::from(unit_millis);
    let nanos = millis * 1_000_000 + u128::from(nanos) * u128::from(unit_millis) / 1_000;
    if nanos >= NEVER.as_nanos() {
        return Ok(Read::clean(NEVER));
    }
    let nanos = u64::try_from(nanos).map_err(|_| bad())?;
    Ok(Read::clean(Duration::from_nanos(nanos)))
}

/// A file mode: three or four octal digits.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.trim();
    if (3..=4).contains(&digits.len())
        && let Ok(mode) = u32::from_str_radix(digits, 8)
        && !digits.starts_with('+')
    {
        return Ok(mode);
    }
    Err(format!("wants a file mode such as 660, got '{text}'"))
}

/// The end of the sentence about `env = NAME`, which glibc's `putenv` takes for the opposite.
pub(crate) const REMOVES: &str = "has no '=', and so removes the variable, as in uWSGI";

/// `KEY=VALUE`, with a key.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !text.contains('\0') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!("wants KEY=VALUE, got '{text}'")),
    }
}

/// strtol without its sign: spaces in front are skipped, then digits for as long as there are any.
fn leading_digits(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn flags_are_false_for_four_words_only() {
        for word in ["false", "off", "no", "0", "False", "OFF"] {
            assert_eq!(flag(word), Read::clean(false));
        }
        for word in ["true", "on", "yes", "1", "True", "YES"] {
            assert_eq!(flag(word), Read::clean(true));
        }
        for word in ["false ; x", "", "banana", "00", "n"] {
            assert!(flag(word).value, "{word}");
            assert!(flag(word).warning.is_some(), "{word}");
        }
    }

    #[test]
    fn numbers_are_read_as_strtol_does_with_a_warning() {
        assert_eq!(number("4").unwrap(), Read::clean(4));
        assert_eq!(number(" 4 ").unwrap(), Read::clean(4));
        let trap = number("4 ; four").unwrap();
        assert_eq!(trap.value, 4);
        assert!(trap.warning.unwrap().contains("is read as 4"));
        assert_eq!(number("four").unwrap_err(), "wants a number, got 'four'");
        assert_eq!(number("-1").unwrap_err(), "wants a number, got '-1'");
        assert_eq!(number("").unwrap_err(), "wants a number, got ''");
        assert!(
            number("99999999999999999999")
                .unwrap_err()
                .contains("too large")
        );
    }

    #[test]
    fn bytes_take_a_suffix() {
        assert_eq!(bytes("65535").unwrap(), Read::clean(65_535));
        assert_eq!(bytes("32k").unwrap(), Read::clean(32_768));
        assert_eq!(bytes("10 MiB").unwrap(), Read::clean(10 << 20));
        assert_eq!(bytes("1G").unwrap(), Read::clean(1 << 30));
        assert!(bytes("k").is_err());
        assert!(bytes("99999999999999G").is_err());
        assert_eq!(
            bytes("lots").unwrap_err(),
            "wants a number of bytes, got 'lots'"
        );
    }

    #[test]
    fn seconds_take_fractions_and_units() {
        let read = |text| seconds(text).unwrap().value;
        assert_eq!(read("60"), Duration::from_secs(60));
        assert_eq!(read("0"), Duration::ZERO);
        assert_eq!(read("0.5"), Duration::from_millis(500));
        assert_eq!(read("1.5m"), Duration::from_secs(90));
        assert_eq!(read("250ms"), Duration::from_millis(250));
        assert_eq!(read("30s"), Duration::from_secs(30));
        assert_eq!(read("2h"), Duration::from_secs(7_200));
        assert_eq!(read("9999999999999"), NEVER);
        assert_eq!(read("99999999999999999999999"), NEVER);
        assert_eq!(seconds("soon").unwrap_err(), "wants seconds, got 'soon'");
        assert!(seconds("-1").is_err());
        assert!(seconds("1.5 apples").is_err());
        assert!(seconds("30 ; half a minute").unwrap().warning.is_some());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("660"), Ok(0o660));
        assert_eq!(mode("0666"), Ok(0o666));
        for text in ["", "6", "999", "+66", "rw-rw----", "77777"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9]{0,30}[.]?[0-9]{0,30}[kmgshKMG]{0,3}") {
            flag(&text);
            for failed in [
                number(&text).err(), bytes(&text).err(), seconds(&text).err(),
                mode(&text).err(), pair(&text).err(),
            ].into_iter().flatten() {
                prop_assert!(failed.starts_with("wants"), "{failed}");
            }
            if let Ok(read) = seconds(&text) {
                prop_assert!(read.value <= NEVER);
            }
        }
    }
}
