//! The first process of a server whose processes succeed one another: it stays, and waits for the
//! end of the last of them.
//!
//! The server's process id changes with each renewal. The process that has started the server (a
//! shell, a service manager) knows the first one only, waits for its end, takes its exit code, and
//! ends the server by ending it. So each successor connects to it (`meeting`), hears of the signals
//! that it gets, and says its exit code at its end. When it is gone, they end too.
//!
//! A thread (`sm-keeper`) takes them, and one for each listens to it. The memory of the first
//! version's application stays with the first process; nothing else does.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::os::service_manager::notify::Notifier;
use crate::python::exit_now;
use crate::reload::handover::rendezvous::{self, Meeting};
use crate::telemetry::LogWriter;

/// The exit code of a process that has not reported one.
const DIED: i32 = 1;

/// What a process says when it is the server.
const IS_THE_SERVER: &[u8; 1] = b"s";
/// What it says before a message for the service manager, which has its length in front.
const NOTIFIES: &[u8; 1] = b"n";
/// A message for the service manager is no longer.
const MESSAGE_BYTES_MAX: u32 = 64 << 10;
/// What it says when it leaves, before its exit code.
const LEAVES: &[u8; 1] = b"e";

/// As seen by a process of the server.
pub struct Keeper {
    place: Place,
    is_left: AtomicBool,
    /// Sends what successors have to say to the service manager.
    notifier: Arc<Notifier>,
}

#[derive(Debug)]
enum Place {
    /// Another process waits, there.
    Other(String),
    /// This process does, once it has a successor.
    Own(Mutex<Option<Waiting>>),
}

/// The processes that are waited for.
#[derive(Clone, Debug)]
struct Waiting {
    invitation: String,
    present: Arc<(Mutex<Present>, Condvar)>,
}

#[derive(Debug, Default)]
struct Present {
    count: usize,
    /// Of the last one that left.
    code: Option<i32>,
    /// The one that is the server.
    server: Option<TcpStream>,
    /// Signals that came while there was none.
    signals: Vec<PassedOn>,
    /// Stops that this server was sent. It may have left before it read them: the next one gets
    /// them too, and ignores those that its predecessor has passed on.
    sent_stops: Vec<PassedOn>,
}

/// A signal that this process got and passes on.
#[derive(Clone, Copy, Debug)]
struct PassedOn {
    number: u8,
    is_stop: bool,
}

fn notifier() -> Arc<Notifier> {
    let variable = std::env::var_os("NOTIFY_SOCKET");
    Arc::new(Notifier::new(variable.as_deref()))
}

impl Keeper {
    /// This process's own. Main thread, before Python starts.
    pub fn own() -> Self {
        Self {
            place: Place::Own(Mutex::default()),
            is_left: AtomicBool::new(false),
            notifier: notifier(),
        }
    }

    /// Another process, where this invites to.
    pub fn other(invitation: String) -> Self {
        Self {
            place: Place::Other(invitation),
            is_left: AtomicBool::new(false),
            notifier: notifier(),
        }
    }

    /// What a successor has to be told to find it.
    ///
    /// # Errors
    /// There is no port or no thread to be had.
    pub fn invitation(&self) -> io::Result<String> {
        match &self.place {
            Place::Other(invitation) => Ok(invitation.clone()),
            Place::Own(waiting) => {
                let mut waiting = waiting.lock();
                if let Some(waiting) = &*waiting {
                    return Ok(waiting.invitation.clone());
                }
                let begun = Waiting::begin(&self.notifier)?;
                let invitation = begun.invitation.clone();
                *waiting = Some(begun);
                Ok(invitation)
            }
        }
    }

