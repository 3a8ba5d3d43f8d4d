//! A successor, as the process that it succeeds sees it.
//!
//! It is started as this process was, with the same configuration, and is handed the listening
//! sockets. What it does itself is in `successor`. A thread (`sm-line`) hears what it says, and
//! reaps it.

use std::fmt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::channel::Line;
use super::child_process::Offspring;
use super::message::Word;
use crate::app::Deadlines;
use crate::net::ParkedConnection;

/// How often it is looked at whether the application is loaded.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// It ends at once when it is killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// What it tells, apart from what is waited for.
#[derive(Debug)]
pub enum Heard {
    /// From the process before this one: one more reload was asked for meanwhile.
    OneMore,
    /// From the process before this one: it stops, and so does the server.
    Stop,
    /// From the process before this one: nothing is left there. What its reloads were
    /// (`ReloadHistory::for_successor`).
    Farewell(String),
    /// It has left, or died: how.
    Left(String),
}

type Listening = Box<dyn FnMut(Heard) + Send>;

/// A handle on it.
#[derive(Clone)]
pub struct StandIn(Arc<Inner>);

struct Inner {
    pid: i32,
    process: Mutex<Offspring>,
    line: Line,
    state: (Mutex<State>, Condvar),
    /// Who is told what.
    listening: Mutex<Option<Listening>>,
}

#[derive(Default)]
struct State {
    is_ready: bool,
    /// Why it cannot serve.
    failed: Option<String>,
    /// How it ended.
    left: Option<String>,
}

impl fmt::Debug for StandIn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "StandIn({})", self.0.pid)
    }
}

impl StandIn {
    /// Starts one, tells it this, and waits until it has loaded the application. Why it does not
    /// goes to standard error, so to the log. Runs on `sm-reload`.
    ///
    /// # Errors
    /// In words for the log, and in a second line, if it has told, why. There is no such process
    /// any more then.
    pub fn start(command: Command, told: Vec<Word>, deadlines: &Deadlines) -> Result<Self, String> {
        let (line, process) = Line::to_new(command, deadlines)?;
        let stand_in = Self::over(process, line);
        if let Err(error) = stand_in.listen() {
            stand_in.kill();
            return Err(format!("cannot talk to a process: {error}"));
        }
        let said = told.iter().try_for_each(|word| stand_in.0.line.say(word));
        if let Err(error) = said {
            tracing::debug!(%error, "speaking to the successor");
        }
        // On some systems a socket has to stay open until the other end has it, which it has when
        // it says that it is ready.
        let _told = told;
        loop {
            {
                let state = stand_in.0.state.0.lock();
                if state.left.is_some() {
                    // What it has written, and, where there is no log, the last line of it.
                    let mut why = "the application could not be loaded, see above".to_owned();
                    if let Some(gist) = &state.failed {
                        why = format!("{why}\n{gist}");
                    }
                    return Err(why);
                }
                if state.is_ready {
                    return Ok(stand_in.clone());
                }
            }
            if let Err(why) = deadlines.pause(LOOK_INTERVAL) {
                stand_in.kill();
                return Err(why.to_string());
            }
        }
    }

    /// One that was started by this process.
    fn over(process: Offspring, line: Line) -> Self {
        Self(Arc::new(Inner {
            pid: process.pid(),
            process: Mutex::new(process),
            line,
            state: Default::default(),
            listening: Mutex::default(),
        }))
    }

    /// Begins to listen to it. Once.
    ///
    /// # Errors
    /// There is no thread to be had.
    fn listen(&self) -> std::io::Result<()> {
        let inner = Arc::clone(&self.0);
        std::thread::Builder::new()
            .name("sm-line".to_owned())
            .spawn(move || inner.listen())
            .map(drop)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.0.pid
    }

    /// From now on whatever it tells is told to this; called on `sm-line`. If it has left, that is
    /// told now.
    pub fn tell(&self, mut listening: impl FnMut(Heard) + Send + 'static) {
        let mut told = self.0.listening.lock();
        if let Some(how) = &self.0.state.0.lock().left {
            listening(Heard::Left(how.clone()));
            return;
        }
        *told = Some(Box::new(listening));
    }

