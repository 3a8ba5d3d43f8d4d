//! Rules at the head of a response: headers that rules of the request have asked for, then
//! `error-route` and `response-route`. Runs on the worker, or on the thread that answers without
//! the application.

use std::sync::Arc;
use std::time::Instant;

use super::chain::CompiledChain;
use super::expand::Reply;
use super::reply::Answer;
use super::request::Request;
use super::run::{Effects, Ending, Run};
use super::table::Rules;
use crate::wsgi::environ::Peer;
use crate::wsgi::{Head, HeadFilter, Response, Sink};

/// The rules for one response.
pub(super) struct ResponseRules {
    pub(super) rules: Arc<Rules>,
    /// The request's variables, as they were when it went on. Empty if no rule needs them.
    pub(super) head: Head,
    pub(super) listener: usize,
    pub(super) is_https: bool,
    pub(super) effects: Effects,
    pub(super) since: Instant,
}

impl std::fmt::Debug for ResponseRules {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.effects.fmt(out)
    }
}

impl HeadFilter for ResponseRules {
    fn filter(&mut self, response: &mut Response, sink: &mut dyn Sink) {
        let rules = Arc::clone(&self.rules);
        let mut replacement = None;
        for chain in [&rules.error, &rules.response] {
            if chain.is_empty() {
                continue;
            }
            match self.run(&rules, chain, response.status()) {
                Ending::GoOn => {}
                Ending::Cut => {
                    response.add_notes(std::mem::take(&mut self.effects.notes));
                    return response.cut();
                }
                Ending::Answer(answer) => {
                    self.effects.begun = None;
                    if self.begin(&answer, response) {
                        replacement = Some(answer);
                    }
                }
                // Only credentials take long, and they are not asked for here.
                Ending::Later => {}
            }
            if let Some(begun) = self.effects.begun.take()
                && self.begin(&begun, response)
            {
                // `clearheaders` alone keeps the body.
                if !begun.is_empty() {
                    replacement = Some(Box::new(begun));
                }
            }
        }
        for name in &self.effects.removed {
            response.leave_out(name);
        }
        for (name, value) in &self.effects.added {
            if let Err(error) = response.add_header(name, value) {
                tracing::warn!("a rule adds a header that cannot be sent: {error}");
            }
        }
        response.add_notes(std::mem::take(&mut self.effects.notes));
        if let Some(answer) = replacement {
            answer.finish(&rules.media_types, &self.head, response, sink);
        }
    }
}

impl ResponseRules {
    fn run(&mut self, rules: &Rules, chain: &CompiledChain, status: u16) -> Ending {
        // The address is among the variables.
        let no_peer = Peer::default();
        let mut request = Request {
            head: &mut self.head,
            peer: &no_peer,
            is_https: self.is_https,
            server: rules.server(self.listener),
            body_bytes: 0,
        };
        let mut run = Run::new(rules, chain, &mut request, &mut self.effects);
        run.reply = Reply {
            status,
            took: self.since.elapsed(),
            ..Reply::default()
        };
        run.run()
    }

    /// Puts the answer's head in place of the response's. `false`: it cannot be sent.
    fn begin(&self, answer: &Answer, response: &mut Response) -> bool {
        match answer.begin(response) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!("a rule answers with a head that cannot be sent: {error}");
                // A rule that guards must not be passed over.
                drop(response.begin(b"500 Internal Server Error"));
                false
            }
        }
    }
}
