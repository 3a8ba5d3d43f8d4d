//! From the bytes of a head to a [`RequestHead`]: httparse finds the fields, the rules here are
//! ours and stricter.
//!
//! The verdict is a function of the head's bytes alone, however they arrived: `reader.rs` sees to
//! that. It allocates nothing once the head's buffers are warm. A client mostly sends the same
//! fields with each request: equal bytes are recognised and not parsed again.

use memchr::memchr;

use super::field::field_line;
use super::framing::framing;
use super::head::{FieldKind, FieldSpan, Framing, Repeat, RequestHead, Span, Version};
use super::name::{name_hash, scan};
use super::target::{PathAt, is_host, request_line};
use super::{Limits, Refusal};

/// Fields of a usual head; more go through a bigger array, off the hot path.
const FIELDS_USUAL: usize = 32;

pub(super) const BARE_LF: Refusal = Refusal::bad("a line ends in LF without CR");

/// Parses a head at the front of `input`. `Ok(None)`: it is not complete. Else how many bytes it
/// has.
pub(super) fn parse(
    input: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, Refusal> {
    let mut usual = [httparse::EMPTY_HEADER; FIELDS_USUAL];
    let room = limits.fields().min(FIELDS_USUAL);
    match parse_into(input, &mut usual[..room], limits, head) {
        Err(TooMany::Fields) if limits.fields() > room => {
            let mut all = [httparse::EMPTY_HEADER; Limits::FIELDS_CEILING];
            parse_into(input, &mut all[..limits.fields()], limits, head)
        }
        parsed => parsed,
    }
    .map_err(|error| {
        head.clear();
        match error {
            TooMany::Fields => Refusal::with(431, "more fields than the bound"),
            TooMany::Other(refusal) => refusal,
        }
    })
}

/// The one error that a bigger array may cure, and all others.
enum TooMany {
    Fields,
    Other(Refusal),
}

impl From<Refusal> for TooMany {
    fn from(refusal: Refusal) -> Self {
        Self::Other(refusal)
    }
}

#[inline]
fn parse_into<'i>(
    input: &'i [u8],
    room: &mut [httparse::Header<'i>],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, TooMany> {
    let Some(line_end) = memchr(b'\n', input) else {
        return Ok(None);
    };
    let [line @ .., b'\r'] = &input[..line_end] else {
        return Err(BARE_LF.into());
    };
    let line = request_line(line, limits)?;

    let fields_at = line_end + 1;
    let again = match line.authority {
        None => head.fields_again(&input[fields_at..], fields_at, line.version),
        Some(_) => None,
    };
    let section_bytes = match again {
        Some(length) => length,
        None => match read_fields(input, fields_at, line.version, room, limits, head)? {
            Some(length) => length,
            None => return Ok(None),
        },
    };
    let length = fields_at + section_bytes;

    head.section = Span::new(fields_at, section_bytes);
    head.bytes.clear();
    head.bytes.extend_from_slice(&input[..length]);
    head.received = length as u32;
    head.method = line.method;
    head.target = line.target;
    head.query = line.query;
    head.version = line.version;
    head.absolute = line.authority.is_some();
    head.path = match line.path {
        PathAt::Target(span) => span,
        PathAt::Asterisk => append(&mut head.bytes, b"*"),
    };
    if let Some(authority) = line.authority {
        replace_host(head, authority);
    }
    Ok(Some(length))
}

/// Reads the fields behind a request line that ends at `fields_at`, and what the protocol has to
/// know from them. How many bytes they have, the empty line included; `Ok(None)`: they are not
/// complete.
#[inline]
fn read_fields<'i>(
    input: &'i [u8],
    fields_at: usize,
    version: Version,
    room: &mut [httparse::Header<'i>],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, TooMany> {
    let after_line = &input[fields_at..];
    let (length, fields) = match httparse::parse_headers(after_line, room) {
        Ok(httparse::Status::Complete((length, fields))) => (length, fields),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(TooMany::Fields),
        Err(_) => return Err(diagnose(after_line).into()),
    };
    let bytes = &input[..fields_at + length];
    if !bytes.ends_with(b"\r\n\r\n") {
        return Err(BARE_LF.into());
    }

    head.fields.clear();
    let mut facts = Facts::default();
    let mut names_seen = 0u64;
    for field in fields {
        let name = field.name.as_bytes();
        let name_at = offset(input, name);
        // httparse takes LF for a line end, we do not: a name begins behind CR LF. (The last line
        // was checked above.)
        if bytes.get(name_at.wrapping_sub(2)) != Some(&b'\r') {
            return Err(BARE_LF.into());
        }
        let seen = scan(name);
        let kind = facts.note(name, field.value)?;
        // An underscore and a hyphen are one in the environ, so a name with an underscore could
        // pose as another (uWSGI and nginx drop them too). `Proxy` would become HTTP_PROXY, which
        // programs obey (httpoxy).
        if seen.underscore || name.eq_ignore_ascii_case(b"proxy") {
            continue;
        }
        let mark = 1 << (seen.hash >> 26);
        let repeat = if names_seen & mark == 0 {
            Repeat::Once
        } else {
            note_repeat(&mut head.fields, bytes, name, seen.hash)
        };
        names_seen |= mark;
        let value = match field.value {
            [] => Span::default(),
            value => Span::new(offset(input, value), value.len()),
        };
        head.fields.push(FieldSpan {
            name: Span::new(name_at, name.len()),
            value,
            name_hash: seen.hash,
            kind,
            repeat,
        });
    }

    apply(&facts, version, limits, head)?;
    Ok(Some(length))
}

/// Sets what follows from the fields together: the framing, and the life of the connection.
#[inline]
fn apply(
    facts: &Facts<'_>,
    version: Version,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<(), Refusal> {
    if facts.host.is_none() && version == Version::Http11 {
        return Err(Refusal::bad("an HTTP/1.1 request without Host"));
    }
    if !facts.host.is_none_or(is_host) {
        return Err(Refusal::bad("Host is not a host and a port"));
    }
    head.framing = framing(
        version,
        facts.transfer_encoding,
        facts.content_length,
        limits,
    )?;
    if facts.unknown_expectation {
        return Err(Refusal::with(
            417,
            "the only expectation that can be met is 100-continue",
        ));
    }
    head.keep_alive = match version {
        Version::Http11 => !facts.close,
        Version::Http10 => facts.keep_alive && !facts.close,
    };
    // RFC 9110, 10.1.1: ignored from HTTP/1.0; nothing to continue with where there is no body.
    head.expects_continue =
        facts.continue_expected && version == Version::Http11 && head.framing != Framing::Empty;
    Ok(())
}

/// Where a part of `whole` begins in it. Saturating: never wraps, whatever it is given.
#[inline]
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().saturating_sub(whole.as_ptr().addr())
}

/// Puts bytes that the client did not send behind those that it did.
fn append(bytes: &mut Vec<u8>, added: &[u8]) -> Span {
    let span = Span::new(bytes.len(), added.len());
    bytes.extend_from_slice(added);
    span
}

/// RFC 9112, 3.2.2: with an absolute-form target the server ignores `Host` and takes the target's
/// authority.
#[cold]
fn replace_host(head: &mut RequestHead, authority: Span) {
    head.section = Span::default();
    match head
        .fields
        .iter_mut()
        .find(|field| field.kind == FieldKind::Host)
    {
        Some(host) => host.value = authority,
        None => {
            let name = append(&mut head.bytes, b"Host");
            let (name_hash, kind, repeat) = (name_hash(b"Host"), FieldKind::Host, Repeat::Once);
            head.fields.push(FieldSpan {
                name,
                value: authority,
                name_hash,
                kind,
                repeat,
            });
        }
    }
}

/// Looks for an earlier field of this name. Asked only when one is likely.
fn note_repeat(earlier: &mut [FieldSpan], bytes: &[u8], name: &[u8], hash: u32) -> Repeat {
    let first = earlier
        .iter_mut()
        .find(|field| field.name_hash == hash && field.name.of(bytes).eq_ignore_ascii_case(name));
    match first {
        Some(first) => {
            first.repeat = Repeat::First;
            Repeat::Later
        }
        None => Repeat::Once,
    }
}

/// What the protocol itself has to know from the fields. A second one where one is allowed is
/// refused at sight.
#[derive(Default)]
struct Facts<'i> {
    host: Option<&'i [u8]>,
    content_length: Option<&'i [u8]>,
    transfer_encoding: Option<&'i [u8]>,
    content_type: Option<&'i [u8]>,
    close: bool,
    keep_alive: bool,
    continue_expected: bool,
    unknown_expectation: bool,
}

