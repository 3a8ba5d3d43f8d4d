//! A process while its successor serves: it begins no request, hands idle connections over, and
//! finishes the requests in progress. Main thread, but for the thread that hands connections over
//! (`sm-hand`) and the one that waits for the requests (`sm-drain`).

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;

use super::inherited;
use super::successor_process::Successor;
use crate::app::Current;
use crate::net::Net;
use crate::reload::event::Event;

/// From the moment at which the successor serves to the end of the last request here.
pub struct Drain {
    successor: Successor,
    hands_over: Option<JoinHandle<()>>,
    /// One more reload was asked for.
    pub wants_reload: bool,
    /// No request is in progress here any more.
    pub is_complete: bool,
}

impl Drain {
    /// The successor serves from now on. [`Event::Drained`] tells when no request is in progress
    /// here, or `mercy` is over.
    ///
    /// # Errors
    /// It cannot serve, in words; nothing has changed then.
    pub fn begin(
        net: &Arc<Net>,
        current: &Arc<Current>,
        successor: Successor,
        events: &Sender<Event>,
        mercy: Duration,
    ) -> Result<Self, String> {
        successor.on_end({
            let events = events.clone();
            move |how| {
                // Error: the supervisor has ended, and the server has stopped.
                let _gone = events.send(Event::SuccessorEnded { how });
            }
        });
        let mut drain = Self {
            successor,
            hands_over: None,
            wants_reload: false,
            is_complete: false,
        };
        // First of all: only then may the new version answer.
        net.start_parking();
        match drain.successor.serve().and_then(|()| {
            drain.hands_over = Some(drain.hand_over(net)?);
            drain.wait_for_requests(net, events.clone(), mercy)
        }) {
            Ok(()) => Ok(drain),
            Err(error) => {
                drain.go_back(net, current);
                Err(error.to_string())
            }
        }
    }

    fn hand_over(&self, net: &Arc<Net>) -> io::Result<JoinHandle<()>> {
        let (net, successor) = (Arc::clone(net), self.successor.clone());
        std::thread::Builder::new()
            .name("sm-hand".to_owned())
            .spawn(move || {
                while let Some(parked) = net.next_parked() {
                    if let Err(parked) = successor.hand(parked) {
                        net.put_back(parked);
                        return;
                    }
                }
            })
    }

    fn wait_for_requests(
        &self,
        net: &Arc<Net>,
        events: Sender<Event>,
        mercy: Duration,
    ) -> io::Result<()> {
        let (net, pid) = (Arc::clone(net), self.successor.pid());
        std::thread::Builder::new()
            .name("sm-drain".to_owned())
            .spawn(move || {
                let all_closed = net.wait_until_closed(Instant::now() + mercy);
                let _gone = events.send(Event::Drained { pid, all_closed });
            })
            .map(drop)
    }

    /// The successor.
    pub fn successor(&self) -> &Successor {
        &self.successor
    }

    /// The successor is lost, and this process can still serve: it goes on.
    pub fn go_back(self, net: &Arc<Net>, current: &Current) {
        self.successor.kill();
        net.go_on();
        join(self.hands_over);
        inherited::go_on(net.take_parked(), net, current);
    }

    /// The server stops instead: the successor gets what is on its way to it, and stops too.
    pub fn stop(self, net: &Net) -> Successor {
        let successor = self.end(net);
        successor.stop();
        successor
    }

    /// Everything is handed over. Returns the successor.
    pub fn end(self, net: &Net) -> Successor {
        net.stop_parking();
        join(self.hands_over);
        // This process accepts no more.
        drop(net.take_listeners());
        self.successor
    }
}

fn join(hands_over: Option<JoinHandle<()>>) {
    if hands_over.is_some_and(|thread| thread.join().is_err()) {
        tracing::error!("the thread that hands connections over panicked");
    }
}
