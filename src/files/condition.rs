//! Conditional requests (RFC 9110, 13): whether a client needs the file or a part of it.
//!
//! Pure: fields and validators in, a [`Verdict`] out. Fields are evaluated in the order of 13.2.2.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::asked::Asked;
use super::range::{Ranges, ranges};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// A strong entity tag with its quotes; `None` where the application sets one.
    pub etag: Option<String>,
    /// In whole seconds, as in `Last-Modified`.
    pub modified: SystemTime,
}

impl Validators {
    /// The tag is made of the length and the time of the last change in nanoseconds, so a file that
    /// is written twice in a second gets two. Copies with the same times get the same tag. `marked`
    /// distinguishes compressed twins.
    pub fn of(modified: SystemTime, length: u64, marked: &str) -> Self {
        let since = modified
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            etag: Some(format!("\"{:x}-{length:x}{marked}\"", since.as_nanos())),
            modified: UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        }
    }
}

/// The conditional fields of a request; repeated fields are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions<'a> {
    pub if_match: Option<Cow<'a, [u8]>>,
    pub if_none_match: Option<Cow<'a, [u8]>>,
    pub if_modified_since: Option<Cow<'a, [u8]>>,
    pub if_unmodified_since: Option<Cow<'a, [u8]>>,
    pub range: Option<Cow<'a, [u8]>>,
    pub if_range: Option<Cow<'a, [u8]>>,
}

impl<'a> Conditions<'a> {
    pub fn of(asked: &'a (impl Asked + ?Sized)) -> Self {
        Self {
            if_match: asked.field("If-Match"),
            if_none_match: asked.field("If-None-Match"),
            if_modified_since: asked.field("If-Modified-Since"),
            if_unmodified_since: asked.field("If-Unmodified-Since"),
            range: asked.field("Range"),
            if_range: asked.field("If-Range"),
        }
    }

    pub fn into_owned(self) -> Conditions<'static> {
        let own = |value: Option<Cow<'a, [u8]>>| value.map(|value| Cow::Owned(value.into_owned()));
        Conditions {
            if_match: own(self.if_match),
            if_none_match: own(self.if_none_match),
            if_modified_since: own(self.if_modified_since),
            if_unmodified_since: own(self.if_unmodified_since),
            range: own(self.range),
            if_range: own(self.if_range),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200, or 206 or 416: this much of the file.
    Send(Ranges),
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
}

/// Decides about GET and HEAD of a file of `length` bytes. Ranges are defined for GET only (RFC
/// 9110, 14.2).
pub fn verdict(
    conditions: &Conditions<'_>,
    validators: &Validators,
    length: u64,
    is_head: bool,
) -> Verdict {
    let etag = validators.etag.as_deref().map(str::as_bytes);
    let modified = validators.modified;
    match (&conditions.if_match, &conditions.if_unmodified_since) {
        (Some(tags), _) => {
            if !any_tag(tags, etag, Comparison::Strong) {
                return Verdict::PreconditionFailed;
            }
        }
        (None, Some(date)) => {
            if http_date(date).is_some_and(|date| modified > date) {
                return Verdict::PreconditionFailed;
            }
        }
        (None, None) => {}
    }
    match (&conditions.if_none_match, &conditions.if_modified_since) {
        (Some(tags), _) => {
            if any_tag(tags, etag, Comparison::Weak) {
                return Verdict::NotModified;
            }
        }
        (None, Some(date)) => {
            if http_date(date).is_some_and(|date| modified <= date) {
                return Verdict::NotModified;
            }
        }
        (None, None) => {}
    }
    let wanted = match &conditions.range {
        Some(range) if !is_head && still_the_same(conditions, etag, modified) => {
            ranges(range, length)
        }
        _ => Ranges::Whole,
    };
    Verdict::Send(wanted)
}

/// `If-Range`: send the part only if the client's rest is of the same state. Tags are compared
/// strongly, dates exactly.
fn still_the_same(conditions: &Conditions<'_>, etag: Option<&[u8]>, modified: SystemTime) -> bool {
    let Some(known) = &conditions.if_range else {
        return true;
    };
    let known = known.trim_ascii();
    if known.starts_with(b"\"") || known.starts_with(b"W/") {
        return etag.is_some_and(|etag| known == etag);
    }
    http_date(known).is_some_and(|date| date == modified)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of tags (RFC 9110, 8.8.3.2) has this one, or is `*`. A malformed element ends the
/// list.
fn any_tag(list: &[u8], etag: Option<&[u8]>, comparison: Comparison) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    let Some(etag) = etag else {
        return false;
    };
    loop {
        let skipped = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','));
        let Some(skipped) = skipped else {
            return false;
        };
        rest = &rest[skipped..];
        let (is_weak, tag) = match rest.strip_prefix(b"W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        // A tag may contain commas but no quotes.
        let end = match tag.strip_prefix(b"\"") {
            Some(inside) => inside.iter().position(|byte| *byte == b'"'),
            None => None,
        };
        let Some(end) = end else {
            return false;
        };
        let (tag, behind) = tag.split_at(end + 2);
        if tag == etag && (comparison == Comparison::Weak || !is_weak) {
            return true;
        }
        rest = behind;
    }
}