impl<'i> Facts<'i> {
    /// Takes note of a field. The length tells most names apart before a byte is compared.
    #[inline]
    fn note(&mut self, name: &[u8], value: &'i [u8]) -> Result<FieldKind, Refusal> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => {
                once(&mut self.host, value, "two Host fields")?;
                Ok(FieldKind::Host)
            }
            6 if is(b"cookie") => Ok(FieldKind::Cookie),
            6 if is(b"expect") => {
                let known = value.eq_ignore_ascii_case(b"100-continue");
                self.continue_expected |= known;
                self.unknown_expectation |= !known;
                Ok(FieldKind::Expect)
            }
            10 if is(b"connection") => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(FieldKind::Connection)
            }
            12 if is(b"content-type") => {
                once(&mut self.content_type, value, "two Content-Type fields")?;
                Ok(FieldKind::ContentType)
            }
            14 if is(b"content-length") => {
                once(&mut self.content_length, value, "two Content-Length fields")?;
                Ok(FieldKind::ContentLength)
            }
            17 if is(b"transfer-encoding") => {
                once(
                    &mut self.transfer_encoding,
                    value,
                    "two Transfer-Encoding fields",
                )?;
                Ok(FieldKind::TransferEncoding)
            }
            _ => Ok(FieldKind::Other),
        }
    }
}

