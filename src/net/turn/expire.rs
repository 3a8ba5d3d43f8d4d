//! Ends connections at their deadlines.

use std::time::{Duration, Instant};

use crate::protocol::http::Refusal;

use super::super::connection::Phase;
use super::super::services::Dispatch;
use super::super::state::{Net, count};
use super::Turn;

impl Turn {
    /// Ends every connection past its deadline. Returns the time to the next deadline and the
    /// number of requests that were queued meanwhile.
    pub fn expire(&mut self, net: &Net, dispatch: &dyn Dispatch) -> (Option<Duration>, usize) {
        self.queued = 0;
        self.now = Instant::now();
        let now_ms = net.milliseconds(self.now);
        // While draining, connections that became idle after its beginning have later deadlines.
        let fresh_until_ms = now_ms.saturating_add(net.idle_grace_ms());
        let mut expired = Vec::new();
        let next = net.expired(self.now, |connection| expired.push(connection));
        for mut connection in expired {
            let is_due = connection.deadline_ms != 0 && connection.deadline_ms <= now_ms;
            let is_idle = connection.phase == Phase::Head
                && connection.reader.is_idle()
                && connection.unread.is_empty();
            // The grace time of an idle connection at a stop is no missed deadline.
            if is_due && !(is_idle && net.is_draining()) {
                count(&net.counters.expired);
            }
            if !is_due && net.park(&mut connection) {
                self.close(net, connection);
                continue;
            }
            // Another process serves, so a new connection that cannot move has time.
            let is_new = net.is_parking() && !is_due && connection.since_ms != 0;
            match connection.phase {
                // The client may just have sent its next request: read once more.
                Phase::Head
                    if is_idle
                        && !is_new
                        && (is_due || connection.deadline_ms > fresh_until_ms) =>
                {
                    if !self.has_input(&mut connection) {
                        self.close(net, connection);
                        continue;
                    }
                }
                Phase::Preamble if !is_new => {
                    connection.io.broken = true;
                    self.close(net, connection);
                    continue;
                }
                // The server stops; requests under way continue until their own deadlines.
                _ if !is_due => {
                    let Some(slot) = connection.slot else {
                        continue;
                    };
                    let deadline_ms = connection.deadline_ms;
                    match net.slots.give_back(slot, connection, deadline_ms) {
                        Some(back) => connection = back,
                        None => continue,
                    }
                }
                Phase::Head | Phase::Body => {
                    let refusal = Refusal {
                        status: 408,
                        why: "the request did not arrive in time",
                    };
                    self.refuse(net, &mut connection, &refusal);
                }
                Phase::Preamble | Phase::Working | Phase::Flushing | Phase::Lingering => {
                    connection.io.broken = true;
                    self.close(net, connection);
                    continue;
                }
            }
            self.drive(net, dispatch, connection);
        }
        (next, self.queued)
    }
}
