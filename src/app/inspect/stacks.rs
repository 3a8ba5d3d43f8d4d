//! The state of every worker: its request, its Python stack, and its thread's state outside of
//! Python.
//!
//! A thread per interpreter waits for the GIL and reads the stacks; the caller waits a bounded
//! time. For an interpreter whose GIL is not free by then (C code holds it) the answer has the
//! kernel's view of its threads. No thread is stopped; a late look ends by itself. Any thread
//! outside of interpreters may call it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;

use super::counters::Activity;
#[cfg(target_os = "linux")]
use super::native_thread_linux as system;
#[cfg(not(target_os = "linux"))]
use super::native_thread_other as system;
pub use super::thread_state::NativeThread;
use crate::app::harakiri::worker_record::{ThreadPhase, WorkerRecord};
use crate::app::harakiri::{Harakiri, spawn_disposable};
use crate::python::{Isolation, PythonStack};

/// Pause before the next look at an interpreter that an earlier look waits for.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    Loading,
    Idle,
    Request {
        /// `None` if no record holds the request.
        line: Option<String>,
        since: Duration,
    },
    Signal {
        number: u8,
        since: Duration,
    },
    /// It waits for its siblings, for the application's own threads, or for exit hooks.
    Leaving,
}

impl fmt::Display for Doing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, since) = match self {
            Self::Loading => return out.write_str("loading the application"),
            Self::Idle => return out.write_str("idle"),
            Self::Leaving => return out.write_str("leaving"),
            Self::Request { line, since } => (line.as_deref().unwrap_or("a request"), since),
            Self::Signal { number, since } => {
                return write!(
                    out,
                    "handler of signal {number} for {:.3} s",
                    since.as_secs_f64()
                );
            }
        };
        write!(out, "{what} for {:.3} s", since.as_secs_f64())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PythonSide {
    Stack(PythonStack),
    /// It runs no Python code.
    None,
    /// The interpreter's GIL was not free in time.
    Silent,
    Ended,
}

#[derive(Clone, Debug)]
pub struct WorkerStack {
    pub generation: u64,
    pub worker: usize,
    pub core: usize,
    /// CPython's number of the interpreter; the main one is 0.
    pub interpreter: i64,
    #[cfg_attr(windows, expect(dead_code, reason = "only the tracebacker asks"))]
    pub isolation: Isolation,
    pub doing: Doing,
    pub is_abandoned: bool,
    /// The kernel's number of the thread, if known.
    pub native_id: Option<u32>,
    pub native: Option<NativeThread>,
    pub python: PythonSide,
}

/// A thread that the application started.
#[derive(Clone, Debug)]
pub struct OtherStack {
    pub generation: u64,
    pub worker: usize,
    /// CPython's number of the interpreter.
    pub interpreter: i64,
    pub stack: PythonStack,
}

/// Ordered by generation, worker and core. `Display` formats the text for people.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    pub workers: Vec<WorkerStack>,
    /// The application's own threads, as far as they run Python code.
    pub others: Vec<OtherStack>,
    pub timeout: Duration,
}

impl fmt::Display for Stacks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, one) in self.workers.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            let (worker, core) = (one.worker, one.core);
            writeln!(
                out,
                "worker {worker} core {core} (generation {}, interpreter {}): {}{}",
                one.generation,
                one.interpreter,
                one.doing,
                if one.is_abandoned { ", given up" } else { "" }
            )?;
            if let Some(native) = &one.native {
                let id = one.native_id.unwrap_or(0);
                writeln!(out, "  thread {id} \"{}\": {native}", native.name)?;
            }
            match &one.python {
                PythonSide::Stack(stack) => write!(out, "{stack}")?,
                PythonSide::None => {}
                PythonSide::Silent => writeln!(
                    out,
                    "  no Python stack: the interpreter's GIL did not become free within {} s; code outside of Python holds it",
                    self.timeout.as_secs_f64()
                )?,
                PythonSide::Ended => {
                    writeln!(out, "  no Python stack: the interpreter is being ended")?
                }
            }
        }
        for other in &self.others {
            let (worker, interpreter) = (other.worker, other.interpreter);
            let name = other.stack.name.as_deref().unwrap_or("(without a name)");
            writeln!(
                out,
                "\nthread {name} of the application, in worker {worker} (generation {}, interpreter {interpreter})\n{}",
                other.generation,
                other.stack.to_string().trim_end_matches('\n')
            )?;
        }
        Ok(())
    }
}

enum Seen {
    Threads(Vec<PythonStack>),
    Ended,
}

