//! Who speaks to a client: the application that works on its request, or, when that has taken too long, the server.
//!
//! The connection stays the worker's. Another thread may take the word from it, by one atomic step and never in the middle of
//! a send, and then speaks through a handle of its own to the same socket; whatever the application sends afterwards is refused.
//! A worker whose requests nobody watches pays a load and a store for each send.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::protocol::fastcgi::record;
use crate::wsgi::{AddedFields, ClientGone, HttpDate, RequestFacts, canned};

use super::connection::Exchange;
use super::stream::Stream;

/// Between requests.
const IDLE: u8 = 0;
/// Nobody watches; nothing was sent.
const FREE: u8 = 1;
/// Nobody watches; something was sent.
const FREE_SPOKEN: u8 = 2;
/// Watched; nothing was sent.
const QUIET: u8 = 3;
/// Watched; something was sent.
const SPOKEN: u8 = 4;
/// Watched; the application is sending.
const SENDING: u8 = 5;
/// The application may send no more; nobody has answered yet.
const SILENCED: u8 = 6;
/// The client has been answered, or broken off, in the application's place.
const TAKEN: u8 = 7;

/// The word, of one worker.
#[derive(Debug, Default)]
pub struct Speaker(AtomicU8);

/// What came of an attempt to take the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is yours, and the client has heard nothing yet.
    Unspoken,
    /// It is yours, and the application has begun to answer.
    Spoken,
    /// The application is sending: try again in a moment.
    Sending,
    /// There is no request, or the word was taken before.
    Gone,
}

/// How it stood at the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The application had the word to the end.
    Application,
    /// It was silenced, and the client waits for an answer.
    Silenced,
    /// The client has been seen to.
    Taken,
}

impl Speaker {
    /// A request begins that somebody watches, or nobody. Called by the worker.
    pub fn begin(&self, is_watched: bool) {
        let state = if is_watched { QUIET } else { FREE };
        self.0.store(state, Ordering::Release);
    }

    /// Somebody watches from now on. Called by the worker, in the request. `false`: there is none.
    pub fn watch(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            FREE => self.0.store(QUIET, Ordering::Release),
            FREE_SPOKEN => self.0.store(SPOKEN, Ordering::Release),
            IDLE => return false,
            _ => {}
        }
        true
    }

    /// The request has ended. Called by the worker.
    pub fn end(&self) -> Outcome {
        // Where nobody watches, nobody but the worker writes here.
        if matches!(self.0.load(Ordering::Relaxed), FREE | FREE_SPOKEN) {
            self.0.store(IDLE, Ordering::Relaxed);
            return Outcome::Application;
        }
        match self.0.swap(IDLE, Ordering::AcqRel) {
            SILENCED => Outcome::Silenced,
            TAKEN => Outcome::Taken,
            _ => Outcome::Application,
        }
    }

    /// The application sends: `send` runs unless the word has been taken.
    pub(super) fn speaking<T>(
        &self,
        send: impl FnOnce() -> Result<T, ClientGone>,
    ) -> Result<T, ClientGone> {
        let state = self.0.load(Ordering::Relaxed);
        match state {
            IDLE | FREE_SPOKEN => return send(),
            FREE => self.0.store(FREE_SPOKEN, Ordering::Relaxed),
            _ => {
                let begun = |now| matches!(now, QUIET | SPOKEN).then_some(SENDING);
                let begun = self
                    .0
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, begun);
                if begun.is_err() {
                    return Err(ClientGone);
                }
                let sent = send();
                self.0.store(SPOKEN, Ordering::Release);
                return sent;
            }
        }
        send()
    }

    /// Whether the application may still send.
    pub(super) fn may_speak(&self) -> bool {
        self.0.load(Ordering::Acquire) < SILENCED
    }

    /// Takes the word. `can_answer`: whoever takes it can speak to the client; else the worker will, when it comes back. Any thread.
    pub fn take(&self, can_answer: bool) -> Word {
        let unspoken = if can_answer { TAKEN } else { SILENCED };
        let taken = |state| match state {
            QUIET => Some(unspoken),
            SPOKEN => Some(TAKEN),
            _ => None,
        };
        match self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, taken)
        {
            Ok(QUIET) => Word::Unspoken,
            Ok(_) => Word::Spoken,
            Err(SENDING) => Word::Sending,
            Err(_) => Word::Gone,
        }
    }

    /// The worker does not come back to answer: the client of a silenced application is broken off.
    pub fn give_up(&self) {
        let given_up = (SILENCED, TAKEN);
        // Where the word was taken before, all is done.
        self.0
            .compare_exchange(given_up.0, given_up.1, Ordering::AcqRel, Ordering::Relaxed)
            .ok();
    }
}

