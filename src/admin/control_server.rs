//! The control socket: clients send commands in HTTP and read JSON (docs/control.md).
//!
//! One thread for each socket accepts clients (`sm-control`), and one thread serves each client, so
//! that a client that waits for a reload delays no other; their number is bounded, and each has a
//! deadline for its request. Nothing here touches Python or waits for a worker: the supervisor
//! carries commands out.
//!
//! Access: a path admits the server's user and root, by the file's mode and owner and by the
//! kernel's word on the peer; a port of this machine admits clients that send the secret.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

use super::control_request::{self, ControlRequest, REQUEST_BYTES_MAX, Refused};
use super::control_response::{CommandReply, StacksReply, json, whole};
use super::listeners::{self, AdminConnection, AdminListener};
use super::message_read::read_message;
use super::metrics_snapshot::MetricsSnapshot;
use super::status::CanaryReport;
use crate::config::Failure;
use crate::config::{self, Address, Config, ControlDoor};
use crate::net::{Handle, vital};
use crate::os::pidfile;
use crate::os::secret::{Secret, random};
use crate::reload::event::Event;
use crate::reload::handover::inherited::InheritedSockets;
use crate::reload::history::{Progress, ReloadHistory};

/// Clients that are served at once; the connections of further ones are closed.
const CALLERS_MAX: usize = 32;
/// A client has this long to send its request, and to read the response.
const PATIENCE: Duration = Duration::from_secs(10);
/// `GET /reload/N` waits at most this long before it answers that the reload is under way.
const LONG_POLL: Duration = Duration::from_secs(30);
/// A rollback takes no time, but the supervisor may be busy: after this long the response is 202.
const ROLLBACK_TIME: Duration = Duration::from_secs(10);
/// Interpreters have this long to release the GIL for `GET /stacks`; of others the response holds
/// the facts that the kernel has.
const LOOK_TIME: Duration = Duration::from_secs(1);
/// The message for a reload that loads, or waits for another.
pub const UNDER_WAY: &str = "under way";

/// The sockets of the server. Dropped, they leave nothing behind in the file system.
#[derive(Default)]
pub struct ControlServer {
    listeners: Vec<Arc<Place>>,
    /// Files, and what tells them from others of their names.
    files: Vec<(PathBuf, (u64, u64))>,
    is_spared: bool,
}

struct Place {
    listener: AdminListener,
    secret: Option<Secret>,
}

/// Where clients come in.
#[derive(Clone)]
struct Entrance(Arc<Place>);

impl AsRef<AdminListener> for Entrance {
    fn as_ref(&self) -> &AdminListener {
        &self.0.listener
    }
}

struct Wanted {
    address: Address,
    /// Where a client finds the address and the secret of a port.
    note: Option<PathBuf>,
    /// Not configured by `--control`: without it the server starts, too.
    is_extra: bool,
}

impl ControlServer {
    /// Opens what is wanted; `left` is open already. Main thread, before privileges are dropped.
    pub fn open(config: &Config, left: &mut InheritedSockets) -> Result<Self, Failure> {
        let mut control = Self::default();
        let mut left = std::mem::take(&mut left.control).into_iter();
        for wanted in wanted(config)? {
            let opened = match left.next() {
                Some(left) => AdminListener::from_inherited(left, &wanted.address)
                    .and_then(|listener| Ok((listener, kept_secret(&wanted)?))),
                None => AdminListener::open(&wanted.address)
                    .and_then(|listener| secured(config, &wanted, listener)),
            };
            match opened {
                Ok((listener, secret)) => control.add(listener, secret, wanted.note),
                Err(error) if wanted.is_extra => tracing::warn!(
                    "no control socket at {}: {error}. The pidfile's server can be told by signals only",
                    wanted.address
                ),
                Err(error) => {
                    let hint = match error.kind() {
                        ErrorKind::AddrInUse => ". Another server listens there",
                        _ => "",
                    };
                    return Err(Failure::about(
                        config,
                        "control",
                        format_args!("cannot listen on {}: {error}{hint}", wanted.address),
                    ));
                }
            }
        }
        Ok(control)
    }

    /// Whether the options of the control socket belong together.
    pub fn check(config: &Config) -> Result<(), Failure> {
        wanted(config).map(drop)
    }

    fn add(&mut self, listener: AdminListener, secret: Option<Secret>, note: Option<PathBuf>) {
        self.files.extend(listener.file());
        self.files
            .extend(note.and_then(|path| Some((path.clone(), listeners::mark(&path)?))));
        self.listeners.push(Arc::new(Place { listener, secret }));
    }

