//! The machine: bytes of one connection in, events of its requests out. It lives across requests.
//!
//! It does no I/O, reads no clock and keeps no bytes but those of the variables: what it has not
//! consumed stays in the caller's buffer. Its results depend on the bytes alone and never on how
//! they were cut. Runs on the thread that reads the connection.

use super::pairs::pair_at;
use super::record::{self, Ended, HEADER_BYTES, Kind};
use crate::protocol::cgi::{BodyLength, Reply, Step, Variables};
use crate::protocol::http::{Limits, Refusal};

/// The most bytes of a `GET_VALUES`; real ones are far smaller.
const QUESTION_BYTES_MAX: usize = 1024;
/// The only role that is served (section 6.2).
const RESPONDER: u16 = 1;
/// The flag of `BEGIN_REQUEST` that keeps the connection.
const KEEP_CONNECTION: u8 = 1;

/// Reads the requests of one connection.
#[derive(Debug, Default)]
pub struct RecordReader {
    state: State,
    /// The request that is under way.
    stage: Option<Stage>,
    /// The request that was begun last, which a response belongs to.
    begun: Option<Begun>,
    saying: Saying,
}

const _: () = assert!(size_of::<RecordReader>() <= 80, "every connection has one");

/// Where in a record we are.
#[derive(Debug)]
enum State {
    /// Before or in its header; whether any of it is there.
    Header { has_begun: bool },
    /// In its content, of which so much is left.
    Content { kind: Kind, left: u16, padding: u8 },
    /// In bytes that mean nothing, and what the record comes to behind them.
    Skip { left: u32, then: Then },
    /// For ever: nothing behind a refused request is read.
    Refused(Refusal),
}

impl Default for State {
    fn default() -> Self {
        Self::Header { has_begun: false }
    }
}

/// What a complete record comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    EndOfParams,
    EndOfStdin,
    Say,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Its variables are arriving.
    Params,
    /// Its body is arriving: so many bytes so far.
    Stdin { received: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    id: u16,
    keeps_connection: bool,
}

/// What is to be said after `Say`.
#[derive(Clone, Copy, Debug, Default)]
enum Saying {
    #[default]
    Nothing,
    /// A request was not begun.
    Refused { id: u16, ended: Ended, closes: bool },
    /// The request under way was aborted.
    Aborted { begun: Begun },
    /// The type of a management record is not known.
    UnknownType(Kind),
    /// Which of [`VALUES`] were asked for, a bit each.
    Values(u8),
}

/// What can be asked of this server (section 4.1).
const VALUES: [&[u8]; 3] = [b"FCGI_MAX_CONNS", b"FCGI_MAX_REQS", b"FCGI_MPXS_CONNS"];

