//! One request head: its bytes, once, and where everything lies in them.
//!
//! Filled by `parse.rs` only, which has checked every rule before; here is nothing left to check or
//! to fail. A head is reused for the next request without giving its memory back. Owned and `Send`:
//! net fills it and the worker that runs the application reads it.

use super::name::name_hash;

/// The protocol version of a request. Others are refused with 505.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

impl Version {
    /// As in a request line: what `SERVER_PROTOCOL` says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// How the body of a request is delimited (RFC 9112, 6.3), decided once for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body: neither field was there, or `Content-Length: 0`.
    #[default]
    Empty,
    /// As many bytes; never 0, never over `Limits::body_bytes_max`.
    Length(u64),
    /// Chunks; the length is known at the end.
    Chunked,
}

/// The fields that the protocol itself reads, so that names are compared once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Any other field: the application's business.
    Other,
    /// `Connection`
    Connection,
    /// `Content-Length`: at most one; its value is digits only. [`RequestHead::framing`] is what it
    /// means.
    ContentLength,
    /// `Content-Type`: at most one.
    ContentType,
    /// `Cookie`: repeats are joined by `; ` instead of `, ` (RFC 9113, 8.2.3; RFC 6265, 5.4).
    Cookie,
    /// `Expect`
    Expect,
    /// `Host`: at most one. For an absolute-form target its value is the target's authority (RFC
    /// 9112, 3.2.2).
    Host,
    /// `Transfer-Encoding`: at most one, and its value is `chunked`.
    TransferEncoding,
}

/// Whether a field name occurs again in the same head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The only field of this name: the usual case.
    Once,
    /// The first of several: join them here, through [`RequestHead::values`].
    First,
    /// A later one of several: skip it, its value was joined at the first.
    Later,
}

/// One field line.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The name as received: a token (RFC 9110, 5.6.2) without underscore, any case.
    pub name: &'a [u8],
    /// The value without the whitespace around it; no controls but tab; bytes over 0x7f pass as
    /// they are.
    pub value: &'a [u8],
    /// [`name_hash`] of the name: equal for names that differ in case only.
    pub name_hash: u32,
    /// Which of the protocol's own fields this is, if one.
    pub kind: FieldKind,
    /// Whether the name occurs more than once.
    pub repeat: Repeat,
}

/// Where something lies in the bytes of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) length: u32,
}

impl Span {
    /// Both fit: a head is never over `Limits::HEAD_BYTES_CEILING`.
    pub(super) const fn new(at: usize, length: usize) -> Self {
        Self {
            at: at as u32,
            length: length as u32,
        }
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        let at = self.at as usize;
        bytes.get(at..at + self.length as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct FieldSpan {
    pub(super) name: Span,
    pub(super) value: Span,
    pub(super) name_hash: u32,
    pub(super) kind: FieldKind,
    pub(super) repeat: Repeat,
}

/// What is left of the last request for the next one of the same client. Its bytes are still those
/// of the head.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Where the fields lay in the bytes, the empty line behind them included. Empty: nothing is
    /// remembered.
    section: Span,
    fields: Vec<FieldSpan>,
    version: Version,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

/// One request head. Empty by default; filled by
/// [`RequestReader::read`](super::RequestReader::read) when that says `Head`.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The head as received, and behind it what had to be added (a `Host` name for a target that
    /// brought its own).
    pub(super) bytes: Vec<u8>,
    pub(super) fields: Vec<FieldSpan>,
    /// Where the fields lie in the bytes, the empty line behind them included; empty after they
    /// were changed.
    pub(super) section: Span,
    remembered: Remembered,
    pub(super) received: u32,
    pub(super) method: Span,
    pub(super) target: Span,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    pub(super) version: Version,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) absolute: bool,
}

impl RequestHead {
    /// Forgets the request and keeps the memory.
    pub fn clear(&mut self) {
        let last = std::mem::take(self);
        *self = Self {
            bytes: last.bytes,
            fields: last.fields,
            remembered: Remembered {
                fields: last.remembered.fields,
                ..Remembered::default()
            },
            ..Self::default()
        };
        self.bytes.clear();
        self.fields.clear();
    }

    /// Forgets the request, but remembers its fields: if the next head brings the same bytes, what
    /// they mean is known already. Only for a head that the same connection gets again: no
    /// connection's fields are ever compared with another's.
    pub fn clear_for_same_client(&mut self) {
        let last = std::mem::take(self);
        *self = Self {
            bytes: last.bytes,
            fields: last.remembered.fields,
            remembered: Remembered {
                section: last.section,
                fields: last.fields,
                version: last.version,
                framing: last.framing,
                keep_alive: last.keep_alive,
                expects_continue: last.expects_continue,
            },
            ..Self::default()
        };
        self.fields.clear();
    }