    /// Another process is the server from now on.
    pub fn leave_to_others(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Passes a signal that this process got on to the serving process.
    #[cfg(unix)]
    pub fn forward(&self, signal: i32, is_stop: bool) {
        if let (Place::Own(waiting), Ok(number)) = (&self.place, u8::try_from(signal))
            && let Some(waiting) = &*waiting.lock()
        {
            let mut present = waiting.present.0.lock();
            present.signals.push(PassedOn { number, is_stop });
            present.forward();
        }
    }

    /// The exit code of this process, whose own end has `code`: if it has left the server to
    /// others, and is the one that waits, it is that of the last of them.
    pub fn end(&self, code: i32) -> i32 {
        let is_left = self.is_left.load(Ordering::Relaxed);
        match &self.place {
            Place::Own(waiting) if is_left => {
                let waiting = waiting.lock().clone();
                waiting.map_or(DIED, |waiting| waiting.wait())
            }
            Place::Own(_) | Place::Other(_) => code,
        }
    }
}

impl Present {
    fn forward(&mut self) {
        let numbers: Vec<u8> = self.signals.iter().map(|signal| signal.number).collect();
        if let Some(server) = &mut self.server
            && server.write_all(&numbers).is_ok()
        {
            let sent = self.signals.drain(..);
            self.sent_stops.extend(sent.filter(|signal| signal.is_stop));
        }
    }
}

impl Waiting {
    fn begin(notifier: &Arc<Notifier>) -> io::Result<Self> {
        let meeting = Meeting::open()?;
        let waiting = Self {
            invitation: format!("{} {}", std::process::id(), meeting.invitation()),
            present: Arc::default(),
        };
        let present = Arc::clone(&waiting.present);
        let notifier = Arc::clone(notifier);
        std::thread::Builder::new()
            .name("sm-keeper".to_owned())
            .spawn(move || {
                loop {
                    match meeting.accept() {
                        Ok(Some(socket)) => {
                            if let Err(error) = attend_to(socket, &present, &notifier) {
                                tracing::error!(%error, "a successor cannot be waited for");
                            }
                        }
                        Ok(None) => {}
                        Err(error) => tracing::debug!(%error, "a connection could not be accepted"),
                    }
                }
            })?;
        Ok(waiting)
    }

    fn wait(&self) -> i32 {
        let (mutex, changed) = &*self.present;
        let mut present = mutex.lock();
        while present.count > 0 {
            changed.wait(&mut present);
        }
        present.code.unwrap_or(DIED)
    }
}

/// Counts a process as present until it has left. It is told that it is: only then does it go on.
fn attend_to(
    mut socket: TcpStream,
    present: &Arc<(Mutex<Present>, Condvar)>,
    notifier: &Arc<Notifier>,
) -> io::Result<()> {
    let notifier = Arc::clone(notifier);
    let present = Arc::clone(present);
    present.0.lock().count += 1;
    let counted = Arc::clone(&present);
    let spawned = std::thread::Builder::new()
        .name("sm-keeper".to_owned())
        .spawn(move || {
            let code = hear(&mut socket, &counted.0, &notifier).unwrap_or(DIED);
            leave(&counted, Some(code));
        });
    spawned.map(drop).inspect_err(|_| leave(&present, None))
}

/// Hears a process until it says its exit code.
fn hear(socket: &mut TcpStream, present: &Mutex<Present>, notifier: &Notifier) -> io::Result<i32> {
    socket.write_all(b"k")?;
    loop {
        let mut kind = [0];
        socket.read_exact(&mut kind)?;
        if kind == *IS_THE_SERVER {
            let mut present = present.lock();
            present.server = Some(socket.try_clone()?);
            let unheard = std::mem::take(&mut present.sent_stops);
            present.signals.splice(0..0, unheard);
            present.forward();
            continue;
        }
        if kind == *NOTIFIES {
            let mut length = [0; 4];
            socket.read_exact(&mut length)?;
            let length = u32::from_le_bytes(length);
            if length > MESSAGE_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut message = String::new();
            (&*socket)
                .take(length.into())
                .read_to_string(&mut message)?;
            notifier.send(&message);
            continue;
        }
        let mut code = [0; 4];
        socket.read_exact(&mut code)?;
        return Ok(i32::from_le_bytes(code));
    }
}

fn leave(present: &(Mutex<Present>, Condvar), code: Option<i32>) {
    let mut state = present.0.lock();
    state.count -= 1;
    state.code = code.or(state.code);
    drop(state);
    present.1.notify_all();
}

/// What a successor has to do with it.
#[derive(Debug)]
pub struct Tie(TcpStream);

impl Tie {
    /// Says that this process belongs to the server. Also returns the process id of the one that
    /// waits.
    ///
    /// # Errors
    /// The first process does not wait for it.
    pub fn to(invitation: &str) -> io::Result<(u32, Self)> {
        let (pid, place) = invitation.split_once(' ').unwrap_or_default();
        let pid = pid.parse().map_err(io::Error::other)?;
        let mut socket = rendezvous::attend(place)?;
        socket.read_exact(&mut [0])?;
        Ok((pid, Self(socket)))
    }