    pub fn serve(&self, handler: &Arc<ControlHandler>) -> io::Result<Vec<AcceptThread>> {
        let mut accept_threads = Vec::new();
        for place in &self.listeners {
            let (place, handler) = (Arc::clone(place), Arc::clone(handler));
            let talk = {
                let place = Arc::clone(&place);
                move |client| handler.talk(client, place.secret.as_ref())
            };
            accept_threads.push(accept_clients("sm-control", Entrance(place), talk)?);
        }
        Ok(accept_threads)
    }

    /// What makes second handles to the sockets, in their order.
    pub fn share(&self) -> impl Fn() -> io::Result<Vec<Handle>> + Send + Sync + use<> {
        let listeners = self.listeners.clone();
        move || {
            listeners
                .iter()
                .map(|place| place.listener.share())
                .collect()
        }
    }

    /// The files are another process's (`true`), which answers here, or this one's own again.
    pub fn spare(&mut self, is_spared: bool) {
        self.is_spared = is_spared;
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        if self.is_spared {
            return;
        }
        for (path, mark) in self.files.drain(..) {
            // Another server may have put its own there.
            if listeners::mark(&path) == Some(mark)
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::debug!(%error, "cannot remove {}", path.display());
            }
        }
    }
}

fn wanted(config: &Config) -> Result<Vec<Wanted>, Failure> {
    let mut all = Vec::new();
    let pidfiles = pidfile::paths(config);
    match &config.control.door {
        ControlDoor::Shut => return Ok(all),
        ControlDoor::ByPidfile => {}
        ControlDoor::At(address) => {
            let note = match (address, &config.control.token_file, pidfiles.first()) {
                (Address::Tcp(_), Some(file), _) => Some(absolute(file)),
                (Address::Tcp(_), None, Some(pidfile)) => Some(with_ending(pidfile, ".token")),
                (Address::Tcp(_), None, None) => {
                    let why =
                        "a port wants --control-token FILE: users who can read that file may ask";
                    return Err(Failure::about(config, "control", why));
                }
                _ => None,
            };
            all.push(Wanted {
                address: address.clone(),
                note,
                is_extra: false,
            });
        }
    }
    all.extend(pidfiles.iter().map(|pidfile| {
        let beside = config::beside(pidfile);
        let (address, note) = if cfg!(unix) {
            (Address::Unix(beside), None)
        } else {
            (Address::Tcp(([127, 0, 0, 1], 0).into()), Some(beside))
        };
        Wanted {
            address,
            note,
            is_extra: true,
        }
    }));
    Ok(all)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Lets only those in who may ask.
fn secured(
    config: &Config,
    wanted: &Wanted,
    listener: AdminListener,
) -> io::Result<(AdminListener, Option<Secret>)> {
    let (uid, gid) = crate::os::privileges::future(config);
    listener.restrict_to(uid, gid)?;
    let Some(note) = &wanted.note else {
        return Ok((listener, None));
    };
    let text = random()?;
    let port = listener.port().unwrap_or_default();
    let address = match &wanted.address {
        Address::Tcp(address) => std::net::SocketAddr::new(address.ip(), port).to_string(),
        other => other.to_string(),
    };
    listeners::write_private(note, &format!("{address} {text}\n"))
        .and_then(|()| listeners::give(note, uid, gid))
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot write {}: {error}", note.display()),
            )
        })?;
    Ok((listener, Some(Secret::new(&text))))
}

/// The secret that this process has written before it started anew.
fn kept_secret(wanted: &Wanted) -> io::Result<Option<Secret>> {
    let Some(note) = &wanted.note else {
        return Ok(None);
    };
    read_note(note).map(|(_, secret)| Some(secret))
}

/// Address and secret of a port, as a server has written them.
pub fn read_note(path: &Path) -> io::Result<(String, Secret)> {
    let text = std::fs::read_to_string(path)?;
    let (address, secret) = text.trim().split_once(' ').unwrap_or_default();
    let secret = Secret::new(secret);
    if !secret.is_one() {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "it holds no address and secret",
        ));
    }
    Ok((address.to_owned(), secret))
}

pub struct AcceptThread {
    is_open: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    wake: Box<dyn Fn() -> io::Result<()> + Send>,
}

impl AcceptThread {
    /// Accepts no more clients: from now on another process does. Accepted clients are still
    /// served.
    pub fn stop(self) {
        self.is_open.store(false, Ordering::SeqCst);
        // The thread waits in accept: this connection wakes it.
        match (self.wake)() {
            Ok(()) => drop(self.thread.join()),
            Err(error) => tracing::debug!(%error, "cannot wake the accepting thread"),
        }
    }
}

