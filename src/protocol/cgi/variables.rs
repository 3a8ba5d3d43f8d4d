//! One request as variables: its bytes, and the offsets of names and values in them.
//!
//! Filled by a codec, which has checked the bounds of every name and value. Nothing is allocated
//! per variable, and the memory is reused for the next request. Owned and `Send`: net fills it and
//! the worker that runs the application reads it.

use std::ops::Range;

use crate::protocol::http::{Limits, Refusal, content_length, name_hash};

/// Variables beside those that are fields of the request (`HTTP_*`): one over is refused with 431.
/// Front ends send some twenty; Apache adds its own environment.
const OTHERS_MAX: usize = 512;

const COOKIE: &[u8] = b"HTTP_COOKIE";

/// How long the body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// As many bytes; never over `Limits::body_bytes_max`.
    Known(u64),
    /// `CONTENT_LENGTH` is absent or empty: none, unless the protocol itself can say where a body
    /// ends.
    #[default]
    Unsaid,
}

/// One variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// As received, never empty.
    pub name: &'a [u8],
    /// As received: any bytes.
    pub value: &'a [u8],
    /// [`name_hash`](crate::protocol::http::name_hash) of the name.
    pub hash: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    at: u32,
    length: u32,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let at = self.at as usize;
        bytes.get(at..at + self.length as usize).unwrap_or_default()
    }
}

impl From<Range<usize>> for Span {
    /// Both fit: a request's variables are never over `Limits::HEAD_BYTES_CEILING`.
    fn from(range: Range<usize>) -> Self {
        Self {
            at: range.start as u32,
            length: range.len() as u32,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    name: Span,
    value: Span,
    hash: u32,
}

/// The variables that the server itself reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notable {
    Method,
    Uri,
    Path,
    Script,
    Query,
    Protocol,
    Length,
    Host,
    ServerName,
    Https,
    Scheme,
    RemoteAddress,
    RemoteUser,
}

impl Notable {
    const COUNT: usize = Self::RemoteUser as usize + 1;

    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"REQUEST_METHOD" => Self::Method,
            b"REQUEST_URI" => Self::Uri,
            b"PATH_INFO" => Self::Path,
            b"SCRIPT_NAME" => Self::Script,
            b"QUERY_STRING" => Self::Query,
            b"SERVER_PROTOCOL" => Self::Protocol,
            b"CONTENT_LENGTH" => Self::Length,
            b"HTTP_HOST" => Self::Host,
            b"SERVER_NAME" => Self::ServerName,
            b"HTTPS" => Self::Https,
            b"UWSGI_SCHEME" => Self::Scheme,
            b"REMOTE_ADDR" => Self::RemoteAddress,
            b"REMOTE_USER" => Self::RemoteUser,
            _ => return None,
        })
    }
}

/// One request as variables. Empty by default.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    bytes: Vec<u8>,
    pairs: Vec<Pair>,
    notable: [Option<Span>; Notable::COUNT],
    fields: u32,
    body: BodyLength,
    path_has_script: bool,
    cookies: u32,
}

// For the codecs.
impl Variables {
    /// Forgets the request and keeps the memory.
    pub fn clear(&mut self) {
        let Self { bytes, pairs, .. } = std::mem::take(self);
        *self = Self {
            bytes,
            pairs,
            ..Self::default()
        };
        self.bytes.clear();
        self.pairs.clear();
    }

    /// Appends bytes in which variables lie.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// All the bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Records a variable by the spans of its name and value. Repeated names: the last one counts,
    /// except for cookies, which are joined.
    ///
    /// `HTTP_PROXY` is left out (httpoxy, CVE-2016-5385), and so is what poses as one of the
    /// server's own objects (`wsgi.*`, `uwsgi.*`): no front end has a reason to send them.
    /// `HTTP_TRANSFER_ENCODING` is about the front end's connection: the body is decoded, and a
    /// framework would decode it again.
    ///
    /// # Errors
    /// A name is empty, there are too many variables, or a second `CONTENT_LENGTH` says otherwise
    /// than the first.
    pub fn add(
        &mut self,
        name: Range<usize>,
        value: Range<usize>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let (name, value) = (Span::from(name), Span::from(value));
        let text = name.of(&self.bytes);
        if text.is_empty() {
            return Err(refuse(400, "a variable without a name"));
        }
        let poses = text.starts_with(b"wsgi.") || text.starts_with(b"uwsgi.");
        if poses || matches!(text, b"HTTP_PROXY" | b"HTTP_TRANSFER_ENCODING") {
            return Ok(());
        }
        if text.starts_with(b"HTTP_") {
            self.cookies += u32::from(text == COOKIE);
            self.fields += 1;
            if self.fields as usize > limits.fields_max {
                return Err(refuse(431, "more fields than their bound"));
            }
        } else if self.pairs.len() - self.fields as usize >= OTHERS_MAX {
            return Err(refuse(431, "more variables than their bound"));
        }
        if let Some(notable) = Notable::of(text) {
            let place = &mut self.notable[notable as usize];
            if let (Notable::Length, Some(first)) = (notable, *place)
                && first.of(&self.bytes) != value.of(&self.bytes)
            {
                return Err(refuse(400, "CONTENT_LENGTH is there twice and disagrees"));
            }
            *place = Some(value);
        }
        let hash = name_hash(text);
        self.pairs.push(Pair { name, value, hash });
        Ok(())
    }