    /// This process is the server from now on.
    pub fn is_the_server(&self) {
        // If the first process is gone, this one ends.
        let _gone = (&self.0).write_all(IS_THE_SERVER);
    }

    /// From now on this process ends with the one that waits, and hears of the signals that that
    /// one gets, on a thread of its own (`sm-keeper`).
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn ends_with_it(
        &self,
        writer: &LogWriter,
        on_signal: impl Fn(i32) + Send + 'static,
    ) -> io::Result<()> {
        /// How long the last lines of the log may take.
        const FLUSH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
        let (mut socket, writer) = (self.0.try_clone()?, writer.clone());
        std::thread::Builder::new()
            .name("sm-keeper".to_owned())
            .spawn(move || {
                let mut signal = [0];
                while socket.read_exact(&mut signal).is_ok() {
                    let [signal] = signal;
                    on_signal(i32::from(signal));
                }
                tracing::error!("the first process of the server is gone, and so this one goes");
                writer.flush(FLUSH_TIMEOUT);
                exit_now(DIED);
            })
            .map(drop)
    }

    /// A second handle.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The first process sends this to the service manager. Main thread, as all that is said here.
    ///
    /// # Errors
    /// The first process is gone.
    pub fn notify(&self, message: &str) -> io::Result<()> {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        let head = [NOTIFIES.as_slice(), &length.to_le_bytes()].concat();
        (&self.0).write_all(&[head.as_slice(), message.as_bytes()].concat())
    }

    /// This process leaves, with this.
    pub fn leave(&self, code: i32) {
        // The first process may be gone.
        let _gone = (&self.0)
            .write_all(LEAVES)
            .and_then(|()| (&self.0).write_all(&code.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_decides_the_exit_code() {
        let keeper = Keeper::own();
        let invitation = keeper.invitation().expect("a port");
        assert_eq!(keeper.invitation().expect("the same"), invitation);
        let (_, first) = Tie::to(&invitation).expect("the first process waits");
        let (_, second) = Tie::to(&invitation).expect("the first process waits");
        let another = Keeper::other(invitation.clone());
        assert_eq!(another.invitation().expect("known"), invitation);
        another.leave_to_others();
        assert_eq!(another.end(0), 0);
        assert_eq!(keeper.end(3), 3);
        keeper.leave_to_others();
        first.leave(22);
        drop(first);
        let Place::Own(waiting) = &keeper.place else {
            unreachable!("it is its own");
        };
        let (mutex, changed) = &*waiting.lock().clone().expect("it waits").present;
        changed.wait_while(&mut mutex.lock(), |present| present.count > 1);
        let waits = std::thread::spawn(move || keeper.end(0));
        second.leave(7);
        drop(second);
        assert_eq!(waits.join().expect("no panic"), 7);
    }

    #[cfg(unix)]
    #[test]
    fn a_stop_that_a_server_may_not_have_read_goes_to_the_next_one_too() {
        let keeper = Keeper::own();
        let invitation = keeper.invitation().expect("a port");
        let read = |tie: &Tie| {
            let mut signal = [0];
            let limit = std::time::Duration::from_secs(10);
            tie.0.set_read_timeout(Some(limit)).expect("a limit");
            (&tie.0).read_exact(&mut signal).expect("a signal");
            i32::from(signal[0])
        };
        let (_, first) = Tie::to(&invitation).expect("the first process waits");
        first.is_the_server();
        keeper.forward(libc::SIGHUP, false);
        keeper.forward(libc::SIGTERM, true);
        assert_eq!(read(&first), libc::SIGHUP);
        let (_, second) = Tie::to(&invitation).expect("the first process waits");
        second.is_the_server();
        // The reload is the one that has made it.
        assert_eq!(read(&second), libc::SIGTERM);
    }

    #[test]
    fn one_that_dies_has_an_exit_code_too() {
        let keeper = Keeper::own();
        let invitation = keeper.invitation().expect("a port");
        drop(Tie::to(&invitation).expect("the first process waits"));
        keeper.leave_to_others();
        assert_eq!(keeper.end(0), DIED);
    }

    #[test]
    fn without_a_successor_there_is_nobody_to_wait_for() {
        let keeper = Keeper::own();
        assert_eq!(keeper.end(0), 0);
        keeper.leave_to_others();
        assert_eq!(keeper.end(0), DIED);
    }
}