/// A second handle to the socket of a request that is being worked on, and how an answer to it is framed.
#[derive(Debug)]
pub struct Line {
    socket: Option<socket2::Socket>,
    is_tls: bool,
    facts: RequestFacts,
    record: Option<u16>,
}

impl Line {
    /// To the client of this request. Two system calls, this one and the one that closes it. Without a free descriptor
    /// there is no socket in it.
    pub fn to(exchange: &Exchange, net: &super::Net) -> Self {
        let connection = &*exchange.0;
        let stream = &connection.io.stream;
        Self {
            socket: stream.second_handle().ok(),
            is_tls: matches!(stream, Stream::Tls(_)),
            facts: super::connection::facts(&connection.head, &connection.reader, &net.settings),
            record: connection.reader.request_id(),
        }
    }

    /// Whether [`answer`](Self::answer) can reach the client: not through TLS, whose keys the worker has.
    pub fn can_answer(&self) -> bool {
        self.socket.is_some() && !self.is_tls
    }

    /// Sends a complete answer without waiting, and says that nothing more comes.
    ///
    /// # Errors
    /// The client has gone.
    pub fn answer(&self, status: u16, added: &AddedFields) -> io::Result<()> {
        let date: HttpDate = *super::date::DateCache::default().now();
        let facts = RequestFacts {
            keep_alive: false,
            ..self.facts
        };
        let answer = canned(status, facts, None, &date, added);
        let bytes = match self.record {
            None => answer,
            Some(id) => {
                let length = answer.len();
                let mut bytes = record::header(record::Kind::STDOUT, id, length).to_vec();
                bytes.extend_from_slice(&answer);
                record::end_response(id, &mut bytes);
                bytes
            }
        };
        if let Some(socket) = &self.socket {
            // A response of a few hundred bytes fits where nothing was sent before it.
            socket.send(&bytes)?;
        }
        self.end()
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    /// The client has gone.
    pub fn end(&self) -> io::Result<()> {
        self.socket
            .as_ref()
            .map_or(Ok(()), |socket| socket.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(speaker: &Speaker) -> Result<(), ClientGone> {
        speaker.speaking(|| Ok(()))
    }

    #[test]
    fn one_of_the_two_has_the_word() {
        let speaker = Speaker::default();
        assert_eq!(speaker.take(true), Word::Gone);
        speaker.begin(true);
        assert_eq!(speaker.take(true), Word::Unspoken);
        assert_eq!(send(&speaker), Err(ClientGone));
        assert_eq!(speaker.take(true), Word::Gone);
        assert_eq!(speaker.end(), Outcome::Taken);

        speaker.begin(true);
        assert_eq!(send(&speaker), Ok(()));
        assert_eq!(speaker.take(true), Word::Spoken);
        assert_eq!(send(&speaker), Err(ClientGone));
        assert_eq!(speaker.end(), Outcome::Taken);

        speaker.begin(true);
        assert_eq!(send(&speaker), Ok(()));
        assert_eq!(speaker.end(), Outcome::Application);
        assert_eq!(speaker.take(true), Word::Gone, "the request has ended");
    }

    #[test]
    fn nobody_interrupts_a_send() {
        let speaker = Speaker::default();
        speaker.begin(true);
        let sent = speaker.speaking(|| {
            assert_eq!(speaker.take(true), Word::Sending);
            Ok(())
        });
        assert_eq!(sent, Ok(()));
    }

    #[test]
    fn an_application_that_nobody_could_answer_for_is_silenced() {
        let speaker = Speaker::default();
        speaker.begin(true);
        assert_eq!(speaker.take(false), Word::Unspoken);
        assert_eq!(send(&speaker), Err(ClientGone));
        assert_eq!(speaker.end(), Outcome::Silenced);
        speaker.begin(true);
        speaker.take(false);
        speaker.give_up();
        assert_eq!(speaker.end(), Outcome::Taken);
    }

    #[test]
    fn what_nobody_watches_can_be_watched_later() {
        let speaker = Speaker::default();
        assert!(!speaker.watch());
        speaker.begin(false);
        assert_eq!(send(&speaker), Ok(()));
        assert_eq!(speaker.take(true), Word::Gone);
        assert!(speaker.watch());
        assert_eq!(speaker.take(true), Word::Spoken);
    }
}