    /// All variables are there: what the request must have.
    ///
    /// # Errors
    /// No method; a `CONTENT_LENGTH` that is not a number in digits (400) or over the bound of
    /// bodies (413).
    pub fn complete(&mut self, limits: &Limits) -> Result<BodyLength, Refusal> {
        if self.cookies > 1 {
            self.join_cookies();
        }
        if self.method().is_empty() {
            return Err(refuse(400, "no REQUEST_METHOD among the variables"));
        }
        self.body = match self.get(Notable::Length) {
            None | Some(b"") => BodyLength::Unsaid,
            Some(digits) => match content_length(digits)? {
                length if length > limits.body_bytes_max => {
                    return Err(refuse(413, "CONTENT_LENGTH is over the bound of bodies"));
                }
                length => BodyLength::Known(length),
            },
        };
        Ok(self.body)
    }

    /// nginx before 1.23 passes the cookies of HTTP/2 clients, and several `Cookie` fields, on one by
    /// one: the last variable gets all of them, joined as over HTTP.
    fn join_cookies(&mut self) {
        let is_cookie = |pair: &Pair| pair.name.of(&self.bytes) == COOKIE;
        let joined = (self.pairs.iter().filter(|pair| is_cookie(pair)))
            .map(|pair| pair.value.of(&self.bytes))
            .collect::<Vec<_>>()
            .join(b"; ".as_slice());
        let Some(last) = self.pairs.iter().rposition(is_cookie) else {
            return;
        };
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&joined);
        if let Some(pair) = self.pairs.get_mut(last) {
            pair.value = Span::from(at..at + joined.len());
        }
    }

    /// Adds a variable of the server's own; the last one of a name counts.
    pub fn put(&mut self, name: &[u8], value: &[u8]) {
        let at = self.bytes.len();
        let (middle, end) = (at + name.len(), at + name.len() + value.len());
        if u32::try_from(end).is_err() {
            return;
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let span = Span::from(middle..end);
        if let Some(notable) = Notable::of(name) {
            self.notable[notable as usize] = Some(span);
            // What rules say is what the application sees.
            self.path_has_script &= notable != Notable::Path;
        }
        self.pairs.push(Pair {
            name: Span::from(at..middle),
            value: span,
            hash: name_hash(name),
        });
    }

    /// `PATH_INFO` begins with `SCRIPT_NAME`, which the server has to take off (uwsgi's modifier1
    /// 30).
    pub fn take_script_off_path(&mut self) {
        self.path_has_script = true;
    }
}

impl Variables {
    fn get(&self, notable: Notable) -> Option<&[u8]> {
        self.notable[notable as usize].map(|span| span.of(&self.bytes))
    }

