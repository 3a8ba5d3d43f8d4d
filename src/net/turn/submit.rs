//! A complete request is answered with a file, or queued for the application.
//!
//! Files are opened by the thread that read the request, or by the threads of `--offload-threads`.

use std::time::{Duration, Instant};

use crossbeam::channel::TrySendError;

use crate::wsgi::Response;

use super::super::client::requester;
use super::super::connection::{Answered, Connection, Exchange, Phase, facts};
use super::super::response_sink::ResponseSink;
use super::super::services::{Dispatch, Given};
use super::super::state::{Net, count};
use super::Turn;

/// What became of a request before the queue.
pub(super) enum Taken {
    Answered(Box<Connection>),
    /// Another thread goes on with it.
    HandedOver,
    /// It goes on.
    No(Box<Connection>),
}

impl Turn {
    /// The turn of a thread that was started to open files.
    pub fn for_files() -> Self {
        Self {
            opens_files: true,
            ..Self::default()
        }
    }

    /// The turn of a thread that was started for rules that take long.
    pub fn for_checks() -> Self {
        Self {
            may_wait: true,
            ..Self::default()
        }
    }

    /// Answers a request that was handed over, or queues it for the application. Returns the number
    /// of requests that were queued.
    pub fn answer_or_queue(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        exchange: Exchange,
    ) -> usize {
        self.queued = 0;
        self.now = Instant::now();
        if let Some(connection) = self.submit(net, dispatch, exchange.0) {
            self.drive(net, dispatch, connection);
        }
        self.queued
    }

    /// Answers a complete request with a file, or queues it. Returns the connection if there is
    /// output to send.
    pub(super) fn submit(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        mut connection: Box<Connection>,
    ) -> Option<Box<Connection>> {
        if net.site().settings.is_readiness_probe(&connection.head) {
            return Some(self.answer_readiness(net, dispatch, connection));
        }
        let site = net.site();
        if let Some(routes) = &site.routes
            && connection.routed.is_none()
        {
            connection = match self.route(net, &**routes, connection) {
                Taken::Answered(connection) => return Some(connection),
                Taken::HandedOver => return None,
                Taken::No(connection) => connection,
            };
        }
        let mut connection = match self.take_file(net, connection) {
            Taken::Answered(connection) => return Some(connection),
            Taken::HandedOver => return None,
            Taken::No(connection) => connection,
        };
        connection.phase = Phase::Working;
        match dispatch.submit(Exchange(connection)) {
            Ok(()) => {
                count(&net.counters.requests);
                self.queued += 1;
                None
            }
            Err((exchange, rejected)) => {
                connection = exchange.0;
                self.shed(net, &mut connection, rejected);
                Some(connection)
            }
        }
    }

    /// Answers a complete request that means a file. One branch where no files are configured.
    fn take_file(&mut self, net: &Net, mut connection: Box<Connection>) -> Taken {
        let site = net.site();
        let Some(files) = &site.files else {
            return Taken::No(connection);
        };
        if !self.opens_files
            && let Some(others) = net.openers()
            && files.concerns(&connection.head)
        {
            connection.phase = Phase::Working;
            match others.try_send(Exchange(connection)) {
                Ok(()) => return Taken::HandedOver,
                // They are busy: this thread opens it.
                Err(TrySendError::Full(exchange) | TrySendError::Disconnected(exchange)) => {
                    connection = exchange.0;
                }
            }
        }
        let started = Instant::now();
        let response = self
            .response
            .get_or_insert_with(|| Box::new(Response::default()));
        response.set_added(&site.settings.added_fields);
        let Connection {
            io,
            head,
            reader,
            peer,
            forwarded,
            routed,
            ..
        } = &mut *connection;
        response.reset(facts(head, reader, &site.settings), self.date.now());
        if let Some(routed) = routed {
            response.set_filter(routed.filter.take());
        }
        let mut sink = ResponseSink {
            records: reader.request_id(),
            io,
            net,
            owner: None,
        };
        let client = requester(peer, forwarded.as_deref());
        let given = files.answer(head, client, response, &mut sink);
        match given {
            Given::Nothing => {
                if let Some(routed) = routed {
                    routed.filter = response.take_filter();
                }
                return Taken::No(connection);
            }
            Given::File => count(&net.counters.files),
            Given::Notice | Given::Unlogged => {}
        }
        let (summary, notes) = (response.summary(), response.take_notes());
        let at = Instant::now();
        connection.close_after = !summary.keep_alive || summary.aborted;
        connection.answered = (given != Given::Unlogged).then_some(Answered {
            summary,
            queued: Duration::ZERO,
            app: at.saturating_duration_since(started),
            at,
            worker: 0,
            core: 0,
            application: None,
            requests: 0,
            generation: 0,
            gil: Duration::ZERO,
            notes,
        });
        connection.phase = Phase::Flushing;
        self.now = at;
        Taken::Answered(connection)
    }
}