impl RecordReader {
    /// Consumes from the front of `input` and says how many bytes, and what they were. Call until
    /// `NeedMore`, then get more bytes. `variables` are written while they arrive; they are
    /// complete as `Head` is returned.
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
            self.state = State::Refused(refusal);
        }
        told
    }

    /// No request is under way, and no byte of a record has been seen.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Header { has_begun: false }) && self.stage.is_none()
    }

    /// The id of the request that is under way, or was the last: what a response is about. `None`
    /// before the first.
    pub fn request_id(&self) -> Option<u16> {
        self.begun.map(|begun| begun.id)
    }

    /// The front end wants to use the connection for another request.
    pub fn keeps_connection(&self) -> bool {
        self.begun.is_some_and(|begun| begun.keeps_connection)
    }

    /// What is to be said after `Say`. `connections_max` is the answer to `FCGI_MAX_CONNS`.
    pub fn reply(&mut self, connections_max: usize, out: &mut Vec<u8>) -> Reply {
        match std::mem::take(&mut self.saying) {
            Saying::Nothing => Reply::GoOn,
            Saying::Refused { id, ended, closes } => {
                record::end_request(id, ended, out);
                if closes { Reply::Close } else { Reply::GoOn }
            }
            Saying::Aborted { begun } => {
                record::end_request(begun.id, Ended::Complete, out);
                if begun.keeps_connection {
                    Reply::Forget
                } else {
                    Reply::Close
                }
            }
            Saying::UnknownType(kind) => {
                out.extend_from_slice(&record::header(Kind::UNKNOWN_TYPE, 0, 8));
                out.extend_from_slice(&[kind.0, 0, 0, 0, 0, 0, 0, 0]);
                Reply::GoOn
            }
            Saying::Values(asked) => {
                let connections = connections_max.to_string();
                // A request for each connection, and no more.
                let answers = [connections.as_str(), connections.as_str(), "0"];
                let mut content = Vec::new();
                for (place, (name, answer)) in VALUES.iter().zip(answers).enumerate() {
                    if asked & 1 << place != 0 {
                        content.extend_from_slice(&[name.len() as u8, answer.len() as u8]);
                        content.extend_from_slice(name);
                        content.extend_from_slice(answer.as_bytes());
                    }
                }
                let kind = Kind::GET_VALUES_RESULT;
                out.extend_from_slice(&record::header(kind, 0, content.len()));
                out.extend_from_slice(&content);
                Reply::GoOn
            }
        }
    }

    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        variables: &mut Variables,
    ) -> Result<(usize, Step<'i>), Refusal> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            match &mut self.state {
                State::Header { has_begun } => {
                    let Some((header, content)) = rest.split_first_chunk::<HEADER_BYTES>() else {
                        *has_begun = !rest.is_empty();
                        // What is no record is told so before it has eight bytes.
                        if let Some(&first) = rest.first() {
                            check_version(first)?;
                        }
                        return Ok((consumed, Step::NeedMore));
                    };
                    let Some(taken) = self.record(*header, content, variables)? else {
                        self.state = State::Header { has_begun: true };
                        return Ok((consumed, Step::NeedMore));
                    };
                    consumed += HEADER_BYTES + taken;
                }
                State::Content {
                    left: 0, padding, ..
                } => {
                    self.state = State::Skip {
                        left: u32::from(*padding),
                        then: Then::Nothing,
                    };
                }
                State::Content { .. } if rest.is_empty() => return Ok((consumed, Step::NeedMore)),
                State::Content { kind, left, .. } => {
                    let piece = rest.get(..usize::from(*left)).unwrap_or(rest);
                    let kind = *kind;
                    *left -= piece.len() as u16;
                    consumed += piece.len();
                    if kind == Kind::PARAMS {
                        if variables.bytes().len() + piece.len() > limits.head_bytes_max {
                            return Err(refuse(431, "the variables are over the bound of heads"));
                        }
                        variables.extend(piece);
                    } else {
                        self.stdin(piece.len(), limits, variables)?;
                        return Ok((consumed, Step::Data(piece)));
                    }
                }
                State::Skip { left, then } => {
                    let skipped = rest.len().min(*left as usize);
                    *left -= skipped as u32;
                    consumed += skipped;
                    if *left > 0 {
                        return Ok((consumed, Step::NeedMore));
                    }
                    let then = *then;
                    self.state = State::default();
                    match then {
                        Then::Nothing => {}
                        Then::Say => return Ok((consumed, Step::Say)),
                        Then::EndOfParams => {
                            self.end_of_params(limits, variables)?;
                            return Ok((consumed, Step::Head));
                        }
                        Then::EndOfStdin => {
                            self.end_of_stdin(variables)?;
                            return Ok((consumed, Step::End));
                        }
                    }
                }
                State::Refused(refusal) => return Err(*refusal),
            }
        }
    }

    /// A record begins. How much of its content was taken with the header; `None`: the content is
    /// needed whole and is not.
    fn record(
        &mut self,
        header: [u8; HEADER_BYTES],
        content: &[u8],
        variables: &mut Variables,
    ) -> Result<Option<usize>, Refusal> {
        let [version, kind, .., padding, _] = header;
        check_version(version)?;
        let kind = Kind(kind);
        let id = u16::from_be_bytes([header[2], header[3]]);
        let length = u16::from_be_bytes([header[4], header[5]]);
        let is_ours = self.stage.is_some() && self.request_id() == Some(id);
        let whole = content.get(..usize::from(length));
        let mut taken = 0;
        let mut then = Then::Nothing;
        match (kind, self.stage) {
            (Kind::GET_VALUES, _) if id == 0 => {
                if usize::from(length) > QUESTION_BYTES_MAX {
                    return Err(refuse(400, "a GET_VALUES that asks too much"));
                }
                let Some(question) = whole else {
                    return Ok(None);
                };
                self.saying = Saying::Values(asked(question)?);
                (taken, then) = (question.len(), Then::Say);
            }
            _ if id == 0 => {
                self.saying = Saying::UnknownType(kind);
                then = Then::Say;
            }
            (Kind::BEGIN_REQUEST, _) => {
                if length != 8 {
                    return Err(refuse(400, "a BEGIN_REQUEST that is not 8 bytes long"));
                }
                let Some(&[role_high, role_low, flags, ..]) = whole else {
                    return Ok(None);
                };
                let role = u16::from_be_bytes([role_high, role_low]);
                taken = usize::from(length);
                if self.begin(id, role, flags & KEEP_CONNECTION != 0)? {
                    variables.clear();
                } else {
                    then = Then::Say;
                }
            }
            (Kind::ABORT_REQUEST, Some(_)) if is_ours => {
                if let Some(begun) = self.begun {
                    self.saying = Saying::Aborted { begun };
                }
                self.stage = None;
                then = Then::Say;
            }
            (Kind::PARAMS, Some(Stage::Params)) | (Kind::STDIN, Some(Stage::Stdin { .. }))
                if is_ours && length > 0 =>
            {
                self.state = State::Content {
                    kind,
                    left: length,
                    padding,
                };
                return Ok(Some(0));
            }
            (Kind::PARAMS, Some(Stage::Params)) if is_ours => then = Then::EndOfParams,
            (Kind::PARAMS, Some(Stage::Stdin { .. })) if is_ours => {
                return Err(refuse(400, "PARAMS behind their end"));
            }
            (Kind::STDIN, Some(Stage::Stdin { .. })) if is_ours => then = Then::EndOfStdin,
            (Kind::STDIN, Some(Stage::Params)) if is_ours => {
                return Err(refuse(400, "STDIN before the end of PARAMS"));
            }
            // A record of a request that is not under way is ignored (section 3.3), and so is a
            // type that is not for us.
            _ => {}
        }
        self.state = State::Skip {
            left: u32::from(length) - taken as u32 + u32::from(padding),
            then,
        };
        Ok(Some(taken))
    }

    /// A request begins, unless it cannot: then it is known what to say.
    fn begin(&mut self, id: u16, role: u16, keeps_connection: bool) -> Result<bool, Refusal> {
        if self.stage.is_some() {
            if self.request_id() == Some(id) {
                return Err(refuse(400, "a request that begins twice"));
            }
            self.saying = Saying::Refused {
                id,
                ended: Ended::CantMultiplex,
                closes: false,
            };
            return Ok(false);
        }
        if role != RESPONDER {
            self.saying = Saying::Refused {
                id,
                ended: Ended::UnknownRole,
                closes: !keeps_connection,
            };
            return Ok(false);
        }
        self.begun = Some(Begun {
            id,
            keeps_connection,
        });
        self.stage = Some(Stage::Params);
        Ok(true)
    }

    fn end_of_params(&mut self, limits: &Limits, variables: &mut Variables) -> Result<(), Refusal> {
        let mut at = 0;
        while at < variables.bytes().len() {
            let pair = pair_at(variables.bytes(), at)
                .ok_or(refuse(400, "a name or value goes past the end of PARAMS"))?;
            at = pair.value.end;
            variables.add(pair.name, pair.value, limits)?;
        }
        variables.complete(limits)?;
        self.stage = Some(Stage::Stdin { received: 0 });
        Ok(())
    }

    /// Counts bytes of the body: never more than was said, nor than the bound.
    fn stdin(
        &mut self,
        count: usize,
        limits: &Limits,
        variables: &Variables,
    ) -> Result<(), Refusal> {
        let Some(Stage::Stdin { received }) = &mut self.stage else {
            return Ok(());
        };
        *received += count as u64;
        match variables.body() {
            BodyLength::Known(length) if *received > length => {
                Err(refuse(400, "STDIN is longer than CONTENT_LENGTH says"))
            }
            BodyLength::Unsaid if *received > limits.body_bytes_max => {
                Err(refuse(413, "STDIN is over the bound of bodies"))
            }
            _ => Ok(()),
        }
    }

    fn end_of_stdin(&mut self, variables: &Variables) -> Result<(), Refusal> {
        let stage = self.stage.take();
        match (variables.body(), stage) {
            (BodyLength::Known(length), Some(Stage::Stdin { received })) if received < length => {
                Err(refuse(400, "STDIN is shorter than CONTENT_LENGTH says"))
            }
            _ => Ok(()),
        }
    }
}

/// Which of [`VALUES`] a `GET_VALUES` asks for.
fn asked(question: &[u8]) -> Result<u8, Refusal> {
    let (mut asked, mut at) = (0, 0);
    while at < question.len() {
        let pair = pair_at(question, at).ok_or(refuse(400, "a malformed GET_VALUES"))?;
        at = pair.value.end;
        let name = question.get(pair.name).unwrap_or_default();
        if let Some(place) = VALUES.iter().position(|known| *known == name) {
            asked |= 1 << place;
        }
    }
    Ok(asked)
}

fn check_version(version: u8) -> Result<(), Refusal> {
    match version {
        record::VERSION => Ok(()),
        b'A'..=b'Z' => Err(refuse(400, "an HTTP request on a FastCGI socket")),
        _ => Err(refuse(400, "not FastCGI, version 1")),
    }
}

fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

#[cfg(test)]
mod tests;
