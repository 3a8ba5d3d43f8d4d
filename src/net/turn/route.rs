//! Rules look at a complete request: they answer it, or it goes on.

use std::time::{Duration, Instant};

use crossbeam::channel::TrySendError;

use crate::wsgi::Response;

use super::super::client::requester;
use super::super::connection::{Answered, Connection, Exchange, Phase, facts};
use super::super::response_sink::ResponseSink;
use super::super::services::{Rejected, Routable, RouteService, RouteVerdict};
use super::super::state::{Net, count};
use super::Turn;
use super::submit::Taken;

impl Turn {
    /// Runs the rules for a request.
    pub(super) fn route(
        &mut self,
        net: &Net,
        routes: &dyn RouteService,
        mut connection: Box<Connection>,
    ) -> Taken {
        let started = Instant::now();
        let verdict = self.ask(net, routes, &mut connection, self.may_wait);
        let verdict = match (verdict, net.checkers()) {
            (RouteVerdict::Later, Some(checkers)) => {
                return self.check_elsewhere(net, checkers, connection);
            }
            // A reload has brought the first slow rule, and no thread waits for it.
            (RouteVerdict::Later, None) => self.ask(net, routes, &mut connection, true),
            (verdict, _) => verdict,
        };
        if let RouteVerdict::GoOn(routed) = verdict {
            connection.routed = Some(routed);
            return Taken::No(connection);
        }
        connection.routed = Some(Box::default());
        count(&net.counters.routed);
        self.end(&mut connection, started);
        Taken::Answered(connection)
    }

    fn ask(
        &mut self,
        net: &Net,
        routes: &dyn RouteService,
        connection: &mut Connection,
        may_wait: bool,
    ) -> RouteVerdict {
        let site = net.site();
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
            listener,
            body,
            ..
        } = connection;
        response.reset(facts(head, reader, &site.settings), self.date.now());
        let mut sink = ResponseSink {
            records: reader.request_id(),
            io,
            net,
            owner: None,
        };
        let request = Routable {
            head,
            peer: requester(peer, forwarded.as_deref()),
            listener: *listener,
            is_https: forwarded.as_ref().and_then(|told| told.is_https),
            body_bytes: body.len(),
            may_wait,
        };
        routes.route(request, response, &mut sink)
    }

    /// Gives the request to a thread that may wait.
    fn check_elsewhere(
        &mut self,
        net: &Net,
        checkers: &crossbeam::channel::Sender<Exchange>,
        mut connection: Box<Connection>,
    ) -> Taken {
        connection.phase = Phase::Working;
        match checkers.try_send(Exchange(connection)) {
            Ok(()) => Taken::HandedOver,
            Err(TrySendError::Full(exchange) | TrySendError::Disconnected(exchange)) => {
                let mut connection = exchange.0;
                self.shed(net, &mut connection, Rejected::Full);
                Taken::Answered(connection)
            }
        }
    }

    /// The rules have answered: what is left of the response leaves, and the request is logged.
    fn end(&mut self, connection: &mut Connection, started: Instant) {
        let Some(response) = &mut self.response else {
            return;
        };
        let (summary, notes) = (response.summary(), response.take_notes());
        let at = Instant::now();
        connection.close_after = !summary.keep_alive || summary.aborted;
        connection.answered = Some(Answered {
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
    }
}
