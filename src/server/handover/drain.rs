//! A process that leaves its place to another one: it begins no further request, hands its
//! connections over, and finishes what it has. Main thread, but for the thread that hands
//! connections over (`sm-hand`).

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::app::Current;
use crate::net::Net;
use crate::reload::event::Event;
use crate::reload::handover::origin;
use crate::reload::handover::successor_process::StandIn;
use crossbeam::channel::Sender;

/// While the successor serves, up to the farewell.
pub struct Relay {
    stand_in: StandIn,
    hands: Option<JoinHandle<()>>,
    /// One more reload was asked for.
    pub wants_reload: bool,
    /// Nothing can be answered here any more.
    pub is_drained: bool,
}

impl Relay {
    /// The successor serves from now on. [`Event::Drained`] tells when there is nothing under way
    /// here, or `mercy` is over.
    ///
    /// # Errors
    /// It cannot, in words; nothing has changed then.
    pub fn begin(
        net: &Arc<Net>,
        current: &Arc<Current>,
        stand_in: StandIn,
        events: &Sender<Event>,
        mercy: Duration,
    ) -> Result<Self, String> {
        stand_in.tell({
            let events = events.clone();
            move |heard| {
                // The supervisor left first: the server stops.
                let _gone = events.send(Event::StandIn(heard));
            }
        });
        let mut relay = Self {
            stand_in,
            hands: None,
            wants_reload: false,
            is_drained: false,
        };
        // First of all: only then may an answer of the new version be given.
        net.start_parking();
        match relay.stand_in.serve().and_then(|()| {
            relay.hands = Some(relay.hand_over(net)?);
            relay.drain(net, events.clone(), mercy)
        }) {
            Ok(()) => Ok(relay),
            Err(error) => {
                relay.go_back(net, current);
                Err(error.to_string())
            }
        }
    }

    fn hand_over(&self, net: &Arc<Net>) -> std::io::Result<JoinHandle<()>> {
        let (net, stand_in) = (Arc::clone(net), self.stand_in.clone());
        std::thread::Builder::new()
            .name("sm-hand".to_owned())
            .spawn(move || {
                while let Some(parked) = net.next_parked() {
                    if let Err(parked) = stand_in.hand(parked) {
                        net.put_back(parked);
                        return;
                    }
                }
            })
    }

    fn drain(&self, net: &Arc<Net>, events: Sender<Event>, mercy: Duration) -> std::io::Result<()> {
        let (net, pid) = (Arc::clone(net), self.pid());
        std::thread::Builder::new()
            .name("sm-drain".to_owned())
            .spawn(move || {
                let all_closed = net.wait_until_closed(Instant::now() + mercy);
                let _gone = events.send(Event::Drained { pid, all_closed });
            })
            .map(drop)
    }

    /// The process id of the successor.
    pub fn pid(&self) -> i32 {
        self.stand_in.pid()
    }

    /// The successor.
    pub fn stand_in(&self) -> &StandIn {
        &self.stand_in
    }

    /// The successor is lost, and this process can still serve: it goes on.
    pub fn go_back(self, net: &Arc<Net>, current: &Current) {
        self.stand_in.kill();
        net.go_on();
        join(self.hands);
        origin::go_on(net.take_parked(), net, current);
    }

    /// The server stops instead: what was on its way to the successor gets there, then it stops too.
    pub fn stop(self, net: &Net) -> StandIn {
        net.stop_parking();
        join(self.hands);
        // This process accepts no more, so no thread waits for that.
        drop(net.take_listeners());
        self.stand_in.stop();
        self.stand_in
    }

    /// Everything is handed over. Returns the successor, if it is there, and whether one more
    /// reload was asked for.
    pub fn finish(self, net: &Net) -> (Option<StandIn>, bool) {
        net.stop_parking();
        join(self.hands);
        // This process accepts no more.
        drop(net.take_listeners());
        let is_there = self.stand_in.left().is_none();
        (is_there.then_some(self.stand_in), self.wants_reload)
    }
}

fn join(hands: Option<JoinHandle<()>>) {
    if hands.is_some_and(|hands| hands.join().is_err()) {
        tracing::error!("the thread that hands connections over panicked");
    }
}