/// A date in any of the three forms (RFC 9110, 5.6.7); others are ignored.
fn http_date(value: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(value).ok()?;
    httpdate::parse_http_date(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::range::Span;
    use proptest::prelude::*;

    const LENGTH: u64 = 1000;
    const TAG: &str = "\"abc\"";
    /// When the file of these tests was changed.
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators {
        Validators {
            etag: Some(TAG.to_owned()),
            modified: httpdate::parse_http_date(THEN).expect("a date"),
        }
    }

    fn ask(fields: &[(&str, &'static str)]) -> Conditions<'static> {
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            let place = match *name {
                "if-match" => &mut conditions.if_match,
                "if-none-match" => &mut conditions.if_none_match,
                "if-modified-since" => &mut conditions.if_modified_since,
                "if-unmodified-since" => &mut conditions.if_unmodified_since,
                "range" => &mut conditions.range,
                "if-range" => &mut conditions.if_range,
                other => panic!("{other}"),
            };
            *place = Some(Cow::Borrowed(value.as_bytes()));
        }
        conditions
    }

    fn status(fields: &[(&str, &'static str)]) -> u16 {
        match verdict(&ask(fields), &validators(), LENGTH, false) {
            Verdict::Send(Ranges::Whole) => 200,
            Verdict::Send(Ranges::One(_) | Ranges::Several(_)) => 206,
            Verdict::Send(Ranges::Unsatisfiable) => 416,
            Verdict::NotModified => 304,
            Verdict::PreconditionFailed => 412,
        }
    }

    #[test]
    fn tags() {
        for (value, none_match, matches) in [
            ("\"abc\"", 304, 200),
            ("W/\"abc\"", 304, 412),
            ("*", 304, 200),
            (" * ", 304, 200),
            ("\"x\"", 200, 412),
            ("\"x\", \"abc\"", 304, 200),
            ("\"x\",W/\"y\" ,\"abc\"", 304, 200),
            (",, \"abc\",", 304, 200),
            ("\"a,b\", \"abc\"", 304, 200),
            ("\"x,\"abc\"", 200, 412),
            ("abc", 200, 412),
            ("\"abc", 200, 412),
            ("w/\"abc\"", 200, 412),
            ("", 200, 412),
            ("\"*\"", 200, 412),
        ] {
            assert_eq!(
                status(&[("if-none-match", value)]),
                none_match,
                "If-None-Match: {value}"
            );
            assert_eq!(status(&[("if-match", value)]), matches, "If-Match: {value}");
        }
    }

    #[test]
    fn dates() {
        for (value, since, unmodified) in [
            (THEN, 304, 200),
            (AFTER, 304, 200),
            (BEFORE, 200, 412),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 304, 200),
            ("Sun Nov  6 08:49:37 1994", 304, 200),
            ("yesterday", 200, 200),
            ("", 200, 200),
            ("784111777", 200, 200),
        ] {
            assert_eq!(
                status(&[("if-modified-since", value)]),
                since,
                "If-Modified-Since: {value}"
            );
            assert_eq!(
                status(&[("if-unmodified-since", value)]),
                unmodified,
                "If-Unmodified-Since: {value}"
            );
        }
    }

    /// RFC 9110, 13.2.2.
    #[test]
    fn precedence() {
        for (fields, wanted) in [
            // A tag counts more than a date.
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", AFTER)][..],
                200,
            ),
            (
                &[("if-none-match", "\"abc\""), ("if-modified-since", BEFORE)],
                304,
            ),
            (
                &[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)],
                200,
            ),
            (
                &[("if-match", "\"x\""), ("if-unmodified-since", AFTER)],
                412,
            ),
            // What must hold comes before what would be new.
            (&[("if-match", "\"x\""), ("if-none-match", "\"abc\"")], 412),
            (
                &[("if-match", "\"abc\""), ("if-none-match", "\"abc\"")],
                304,
            ),
            (
                &[
                    ("if-unmodified-since", BEFORE),
                    ("if-modified-since", AFTER),
                ],
                412,
            ),
            // Ranges come last.
            (&[("if-none-match", "\"abc\""), ("range", "bytes=0-1")], 304),
            (&[("if-match", "\"x\""), ("range", "bytes=0-1")], 412),
            (&[("if-match", "\"abc\""), ("range", "bytes=0-1")], 206),
            (&[("if-match", "\"abc\""), ("range", "bytes=1000-")], 416),
        ] {
            assert_eq!(status(fields), wanted, "{fields:?}");
        }
    }

    #[test]
    fn parts_of_the_same_state_only() {
        for (value, wanted) in [
            ("\"abc\"", 206),
            ("\"x\"", 200),
            ("W/\"abc\"", 200),
            (THEN, 206),
            (BEFORE, 200),
            (AFTER, 200),
            ("nonsense", 200),
            ("", 200),
            ("*", 200),
        ] {
            let fields = [("range", "bytes=0-1"), ("if-range", value)];
            assert_eq!(status(&fields), wanted, "If-Range: {value}");
            // A part that is not there is no error either when the whole is sent.
            let fields = [("range", "bytes=1000-"), ("if-range", value)];
            let wanted = if wanted == 206 { 416 } else { 200 };
            assert_eq!(status(&fields), wanted, "If-Range: {value}");
        }
        assert_eq!(
            status(&[("if-range", "\"x\"")]),
            200,
            "If-Range without Range"
        );
    }

    #[test]
    fn head_has_no_ranges() {
        let conditions = ask(&[("range", "bytes=0-1")]);
        let whole = Verdict::Send(Ranges::Whole);
        assert_eq!(verdict(&conditions, &validators(), LENGTH, true), whole);
        let part = Verdict::Send(Ranges::One(Span { from: 0, length: 2 }));
        assert_eq!(verdict(&conditions, &validators(), LENGTH, false), part);
    }

    #[test]
    fn a_tag_tells_states_and_twins_apart() {
        let at = |nanos| UNIX_EPOCH + Duration::new(5, nanos);
        let tag = |modified, length, marked| Validators::of(modified, length, marked).etag;
        assert_eq!(tag(at(1), 255, ""), Some("\"12a05f201-ff\"".to_owned()));
        assert_ne!(tag(at(1), 255, ""), tag(at(2), 255, ""));
        assert_ne!(tag(at(1), 255, ""), tag(at(1), 254, ""));
        assert_ne!(tag(at(1), 255, ""), tag(at(1), 255, "-gzip"));
        // Dates have seconds only, and files from before 1970 are as old as can be said.
        assert_eq!(Validators::of(at(1), 0, "").modified, at(0));
        let ancient = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Validators::of(ancient, 0, "").modified, UNIX_EPOCH);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            tags in proptest::collection::vec(any::<u8>(), 0..32),
            tagish in "[\"W/a, *]{0,16}",
        ) {
            for value in [tags.as_slice(), tagish.as_bytes()] {
                let conditions = Conditions {
                    if_match: Some(Cow::Borrowed(value)),
                    if_none_match: Some(Cow::Borrowed(value)),
                    if_range: Some(Cow::Borrowed(value)),
                    if_modified_since: Some(Cow::Borrowed(value)),
                    range: Some(Cow::Borrowed(b"bytes=0-1")),
                    ..Conditions::default()
                };
                let _verdict = verdict(&conditions, &validators(), LENGTH, false);
            }
        }
    }
}
