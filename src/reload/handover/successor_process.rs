//! A successor, as seen by its predecessor.
//!
//! It is started as this process was, with the same configuration, and gets the listening sockets.
//! `predecessor` is its side. A thread (`sm-successor`) receives its messages and reports its end.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::message::{FromSuccessor, ToSuccessor};
use crate::app::Deadlines;
use crate::net::{Handle, Net, ParkedConnection};
use crate::waiter::channel::Channel;
use crate::waiter::link::{Child, Link};
use crate::waiter::message::{Program, SharedSocket, SocketKind};

/// How often is looked whether the application is loaded.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A process that has closed its channel ends, or the waiter kills it.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes second handles to the sockets beside the listeners.
pub type ShareSockets = dyn Fn() -> io::Result<Vec<SharedSocket>> + Send + Sync;

/// How successors are started.
pub struct SuccessorStarter {
    /// This program, as it was started.
    pub program: Program,
    /// The waiter, which starts it.
    pub link: Arc<Link>,
    /// The sockets that it gets beside the listeners.
    pub share_sockets: Arc<ShareSockets>,
}

/// Receives how the successor ended.
type OnEnd = Box<dyn FnOnce(String) + Send>;

/// A handle on the successor. Any thread.
#[derive(Clone)]
pub struct Successor(Arc<Inner>);

struct Inner {
    child: Child,
    channel: Arc<Channel>,
    state: Mutex<State>,
    on_end: Mutex<Option<OnEnd>>,
}

#[derive(Default)]
struct State {
    is_ready: bool,
    /// Why it cannot serve.
    failed: Option<String>,
    /// How it ended.
    ended: Option<String>,
}

impl fmt::Debug for Successor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Successor({})", self.pid())
    }
}

impl SuccessorStarter {
    /// Starts a successor and waits until it has loaded the application. `needed`: the applications
    /// that have to load. Its errors go to standard error, so to the log. Runs on `sm-reload`.
    ///
    /// # Errors
    /// In words for the log, and in a second line the reason, if the successor has given one. The
    /// process has ended then.
    pub fn start(
        &self,
        net: &Net,
        needed: &[bool],
        deadlines: &Deadlines,
    ) -> Result<Successor, String> {
        let failed = |error| format!("cannot share the sockets: {error}");
        let listeners = net.share_listeners().map_err(failed)?.into_iter();
        let kind = SocketKind::Listener;
        let mut sockets: Vec<SharedSocket> = listeners
            .map(|handle| SharedSocket { kind, handle })
            .collect();
        sockets.extend((self.share_sockets)().map_err(failed)?);
        let folder = self.program.folder();
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(format!(
                "the folder that the server was started in is gone: {folder}"
            ));
        }
        let needed = needed.iter().zip(0..u32::BITS);
        let needed = needed.fold(0, |bits, (is_needed, at)| {
            bits | (u32::from(*is_needed) << at)
        });
        let (child, channel) = self.link.start(&self.program)?;
        let successor = Successor::new(child, channel);
        if let Err(error) = successor.listen() {
            successor.kill();
            return Err(format!("cannot talk to a process: {error}"));
        }
        let sent = sockets.iter().try_for_each(|socket| {
            successor.send(&ToSuccessor::Socket(socket.kind), Some(&socket.handle))
        });
        let sent = sent.and_then(|()| successor.send(&ToSuccessor::Load { needed }, None));
        if let Err(error) = sent {
            tracing::debug!(%error, "sending the sockets to the successor");
        }
        // On some systems a socket has to stay open until the other process has it.
        let _open = sockets;
        successor.wait_until_ready(deadlines)
    }
}

impl Successor {
    fn new(child: Child, channel: Arc<Channel>) -> Self {
        Self(Arc::new(Inner {
            child,
            channel,
            state: Default::default(),
            on_end: Mutex::default(),
        }))
    }