fn once<'i>(
    place: &mut Option<&'i [u8]>,
    value: &'i [u8],
    twice: &'static str,
) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad(twice)),
    }
}

/// Why httparse refused, in words: the first line that our own reading refuses too.
#[cold]
fn diagnose(fields: &[u8]) -> Refusal {
    fields
        .split_inclusive(|&byte| byte == b'\n')
        .take_while(|line| *line != b"\r\n")
        .find_map(|line| match line.strip_suffix(b"\n") {
            Some([line @ .., b'\r']) => field_line(line).err(),
            Some(_) => Some(BARE_LF),
            None => field_line(line).err(),
        })
        .unwrap_or(Refusal::bad("a malformed field line"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names and values.
    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    /// What our own line reader makes of a section of fields: all of them, or the first refusal.
    fn read_lines(section: &[u8]) -> Result<Fields, Refusal> {
        section
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| {
                let [line @ .., b'\r', b'\n'] = line else {
                    return Err(BARE_LF);
                };
                field_line(line).map(|(name, value)| (name.to_vec(), value.to_vec()))
            })
            .collect()
    }

    fn any_section() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            8 => prop::sample::select(b"abX-1:;,= \t\"".to_vec()),
            2 => any::<u8>(),
            1 => Just(b'\r'),
        ];
        // Most lines are good, or a section would hardly ever pass its first one.
        let line = prop_oneof![
            // Of letters that spell none of the fields with rules of their own.
            3 => "[abX_-]{1,9}:[ \t]{0,2}[ -~]{0,12}[ \t]{0,2}".prop_map(String::into_bytes),
            1 => prop::collection::vec(byte, 1..12),
        ];
        let end = prop_oneof![9 => Just(&b"\r\n"[..]), 1 => Just(&b"\n"[..])];
        let line = (line, end);
        prop::collection::vec(line, 0..5).prop_map(|lines| {
            lines
                .into_iter()
                .flat_map(|(line, end)| [&line[..], end].concat())
                .collect()
        })
    }

    fn any_request() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "GET / HTTP/1.1",
            "POST /a?b HTTP/1.1",
            "GET / HTTP/1.0",
            "GET http://other:1/x HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET",
        ]);
        let field = prop::sample::select(vec![
            "Host: a",
            "Host: b",
            "X-A: 1",
            "x-a:  2 ",
            "X-B:",
            "X_B: dropped",
            "Content-Length: 3",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Connection: keep-alive",
            "Expect: 100-continue",
            "bad",
        ]);
        (line, prop::collection::vec(field, 0..4)).prop_map(|(line, fields)| {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            format!("{line}\r\n{fields}\r\n").into_bytes()
        })
    }

    /// All that a head says.
    fn told(head: &RequestHead) -> String {
        let fields: Vec<_> = head.fields().collect();
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {} {} {} {} {fields:?}",
            head.method(),
            head.target(),
            head.path(),
            head.query(),
            head.version(),
            head.framing(),
            head.keep_alive(),
            head.expects_continue(),
            head.is_absolute_form(),
            head.received_bytes(),
        )
    }

    #[test]
    fn the_same_fields_are_known_by_their_bytes() {
        let limits = Limits::default();
        let mut head = RequestHead::default();
        let read = |head: &mut RequestHead, wire: &str| parse(wire.as_bytes(), &limits, head);
        assert!(read(&mut head, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n").is_ok());
        head.clear_for_same_client();
        assert_eq!(
            head.fields().len() + head.method().len(),
            0,
            "nothing shows"
        );
        assert_eq!(
            head.fields_again(b"Host: a\r\nX: 1\r\n\r\nGET", 16, Version::Http10),
            None
        );
        assert_eq!(
            head.fields_again(b"Host: a\r\nX: 2\r\n\r\n", 16, Version::Http11),
            None
        );
        assert_eq!(
            head.fields_again(b"Host: a\r\nX: 1\r\n\r\nGET", 16, Version::Http11),
            Some(17)
        );

        // What was changed is not what came.
        assert!(read(&mut head, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n").is_ok());
        head.take_out(|name| name == b"X");
        head.clear_for_same_client();
        assert_eq!(
            head.fields_again(b"Host: a\r\nX: 1\r\n\r\n", 16, Version::Http11),
            None
        );
    }

    proptest! {
        /// What a head remembers changes nothing of what the next one says.
        #[test]
        fn a_head_that_remembers_says_the_same(
            requests in prop::collection::vec((any_request(), 0..3u8, any::<bool>()), 1..6),
        ) {
            let limits = Limits::default();
            let mut remembering = RequestHead::default();
            for (request, change, is_twice) in requests {
                for wire in std::iter::repeat_n(&request, 1 + usize::from(is_twice)) {
                    let mut fresh = RequestHead::default();
                    prop_assert_eq!(parse(wire, &limits, &mut remembering), parse(wire, &limits, &mut fresh));
                    prop_assert_eq!(told(&remembering), told(&fresh));
                    match change {
                        0 => {}
                        1 => remembering.set_host(b"c"),
                        _ => remembering.take_out(|name| name == b"X-A"),
                    }
                    remembering.clear_for_same_client();
                }
            }
        }

        /// httparse under our rules and our own reader are two parsers; they must not disagree.
        #[test]
        fn two_readings_of_fields_agree(section in any_section()) {
            // An empty line in the middle would end the head there.
            prop_assume!(!section.starts_with(b"\r\n") && !section.windows(4).any(|end| end == b"\r\n\r\n"));
            let wire = [b"GET / HTTP/1.0\r\n", &section[..], b"\r\n"].concat();
            let mut head = RequestHead::default();
            match (parse(&wire, &Limits::default(), &mut head), read_lines(&section)) {
                (Ok(length), Ok(mut fields)) => {
                    prop_assert_eq!(length, Some(wire.len()));
                    // A name with an underscore is read, and dropped.
                    fields.retain(|(name, _)| !name.contains(&b'_'));
                    let parsed: Fields = head.fields().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
                    prop_assert_eq!(parsed, fields);
                }
                (Err(refusal), Err(other)) => prop_assert_eq!(refusal.status, other.status),
                (parsed, read) => prop_assert!(false, "{parsed:?} but {read:?}"),
            }
        }
    }
}
