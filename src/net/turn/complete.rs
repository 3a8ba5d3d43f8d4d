//! Takes requests back from the queue and from workers.

use std::time::Instant;

use crate::protocol::fastcgi::record;

use super::super::connection::{Answered, Exchange, Phase};
use super::super::services::{Dispatch, Rejected};
use super::super::state::{Net, count};
use super::Turn;

impl Turn {
    /// The application has answered a request: sends the rest of the response, logs it and
    /// continues with the connection. Returns the number of further requests that were queued
    /// (pipelining).
    pub fn complete(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        exchange: Exchange,
        answered: Answered,
    ) -> usize {
        self.queued = 0;
        self.now = answered.at;
        let mut connection = exchange.0;
        connection.close_after = !answered.summary.keep_alive || answered.summary.aborted;
        if answered.summary.aborted
            && !connection.io.stream.can_be_reset()
            && connection.io.resets_if_cut
            && connection.reader.request_id().is_some()
            && connection.io.send(&record::cut(), &[]).is_err()
        {
            tracing::debug!("the front end of a response that was cut short had gone");
        }
        connection.answered = Some(answered);
        connection.phase = Phase::Flushing;
        self.drive(net, dispatch, connection);
        self.queued
    }

    /// Answers a request that could not be queued with 503 and continues with its connection.
    pub fn turn_away(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        exchange: Exchange,
        rejected: Rejected,
    ) {
        self.now = Instant::now();
        let mut connection = exchange.0;
        self.shed(net, &mut connection, rejected);
        self.drive(net, dispatch, connection);
    }

    /// Drops a request after its client has gone.
    pub fn abandon(&mut self, net: &Net, exchange: Exchange) {
        count(&net.counters.abandoned);
        self.close(net, exchange.0);
    }
}
