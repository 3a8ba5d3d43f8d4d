//! The expression of a rule. uWSGI has PCRE, which matches bytes; so does this.
//!
//! An expression runs in time linear in the subject, unless it needs what only a backtracking
//! matcher can do: look-around (`^/(?!static/)`) and back references. Those have a bound on their
//! steps. Pure.

use std::fmt;
use std::ops::Range;

/// An expression, compiled. Two are equal if their texts are.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    Linear(regex::bytes::Regex),
    Backtracking(fancy_regex::Regex),
}

/// The match took more steps than its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySteps;

/// The groups of a match: where they are in the subject. The first is the whole match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    subject: Vec<u8>,
    spans: Vec<Option<Range<usize>>>,
}

impl Groups {
    /// The text of a group; empty if it took no part in the match, or does not exist.
    pub fn get(&self, number: usize) -> &[u8] {
        let span = self.spans.get(number).cloned().flatten();
        span.and_then(|span| self.subject.get(span))
            .unwrap_or_default()
    }
}

impl Pattern {
    /// `Err` is the end of a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        let linear = regex::bytes::RegexBuilder::new(text).unicode(false).build();
        let matcher = match linear {
            Ok(regex) => Matcher::Linear(regex),
            Err(error) => match backtracking(text) {
                Ok(regex) => Matcher::Backtracking(regex),
                Err(_) => {
                    let why = error.to_string();
                    let last = why.lines().last().unwrap_or_default();
                    let last = last.strip_prefix("error: ").unwrap_or(last);
                    return Err(format!("has an expression that is none: '{text}': {last}"));
                }
            },
        };
        Ok(Self {
            text: text.to_owned(),
            matcher,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// It can be one of a set that is matched at once.
    pub fn is_linear(&self) -> bool {
        matches!(self.matcher, Matcher::Linear(_))
    }

    pub fn is_match(&self, subject: &[u8]) -> Result<bool, TooManySteps> {
        match &self.matcher {
            Matcher::Linear(regex) => Ok(regex.is_match(subject)),
            Matcher::Backtracking(regex) => regex.is_match(subject).map_err(|_| TooManySteps),
        }
    }

    /// The groups, if it matches.
    pub fn groups(&self, subject: &[u8]) -> Result<Option<Groups>, TooManySteps> {
        let spans: Vec<Option<Range<usize>>> = match &self.matcher {
            Matcher::Linear(regex) => match regex.captures(subject) {
                Some(found) => found.iter().map(|one| Some(one?.range())).collect(),
                None => return Ok(None),
            },
            Matcher::Backtracking(regex) => {
                match regex.captures(subject).map_err(|_| TooManySteps)? {
                    Some(found) => found.iter().map(|one| Some(one?.range())).collect(),
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Groups {
            subject: subject.to_vec(),
            spans,
        }))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(out)
    }
}

fn backtracking(text: &str) -> Result<fancy_regex::Regex, ()> {
    fancy_regex::RegexBuilder::new(text)
        .unicode_mode(false)
        .bytes_mode(fancy_regex::BytesMode::Ascii)
        .build()
        .map_err(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_matched_as_in_pcre() {
        let dot = Pattern::new("^/.$").expect("an expression");
        assert_eq!(dot.is_match(b"/\xff"), Ok(true));
        assert_eq!(dot.is_match("/é".as_bytes()), Ok(false), "two bytes");
        let word = Pattern::new(r"^\w+$").expect("an expression");
        assert_eq!(word.is_match("é".as_bytes()), Ok(false));
        let groups = Pattern::new("^/(a)?(.*)$").and_then(|one| {
            one.groups("/caf\u{e9}".as_bytes())
                .map_err(|_| String::new())
        });
        let groups = groups.expect("no error").expect("a match");
        assert_eq!(groups.get(0), "/caf\u{e9}".as_bytes());
        assert_eq!((groups.get(1), groups.get(9)), (&b""[..], &b""[..]));
        assert_eq!(groups.get(2), "caf\u{e9}".as_bytes());
    }

    #[test]
    fn look_around_and_back_references_work() {
        let not_static = Pattern::new("^/(?!static/)(.*)$").expect("an expression");
        assert!(!not_static.is_linear());
        assert_eq!(not_static.is_match(b"/static/a"), Ok(false));
        let groups = not_static.groups(b"/caf\xe9\xe9/x").expect("few steps");
        assert_eq!(groups.expect("a match").get(1), b"caf\xe9\xe9/x");
        let twice = Pattern::new(r"^/(\w+)/\1$").expect("an expression");
        assert_eq!(twice.is_match(b"/ab/ab"), Ok(true));
        assert_eq!(twice.is_match(b"/ab/ac"), Ok(false));
    }

    #[test]
    fn a_match_has_a_bound() {
        let slow = Pattern::new(r"^(?=(a+)+$)(a|a)*\1b$").expect("an expression");
        assert_eq!(slow.is_match(&[b'a'; 64]), Err(TooManySteps));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let why = Pattern::new("^/(a").unwrap_err();
        assert_eq!(
            why,
            "has an expression that is none: '^/(a': unclosed group"
        );
    }
}