    /// How it ended, if it has.
    pub fn left(&self) -> Option<String> {
        self.0.state.0.lock().left.clone()
    }

    /// It serves from now on.
    ///
    /// # Errors
    /// It is gone.
    pub fn serve(&self) -> std::io::Result<()> {
        self.0.line.say(&Word::Serve)
    }

    /// It goes on with this connection.
    ///
    /// # Errors
    /// It is gone; the connection is given back.
    pub fn hand(&self, parked: ParkedConnection) -> Result<(), ParkedConnection> {
        let word = Word::Connection(parked);
        match (self.0.line.say(&word), word) {
            (Err(error), Word::Connection(parked)) => {
                tracing::debug!(%error, "handing a connection to the successor");
                // Half a word may have been said: there is nothing more to be said.
                self.kill();
                Err(parked)
            }
            _ => Ok(()),
        }
    }

    /// Nothing is left here: it goes on alone. `reloads`: see `ReloadHistory::for_successor`.
    ///
    /// # Errors
    /// It is gone.
    pub fn bid_farewell(&self, reloads: String, one_more: bool) -> std::io::Result<()> {
        if one_more {
            self.0.line.say(&Word::OneMore)?;
        }
        self.0.line.say(&Word::Farewell(reloads))
    }

    /// It is to stop as at a stop of the server.
    pub fn stop(&self) {
        if let Err(error) = self.0.line.say(&Word::Stop) {
            tracing::debug!(%error, "speaking to the successor");
        }
    }

    /// It ends now.
    pub fn kill(&self) {
        // Not when it was reaped: the number may be another's by now.
        let state = self.0.state.0.lock();
        if state.left.is_none() {
            self.0.process.lock().kill();
        }
    }

    /// Waits until it has left, and kills it at `deadline`.
    pub fn see_off(&self, deadline: Instant) {
        let has_left = |state: &State| state.left.is_some();
        if !self.wait(deadline, has_left) {
            tracing::warn!("the time is up: the successor is cut off");
            self.kill();
            self.wait(Instant::now() + KILL_TIMEOUT, has_left);
        }
    }

    fn wait(&self, deadline: Instant, is_done: impl Fn(&State) -> bool) -> bool {
        let (mutex, changed) = &self.0.state;
        let mut state = mutex.lock();
        loop {
            if is_done(&state) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            changed.wait_for(&mut state, left);
        }
    }
}

impl Inner {
    /// The life of `sm-line`.
    fn listen(&self) {
        loop {
            match self.line.hear() {
                Ok(Some(Word::Ready)) => self.note(|state| state.is_ready = true),
                Ok(Some(Word::Failed(why))) => self.note(|state| state.failed = Some(why)),
                Ok(Some(word)) => tracing::error!(?word, "the successor says what it should not"),
                Ok(None) => break,
                // It died with words of ours unread, or in the middle of one.
                Err(error) => {
                    tracing::debug!(%error, "listening to the successor");
                    break;
                }
            }
        }
        let how = self.reap();
        self.state.1.notify_all();
        self.tell(Heard::Left(how));
    }

    /// Waits for the end of a child that has let go of its line. How it ended, in words.
    fn reap(&self) -> String {
        /// What it is given to leave by itself.
        const LEAVING: Duration = Duration::from_secs(5);
        let until = Instant::now() + LEAVING;
        loop {
            // Under the mutex: a thread that wants to kill it meets it, or hears that it has left,
            // and never another process.
            let mut state = self.state.0.lock();
            let mut process = self.process.lock();
            let Some(how) = process.ended() else {
                if Instant::now() > until {
                    process.kill();
                }
                drop((process, state));
                std::thread::sleep(LOOK_INTERVAL);
                continue;
            };
            state.left = Some(how.clone());
            return how;
        }
    }

    fn note(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock());
        self.state.1.notify_all();
    }

    fn tell(&self, heard: Heard) {
        if let Some(listening) = &mut *self.listening.lock() {
            listening(heard);
        }
    }
}
