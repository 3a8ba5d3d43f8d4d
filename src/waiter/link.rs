//! A process's connection to its waiter. A thread (`sm-link`) listens to it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use parking_lot::{Condvar, Mutex};

use super::channel::{Channel, Handle, Offer, log_handle};
use super::message::{Notice, Program, Request, SharedSocket, Supervision};
use super::processes::Processes;
use super::wait::WaiterThread;
use crate::os::service_manager::notify::Notifier;

/// A killed process ends at once; its end is reported soon.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a process that waits for the order to serve looks whether it is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The waiter does nothing that takes longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The connection. Any thread.
pub struct Link {
    connection: Arc<Connection>,
    /// The first process's own waiter, which begins with the first successor.
    own: Option<Mutex<Own>>,
}

struct Own {
    notifier: Arc<Notifier>,
    thread: Option<WaiterThread>,
}

#[derive(Default)]
struct Connection {
    channel: OnceLock<Channel>,
    children: Mutex<HashMap<u32, Child>>,
    answers: Mutex<Option<Answers>>,
    /// With `--supervise`.
    supervision: Mutex<Option<Supervision>>,
    /// Sockets that the waiter was sent.
    sent: Mutex<Vec<SharedSocket>>,
}

/// What the waiter answers.
struct Answers {
    started: Receiver<Result<Child, String>>,
    held: Receiver<()>,
    serve: Receiver<()>,
}

/// The listening side of [`Answers`].
struct Answering {
    started: Sender<Result<Child, String>>,
    held: Sender<()>,
    serve: Sender<()>,
}

/// A process that this one has asked for: a child of the waiter.
#[derive(Clone)]
pub struct Child(Arc<ChildState>);

struct ChildState {
    pid: u32,
    connection: Arc<Connection>,
    ended: (Mutex<Option<String>>, Condvar),
    channel: Mutex<Option<Arc<Channel>>>,
}

impl Link {
    /// That of the first process. Main thread, before Python starts.
    pub fn first() -> Self {
        let variable = std::env::var_os("NOTIFY_SOCKET");
        let own = Own {
            notifier: Arc::new(Notifier::new(variable.as_deref())),
            thread: None,
        };
        Self {
            connection: Arc::default(),
            own: Some(Mutex::new(own)),
        }
    }

    /// That of a successor, or of a server that the waiter has started.
    pub fn to_waiter(channel: Channel, supervision: Option<Supervision>) -> Self {
        let connection = Connection {
            supervision: Mutex::new(supervision),
            ..Connection::default()
        };
        // It is empty.
        let _set = connection.channel.set(channel);
        Self {
            connection: Arc::new(connection),
            own: None,
        }
    }

    /// What the waiter knows of the server's crashes. `None`: it is not supervised.
    pub fn supervision(&self) -> Option<Supervision> {
        self.connection.supervision.lock().clone()
    }

