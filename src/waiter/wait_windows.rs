//! Windows: the waiter's threads (`sm-waiter`), one for each process of the server. The first
//! process cannot execute itself again; it waits for them to end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::channel::Channel;
use super::child_process::Ended;
use super::message::Request;
use super::processes::{Process, Processes};

/// How often the end of a child is looked for that has closed its channel: it ends now.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The waiter as threads.
pub(super) struct WaiterThread(Arc<Shared>);

struct Shared {
    processes: Mutex<Processes>,
    changed: Condvar,
}

impl WaiterThread {
    /// Starts it.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn start(processes: Processes) -> io::Result<Self> {
        let listed: Vec<_> = processes.list.iter().map(listened).collect();
        let shared = Arc::new(Shared {
            processes: Mutex::new(processes),
            changed: Condvar::new(),
        });
        for one in listed {
            shared.listen(one)?;
        }
        Ok(Self(shared))
    }

    /// Waits until every process has ended. Returns how the server did.
    pub(super) fn wait(&self) -> Ended {
        loop {
            self.0.change(Processes::keep_serving);
            let mut processes = self.0.processes.lock();
            if processes.is_over() {
                return processes.end();
            }
            let next = [processes.next_start(), processes.tell_watchdog()];
            match next.into_iter().flatten().min() {
                Some(at) => drop(self.0.changed.wait_until(&mut processes, at)),
                None => self.0.changed.wait(&mut processes),
            }
        }
    }

    /// Signals to this process are passed on from now on, on a thread.
    pub(super) fn pass_signals(
        &self,
        mut next_signal: impl FnMut() -> Option<i32> + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        let pass = move || {
            while let Some(number) = next_signal() {
                shared.change(|processes| processes.signal(number));
                shared.changed.notify_all();
            }
        };
        let thread = std::thread::Builder::new().name("sm-signals".to_owned());
        thread.spawn(pass).map(drop)
    }
}

/// A process and its channel.
struct Listened {
    pid: u32,
    channel: Arc<Channel>,
}

fn listened(process: &Process) -> Listened {
    Listened {
        pid: process.pid,
        channel: Arc::clone(&process.channel),
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, one: Listened) -> io::Result<()> {
        let shared = Arc::clone(self);
        let listen = move || {
            while let Ok(Some((request, handle))) = one.channel.receive::<Request>() {
                shared.handle(one.pid, request, handle);
            }
            shared.see_end(one.pid);
        };
        let thread = std::thread::Builder::new().name("sm-waiter".to_owned());
        thread.spawn(listen).map(drop)
    }

    fn handle(
        self: &Arc<Self>,
        pid: u32,
        request: Request,
        handle: Option<super::channel::Handle>,
    ) {
        self.change(|processes| processes.handle(pid, request, handle));
        self.changed.notify_all();
    }

    /// Changes what is known of the processes, and listens to those that were started by it.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut Processes)) {
        let mut processes = self.processes.lock();
        let before: Vec<u32> = processes.list.iter().map(|process| process.pid).collect();
        change(&mut processes);
        let is_new = |process: &&Process| !before.contains(&process.pid);
        let started: Vec<Listened> = processes.list.iter().filter(is_new).map(listened).collect();
        drop(processes);
        for one in started {
            if let Err(error) = self.listen(one) {
                tracing::error!(%error, "a process cannot be listened to");
            }
        }
    }

    /// Its channel is closed.
    fn see_end(&self, pid: u32) {
        self.processes.lock().closed(pid);
        loop {
            let mut processes = self.processes.lock();
            processes.look_for_ends();
            self.changed.notify_all();
            if !processes.list.iter().any(|process| process.pid == pid) {
                return;
            }
            drop(processes);
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}
