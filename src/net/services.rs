//! What `net` calls: the queue, the file service, the rules and the request log. The rooms above implement
//! them.

use std::time::Duration;

use crate::wsgi::environ::Peer;
use crate::wsgi::{Delivery, Head, LogNotes, Response, Routed, Sink};

use super::connection::{Answered, Exchange};

/// Why a request could not be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    Full,
    /// No worker serves.
    Stopped,
}

/// Takes complete requests. Called by the thread that polls.
pub trait Dispatch: Sync {
    fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)>;

    /// Whether the application would answer a request.
    fn is_ready(&self) -> bool;
}

/// How a [`FileService`] answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// It did not: the request goes to the application.
    Nothing,
    File,
    /// With a page of the server, in place of the application.
    Notice,
    /// Likewise, to a request that is repeated and not logged.
    Unlogged,
}

/// Answers some requests before they are queued: with static files or, in development, with the
/// error of a new version. Called by the thread that polls, so it may open a file but not wait for
/// anything slower; and by workers, about files that an application may name.
pub trait FileService: Send + Sync {
    /// Whether the request may mean a file, decided without access to the disk.
    fn concerns(&self, head: &Head) -> bool;

    /// Answers the request of this client completely, or not at all.
    fn answer(
        &self,
        head: &Head,
        client: &Peer,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> Given;

    /// Finds the files that the application may name in its response; `None` if it may not.
    fn offer(&self, head: &Head) -> Option<Box<dyn Delivery>>;
}

/// A complete request without an answer, for the rules.
pub struct Routable<'a> {
    pub head: &'a mut Head,
    /// The client.
    pub peer: &'a Peer,
    /// The number of its listener.
    pub listener: usize,
    /// Whether the client uses https, where a proxy has said so.
    pub is_https: Option<bool>,
    pub body_bytes: u64,
    /// This thread may take long.
    pub may_wait: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum RouteVerdict {
    GoOn(Box<Routed>),
    /// The response is complete, or cut.
    Answered,
    /// Nothing has happened: a thread that may wait has to ask again.
    Later,
}

/// A finished request: its response has left.
pub struct Finished<'a> {
    pub head: &'a mut Head,
    pub peer: &'a Peer,
    pub listener: usize,
    pub is_https: Option<bool>,
    pub answered: &'a Answered,
    pub write: Duration,
}

/// Looks at requests before they are answered or queued, and when their response has left. Called
/// by the thread that polls; slow checks are made by threads that may wait.
pub trait RouteService: Send + Sync {
    /// Looks at a request; `response` was reset for it.
    fn route(
        &self,
        request: Routable<'_>,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> RouteVerdict;

    /// Looks at a finished request. Returns what there is to say about its log line.
    fn finish(&self, finished: Finished<'_>) -> LogNotes;
}

/// An answered request, once its last byte was sent or its connection has failed.
pub struct Record<'a> {
    pub peer: &'a Peer,
    /// The request's head. May be incomplete for a request that was refused.
    pub head: &'a Head,
    /// The response, its worker and times.
    pub answered: &'a Answered,
    /// Time from the application's end to the last byte.
    pub write: Duration,
    /// The connection failed before everything was sent.
    pub broken: bool,
    /// A line is to be written.
    pub is_wanted: bool,
}

/// Records answered requests. Called on the thread that finished the response; must not block.
pub trait RequestLog: Sync + Send {
    fn record(&self, record: &Record<'_>);
}