    /// The application is loaded: waits for the waiter's order to serve. Returns whether it came;
    /// `is_cancelled` ends the waiting.
    pub fn wait_to_serve(&self, resident_bytes: u64, is_cancelled: impl Fn() -> bool) -> bool {
        self.request(&Request::Loaded { resident_bytes });
        let answers = self.connection.answers.lock();
        let Some(serve) = answers.as_ref().map(|answers| answers.serve.clone()) else {
            return false;
        };
        drop(answers);
        loop {
            match serve.recv_timeout(LOOK_INTERVAL) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Timeout) if !is_cancelled() => {}
                Err(_) => return false,
            }
        }
    }

    /// These are the sockets of the server, for one that is started after a crash.
    pub fn keep(&self, sockets: Vec<SharedSocket>) {
        for socket in &sockets {
            self.request_with(&Request::Keep(socket.kind), &socket.handle);
        }
        // On some systems a socket has to stay open until the other process has it.
        *self.connection.sent.lock() = sockets;
    }

    /// This memory has the requests in progress of this process.
    #[cfg(target_os = "linux")]
    pub fn share_jobs(&self, memory: &Handle) {
        self.request_with(&Request::InProgress, memory);
    }

    /// The waiter's lines go where those of this process go.
    pub fn share_log(&self) {
        if self.supervision().is_some()
            && let Some(log) = log_handle()
        {
            self.request_with(&Request::Log, &log);
        }
    }

    /// Another version of the application serves.
    pub fn renewed(&self) {
        if self.supervision().is_some() {
            self.request(&Request::Renewed);
        }
    }

    /// The server stops.
    pub fn stopping(&self) {
        if self.supervision().is_some() {
            self.request(&Request::Stopping);
        }
    }

    /// Listens to the waiter of a successor: it forwards signals. `on_gone` runs when the waiter
    /// has ended, and so must this process.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn listen(
        &self,
        on_signal: impl Fn(i32) + Send + 'static,
        on_gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let connection = Arc::clone(&self.connection);
        let answering = connection.answering();
        let listen = move || {
            connection.listen(&answering, on_signal);
            on_gone();
        };
        spawn_listener(listen)
    }

    /// Starts a process that shares the offered channel with this one.
    ///
    /// # Errors
    /// In words: it cannot be started.
    pub fn start(&self, program: &Program) -> Result<(Child, Arc<Channel>), String> {
        let failed = |error: io::Error| format!("cannot talk to a process: {error}");
        self.begin_waiting().map_err(failed)?;
        let offer = Offer::new().map_err(failed)?;
        let request = Request::Start {
            program: program.clone(),
            invitation: offer.invitation(),
        };
        // One start at a time: answers have no number.
        let answers = self.connection.answers.lock();
        self.connection
            .send(&request, offer.handle())
            .map_err(failed)?;
        let child = answers
            .as_ref()
            .and_then(|answers| answers.started.recv_timeout(ANSWER_TIMEOUT).ok())
            .unwrap_or_else(|| Err("the waiter of the server does not answer".to_owned()))?;
        drop(answers);
        match offer.accept(child.pid()) {
            Ok(channel) => {
                let channel = Arc::new(channel);
                child.closes(&channel);
                Ok((child, channel))
            }
            Err(why) => {
                child.kill();
                Err(why)
            }
        }
    }

    /// This process is the server from now on.
    pub fn serving(&self) {
        self.request(&Request::Serving);
    }

    /// The waiter passes this on to the service manager, which may accept messages of the first
    /// process only.
    ///
    /// # Errors
    /// The waiter is gone.
    pub fn notifier(&self, notify_socket: Option<&std::ffi::OsStr>) -> Notifier {
        match &self.own {
            Some(_) => Notifier::new(notify_socket),
            None => {
                let connection = Arc::clone(&self.connection);
                Notifier::through(notify_socket, move |text| {
                    connection.send(&Request::Notify(text.to_owned()), None)
                })
            }
        }
    }

    /// Another process is the server: the waiter gets the signals that this one has not handled.
    /// `unhandled` collects them, when no more are forwarded to this process. The first process
    /// calls `resume::wait_for_others` instead.
    pub fn leave(&self, unhandled: impl FnOnce() -> Vec<i32>) {
        self.request(&Request::Leaving);
        if let Some(answers) = &*self.connection.answers.lock() {
            // Without an answer the waiter is gone, and this process ends anyway.
            let _held = answers.held.recv_timeout(ANSWER_TIMEOUT);
        }
        self.request(&Request::Unhandled(unhandled()));
    }

    /// Ends the waiter's thread in the first process. `None`: there is none, because this is a
    /// successor, or it has started none.
    pub(super) fn take_waiter(&self) -> Option<WaiterThread> {
        let thread = self.own.as_ref()?.lock().thread.take()?;
        if let Some(channel) = self.connection.channel.get() {
            channel.shut_down();
        }
        Some(thread)
    }

    fn begin_waiting(&self) -> io::Result<()> {
        let Some(own) = &self.own else {
            return Ok(());
        };
        let mut own = own.lock();
        if own.thread.is_some() {
            return Ok(());
        }
        let (ours, theirs) = Channel::local_pair()?;
        let connection = Arc::clone(&self.connection);
        if connection.channel.set(ours).is_err() {
            return Err(io::Error::other("the waiter has ended"));
        }
        let answering = connection.answering();
        spawn_listener(move || connection.listen(&answering, |_| ()))?;
        let mut processes = Processes::none(Arc::clone(&own.notifier));
        processes.add_own(theirs);
        own.thread = Some(WaiterThread::start(processes)?);
        Ok(())
    }

    fn request_with(&self, request: &Request, handle: &Handle) {
        // If the waiter is gone, this process ends.
        let _gone = self.connection.send(request, Some(handle));
    }

    fn request(&self, request: &Request) {
        // If the waiter is gone, this process ends.
        let _gone = self.connection.send(request, None);
    }
}

