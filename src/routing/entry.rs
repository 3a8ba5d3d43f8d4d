//! What `server` calls: the rules for a request, and those for a finished one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::expand::Reply;
use super::filter::ResponseRules;
use super::reply::Answer;
use super::request::Request;
use super::run::{Effects, Ending, Run};
use super::table::Rules;
use crate::wsgi::environ::Peer;
use crate::wsgi::{Head, LogNotes, Response, Routed, Sink};

/// A complete request without an answer.
pub struct Incoming<'a> {
    pub head: &'a mut Head,
    /// The client.
    pub peer: &'a Peer,
    /// The number of its listener.
    pub listener: usize,
    /// Whether the client uses https, where a proxy has said so.
    pub is_https: Option<bool>,
    pub body_bytes: u64,
    /// The thread may take long.
    pub may_wait: bool,
}

/// A finished request: its response has left.
pub struct Finished<'a> {
    pub head: &'a mut Head,
    pub peer: &'a Peer,
    pub listener: usize,
    pub is_https: Option<bool>,
    pub status: u16,
    pub body_bytes: u64,
    pub took: Duration,
    /// Which interpreter answered; 0: none.
    pub worker: usize,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    GoOn(Box<Routed>),
    /// The response is complete, or cut.
    Answered,
    /// Nothing has happened: a thread that may wait has to ask again.
    Later,
}

impl Rules {
    /// Runs the rules for a request. `response` was reset for it.
    pub fn route(
        self: &Arc<Self>,
        incoming: Incoming<'_>,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> Verdict {
        let since = Instant::now();
        let Incoming {
            head,
            peer,
            listener,
            is_https,
            body_bytes,
            may_wait,
        } = incoming;
        let is_https = self.is_https(listener, is_https);
        let mut effects = Effects::default();
        let mut request = Request {
            head,
            peer,
            is_https,
            server: self.server(listener),
            body_bytes,
        };
        let mut run = Run::new(self, &self.request, &mut request, &mut effects);
        run.may_wait = may_wait;
        let ending = run.run();
        let answer = match (ending, effects.begun.take()) {
            (Ending::Later, _) => return Verdict::Later,
            (Ending::Cut, _) => {
                response.add_notes(effects.notes);
                response.cut();
                return Verdict::Answered;
            }
            (Ending::Answer(answer), _) => Some(answer),
            // What was sent is the answer; a head alone gives way to the application's.
            (Ending::GoOn, Some(begun)) if !begun.is_empty() => Some(Box::new(begun)),
            (Ending::GoOn, _) => None,
        };
        let routed = Routed {
            notes: std::mem::take(&mut effects.notes),
            harakiri: effects.harakiri.filter(|limit| !limit.is_zero()),
            filter: None,
        };
        let filter = self.filter(&request, listener, effects, since);
        let Some(answer) = answer else {
            return Verdict::GoOn(Box::new(Routed { filter, ..routed }));
        };
        response.add_notes(routed.notes);
        response.set_filter(filter);
        self.give(*answer, request.head, response, sink);
        Verdict::Answered
    }

    fn give(&self, answer: Answer, head: &Head, response: &mut Response, sink: &mut dyn Sink) {
        match answer.begin(response) {
            Ok(()) => answer.finish(&self.media_types, head, response, sink),
            Err(error) => {
                tracing::error!("a rule answers with a head that cannot be sent: {error}");
                response.fail(500, sink);
            }
        }
    }

    /// The rules for the response, if there are any.
    fn filter(
        self: &Arc<Self>,
        request: &Request<'_>,
        listener: usize,
        effects: Effects,
        since: Instant,
    ) -> Option<Box<dyn crate::wsgi::HeadFilter>> {
        let has_chains = !self.error.is_empty() || !self.response.is_empty();
        if !has_chains && effects.added.is_empty() && effects.removed.is_empty() {
            return None;
        }
        let head = match has_chains {
            true => Head::Variables(request.head.variables(request.peer, request.body_bytes)),
            false => Head::default(),
        };
        Some(Box::new(ResponseRules {
            rules: Arc::clone(self),
            head,
            listener,
            is_https: request.is_https,
            effects,
            since,
        }))
    }

    /// Runs `final-route`. Returns what it says about the log line.
    pub fn finish(&self, finished: Finished<'_>) -> LogNotes {
        if self.last.is_empty() {
            return LogNotes::default();
        }
        let mut effects = Effects::default();
        let mut request = Request {
            head: finished.head,
            peer: finished.peer,
            is_https: self.is_https(finished.listener, finished.is_https),
            server: self.server(finished.listener),
            body_bytes: 0,
        };
        let mut run = Run::new(self, &self.last, &mut request, &mut effects);
        run.reply = Reply {
            status: finished.status,
            body_bytes: finished.body_bytes,
            took: finished.took,
            worker: finished.worker,
        };
        // Nothing is left to be decided.
        let _ending = run.run();
        effects.notes
    }
}
