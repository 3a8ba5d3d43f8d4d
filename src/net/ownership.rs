//! Who may send the response to a request: the application's worker or, when a request takes too
//! long, another thread of the server.
//!
//! The connection stays the worker's. Another thread may take the response over by one atomic step,
//! never in the middle of a send, and then sends through a second handle to the same socket
//! ([`ClientHandle`]); whatever the application sends afterwards is refused. This is the only way
//! in which a thread other than the worker writes to its client. A worker without watched requests
//! pays a load and a store for each send.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::protocol::fastcgi::record;
use crate::protocol::http::Version;
use crate::protocol::http::response::Form;
use crate::wsgi::{AddedFields, ClientGone, HttpDate, RequestFacts, canned};

use super::connection::{Exchange, facts};
use super::date::DateCache;
use super::state::Net;

/// No request is under way.
const IDLE: u8 = 0;
/// Not watched; nothing was sent.
const UNWATCHED: u8 = 1;
const UNWATCHED_BEGUN: u8 = 2;
/// Watched; nothing was sent.
const WATCHED: u8 = 3;
const WATCHED_BEGUN: u8 = 4;
/// Watched; the application is sending.
const SENDING: u8 = 5;
/// The application may not send; the worker answers when it returns.
const SILENCED: u8 = 6;
/// Another thread has answered the client or ended the response.
const TAKEN: u8 = 7;

#[derive(Debug, Default)]
pub struct ResponseOwner(AtomicU8);

/// The result of [`ResponseOwner::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The response was taken over before anything was sent.
    Unsent,
    /// The response was taken over after the application had begun to send it.
    Begun,
    /// The application is sending: try again in a moment.
    Sending,
    /// There is no request, or the response was taken over before.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The application owned the response to the end.
    Application,
    /// The application was silenced, and the client waits for an answer.
    Silenced,
    /// Another thread has answered the client or ended the response.
    Taken,
}

impl ResponseOwner {
    /// A request begins. Called by the worker.
    pub fn begin(&self, is_watched: bool) {
        let state = if is_watched { WATCHED } else { UNWATCHED };
        self.0.store(state, Ordering::Release);
    }

    /// The request is watched from now on. Called by the worker, during the request. `false`: there
    /// is no request.
    pub fn watch(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            UNWATCHED => self.0.store(WATCHED, Ordering::Release),
            UNWATCHED_BEGUN => self.0.store(WATCHED_BEGUN, Ordering::Release),
            IDLE => return false,
            _ => {}
        }
        true
    }

    /// The request has ended. Called by the worker.
    pub fn end(&self) -> Outcome {
        // Unless the request is watched, only the worker writes here.
        if matches!(self.0.load(Ordering::Relaxed), UNWATCHED | UNWATCHED_BEGUN) {
            self.0.store(IDLE, Ordering::Relaxed);
            return Outcome::Application;
        }
        match self.0.swap(IDLE, Ordering::AcqRel) {
            SILENCED => Outcome::Silenced,
            TAKEN => Outcome::Taken,
            _ => Outcome::Application,
        }
    }

    /// Runs `send` for the application, unless the response was taken over.
    pub(super) fn send<T>(
        &self,
        send: impl FnOnce() -> Result<T, ClientGone>,
    ) -> Result<T, ClientGone> {
        match self.0.load(Ordering::Relaxed) {
            IDLE | UNWATCHED_BEGUN => return send(),
            UNWATCHED => self.0.store(UNWATCHED_BEGUN, Ordering::Relaxed),
            _ => {
                let begin = |now| matches!(now, WATCHED | WATCHED_BEGUN).then_some(SENDING);
                let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
                if self.0.fetch_update(set, fetch, begin).is_err() {
                    return Err(ClientGone);
                }
                let sent = send();
                self.0.store(WATCHED_BEGUN, Ordering::Release);
                return sent;
            }
        }
        send()
    }

    /// Whether the application may still send.
    pub(super) fn may_send(&self) -> bool {
        self.0.load(Ordering::Acquire) < SILENCED
    }

    /// Takes the response over, on any thread. `can_answer`: the caller can answer the client; if
    /// not, the worker does when it returns.
    pub fn take(&self, can_answer: bool) -> Claim {
        let unsent = if can_answer { TAKEN } else { SILENCED };
        let taken = |state| match state {
            WATCHED => Some(unsent),
            WATCHED_BEGUN => Some(TAKEN),
            _ => None,
        };
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        match self.0.fetch_update(set, fetch, taken) {
            Ok(WATCHED) => Claim::Unsent,
            Ok(_) => Claim::Begun,
            Err(SENDING) => Claim::Sending,
            Err(_) => Claim::Refused,
        }
    }

    /// The worker does not return to answer: the connection of a silenced application is cut.
    pub fn abandon(&self) {
        // Fails if another thread took the response over, which is as good.
        self.0
            .compare_exchange(SILENCED, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
            .ok();
    }
}

