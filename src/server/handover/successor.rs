//! A process that serves in the place of another one, and is the server from then on.
//!
//! The one before it, its predecessor, has started it, and tells it over their line what it needs:
//! listening sockets, those of control and statistics, where the end of the server is waited for
//! (`keeper`). It starts like any server, but for what was done once and for all, and says when it
//! is ready. From the word to serve on it begins all requests; the predecessor finishes what it has
//! begun, hands over its connections, and says farewell. Only then does this process answer for the
//! server: pidfiles, control, statistics, timers.
//!
//! Until it serves it ends with its predecessor; after that, with the process that waits for the
//! end.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::super::signals;
use super::waiter::{Keeper, Tie};
use crate::config::Failure;
use crate::net::ParkedConnection;
use crate::os::pidfile;
use crate::os::service_manager::notify::Notifier;
use crate::python::exit_now;
use crate::reload::event::Event;
use crate::reload::handover::channel::Line;
use crate::reload::handover::message::Word;
use crate::reload::handover::origin::Inheritance;
use crate::reload::handover::successor_process::Heard;
use crate::telemetry::LogWriter;

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What it has from its predecessor, and the line to it.
pub struct Succession {
    line: Arc<Line>,
    /// Of the applications, those that have to load, a bit each.
    pub needed: u32,
    /// What it has from its predecessor.
    pub inheritance: Inheritance,
    /// Where the end of the server is waited for.
    invitation: String,
    tie: Tie,
    /// The word to serve comes here.
    serves: Option<Receiver<()>>,
}

/// The predecessor has left.
#[derive(Debug, Default)]
pub struct Farewell {
    /// See `ReloadHistory::for_successor`.
    pub reloads: String,
    /// One more reload was asked for meanwhile.
    pub wants_reload: bool,
}

impl Succession {
    /// Hears what is left to this process. Main thread; starts none.
    ///
    /// # Errors
    /// The predecessor or the first process is gone.
    pub fn begin(line: Line) -> Result<Self, Failure> {
        let gone = || Failure::new("the process to succeed is gone");
        let mut inheritance = Inheritance::default();
        let mut invitation = None;
        let needed = loop {
            match line.hear().map_err(Failure::new)?.ok_or_else(gone)? {
                Word::Listener(socket) => inheritance.listeners.push(socket),
                Word::Control(socket) => inheritance.control.push(socket),
                Word::Stats(socket) => inheritance.stats = Some(socket),
                #[cfg(unix)]
                Word::Lock(file) => inheritance.locks.push(file.into()),
                Word::Keeper(text) => invitation = Some(text),
                Word::Load(needed) => break needed,
                _ => return Err(gone()),
            }
        };
        let invitation = invitation.ok_or_else(gone)?;
        let (first, tie) = Tie::to(&invitation).map_err(Failure::new)?;
        pidfile::belongs_to(first);
        Ok(Self {
            line: Arc::new(line),
            needed,
            inheritance,
            invitation,
            tie,
            serves: None,
        })
    }

    /// Listens to the predecessor from now on, on a thread of its own (`sm-line`). Connections and
    /// events go to these.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn listen(
        &mut self,
        writer: &LogWriter,
        connections: Sender<ParkedConnection>,
        events: Sender<Event>,
    ) -> Result<(), Failure> {
        self.tie
            .ends_with_it(writer, {
                let events = events.clone();
                move |signal| signals::forwarded(signal, &events)
            })
            .map_err(Failure::new)?;
        let (serve, serves) = bounded(1);
        self.serves = Some(serves);
        let (line, writer) = (Arc::clone(&self.line), writer.clone());
        let listens = move || {
            let mut is_serving = false;
            loop {
                let heard = match line.hear() {
                    Ok(Some(Word::Serve)) => {
                        is_serving = true;
                        let _heard = serve.send(());
                        continue;
                    }
                    Ok(Some(Word::Connection(parked))) => {
                        let _heard = connections.send(parked);
                        continue;
                    }
                    Ok(Some(Word::OneMore)) => Heard::OneMore,
                    Ok(Some(Word::Stop)) if !signals::is_new_stop_of_predecessor() => continue,
                    Ok(Some(Word::Stop)) => Heard::Stop,
                    Ok(Some(Word::Farewell(reloads))) => Heard::Farewell(reloads),
                    Ok(Some(word)) => {
                        tracing::error!(?word, "a successor is told what it should not be");
                        continue;
                    }
                    Ok(None) | Err(_) if is_serving => {
                        let _heard = events.send(Event::StandIn(Heard::Left("is gone".to_owned())));
                        return;
                    }
                    Ok(None) | Err(_) => {
                        writer.flush(FLUSH_TIMEOUT);
                        exit_now(1);
                    }
                };
                // The server has stopped.
                let _heard = events.send(Event::StandIn(heard));
            }
        };
        std::thread::Builder::new()
            .name("sm-line".to_owned())
            .spawn(listens)
            .map(drop)
            .map_err(Failure::new)
    }

    /// Notifies the service manager by way of the first process, which is the main one of the
    /// service.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn notifier(&self, notify_socket: Option<&OsStr>) -> io::Result<Notifier> {
        let tie = self.tie.try_clone()?;
        Ok(Notifier::through(notify_socket, move |message| {
            tie.notify(message)
        }))
    }

    /// Where the end of the server is waited for, for the next successor.
    pub fn keeper(&self) -> Keeper {
        Keeper::other(self.invitation.clone())
    }

    /// Everything is loaded: waits for the word to serve. If the predecessor goes without it, this
    /// process ends.
    ///
    /// # Errors
    /// The predecessor does not hear it.
    pub fn take_over(&self) -> Result<(), Failure> {
        self.line.say(&Word::Ready).map_err(Failure::new)?;
        if let Some(serves) = &self.serves {
            serves.recv().map_err(Failure::new)?;
        }
        Ok(())
    }

    /// Waits until the predecessor has finished what it has begun; it does so in time. What else is
    /// heard is put back for the supervisor; a stop ends the waiting.
    pub fn wait_for_farewell(
        &self,
        sender: &Sender<Event>,
        receiver: &Receiver<Event>,
    ) -> Farewell {
        let mut farewell = Farewell::default();
        let mut later = Vec::new();
        for event in receiver {
            match event {
                Event::StandIn(Heard::Farewell(reloads)) => {
                    farewell.reloads = reloads;
                    break;
                }
                Event::StandIn(Heard::Left(how)) => {
                    tracing::error!("the process before this one {how}, and has not finished");
                    break;
                }
                Event::StandIn(Heard::OneMore) => farewell.wants_reload = true,
                Event::Stop { .. } | Event::StopNow { .. } | Event::StandIn(Heard::Stop) => {
                    later.push(event);
                    break;
                }
                event => later.push(event),
            }
        }
        self.tie.is_the_server();
        for event in later {
            // The receiver is here.
            let _heard = sender.send(event);
        }
        farewell
    }

    /// It cannot serve: the predecessor is told why.
    pub fn fail(&self, text: &str) {
        tell_failure(&self.line, text);
    }

    /// This process leaves, with this exit code.
    pub fn leave(&self, code: i32) {
        self.tie.leave(code);
    }
}

/// Whoever waits for the reload is to know why there is none, and whoever develops to see the
/// traceback.
pub fn tell_failure(line: &Line, text: &str) {
    if let Err(error) = line.say(&Word::Failed(text.to_owned())) {
        tracing::debug!(%error, "the predecessor is gone");
    }
}