fn spawn_listener(listen: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("sm-link".to_owned());
    thread.spawn(listen).map(drop)
}

impl Connection {
    fn send(&self, request: &Request, handle: Option<&Handle>) -> io::Result<()> {
        let channel = self.channel.get().ok_or(io::ErrorKind::NotConnected)?;
        channel.send(request, handle)
    }

    fn answering(&self) -> Answering {
        let (started, receives_started) = unbounded();
        let (held, receives_held) = unbounded();
        let (serve, receives_serve) = unbounded();
        *self.answers.lock() = Some(Answers {
            started: receives_started,
            held: receives_held,
            serve: receives_serve,
        });
        Answering {
            started,
            held,
            serve,
        }
    }

    /// Listens until the waiter is gone. Runs on `sm-link`.
    fn listen(self: &Arc<Self>, answering: &Answering, on_signal: impl Fn(i32)) {
        let Some(channel) = self.channel.get() else {
            return;
        };
        while let Ok(Some((notice, _))) = channel.receive() {
            // Errors: nothing waits for the answer any more.
            match notice {
                Notice::Started(started) => {
                    let child = started.map(|pid| Child::new(pid, self));
                    let _late = answering.started.send(child);
                }
                Notice::Ended { pid, how } => {
                    if let Some(child) = self.children.lock().remove(&pid) {
                        child.end(how);
                    }
                }
                Notice::Signal(number) => on_signal(number),
                Notice::Hold => {
                    let _late = answering.held.send(());
                }
                Notice::Serve(supervision) => {
                    *self.supervision.lock() = Some(supervision);
                    let _late = answering.serve.send(());
                }
                Notice::Begin { .. }
                | Notice::Supervision(_)
                | Notice::Socket(_)
                | Notice::Load => {
                    tracing::error!("the waiter begins twice");
                }
            }
        }
        for (_, child) in self.children.lock().drain() {
            child.end("is no longer waited for".to_owned());
        }
    }
}