/// A second handle to the socket of a request that a worker is working on, and the form of an
/// answer to it.
#[derive(Debug)]
pub struct ClientHandle {
    socket: Option<socket2::Socket>,
    is_tls: bool,
    is_unix: bool,
    facts: RequestFacts,
    record: Option<u16>,
}

impl ClientHandle {
    /// A handle to the client of this request. It costs two system calls, one of them to close it.
    /// Without a free descriptor it has no socket.
    pub fn new(exchange: &Exchange, net: &Net) -> Self {
        let connection = &*exchange.0;
        let stream = &connection.io.stream;
        Self {
            socket: stream.second_handle().ok(),
            is_tls: stream.tls().is_some(),
            is_unix: !stream.can_be_reset(),
            facts: facts(&connection.head, &connection.reader, &net.site().settings),
            record: connection.reader.request_id(),
        }
    }

    /// Whether [`answer`](Self::answer) can reach the client: not through TLS, because the
    /// worker holds its keys.
    pub fn can_answer(&self) -> bool {
        self.socket.is_some() && !self.is_tls
    }

    /// Sends a complete answer without waiting, and closes the sending side.
    pub fn answer(&self, status: u16, added: &AddedFields) -> io::Result<()> {
        let date: HttpDate = *DateCache::default().now();
        let facts = RequestFacts {
            keep_alive: false,
            ..self.facts
        };
        let answer = canned(status, facts, None, &date, added);
        let bytes = match self.record {
            None => answer,
            Some(id) => {
                let mut bytes = record::header(record::Kind::STDOUT, id, answer.len()).to_vec();
                bytes.extend_from_slice(&answer);
                record::end_response(id, &mut bytes);
                bytes
            }
        };
        if let Some(socket) = &self.socket {
            // A few hundred bytes fit into the buffer of a socket on which nothing was sent.
            socket.send(&bytes)?;
        }
        self.end()
    }

    /// Breaks off a response that was begun, so that no reader takes the part for the whole.
    ///
    /// # Errors
    /// The client has gone.
    pub fn cut(&self) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        let is_framed = match self.facts.form {
            Form::Http => self.facts.version == Version::Http11,
            Form::StatusLine | Form::StatusField => self.facts.keep_alive,
        };
        if is_framed || self.is_tls {
            return self.end();
        }
        if self.is_unix && self.record.is_some() {
            socket.send(&record::cut())?;
        }
        // The worker has its own handle, so the socket is not closed yet.
        #[cfg(target_os = "linux")]
        if !self.is_unix {
            return Ok(rustix::net::connect_unspec(socket)?);
        }
        self.end()
    }

    /// Closes the sending side.
    pub fn end(&self) -> io::Result<()> {
        let socket = self.socket.as_ref();
        socket.map_or(Ok(()), |socket| socket.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(owner: &ResponseOwner) -> Result<(), ClientGone> {
        owner.send(|| Ok(()))
    }

    #[test]
    fn the_application_or_the_watcher_owns_the_response() {
        let owner = ResponseOwner::default();
        assert_eq!(owner.take(true), Claim::Refused);
        owner.begin(true);
        assert_eq!(owner.take(true), Claim::Unsent);
        assert_eq!(send(&owner), Err(ClientGone));
        assert_eq!(owner.take(true), Claim::Refused);
        assert_eq!(owner.end(), Outcome::Taken);

        owner.begin(true);
        assert_eq!(send(&owner), Ok(()));
        assert_eq!(owner.take(true), Claim::Begun);
        assert_eq!(send(&owner), Err(ClientGone));
        assert_eq!(owner.end(), Outcome::Taken);

        owner.begin(true);
        assert_eq!(send(&owner), Ok(()));
        assert_eq!(owner.end(), Outcome::Application);
        assert_eq!(owner.take(true), Claim::Refused, "the request has ended");
    }

    #[test]
    fn a_send_is_not_interrupted() {
        let owner = ResponseOwner::default();
        owner.begin(true);
        let sent = owner.send(|| {
            assert_eq!(owner.take(true), Claim::Sending);
            Ok(())
        });
        assert_eq!(sent, Ok(()));
    }

    #[test]
    fn an_application_is_silenced_if_its_client_cannot_be_answered() {
        let owner = ResponseOwner::default();
        owner.begin(true);
        assert_eq!(owner.take(false), Claim::Unsent);
        assert_eq!(send(&owner), Err(ClientGone));
        assert_eq!(owner.end(), Outcome::Silenced);
        owner.begin(true);
        owner.take(false);
        owner.abandon();
        assert_eq!(owner.end(), Outcome::Taken);
    }

    #[test]
    fn a_request_can_be_watched_later() {
        let owner = ResponseOwner::default();
        assert!(!owner.watch());
        owner.begin(false);
        assert_eq!(send(&owner), Ok(()));
        assert_eq!(owner.take(true), Claim::Refused);
        assert!(owner.watch());
        assert_eq!(owner.take(true), Claim::Begun);
    }
}