    /// Bytes of memory that cleared variables keep for the next request.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.pairs.capacity() * size_of::<Pair>()
    }

    /// All variables in the order in which they came. Names may repeat: the last one counts.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Variable<'_>> {
        self.pairs.iter().map(|pair| Variable {
            name: pair.name.of(&self.bytes),
            value: pair.value.of(&self.bytes),
            hash: pair.hash,
        })
    }

    /// The value of the variable of this name.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let hash = name_hash(name);
        let pairs = self.pairs.iter().rev();
        pairs
            .filter(|pair| pair.hash == hash)
            .find(|pair| pair.name.of(&self.bytes) == name)
            .map(|pair| pair.value.of(&self.bytes))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Bytes of all names and values, and of what is between them.
    pub fn received_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// `REQUEST_METHOD`; empty only while the request is not complete.
    pub fn method(&self) -> &[u8] {
        self.get(Notable::Method).unwrap_or_default()
    }

    /// `REQUEST_URI`: the target as the client sent it, with the query.
    pub fn uri(&self) -> Option<&[u8]> {
        self.get(Notable::Uri)
    }

    /// `PATH_INFO`, decoded by the front end, without the script's name.
    pub fn path(&self) -> Option<&[u8]> {
        let path = self.get(Notable::Path)?;
        let script = self.script().unwrap_or_default();
        Some(match path.strip_prefix(script) {
            Some(rest) if self.path_has_script => rest,
            _ => path,
        })
    }

    /// `PATH_INFO` is not what the application is to see: [`path`](Self::path) is.
    pub fn is_path_changed(&self) -> bool {
        self.path_has_script
    }

    /// `SCRIPT_NAME`
    pub fn script(&self) -> Option<&[u8]> {
        self.get(Notable::Script)
    }

    /// `QUERY_STRING`
    pub fn query(&self) -> Option<&[u8]> {
        self.get(Notable::Query)
    }

    /// `SERVER_PROTOCOL`: what the client speaks with the front end.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.get(Notable::Protocol)
    }

    /// The host that was asked for: `HTTP_HOST`, else `SERVER_NAME`.
    pub fn host(&self) -> Option<&[u8]> {
        self.get(Notable::Host)
            .or_else(|| self.get(Notable::ServerName))
    }

    /// `REMOTE_ADDR`: the client of the front end.
    pub fn remote_address(&self) -> Option<&[u8]> {
        self.get(Notable::RemoteAddress)
    }

    /// `REMOTE_USER`: who the client is, as the front end knows.
    pub fn remote_user(&self) -> Option<&[u8]> {
        self.get(Notable::RemoteUser)
    }

    /// How long the body is.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// The scheme, as uWSGI's Python plugin finds it: `UWSGI_SCHEME`, else `https` where `HTTPS`
    /// says `on` or `1`. `None`: the front end did not say.
    pub fn scheme(&self) -> Option<&[u8]> {
        match self.get(Notable::Scheme) {
            Some(scheme) if !scheme.is_empty() => return Some(scheme),
            _ => {}
        }
        let https = self.get(Notable::Https)?;
        let is_on = https
            .get(..2)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"on"))
            || https.first() == Some(&b'1');
        match (is_on, https.is_empty()) {
            (true, _) => Some(b"https"),
            (false, false) => Some(b"http"),
            (false, true) => None,
        }
    }
}

fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