    /// Listens to it from now on.
    fn listen(&self) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("sm-successor".to_owned());
        thread.spawn(move || inner.listen()).map(drop)
    }

    fn wait_until_ready(self, deadlines: &Deadlines) -> Result<Self, String> {
        loop {
            {
                let state = self.0.state.lock();
                if state.ended.is_some() {
                    // Where there is no log, the reason is its last line.
                    let mut why = "the application could not be loaded, see above".to_owned();
                    if let Some(reason) = &state.failed {
                        why = format!("{why}\n{reason}");
                    }
                    return Err(why);
                }
                if state.is_ready {
                    break;
                }
            }
            if let Err(why) = deadlines.pause(LOOK_INTERVAL) {
                self.kill();
                return Err(why.to_string());
            }
        }
        Ok(self)
    }

    fn send(&self, message: &ToSuccessor, handle: Option<&Handle>) -> io::Result<()> {
        self.0.channel.send(message, handle)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.child.pid()
    }

    /// Calls this with how it ended, on `sm-successor`; now, if it has.
    pub fn on_end(&self, on_end: impl FnOnce(String) + Send + 'static) {
        let mut set = self.0.on_end.lock();
        let ended = self.0.state.lock().ended.clone();
        match ended {
            Some(how) => on_end(how),
            None => *set = Some(Box::new(on_end)),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.0.state.lock().ended.is_some()
    }

    /// It serves from now on.
    ///
    /// # Errors
    /// It is gone.
    pub fn serve(&self) -> io::Result<()> {
        self.send(&ToSuccessor::Serve, None)
    }

    /// It gets this connection.
    ///
    /// # Errors
    /// It is gone; the connection is given back.
    pub fn hand(&self, parked: ParkedConnection) -> Result<(), ParkedConnection> {
        let message = ToSuccessor::Connection {
            listener: parked.listener,
            unread: parked.unread.clone(),
        };
        self.send(&message, Some(&parked.socket)).map_err(|error| {
            tracing::debug!(%error, "handing a connection to the successor");
            // Half a message may have been sent: nothing more can be.
            self.kill();
            parked
        })
    }

    /// Nothing is in progress here: it serves alone. `reloads`: see `ReloadHistory::for_successor`.
    ///
    /// # Errors
    /// It is gone.
    pub fn finish(&self, reloads: String, wants_reload: bool) -> io::Result<()> {
        if wants_reload {
            self.send(&ToSuccessor::Reload, None)?;
        }
        self.send(&ToSuccessor::Finished { reloads }, None)
    }

    /// It stops, as the whole server does.
    pub fn stop(&self) {
        if let Err(error) = self.send(&ToSuccessor::Stop, None) {
            tracing::debug!(%error, "sending to the successor");
        }
    }

    /// Kills it.
    pub fn kill(&self) {
        self.0.child.kill();
    }

    /// Waits until it has ended, and kills it at `deadline`.
    pub fn wait(&self, deadline: Instant) {
        if self.0.child.wait(deadline).is_none() {
            tracing::warn!("the time is up: the successor is killed");
            self.kill();
        }
    }
}

impl Inner {
    /// Receives until its end. Runs on `sm-successor`.
    fn listen(&self) {
        loop {
            match self.channel.receive() {
                Ok(Some((FromSuccessor::Ready, _))) => self.state.lock().is_ready = true,
                Ok(Some((FromSuccessor::Failed(why), _))) => self.state.lock().failed = Some(why),
                Ok(None) => break,
                // It was killed in the middle of a message, or before it had read all of ours.
                Err(error) => {
                    tracing::debug!(%error, "receiving from the successor");
                    break;
                }
            }
        }
        let how = self.child.wait(Instant::now() + END_TIMEOUT);
        let how = how.unwrap_or_else(|| "does not end".to_owned());
        let mut on_end = self.on_end.lock();
        self.state.lock().ended = Some(how.clone());
        if let Some(on_end) = on_end.take() {
            on_end(how);
        }
    }
}