/// The state of all workers. Takes little more than `timeout`; concurrent calls wait for each
/// other.
pub(crate) fn of(harakiri: &Harakiri, timeout: Duration) -> Stacks {
    let _one_at_a_time = harakiri.looks.lock();
    let mut records = harakiri.records();
    records.sort_by_key(|watch| {
        (
            watch.place.generation,
            watch.place.id.worker,
            watch.place.id.core,
        )
    });
    let mut handles = BTreeMap::new();
    for watch in &records {
        let handle = watch.interruption.interpreter();
        handles.entry(handle.id()).or_insert(handle);
    }
    let (sender, seen) = bounded(handles.len());
    let until = Instant::now() + timeout;
    for (id, handle) in handles {
        let sender = sender.clone();
        spawn_disposable("sm-look", move || {
            let seen = loop {
                match handle.stacks() {
                    Ok(Some(stacks)) => break Seen::Threads(stacks),
                    // An earlier look still waits for that GIL.
                    Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_PAUSE),
                    Ok(None) => return,
                    Err(_) => break Seen::Ended,
                }
            };
            // A late answer has no receiver.
            sender.send((id, seen)).ok();
        });
    }
    drop(sender);
    let mut found = BTreeMap::new();
    while let Ok((id, seen)) = seen.recv_deadline(until) {
        found.insert(id, seen);
    }
    let workers = records
        .iter()
        .map(|watch| of_worker(watch, &mut found))
        .collect();
    let mut others = Vec::new();
    for (interpreter, seen) in found {
        let owner = records
            .iter()
            .find(|watch| watch.interruption.interpreter().id() == interpreter);
        if let (Seen::Threads(stacks), Some(owner)) = (seen, owner) {
            others.extend(stacks.into_iter().map(|stack| OtherStack {
                generation: owner.place.generation,
                worker: owner.place.id.worker,
                interpreter,
                stack,
            }));
        }
    }
    Stacks {
        workers,
        others,
        timeout,
    }
}

fn of_worker(watch: &WorkerRecord, found: &mut BTreeMap<i64, Seen>) -> WorkerStack {
    let handle = watch.interruption.interpreter();
    let python = match found.get_mut(&handle.id()) {
        None => PythonSide::Silent,
        Some(Seen::Ended) => PythonSide::Ended,
        Some(Seen::Threads(stacks)) => {
            let mut threads = stacks.iter();
            match threads.position(|stack| watch.interruption.is_of(stack.thread)) {
                Some(at) => PythonSide::Stack(stacks.remove(at)),
                None => PythonSide::None,
            }
        }
    };
    let native_id = watch.interruption.native_id();
    WorkerStack {
        generation: watch.place.generation,
        worker: watch.place.id.worker,
        core: watch.place.id.core,
        interpreter: handle.id(),
        isolation: handle.isolation(),
        doing: doing(watch, &python),
        is_abandoned: watch.is_abandoned(),
        native_id,
        native: native_id.and_then(system::look_at),
        python,
    }
}

/// Without a record the request line is in the environ of the application's outermost calls.
fn doing(watch: &WorkerRecord, python: &PythonSide) -> Doing {
    match watch.phase() {
        ThreadPhase::Loading => return Doing::Loading,
        ThreadPhase::Leaving => return Doing::Leaving,
        ThreadPhase::Serving => {}
    }
    let since = |since: Instant| since.elapsed();
    match watch
        .place
        .group
        .counters
        .of(watch.place.id.core)
        .activity()
    {
        Activity::Idle => Doing::Idle,
        Activity::Signal(number, at) => Doing::Signal {
            number,
            since: since(at),
        },
        Activity::Request(at) => {
            let noted = watch.noted_line();
            let line = noted.or_else(|| match python {
                PythonSide::Stack(stack) => stack.request.as_ref().map(|(method, target)| {
                    let (method, target) = (method.escape_default(), target.escape_default());
                    format!("{method} {target}")
                }),
                _ => None,
            });
            // Without a GIL no other thread reads the environ.
            let line = line.or_else(|| watch.line_in_progress());
            Doing::Request {
                line,
                since: since(at),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::{Frame, ThreadKey};

    #[test]
    fn what_people_read() {
        let frame = Frame {
            file: "/srv/app.py".to_owned(),
            line: 7,
            function: "application".to_owned(),
            text: "time.sleep(60)".to_owned(),
        };
        let stack = PythonStack {
            thread: ThreadKey::State(3),
            name: None,
            request: None,
            frames: vec![frame],
            left_out: 2,
        };
        let worker = |core, doing, python| WorkerStack {
            generation: 1,
            worker: 2,
            core,
            interpreter: 5,
            isolation: Isolation::OwnGil,
            doing,
            is_abandoned: core == 1,
            native_id: Some(4711),
            native: Some(NativeThread {
                name: "worker 2.0".to_owned(),
                state: "sleeping".to_owned(),
                waits_in: Some("clock_nanosleep".to_owned()),
                busy: Duration::from_millis(1250),
            }),
            python,
        };
        let request = Doing::Request {
            line: Some("GET /slow".to_owned()),
            since: Duration::from_millis(12_345),
        };
        let stacks = Stacks {
            workers: vec![
                worker(0, request, PythonSide::Stack(stack.clone())),
                worker(1, Doing::Idle, PythonSide::Silent),
            ],
            others: vec![OtherStack {
                generation: 1,
                worker: 2,
                interpreter: 5,
                stack: PythonStack {
                    name: Some("Flusher".to_owned()),
                    ..stack
                },
            }],
            timeout: Duration::from_secs(1),
        };
        let text = "\
worker 2 core 0 (generation 1, interpreter 5): GET /slow for 12.345 s
  thread 4711 \"worker 2.0\": sleeping in clock_nanosleep, 1.25 s of processor time
  [2 outer calls]
  File \"/srv/app.py\", line 7, in application
    time.sleep(60)

worker 2 core 1 (generation 1, interpreter 5): idle, given up
  thread 4711 \"worker 2.0\": sleeping in clock_nanosleep, 1.25 s of processor time
  no Python stack: the interpreter's GIL did not become free within 1 s; code outside of Python holds it

thread Flusher of the application, in worker 2 (generation 1, interpreter 5)
  [2 outer calls]
  File \"/srv/app.py\", line 7, in application
    time.sleep(60)
";
        assert_eq!(stacks.to_string(), text);
    }
}