const _: () = {
    const fn crosses_threads<T: Send + 'static>() {}
    crosses_threads::<Variables>();
};

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pairs: &[(&str, &str)], limits: &Limits) -> Result<Variables, Refusal> {
        let mut variables = Variables::default();
        for (name, value) in pairs {
            let at = variables.bytes().len();
            variables.extend(name.as_bytes());
            variables.extend(value.as_bytes());
            let middle = at + name.len();
            variables.add(at..middle, middle..middle + value.len(), limits)?;
        }
        variables.complete(limits)?;
        Ok(variables)
    }

    fn with(pairs: &[(&str, &str)]) -> Variables {
        let mut all = vec![("REQUEST_METHOD", "GET")];
        all.extend(pairs);
        filled(&all, &Limits::default()).expect("a request")
    }

    #[test]
    fn the_last_of_a_name_counts_as_in_a_dict() {
        let variables = with(&[
            ("A", "1"),
            ("PATH_INFO", "/a"),
            ("A", "2"),
            ("PATH_INFO", "/b"),
        ]);
        assert_eq!(variables.value(b"A"), Some(b"2".as_slice()));
        assert_eq!(variables.path(), Some(b"/b".as_slice()));
        assert_eq!(variables.value(b"a"), None, "names are what they are");
    }

    #[test]
    fn cookies_are_joined() {
        let variables = with(&[
            ("HTTP_COOKIE", "a=1"),
            ("HTTP_X", "one"),
            ("HTTP_COOKIE", "b=2"),
            ("HTTP_X", "two"),
            ("HTTP_COOKIE", "c=3"),
        ]);
        let cookies = Some(b"a=1; b=2; c=3".as_slice());
        assert_eq!(variables.value(b"HTTP_COOKIE"), cookies);
        assert_eq!(variables.value(b"HTTP_X"), Some(b"two".as_slice()));
        let in_order = variables.iter().filter(|one| one.name == COOKIE);
        assert_eq!(in_order.last().map(|one| one.value), cookies);
    }

    #[test]
    fn what_poses_as_the_servers_own_is_left_out() {
        let variables = with(&[
            ("wsgi.input", "x"),
            ("wsgi.url_scheme", "https"),
            ("uwsgi.version", "x"),
            ("HTTP_PROXY", "http://evil"),
            ("HTTP_TRANSFER_ENCODING", "chunked"),
            ("UWSGI_FILE", "/tmp/evil.py"),
        ]);
        let names: Vec<&[u8]> = variables.iter().map(|one| one.name).collect();
        assert_eq!(names, [b"REQUEST_METHOD".as_slice(), b"UWSGI_FILE"]);
    }

    #[test]
    fn the_scheme_is_found_as_uwsgi_finds_it() {
        for (pairs, scheme) in [
            (&[][..], None),
            (&[("HTTPS", "")][..], None),
            (&[("HTTPS", "on")], Some("https")),
            (&[("HTTPS", "On")], Some("https")),
            (&[("HTTPS", "1")], Some("https")),
            (&[("HTTPS", "off")], Some("http")),
            (&[("HTTPS", "o")], Some("http")),
            (&[("UWSGI_SCHEME", "https")], Some("https")),
            (&[("UWSGI_SCHEME", "http"), ("HTTPS", "on")], Some("http")),
            (&[("UWSGI_SCHEME", ""), ("HTTPS", "on")], Some("https")),
        ] {
            let variables = with(pairs);
            assert_eq!(variables.scheme(), scheme.map(str::as_bytes), "{pairs:?}");
        }
    }

    #[test]
    fn a_length_is_digits_and_under_the_bound() {
        let limits = Limits {
            body_bytes_max: 10,
            ..Limits::default()
        };
        for (length, told) in [
            ("", Ok(BodyLength::Unsaid)),
            ("0", Ok(BodyLength::Known(0))),
            ("010", Ok(BodyLength::Known(10))),
            ("11", Err(413)),
            ("+1", Err(400)),
            ("-1", Err(400)),
            (" 1", Err(400)),
            ("1 ", Err(400)),
            ("1,1", Err(400)),
            ("0x1", Err(400)),
            ("1_0", Err(400)),
            ("18446744073709551616", Err(400)),
        ] {
            let pairs = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", length)];
            let variables = filled(&pairs, &limits);
            let found = variables.map(|variables| variables.body());
            assert_eq!(found.map_err(|refusal| refusal.status), told, "{length:?}");
        }
        let twice = |second| {
            let first = ("CONTENT_LENGTH", "1");
            let all = [
                ("REQUEST_METHOD", "POST"),
                first,
                ("CONTENT_LENGTH", second),
            ];
            filled(&all, &limits)
                .map(drop)
                .map_err(|refusal| refusal.status)
        };
        assert_eq!(twice("1"), Ok(()));
        assert_eq!(twice("2"), Err(400));
    }

    #[test]
    fn bounds_are_inclusive() {
        let limits = Limits {
            fields_max: 2,
            ..Limits::default()
        };
        let status = |pairs: &[(&str, &str)]| {
            let all = [&[("REQUEST_METHOD", "GET")], pairs].concat();
            filled(&all, &limits)
                .map(drop)
                .map_err(|refusal| refusal.status)
        };
        assert_eq!(status(&[("HTTP_A", ""), ("HTTP_B", ""), ("C", "")]), Ok(()));
        assert_eq!(
            status(&[("HTTP_A", ""), ("HTTP_A", ""), ("HTTP_B", "")]),
            Err(431)
        );
        assert_eq!(status(&vec![("X", ""); OTHERS_MAX - 1]), Ok(()));
        assert_eq!(status(&vec![("X", ""); OTHERS_MAX]), Err(431));
        assert_eq!(status(&[("", "x")]), Err(400));
    }

    #[test]
    fn a_request_has_a_method() {
        for pairs in [&[("PATH_INFO", "/")][..], &[("REQUEST_METHOD", "")], &[]] {
            let refusal = filled(pairs, &Limits::default()).map(drop);
            assert_eq!(refusal.map_err(|refusal| refusal.status), Err(400));
        }
    }

    #[test]
    fn a_managed_path_loses_the_script() {
        for (script, path, seen) in [
            ("/shop", "/shop/cart", "/cart"),
            ("/shop", "/shop", ""),
            ("", "/cart", "/cart"),
            ("/shop", "/other", "/other"),
        ] {
            let mut variables = with(&[("SCRIPT_NAME", script), ("PATH_INFO", path)]);
            assert_eq!(variables.path(), Some(path.as_bytes()));
            variables.take_script_off_path();
            assert_eq!(variables.path(), Some(seen.as_bytes()), "{script} {path}");
        }
    }

    #[test]
    fn cleared_variables_keep_only_their_memory() {
        let mut variables = with(&[("SCRIPT_NAME", "/a"), ("CONTENT_LENGTH", "5")]);
        variables.take_script_off_path();
        let memory = variables.memory_bytes();
        variables.clear();
        assert_eq!((variables.len(), variables.received_bytes()), (0, 0));
        assert_eq!(variables.body(), BodyLength::Unsaid);
        assert_eq!(variables.script(), None);
        assert!(!variables.is_path_changed() && variables.memory_bytes() == memory);
    }
}