impl Child {
    fn new(pid: u32, connection: &Arc<Connection>) -> Self {
        let child = Self(Arc::new(ChildState {
            pid,
            connection: Arc::clone(connection),
            ended: Default::default(),
            channel: Mutex::default(),
        }));
        connection.children.lock().insert(pid, child.clone());
        child
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// How it ended, in words, if it has.
    pub fn ended(&self) -> Option<String> {
        self.0.ended.0.lock().clone()
    }

    /// Waits for its end until `deadline`.
    pub fn wait(&self, deadline: Instant) -> Option<String> {
        let (ended, changed) = &self.0.ended;
        let mut ended = ended.lock();
        changed.wait_while_until(&mut ended, |ended| ended.is_none(), deadline);
        ended.clone()
    }

    /// Kills it, and waits for its end. Not on `sm-link`, which reports that.
    pub fn kill(&self) {
        if self.ended().is_none() {
            // If the waiter is gone, so is its child.
            let _gone = self.0.connection.send(&Request::Kill(self.0.pid), None);
            self.wait(Instant::now() + KILL_TIMEOUT);
        }
    }

    /// Its end closes this channel, though children of its own may hold the other end.
    fn closes(&self, channel: &Arc<Channel>) {
        *self.0.channel.lock() = Some(Arc::clone(channel));
        if self.ended().is_some() {
            channel.shut_down();
        }
    }

    fn end(&self, how: String) {
        *self.0.ended.0.lock() = Some(how);
        self.0.ended.1.notify_all();
        if let Some(channel) = self.0.channel.lock().take() {
            channel.shut_down();
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Child({})", self.0.pid)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::waiter::message::Request;

    const LIMIT: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Program {
        let arguments = ["sh", "-c", script];
        Program {
            path: "/bin/sh".into(),
            arguments: arguments.map(Into::into).to_vec(),
            environment: vec![("A".into(), "environment".into())],
            folder: "/".into(),
        }
    }

    fn end_of(child: &Child) -> String {
        let ended = child.wait(Instant::now() + LIMIT);
        ended.expect("it ends")
    }

    #[test]
    fn the_end_of_a_child_is_reported() {
        let link = Link::first();
        let script = "test $PWD = / && test $A = environment && exit 7";
        let (child, channel) = link.start(&shell(script)).expect("a shell");
        assert_eq!(end_of(&child), "left with exit code 7");
        assert!(channel.receive::<u32>().expect("closed").is_none());
        let (child, _channel) = link.start(&shell("exit 0")).expect("a shell");
        assert_eq!(end_of(&child), "has left");
        // Its own child has the channel still.
        let (child, channel) = link
            .start(&shell("sleep 60 & kill -9 $$"))
            .expect("a shell");
        assert_eq!(end_of(&child), "was killed by signal 9 (SIGKILL)");
        assert!(channel.receive::<u32>().expect("closed").is_none());
    }

    #[test]
    fn a_child_is_killed_once() {
        let link = Link::first();
        let (child, _channel) = link.start(&shell("exec sleep 60")).expect("a shell");
        assert_eq!(child.ended(), None);
        child.kill();
        assert_eq!(
            child.ended().as_deref(),
            Some("was killed by signal 9 (SIGKILL)")
        );
        child.kill();
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        let mut program = shell("");
        program.path = "/nonexistent".into();
        let why = Link::first()
            .start(&program)
            .map(drop)
            .expect_err("no program");
        assert!(
            why.starts_with("cannot start /nonexistent: No such file"),
            "{why}"
        );
        program = shell("");
        program.folder = "/nonexistent".into();
        assert!(Link::first().start(&program).is_err());
    }

    #[test]
    fn a_process_that_leaves_gets_no_more_signals() {
        let (ours, theirs) = Channel::local_pair().expect("a pair");
        let link = Link::to_waiter(ours, None);
        let (signal, signals) = unbounded();
        link.listen(
            move |number| signal.send(number).expect("a receiver"),
            || (),
        )
        .expect("a thread");
        let waiter = std::thread::spawn(move || {
            let mut unhandled = None;
            while let Ok(Some((request, _))) = theirs.receive() {
                match request {
                    Request::Leaving => {
                        // This one was under way.
                        theirs.send(&Notice::Signal(15), None).expect("room");
                        theirs.send(&Notice::Hold, None).expect("room");
                    }
                    Request::Unhandled(signals) => unhandled = Some(signals),
                    other => panic!("not {other:?}"),
                }
                if unhandled.is_some() {
                    return unhandled;
                }
            }
            unhandled
        });
        link.leave(|| signals.try_iter().collect());
        assert_eq!(waiter.join().expect("no panic"), Some(vec![15]));
    }
}
