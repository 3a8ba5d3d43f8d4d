//! Requests that are answered before they are queued, with files above all: by the thread that has read them, or by the threads
//! that were started for it (`--offload-threads`).

use std::time::{Duration, Instant};

use crossbeam::channel::TrySendError;

use crate::wsgi::Response;

use super::super::client::asking;
use super::super::connection::{Answered, Connection, Phase, facts};
use super::super::{Dispatch, Exchange, Given, Net, ResponseSink, count};
use super::Turn;

/// What became of a complete request that may mean a file.
pub(super) enum Taken {
    /// It is answered: go on with the connection.
    Answered(Box<Connection>),
    /// Another thread has it.
    HandedOver,
    /// It is for the application.
    No(Box<Connection>),
}

impl Turn {
    /// A turn for a thread that opens files for the others: it hands nothing on.
    pub fn for_files() -> Self {
        Self {
            opens_files: true,
            ..Self::default()
        }
    }

    /// Answers a request that was handed over, or queues it for the application. Returns how many requests were queued.
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

    /// Sees whether a complete request means a file. One branch where no files were configured.
    pub(super) fn take_file(&mut self, net: &Net, mut connection: Box<Connection>) -> Taken {
        let Some(files) = net.files() else {
            return Taken::No(connection);
        };
        if !self.opens_files
            && let Some(others) = net.openers()
            && files.concerns(&connection.head)
        {
            connection.phase = Phase::Working;
            match others.try_send(Exchange(connection)) {
                Ok(()) => return Taken::HandedOver,
                // They are busy: this thread is as good as they are.
                Err(TrySendError::Full(exchange) | TrySendError::Disconnected(exchange)) => {
                    connection = exchange.0;
                }
            }
        }
        let started = Instant::now();
        let response = self
            .response
            .get_or_insert_with(|| Box::new(Response::adding(net.settings.added_fields.clone())));
        let Connection {
            io,
            head,
            reader,
            peer,
            forwarded,
            ..
        } = &mut *connection;
        response.reset(facts(head, reader, &net.settings), self.date.now());
        let mut sink = ResponseSink {
            records: reader.request_id(),
            io,
            net,
            speaker: None,
            may_hold: false,
        };
        let client = asking(peer, forwarded.as_deref());
        let given = files.answer((head, client), response, &mut sink);
        match given {
            Given::Nothing => return Taken::No(connection),
            Given::File => count(&net.counters.files),
            Given::Notice | Given::Unlogged => {}
        }
        let summary = response.summary();
        let at = Instant::now();
        connection.close_after = !summary.keep_alive || summary.aborted;
        connection.answered = (given != Given::Unlogged).then_some(Answered {
            summary,
            queued: Duration::ZERO,
            app: at.saturating_duration_since(started),
            at,
            worker: 0,
            core: 0,
        });
        connection.phase = Phase::Flushing;
        self.now = at;
        Taken::Answered(connection)
    }
}
