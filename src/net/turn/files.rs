//! Requests that are answered with files, before they are queued.

use std::time::{Duration, Instant};

use crate::wsgi::Response;

use super::super::connection::{Answered, Connection, Phase, facts};
use super::super::{Net, ResponseSink, count};
use super::Turn;

impl Turn {
    /// Answers a complete request if it is for a file. One branch where no files were configured.
    pub(super) fn answer_with_file(&mut self, net: &Net, connection: &mut Connection) -> bool {
        let Some(files) = net.files() else {
            return false;
        };
        let started = Instant::now();
        let response = self
            .response
            .get_or_insert_with(|| Box::new(Response::adding(net.settings.added_fields.clone())));
        response.reset(facts(&connection.head, &net.settings), self.date.now());
        let mut sink = ResponseSink {
            io: &mut connection.io,
            net,
        };
        if !files.answer(&connection.head, response, &mut sink) {
            return false;
        }
        count(&net.counters.files);
        let summary = response.summary();
        let at = Instant::now();
        connection.close_after = !summary.keep_alive || summary.aborted;
        connection.answered = Some(Answered {
            summary,
            queued: Duration::ZERO,
            app: at.saturating_duration_since(started),
            at,
            worker: 0,
            core: 0,
        });
        connection.phase = Phase::Flushing;
        self.now = at;
        true
    }
}
