//! Texts with variables, functions and groups of the expression: `https://${HTTP_HOST}/$1`.
//!
//! Read once, when the rules are. The grammar is that of uWSGI's `uwsgi_routing_translate`: `$1` to
//! `$9` are groups and `$0` is the whole match, `${NAME}` is a variable, `${name[KEY]}` a function
//! of a variable, and every other `$` means itself. Unlike there, a value is never read a second
//! time: a client cannot name variables.

use super::suggestion::unknown;

/// Functions, in the order in which errors list them.
pub const FUNCTIONS: &[(&str, Function)] = &[
    ("cookie", Function::Cookie),
    ("qs", Function::Query),
    ("mime", Function::MediaType),
    ("uwsgi", Function::Server),
    ("time", Function::Time),
    ("httptime", Function::HttpTime),
    ("base64", Function::Base64),
    ("hex", Function::Hex),
    ("upper", Function::Upper),
    ("lower", Function::Lower),
    ("urlencode", Function::UrlEncode),
    ("urldecode", Function::UrlDecode),
];

/// Functions of uWSGI's plugins that are not there, and the way out.
const ABSENT: &[(&str, &str)] = &[
    ("metric", "there are no metrics in this version"),
    (
        "rpc",
        "there are no functions to be called by name in this version",
    ),
    ("math", "the actions +, -, * and / calculate with variables"),
    (
        "geoip",
        "let the proxy in front add the country as a header",
    ),
    ("xattr", "extended attributes of files are not read"),
    ("xattr2", "extended attributes of files are not read"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// A cookie by its name.
    Cookie,
    /// A field of the query string, as it was sent.
    Query,
    /// The media type for the file name in a variable.
    MediaType,
    /// `wid`, `pid`, `uuid`, `status`, `rtime`, `lq`, `rsize`, `sor`.
    Server,
    /// `unix` or `micros`.
    Time,
    /// The date in so many seconds.
    HttpTime,
    Base64,
    Hex,
    Upper,
    Lower,
    UrlEncode,
    UrlDecode,
}

/// The keys of `${uwsgi[KEY]}`.
const SERVER_KEYS: &[&str] = &[
    "wid", "pid", "uuid", "status", "rtime", "lq", "rsize", "sor",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(Vec<u8>),
    /// `$1`
    Group(usize),
    /// `${HTTP_HOST}`
    Variable(Vec<u8>),
    /// `${cookie[session]}`
    Call(Function, Vec<u8>),
    /// A name with groups in it, `${cookie[$1]}`: looked up when the groups are known.
    Named(Vec<Part>),
}

/// A text that depends on the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// The text of an action: `$1` is a group. `Err` is the end of a sentence.
    pub fn of_action(text: &str) -> Result<Self, String> {
        parse(text.as_bytes(), true)
    }

    /// The text of a condition, where there are no groups yet.
    pub fn of_condition(text: &str) -> Result<Self, String> {
        parse(text.as_bytes(), false)
    }

    /// What it is made of, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, where it does not depend on the request.
    pub fn fixed(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// It has groups of the expression.
    pub fn has_groups(&self) -> bool {
        let is_group = |part: &Part| matches!(part, Part::Group(_) | Part::Named(_));
        self.parts.iter().any(is_group)
    }
}

fn parse(text: &[u8], has_groups: bool) -> Result<Template, String> {
    let mut parts = Parts::default();
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        parts.text(&rest[..at]);
        rest = &rest[at..];
        match rest {
            [_, digit @ b'0'..=b'9', after @ ..] if has_groups => {
                parts.done.push(Part::Group(usize::from(digit - b'0')));
                rest = after;
            }
            [_, b'{', inner @ ..] => match inner.iter().position(|byte| *byte == b'}') {
                Some(end) => {
                    parts.done.push(named(&inner[..end], has_groups)?);
                    rest = &inner[end + 1..];
                }
                None => {
                    return Err(format!(
                        "has '${{' without '}}' in '{}'",
                        String::from_utf8_lossy(text)
                    ));
                }
            },
            // The byte behind it is no `$` of its own.
            [_, _, after @ ..] => {
                parts.text(&rest[..2]);
                rest = after;
            }
            _ => {
                parts.text(rest);
                rest = &[];
            }
        }
    }
    parts.text(rest);
    Ok(Template { parts: parts.done })
}