/// Accepts clients and serves each on a thread of its own, [`CALLERS_MAX`] at most.
pub fn accept_clients(
    name: &'static str,
    listener: impl AsRef<AdminListener> + Clone + Send + 'static,
    talk: impl Fn(AdminConnection) + Send + Sync + 'static,
) -> io::Result<AcceptThread> {
    /// Without descriptors or memory there is nothing to do but to wait.
    const PAUSE: Duration = Duration::from_millis(100);
    let talk = Arc::new(talk);
    let present = Arc::new(AtomicUsize::new(0));
    let is_open = Arc::new(AtomicBool::new(true));
    let (goes_on, entrance) = (Arc::clone(&is_open), listener.clone());
    let take = move || {
        while goes_on.load(Ordering::SeqCst) {
            let client = match entrance.as_ref().accept() {
                Ok(client) => client,
                Err(error) if vital::is_loss(&error) && goes_on.load(Ordering::SeqCst) => {
                    let by = "the application has closed a descriptor that is not its own";
                    return tracing::error!("{name}: the socket is closed: {by}");
                }
                Err(error) => {
                    tracing::debug!(%error, "{name}: cannot accept a client");
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            if present.fetch_add(1, Ordering::SeqCst) >= CALLERS_MAX {
                present.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let guard = Present(Arc::clone(&present));
            let talk = Arc::clone(&talk);
            let spawned = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || {
                    let _present = guard;
                    talk(client);
                });
            if let Err(error) = spawned {
                tracing::debug!(%error, "{name}: no thread for a client");
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(take)?;
    Ok(AcceptThread {
        is_open,
        thread,
        wake: Box::new(move || listener.as_ref().wake()),
    })
}

struct Present(Arc<AtomicUsize>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Writes all of it and closes. A client that does not take it is left.
pub fn send(client: &mut AdminConnection, bytes: &[u8]) {
    /// What a client is given to close after that.
    const LINGER: Duration = Duration::from_secs(1);
    const PIECES_MAX: usize = 64;
    if client.write_all(bytes).is_err() || client.set_timeout(Some(LINGER)).is_err() {
        return;
    }
    client.finish();
    // If it still says something, and that is not read, the system takes the answer back (a reset).
    let mut piece = [0; 4096];
    for _ in 0..PIECES_MAX {
        if !matches!(client.read(&mut piece), Ok(count) if count > 0) {
            return;
        }
    }
}

pub struct ControlHandler {
    pub events: Sender<Event>,
    pub history: Arc<ReloadHistory>,
    pub metrics: Arc<MetricsSnapshot>,
    /// The server was told to stop by this: a second word would be taken for impatience.
    pub is_stopping: AtomicBool,
}

impl ControlHandler {
    fn talk(&self, mut client: AdminConnection, secret: Option<&Secret>) {
        if !client.is_same_user() {
            tracing::warn!("control: a client of another user was refused");
            return;
        }
        let Ok(asked) = listen(&mut client, secret) else {
            return;
        };
        let (status, body) = match asked {
            // The connection is closed: the client asks again, and another process answers.
            Ok(ask) => match self.answer(ask) {
                Some(answer) => answer,
                None => return,
            },
            Err(Refused { status, why }) => (status, self.told(why)),
        };
        let stays = matches!(asked, Ok(ControlRequest::Stop { wait: true, .. }));
        if stays {
            // The end of the connection is the end of the process.
            if client.write_all(&whole(status, &body)).is_ok() && client.set_timeout(None).is_ok() {
                let _gone = client.read(&mut [0]);
            }
        } else {
            send(&mut client, &whole(status, &body));
        }
    }

    /// `None`: the answer is another process's.
    fn answer(&self, ask: ControlRequest) -> Option<(u16, Vec<u8>)> {
        Some(match ask {
            ControlRequest::Index => {
                let lines: Vec<String> = control_request::INDEX
                    .iter()
                    .map(|(what, meaning)| format!("{what}: {meaning}"))
                    .collect();
                (200, json(&lines))
            }
            ControlRequest::Status => (200, json(&self.metrics.status())),
            ControlRequest::Stats => (200, self.metrics.stats()),
            ControlRequest::Reload { rolling, wait } => return self.reload(rolling, wait),
            ControlRequest::Outcome(number) if !self.history.knows(number) => {
                (404, self.told("no reload was asked for under this number"))
            }
            ControlRequest::Outcome(number) => return self.outcome(number, LONG_POLL),
            ControlRequest::Rollback => self.roll_back(),
            ControlRequest::Stacks => self.stacks(),
            ControlRequest::Stop { now, .. } => self.stop(now),
            ControlRequest::ReopenLog => {
                let by = "control".to_owned();
                self.tell(Event::ReopenLog { by }, "the log is opened anew")
            }
        })
    }

    fn reload(&self, is_rolling: bool, waits: bool) -> Option<(u16, Vec<u8>)> {
        let number = self.history.next_number();
        let asked = Event::Asked { number, is_rolling };
        let (status, body) = self.tell(asked, "reloading");
        if status != 202 {
            return Some((status, body));
        }
        if waits {
            return self.outcome(number, Duration::MAX / 4);
        }
        let told = CommandReply {
            message: "reloading".to_owned(),
            reload: Some(number),
            outcome: None,
            pid: pidfile::pid(),
        };
        Some((202, json(&told)))
    }

    fn outcome(&self, number: u64, deadlines: Duration) -> Option<(u16, Vec<u8>)> {
        let is_poll = deadlines <= LONG_POLL;
        let (status, message, outcome) = match self.history.wait(number, deadlines, is_poll) {
            Progress::ServedElsewhere => return None,
            Progress::Loading => (202, UNDER_WAY.to_owned(), None),
            Progress::Canary(canary, makes) => {
                let CanaryReport {
                    share_percent,
                    stage,
                    stages,
                    ..
                } = canary;
                let message = format!(
                    "generation {makes} is tried out with {share_percent} % of the requests (stage {stage} of {stages}); waiting for the end \
                     of that"
                );
                (202, message, None)
            }
            Progress::Ended(reload) => match reload.outcome {
                "serves" => (200, "the new version serves".to_owned(), Some(reload)),
                _ => (500, "the reload failed".to_owned(), Some(reload)),
            },
        };
        let told = CommandReply {
            message,
            reload: Some(number),
            outcome,
            pid: pidfile::pid(),
        };
        Some((status, json(&told)))
    }

    /// 409: there is nothing to go back to.
    fn roll_back(&self) -> (u16, Vec<u8>) {
        let (reply, done) = bounded(1);
        let event = Event::Rollback {
            by: "control".into(),
            reply: Some(reply),
        };
        if self.events.send(event).is_err() {
            // The supervisor left first.
            return (503, self.told("the server is leaving"));
        }
        match done.recv_timeout(ROLLBACK_TIME) {
            Ok(Ok(done)) => (200, self.told(&done)),
            Ok(Err(why)) => (409, self.told(&why)),
            Err(RecvTimeoutError::Timeout) => {
                (202, self.told("asked; the log will say what came of it"))
            }
            Err(RecvTimeoutError::Disconnected) => (503, self.told("the server is leaving")),
        }
    }

    fn stacks(&self) -> (u16, Vec<u8>) {
        let stacks = self.metrics.process.stacks(LOOK_TIME).to_string();
        let told = StacksReply {
            stacks: stacks.lines().map(str::to_owned).collect(),
            pid: pidfile::pid(),
        };
        (200, json(&told))
    }

    /// Tells the server to stop, unless that was done already: a second word would be taken for
    /// impatience.
    #[cfg_attr(
        windows,
        expect(dead_code, reason = "only a fifo's letter asks for it")
    )]
    pub fn stop_once(&self, by: &'static str) {
        if !self.is_stopping.swap(true, Ordering::SeqCst) {
            // The supervisor left first: the server stops.
            let _gone = self.events.send(Event::stop(by, 0));
        }
    }

    fn stop(&self, is_now: bool) -> (u16, Vec<u8>) {
        if is_now {
            return self.tell(Event::StopNow { by: "control" }, "stopping now");
        }
        if self.is_stopping.swap(true, Ordering::SeqCst) {
            return (202, self.told("stopping already"));
        }
        self.tell(Event::stop("control", 0), "stopping")
    }

    fn tell(&self, event: Event, message: &str) -> (u16, Vec<u8>) {
        match self.events.send(event) {
            Ok(()) => (202, self.told(message)),
            // The supervisor left first.
            Err(_) => (503, self.told("the server is leaving")),
        }
    }

    fn told(&self, message: &str) -> Vec<u8> {
        json(&CommandReply {
            message: message.to_owned(),
            pid: pidfile::pid(),
            ..CommandReply::default()
        })
    }
}

/// Hears what a client wants.
fn listen(
    client: &mut AdminConnection,
    secret: Option<&Secret>,
) -> io::Result<Result<ControlRequest, Refused>> {
    let until = Instant::now() + PATIENCE;
    let bytes_max = REQUEST_BYTES_MAX + 1024;
    let asked = read_message(client, Some(until), bytes_max, |arrived| {
        Ok(control_request::read(arrived, secret).transpose())
    })?;
    client.set_timeout(Some(PATIENCE))?;
    Ok(asked)
}
