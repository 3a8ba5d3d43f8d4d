//! How far a connection has come that carries one request: a head, a body of known length, an end.

use super::step::Step;
use crate::protocol::http::Refusal;

/// The state of a codec. The codec reads the head itself.
#[derive(Debug, Default)]
pub(in crate::protocol) enum Progress {
    #[default]
    Idle,
    Head,
    /// This many bytes of the body are still to come; never 0.
    Body(u64),
    /// All bytes have come; `End` is still to be returned.
    Complete,
    /// The codec owes a reply.
    Reply,
    Over,
    Refused(Refusal),
}

impl Progress {
    /// The state behind a head with a body of `length` bytes.
    pub(in crate::protocol) fn behind_head(length: u64) -> Self {
        match length {
            0 => Self::Complete,
            length => Self::Body(length),
        }
    }

    pub(in crate::protocol) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle | Self::Over)
    }

    /// As of HTTP's machine (`RequestReader::body_left`).
    pub(in crate::protocol) fn body_left(&self) -> u64 {
        match self {
            Self::Body(left) => *left,
            _ => 0,
        }
    }

    /// As of HTTP's machine (`RequestReader::body_came`).
    pub(in crate::protocol) fn body_came(&mut self, count: u64) {
        if let Self::Body(left) = self {
            *self = Self::behind_head(left.saturating_sub(count));
        }
    }

    /// The next step, unless the codec has to read a head first. `Say` is returned until the codec
    /// has replied.
    pub(in crate::protocol) fn advance<'i>(
        &mut self,
        input: &'i [u8],
    ) -> Option<Result<(usize, Step<'i>), Refusal>> {
        Some(match self {
            Self::Idle | Self::Head => return None,
            Self::Body(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX);
                let piece = input.get(..length).unwrap_or(input);
                self.body_came(piece.len() as u64);
                match piece {
                    [] => Ok((0, Step::NeedMore)),
                    piece => Ok((piece.len(), Step::Data(piece))),
                }
            }
            Self::Complete => {
                *self = Self::Over;
                Ok((0, Step::End))
            }
            Self::Reply => Ok((0, Step::Say)),
            Self::Over => Ok((input.len(), Step::NeedMore)),
            Self::Refused(refusal) => Err(*refusal),
        })
    }
}
