//! Ends tasks that take too long (`--spooler-harakiri`, `uwsgi.set_user_harakiri()`).
//!
//! As with requests, `uwsgi.Harakiri` is raised in the thread at the deadline. A thread that does
//! not return in the grace time is abandoned: another takes its place, and the task stays locked
//! until the thread returns, so that it never runs twice at once. Runs on `sm-spooler`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::app::harakiri::spawn_disposable;
use crate::python::Interruption;

/// A task that is being run.
struct Current {
    task: PathBuf,
    /// The argument of [`Interruption::strike`].
    number: u64,
    since: Instant,
    deadline: Option<Instant>,
    is_struck: bool,
}

/// One thread of the spooler, in one interpreter.
pub(super) struct Record {
    pub(super) folder: PathBuf,
    interruption: Arc<Interruption>,
    current: Mutex<Option<Current>>,
    is_abandoned: AtomicBool,
    grace: Duration,
    on_abandoned: Box<dyn Fn() + Send + Sync>,
}

impl Record {
    pub(super) fn new(
        folder: PathBuf,
        interruption: Arc<Interruption>,
        grace: Duration,
        on_abandoned: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            folder,
            interruption,
            current: Mutex::default(),
            is_abandoned: AtomicBool::new(false),
            grace,
            on_abandoned,
        })
    }

    /// A task begins on the calling thread, which is the record's.
    pub(super) fn begin(&self, task: PathBuf, limit: Option<Duration>) {
        let since = Instant::now();
        *self.current.lock() = Some(Current {
            task,
            number: self.interruption.arm(),
            since,
            deadline: limit.map(|limit| since + limit),
            is_struck: false,
        });
    }

    pub(super) fn end(&self) {
        self.current.lock().take();
    }

    /// Limits the task that is being run, from now.
    pub(super) fn limit(&self, limit: Option<Duration>) {
        if let Some(current) = &mut *self.current.lock()
            && !current.is_struck
        {
            current.deadline = limit.map(|limit| Instant::now() + limit);
        }
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst)
    }

    /// Acts on a deadline that has passed. Returns the next one.
    fn look(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let mut guard = self.current.lock();
        let current = guard.as_mut()?;
        let deadline = current.deadline?;
        if deadline > now {
            return Some(deadline);
        }
        let (task, time) = (current.task.display(), current.since.elapsed());
        if !current.is_struck {
            tracing::warn!(
                "*** HARAKIRI ON THE SPOOLER *** the task {task} has taken {:.1} s and is ended; \
                 it is tried again",
                time.as_secs_f64()
            );
            current.is_struck = true;
            current.deadline = Some(now + self.grace);
            let (interruption, number) = (Arc::clone(&self.interruption), current.number);
            spawn_disposable("sm-strike", move || {
                interruption.strike(number, true, |stack| {
                    let stack = stack.map_or_else(
                        || "  it runs no Python code".to_owned(),
                        |stack| stack.to_string(),
                    );
                    tracing::warn!("the Python stack of the task:\n{}", stack.trim_end());
                });
            });
            return current.deadline;
        }
        tracing::error!(
            "the task {task} goes on {} s after its exception (--harakiri-graceful-timeout): \
             another thread takes further tasks, and this one stays locked until its code returns",
            self.grace.as_secs_f64()
        );
        current.deadline = None;
        self.is_abandoned.store(true, Ordering::SeqCst);
        drop(guard);
        (self.on_abandoned)();
        None
    }
}

/// The records of all threads, and the thread that looks at them.
#[derive(Default)]
pub(super) struct Deadlines {
    records: Mutex<Vec<Weak<Record>>>,
    changed: Condvar,
    is_watched: AtomicBool,
}

impl Deadlines {
    pub(super) fn add(&self, record: &Arc<Record>) {
        let mut records = self.records.lock();
        records.retain(|record| record.strong_count() > 0);
        records.push(Arc::downgrade(record));
    }

    pub(super) fn record_of(&self, thread: u64) -> Option<Arc<Record>> {
        let records = self.records.lock();
        let mut records = records.iter().filter_map(Weak::upgrade);
        records.find(|record| record.interruption.ident() == thread)
    }

    /// A deadline is new: looks at all of them, from now on.
    pub(super) fn wake(self: &Arc<Self>) {
        if !self.is_watched.swap(true, Ordering::SeqCst) {
            let deadlines = Arc::clone(self);
            let thread = std::thread::Builder::new().name("sm-spooler".to_owned());
            if let Err(error) = thread.spawn(move || deadlines.watch()) {
                tracing::error!(%error, "no thread could be started for --spooler-harakiri");
            }
        }
        // The thread is between its look and its wait while it holds this.
        drop(self.records.lock());
        self.changed.notify_all();
    }

    fn watch(&self) {
        let mut records = self.records.lock();
        loop {
            let all: Vec<_> = records.iter().filter_map(Weak::upgrade).collect();
            let now = Instant::now();
            // A replacement adds its record, so the lock is not held.
            drop(records);
            let next = all.iter().filter_map(|record| record.look(now)).min();
            drop(all);
            records = self.records.lock();
            match next {
                Some(next) => drop(self.changed.wait_until(&mut records, next)),
                None => self.changed.wait(&mut records),
            }
        }
    }
}
