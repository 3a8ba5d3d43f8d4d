//! The protocol of a connection and its parser.
//!
//! One `match` for each piece of input selects the parser of the listener's protocol; nothing here
//! reads bytes. Runs on the thread that owns the connection.

use crate::protocol::cgi::{Reply, Step, Variables};
use crate::protocol::fastcgi::RecordReader;
use crate::protocol::http::response::Form;
use crate::protocol::http::{self, Limits, Refusal, RequestHead, RequestReader};
use crate::protocol::listen::Protocol;
use crate::protocol::scgi::HeaderReader;
use crate::protocol::uwsgi::{Modifier, PacketReader};
use crate::wsgi::Head;

#[derive(Debug)]
pub(super) enum Reader {
    Http(RequestReader),
    Uwsgi(PacketReader),
    FastCgi { records: RecordReader, nph: bool },
    Scgi { headers: HeaderReader, nph: bool },
}

impl Reader {
    pub(super) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http => Self::Http(RequestReader::default()),
            Protocol::Uwsgi => Self::Uwsgi(PacketReader::default()),
            Protocol::FastCgi { nph } => Self::FastCgi {
                records: RecordReader::default(),
                nph,
            },
            Protocol::Scgi { nph } => Self::Scgi {
                headers: HeaderReader::default(),
                nph,
            },
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Http(_) => Protocol::Http,
            Self::Uwsgi(_) => Protocol::Uwsgi,
            Self::FastCgi { nph, .. } => Protocol::FastCgi { nph: *nph },
            Self::Scgi { nph, .. } => Protocol::Scgi { nph: *nph },
        }
    }

    /// As [`RequestReader::read`], for every protocol. The head becomes one of the protocol's kind.
    #[inline]
    pub(super) fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        head: &mut Head,
    ) -> Result<(usize, Step<'i>), Refusal> {
        match self {
            Self::Http(reader) => {
                let (consumed, step) = reader.read(input, limits, http_head(head))?;
                Ok((
                    consumed,
                    match step {
                        http::Step::NeedMore => Step::NeedMore,
                        http::Step::Head => Step::Head,
                        http::Step::Data(data) => Step::Data(data),
                        http::Step::End => Step::End,
                    },
                ))
            }
            Self::Uwsgi(reader) => reader.read(input, limits, variables(head)),
            Self::FastCgi { records, .. } => records.read(input, limits, variables(head)),
            Self::Scgi { headers, .. } => headers.read(input, limits, variables(head)),
        }
    }

    /// No byte of a request has been seen since the last one ended.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Http(reader) => reader.is_idle(),
            Self::Uwsgi(reader) => reader.is_idle(),
            Self::FastCgi { records, .. } => records.is_idle(),
            Self::Scgi { headers, .. } => headers.is_idle(),
        }
    }

    /// Whether another reader can begin with the same bytes: none of the request was consumed.
    pub(super) fn can_start_over(&self) -> bool {
        match self {
            Self::Http(reader) => reader.is_before_head_end(),
            _ => self.is_idle(),
        }
    }

    /// Bytes left of a body that the protocol does not divide: they may bypass the parser.
    #[inline]
    pub(super) fn body_left(&self) -> u64 {
        match self {
            Self::Http(reader) => reader.body_left(),
            Self::Uwsgi(reader) => reader.body_left(),
            Self::FastCgi { .. } => 0,
            Self::Scgi { headers, .. } => headers.body_left(),
        }
    }

    /// So many bytes of the body bypassed the parser.
    pub(super) fn body_came(&mut self, count: u64) {
        match self {
            Self::Http(reader) => reader.body_came(count),
            Self::Uwsgi(reader) => reader.body_came(count),
            Self::FastCgi { .. } => {}
            Self::Scgi { headers, .. } => headers.body_came(count),
        }
    }

    /// The answer of the protocol itself after `Step::Say`.
    pub(super) fn reply(&mut self, connections_max: usize, out: &mut Vec<u8>) -> Reply {
        match self {
            Self::Http(_) | Self::Scgi { .. } => Reply::GoOn,
            Self::FastCgi { records, .. } => records.reply(connections_max, out),
            Self::Uwsgi(reader) => {
                let modifier = reader.modifier();
                if modifier == Modifier::PING {
                    tracing::debug!("answered a uwsgi ping");
                } else {
                    tracing::warn!("refused {modifier} on a uwsgi socket: not enabled there");
                }
                reader.reply(out)
            }
        }
    }

    /// A detail of a refused request for the log.
    pub(super) fn remark(&self) -> Option<Modifier> {
        match self {
            Self::Uwsgi(reader) => match reader.modifier() {
                Modifier::WSGI | Modifier::WSGI_WITH_SCRIPT => None,
                other => Some(other),
            },
            _ => None,
        }
    }

    /// The request id, if responses are sent in records.
    #[inline]
    pub(super) fn request_id(&self) -> Option<u16> {
        match self {
            Self::FastCgi { records, .. } => records.request_id(),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Http(_) => Form::Http,
            Self::Uwsgi(_) => Form::StatusLine,
            // Before the first request, the client is a person with the wrong port.
            Self::FastCgi { records, .. } if records.request_id().is_none() => Form::StatusLine,
            Self::FastCgi { nph: true, .. } | Self::Scgi { nph: true, .. } => Form::StatusLine,
            Self::FastCgi { .. } | Self::Scgi { .. } => Form::StatusField,
        }
    }

    /// Whether the connection may carry another request behind this one.
    #[inline]
    pub(super) fn keep_alive(&self, head: &Head) -> bool {
        match (self, head) {
            (Self::Http(_), head) => head.received().is_some_and(RequestHead::keep_alive),
            (Self::FastCgi { records, .. }, _) => records.keeps_connection(),
            _ => false,
        }
    }
}

#[inline]
fn http_head(head: &mut Head) -> &mut RequestHead {
    if !matches!(head, Head::Http(_)) {
        *head = Head::default();
    }
    match head {
        Head::Http(head) => head,
        Head::Variables(_) | Head::Rewritten(_) => {
            unreachable!("it has just been made one of HTTP")
        }
    }
}

fn variables(head: &mut Head) -> &mut Variables {
    if !matches!(head, Head::Variables(_)) {
        *head = Head::Variables(Variables::default());
    }
    match head {
        Head::Variables(variables) => variables,
        Head::Http(_) | Head::Rewritten(_) => {
            unreachable!("it has just been made one of variables")
        }
    }
}
