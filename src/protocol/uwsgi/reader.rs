//! The machine: bytes of one connection in, events of its one request out.
//!
//! It does no I/O, reads no clock and keeps no bytes: what it has not consumed stays in the
//! caller's buffer. What it says depends on the bytes alone and never on how they were cut. Runs on
//! the thread that reads the connection.

use super::Modifier;
use crate::protocol::cgi::{BodyLength, Progress, Reply, Step, Variables};
use crate::protocol::http::{Limits, Refusal};

const HEADER_BYTES: usize = 4;

/// Reads the request of one connection.
#[derive(Debug, Default)]
pub struct PacketReader {
    state: Progress,
    modifier: Modifier,
}

const _: () = assert!(size_of::<PacketReader>() <= 64, "every connection has one");

impl PacketReader {
    /// Consumes from the front of `input` and says how many bytes, and what they were. Call until
    /// `NeedMore`, then get more bytes. A packet is consumed when it is complete; until then the
    /// same bytes are wanted again with more behind them. `variables` are written only as `Head` is
    /// returned, or in vain when a refusal is.
    ///
    /// # Errors
    /// A [`Refusal`]. Answer with its status and close; every later call says the same.
    pub fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        variables: &mut Variables,
    ) -> Result<(usize, Step<'i>), Refusal> {
        let told = self.advance(input, limits, variables);
        if let Err(refusal) = told {
            self.state = Progress::Refused(refusal);
        }
        told
    }

    /// No request is under way: none has begun, or the only one is over.
    pub fn is_idle(&self) -> bool {
        self.state.is_idle()
    }

    /// What the packet asked for, for the log of a refusal.
    pub fn modifier(&self) -> Modifier {
        self.modifier
    }

    /// What is to be said after `Say`: a pong, or a no to those who do not speak HTTP.
    pub fn reply(&mut self, out: &mut Vec<u8>) -> Reply {
        if matches!(self.state, Progress::Reply) {
            self.state = Progress::Over;
            out.extend_from_slice(match self.modifier {
                Modifier::PING => &Modifier::PONG,
                _ => &Modifier::NO,
            });
        }
        Reply::Close
    }

    /// As of HTTP's machine (`RequestReader::body_left`).
    pub fn body_left(&self) -> u64 {
        self.state.body_left()
    }

    /// As of HTTP's machine (`RequestReader::body_came`).
    pub fn body_came(&mut self, count: u64) {
        self.state.body_came(count);
    }

    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        variables: &mut Variables,
    ) -> Result<(usize, Step<'i>), Refusal> {
        if let Some(step) = self.state.advance(input) {
            return step;
        }
        if !input.is_empty() {
            self.state = Progress::Head;
        }
        let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else {
            return Ok((0, Step::NeedMore));
        };
        if header
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || *byte == b' ')
        {
            return Err(refuse(400, "an HTTP request on a uwsgi socket"));
        }
        let [modifier, low, high, _modifier2] = *header;
        self.modifier = Modifier(modifier);
        let size = usize::from(u16::from_le_bytes([low, high]));
        match self.modifier {
            Modifier::WSGI | Modifier::WSGI_WITH_SCRIPT => {}
            Modifier::PING => {
                self.state = Progress::Reply;
                return Ok((HEADER_BYTES, Step::Say));
            }
            other if other.is_binary() => {
                self.state = Progress::Reply;
                return Ok((HEADER_BYTES, Step::Say));
            }
            _ => return Err(refuse(501, "not enabled on this socket, which serves WSGI")),
        }
        if size == 0 {
            return Err(refuse(400, "an empty packet"));
        }
        if size > limits.head_bytes_max {
            return Err(refuse(431, "the packet is over the bound of heads"));
        }
        let Some(packet) = rest.get(..size) else {
            return Ok((0, Step::NeedMore));
        };
        read_variables(packet, limits, variables)?;
        if self.modifier == Modifier::WSGI_WITH_SCRIPT {
            variables.take_script_off_path();
        }
        self.state = Progress::behind_head(match variables.complete(limits)? {
            BodyLength::Known(length) => length,
            BodyLength::Unsaid => 0,
        });
        Ok((HEADER_BYTES + size, Step::Head))
    }
}

/// Names and values in turn, each behind its length. The packet must end where the last value does.
fn read_variables(
    packet: &[u8],
    limits: &Limits,
    variables: &mut Variables,
) -> Result<(), Refusal> {
    variables.clear();
    variables.extend(packet);
    let mut at = 0;
    while at < packet.len() {
        let name = text_at(packet, at).ok_or(refuse(400, "a name goes past the packet's end"))?;
        let value =
            text_at(packet, name.end).ok_or(refuse(400, "a value goes past the packet's end"))?;
        at = value.end;
        variables.add(name, value, limits)?;
    }
    Ok(())
}

/// The span of the text that follows its length at `at`; `None` if any of it is outside.
fn text_at(packet: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let (length, rest) = packet.get(at..)?.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let start = at + 2;
    (length <= rest.len()).then(|| start..start + length)
}

fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

#[cfg(test)]
mod tests;