/// Joins neighbouring texts.
#[derive(Default)]
struct Parts {
    done: Vec<Part>,
}

impl Parts {
    fn text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        match self.done.last_mut() {
            Some(Part::Text(before)) => before.extend_from_slice(text),
            _ => self.done.push(Part::Text(text.to_vec())),
        }
    }
}

/// What stands between braces.
fn named(name: &[u8], has_groups: bool) -> Result<Part, String> {
    let is_group = |pair: &[u8]| pair[0] == b'$' && pair[1].is_ascii_digit();
    if has_groups && name.windows(2).any(is_group) {
        // A function has to exist also where its key is not known yet.
        if let Some((function, _)) = call(name) {
            function_named(function)?;
        }
        return Ok(Part::Named(parse(name, true)?.parts));
    }
    resolved(name)
}

/// The part that a complete name means.
pub fn resolved(name: &[u8]) -> Result<Part, String> {
    let Some((function, key)) = call(name) else {
        return Ok(Part::Variable(name.to_vec()));
    };
    let function = function_named(function)?;
    let text = String::from_utf8_lossy(key);
    match function {
        Function::Server if !SERVER_KEYS.contains(&&*text) => {
            Err(unknown("names", "key of uwsgi[]", &text, SERVER_KEYS))
        }
        Function::Time if !matches!(&*text, "unix" | "micros") => Err(unknown(
            "names",
            "key of time[]",
            &text,
            &["unix", "micros"],
        )),
        _ => Ok(Part::Call(function, key.to_vec())),
    }
}

/// `name[KEY]`
fn call(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_suffix(b"]")?;
    let bracket = inner.iter().position(|byte| *byte == b'[')?;
    Some((&inner[..bracket], &inner[bracket + 1..]))
}

fn function_named(name: &[u8]) -> Result<Function, String> {
    let name = String::from_utf8_lossy(name);
    if let Some((_, function)) = FUNCTIONS.iter().find(|(other, _)| *other == name) {
        return Ok(*function);
    }
    if let Some((_, why)) = ABSENT.iter().find(|(other, _)| *other == name) {
        return Err(format!("calls {name}[], which is not supported: {why}"));
    }
    let known: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    Err(unknown("calls", "function", &name, &known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        Template::of_action(text).expect("a template").parts
    }

    #[test]
    fn dollars_mean_what_they_mean_in_uwsgi() {
        let text = |text: &str| Part::Text(text.as_bytes().to_vec());
        let variable = |name: &str| Part::Variable(name.as_bytes().to_vec());
        assert_eq!(parts("plain"), [text("plain")]);
        assert_eq!(
            parts("https://${HTTP_HOST}/$1?$20"),
            [
                text("https://"),
                variable("HTTP_HOST"),
                text("/"),
                Part::Group(1),
                text("?"),
                Part::Group(2),
                text("0"),
            ]
        );
        assert_eq!(parts("$$1 $a 5$"), [text("$$1 $a 5$")]);
        assert_eq!(
            Template::of_condition("$1${A}").map(|template| template.parts),
            Ok(vec![text("$1"), variable("A")])
        );
    }

    #[test]
    fn functions_exist_or_are_errors() {
        assert_eq!(
            parts("${cookie[sid]}"),
            [Part::Call(Function::Cookie, b"sid".to_vec())]
        );
        assert!(matches!(&*parts("${cookie[$1]}"), [Part::Named(_)]));
        let why = |text| Template::of_action(text).unwrap_err();
        assert!(why("${cokie[a]}").contains("did you mean cookie?"));
        assert!(why("${cokie[$1]}").contains("did you mean cookie?"));
        assert!(why("${uwsgi[pit]}").contains("did you mean pid?"));
        assert!(why("${rpc[hello]}").contains("not supported"));
        assert!(why("${HTTP_HOST").contains("without '}'"));
    }
}