    /// Takes the remembered fields for those of a new head, if its bytes are the same: `after_line`
    /// is what follows its request line, which ends at `at`. What a section of fields means depends
    /// on nothing but its bytes and the version. How many bytes the section has.
    #[inline]
    pub(super) fn fields_again(
        &mut self,
        after_line: &[u8],
        at: usize,
        version: Version,
    ) -> Option<usize> {
        let Remembered { section, .. } = self.remembered;
        let known = section.of(&self.bytes);
        if known.is_empty() || version != self.remembered.version || !after_line.starts_with(known)
        {
            return None;
        }
        let moved = (at as u32).wrapping_sub(section.at);
        std::mem::swap(&mut self.fields, &mut self.remembered.fields);
        if moved != 0 {
            for field in &mut self.fields {
                field.name.at = field.name.at.wrapping_add(moved);
                field.value.at = field.value.at.wrapping_add(moved);
            }
        }
        self.framing = self.remembered.framing;
        self.keep_alive = self.remembered.keep_alive;
        self.expects_continue = self.remembered.expects_continue;
        Some(section.length as usize)
    }

    /// Removes the fields with an unwanted name, as if they had not been sent.
    pub fn take_out(&mut self, is_unwanted: impl Fn(&[u8]) -> bool) {
        self.section = Span::default();
        let Self { bytes, fields, .. } = self;
        fields.retain(|field| !is_unwanted(field.name.of(bytes)));
    }

    /// Another host: what a proxy in front was asked for. The caller answers for it that this can
    /// stand in a field.
    pub fn set_host(&mut self, host: &[u8]) {
        self.section = Span::default();
        let value = self.append(host);
        let mut fields = self.fields.iter_mut();
        if let Some(field) = fields.find(|field| field.kind == FieldKind::Host) {
            field.value = value;
            return;
        }
        let name = self.append(b"Host");
        self.fields.push(FieldSpan {
            name,
            value,
            name_hash: name_hash(b"Host"),
            kind: FieldKind::Host,
            repeat: Repeat::Once,
        });
    }

    fn append(&mut self, text: &[u8]) -> Span {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(text);
        Span::new(at, text.len())
    }

    /// Bytes of memory that a cleared head keeps for the next request.
    pub fn memory_bytes(&self) -> usize {
        let fields = self.fields.capacity() + self.remembered.fields.capacity();
        self.bytes.capacity() + fields * size_of::<FieldSpan>()
    }

    /// The method as received: a token, case kept.
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.bytes)
    }

    /// The request target, raw as received (`REQUEST_URI`): origin, absolute or asterisk form (RFC
    /// 9112, 3.2). No controls, no space, no `#`; bytes over 0x7f pass as they are.
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.bytes)
    }

    /// The path of the target, still percent-encoded: what stands before `?`, and for the absolute
    /// form behind the authority. `/...`, or `*` for `OPTIONS *`; `/` where the absolute form has
    /// none.
    pub fn path(&self) -> &[u8] {
        self.path.of(&self.bytes)
    }

    /// What follows the first `?` of the target, raw; `None` without a `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|span| span.of(&self.bytes))
    }

    /// The target was an absolute URI (RFC 9112, 3.2.2).
    pub fn is_absolute_form(&self) -> bool {
        self.absolute
    }

    /// The version of the request line.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is delimited.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client wants the connection to stay (RFC 9112, 9.3), by version and
    /// `Connection`.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1). Never for
    /// HTTP/1.0, never without a body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Bytes of the head as received, its last line end included.
    pub fn received_bytes(&self) -> usize {
        self.received as usize
    }

    /// The fields in wire order. Names with an underscore and `Proxy` (httpoxy, CVE-2016-5385) are
    /// already gone.
    pub fn fields(&self) -> Fields<'_> {
        Fields {
            bytes: &self.bytes,
            spans: self.fields.iter(),
        }
    }

    /// The values of all fields with this name, case ignored, in wire order.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let hash = name_hash(name);
        self.fields()
            .filter(move |field| field.name_hash == hash && field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The value of the only or first field of this kind.
    pub fn value_of(&self, kind: FieldKind) -> Option<&[u8]> {
        self.fields()
            .find(|field| field.kind == kind)
            .map(|field| field.value)
    }
}

/// The fields of a head, in wire order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, FieldSpan>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        self.spans.next().map(|span| Field {
            name: span.name.of(self.bytes),
            value: span.value.of(self.bytes),
            name_hash: span.name_hash,
            kind: span.kind,
            repeat: span.repeat,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}

const _: () = {
    const fn crosses_threads<T: Send + 'static>() {}
    crosses_threads::<RequestHead>();
};
