//! The predecessor, as seen by its successor.
//!
//! It sends this process its sockets. Once the application is loaded and the predecessor says so,
//! this process begins all requests, while the predecessor finishes those in progress and hands its
//! connections over. When it has finished, this process is the server: it owns pidfiles, control
//! and statistics, and runs timers.
//!
//! Until it serves, this process ends with its predecessor.

use std::io;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::inherited::InheritedSockets;
use super::message::{FromPredecessor, FromSuccessor, ToSuccessor};
use crate::net::ParkedConnection;
use crate::reload::event::Event;
use crate::waiter::channel::Channel;
use crate::waiter::message::SharedSocket;

/// The channel to the predecessor, and what has come from it.
pub struct Predecessor {
    channel: Arc<Channel>,
    /// Of the applications, those that have to load, a bit each.
    pub needed: u32,
    /// Its sockets.
    pub sockets: InheritedSockets,
    /// Receives [`ToSuccessor::Serve`].
    serves: Option<Receiver<()>>,
}

/// Where the messages of the predecessor go.
pub struct Listeners {
    /// Connections.
    pub connections: Sender<ParkedConnection>,
    /// Everything else that comes after [`ToSuccessor::Serve`].
    pub events: Sender<Event>,
    /// Whether a stop that the predecessor passes on did not reach this process otherwise.
    pub is_new_stop: fn() -> bool,
    /// The predecessor is gone before this process serves.
    pub on_gone: Box<dyn FnOnce() + Send>,
}

/// The predecessor has finished.
#[derive(Debug, Default)]
pub struct Finished {
    /// See `ReloadHistory::for_successor`.
    pub reloads: String,
    /// One more reload was asked for meanwhile.
    pub wants_reload: bool,
}

impl Predecessor {
    /// Receives the sockets. Main thread; starts none.
    ///
    /// # Errors
    /// The predecessor is gone.
    pub fn receive_sockets(channel: Channel) -> io::Result<Self> {
        let gone = || io::Error::other("the process to succeed is gone");
        let mut sockets = InheritedSockets::default();
        let needed = loop {
            let (message, handle) = channel.receive()?.ok_or_else(gone)?;
            match message {
                ToSuccessor::Socket(kind) => sockets.add(SharedSocket {
                    kind,
                    handle: handle.ok_or_else(gone)?,
                }),
                ToSuccessor::Load { needed } => break needed,
                _ => return Err(gone()),
            }
        };
        Ok(Self {
            channel: Arc::new(channel),
            needed,
            sockets,
            serves: None,
        })
    }

    /// Listens from now on, on a thread (`sm-predecessor`).
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn listen(&mut self, listeners: Listeners) -> io::Result<()> {
        let (serve, serves) = bounded(1);
        self.serves = Some(serves);
        let channel = Arc::clone(&self.channel);
        std::thread::Builder::new()
            .name("sm-predecessor".to_owned())
            .spawn(move || listeners.listen(&channel, &serve))
            .map(drop)
    }

    /// The application is loaded: waits until this process is to serve.
    ///
    /// # Errors
    /// The predecessor is gone.
    pub fn take_over(&self) -> io::Result<()> {
        self.channel.send(&FromSuccessor::Ready, None)?;
        match &self.serves {
            Some(serves) => serves.recv().map_err(io::Error::other),
            None => Ok(()),
        }
    }

    /// Waits until the predecessor has finished the requests in progress; it does so in time. Other
    /// events are put back for the supervisor; a stop ends the waiting.
    pub fn wait_until_finished(
        &self,
        sender: &Sender<Event>,
        receiver: &Receiver<Event>,
    ) -> Finished {
        let mut finished = Finished::default();
        let mut later = Vec::new();
        for event in receiver {
            match event {
                Event::Predecessor(FromPredecessor::Finished(reloads)) => {
                    finished.reloads = reloads;
                    break;
                }
                Event::Predecessor(FromPredecessor::Gone) => {
                    tracing::error!("the process before this one is gone and has not finished");
                    break;
                }
                Event::Predecessor(FromPredecessor::Reload) => finished.wants_reload = true,
                Event::Stop { .. }
                | Event::StopNow { .. }
                | Event::Predecessor(FromPredecessor::Stop) => {
                    later.push(event);
                    break;
                }
                event => later.push(event),
            }
        }
        for event in later {
            // The receiver is here.
            let _received = sender.send(event);
        }
        finished
    }

    /// This process cannot serve.
    pub fn fail(&self, why: &str) {
        tell_failure(&self.channel, why);
    }
}

/// The successor cannot serve. The predecessor answers clients that wait for the reload, and shows
/// the traceback in development.
pub fn tell_failure(channel: &Channel, why: &str) {
    if let Err(error) = channel.send(&FromSuccessor::failed(why), None) {
        tracing::debug!(%error, "the predecessor is gone");
    }
}

impl Listeners {
    /// Runs on `sm-predecessor`.
    fn listen(self, channel: &Channel, serve: &Sender<()>) {
        let mut is_serving = false;
        loop {
            // Errors of the senders: the server has stopped.
            let event = match channel.receive() {
                Ok(Some((ToSuccessor::Serve, _))) => {
                    is_serving = true;
                    let _stopped = serve.send(());
                    continue;
                }
                Ok(Some((ToSuccessor::Connection { listener, unread }, Some(socket)))) => {
                    let _stopped = self.connections.send(ParkedConnection {
                        socket,
                        listener,
                        unread,
                    });
                    continue;
                }
                Ok(Some((ToSuccessor::Reload, _))) => FromPredecessor::Reload,
                Ok(Some((ToSuccessor::Stop, _))) if !(self.is_new_stop)() => continue,
                Ok(Some((ToSuccessor::Stop, _))) => FromPredecessor::Stop,
                Ok(Some((ToSuccessor::Finished { reloads }, _))) => {
                    FromPredecessor::Finished(reloads)
                }
                Ok(Some((message, _))) => {
                    tracing::error!(?message, "the predecessor sends this too late");
                    continue;
                }
                Ok(None) | Err(_) if is_serving => {
                    let _stopped = self.events.send(Event::Predecessor(FromPredecessor::Gone));
                    return;
                }
                Ok(None) | Err(_) => return (self.on_gone)(),
            };
            let _stopped = self.events.send(Event::Predecessor(event));
        }
    }
}
