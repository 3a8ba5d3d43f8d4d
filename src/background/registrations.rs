//! The signals that one generation handles, and the timers, cron entries and file monitors that
//! raise them.
//!
//! Every interpreter of a generation runs the same modules, so each registers the same timers:
//! these are one timer. The n-th registration of a trigger while an interpreter loads equals the
//! n-th one of every other interpreter; a later registration, for example by a request, adds one.
//! Any thread.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::clockwork::Clockwork;
use super::trigger::Trigger;

/// uWSGI stores a target in 64 bytes.
const TARGET_BYTES_MAX: usize = 63;
/// More are a mistake, for example a request that adds a timer each time.
const TRIGGERS_MAX: usize = 4096;

/// The receiver of a signal, in uWSGI's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The first free worker: ``, `worker`, `worker0`.
    Any,
    /// Every interpreter: `workers`, `active-workers`.
    Each,
    /// `workerN`, from 1.
    One(usize),
    /// Subscribers (`subscribed`); there are none.
    Subscribed,
    /// A thread of the spooler: `spooler`.
    Spooler,
    /// Mules, farms, anything else.
    Unsupported(String),
}

impl Target {
    fn parse(text: &str) -> Self {
        match text {
            "" | "worker" | "worker0" => Self::Any,
            "workers" | "active-workers" => Self::Each,
            "spooler" => Self::Spooler,
            "subscribed" => Self::Subscribed,
            _ => text
                .strip_prefix("worker")
                .and_then(|number| number.parse().ok())
                .map_or_else(|| Self::Unsupported(text.to_owned()), Self::One),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    TargetTooLong,
    TooMany,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetTooLong => {
                write!(
                    out,
                    "the target of a signal has at most {TARGET_BYTES_MAX} bytes"
                )
            }
            Self::TooMany => write!(
                out,
                "there are {TRIGGERS_MAX} timers, cron entries and file monitors already: add them at import, not in requests"
            ),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The first of these workers that is free.
    Any(Vec<usize>),
    /// To each of these.
    Each(Vec<usize>),
    /// To a thread of the spooler.
    Spooler,
    /// With the reason, for the log.
    Nowhere(String),
}

#[derive(Default)]
struct Table {
    signals: HashMap<u8, Signal>,
    triggers: Vec<Trigger>,
    /// Registrations of each trigger by each interpreter while it loaded.
    asked: HashMap<(usize, Trigger), usize>,
    clockwork: Option<Arc<Clockwork>>,
}

struct Signal {
    target: Target,
    workers: BTreeSet<usize>,
}

#[derive(Default)]
pub struct Registrations {
    generation: u64,
    table: Mutex<Table>,
}

impl Registrations {
    pub fn new(generation: u64) -> Self {
        Self {
            generation,
            table: Mutex::default(),
        }
    }

    /// Registers a handler in `worker` (from 1). A later registration of the signal replaces its
    /// target.
    pub fn register(&self, worker: usize, number: u8, target: &str) -> Result<(), Refused> {
        if target.len() > TARGET_BYTES_MAX {
            return Err(Refused::TargetTooLong);
        }
        let target = Target::parse(target);
        let mut table = self.table.lock();
        let signal = table.signals.entry(number).or_insert_with(|| Signal {
            target: target.clone(),
            workers: BTreeSet::new(),
        });
        if signal.workers.is_empty()
            && let Target::Unsupported(target) = &target
        {
            tracing::warn!(
                "signal {number} is registered for '{target}', which this version does not have: it will not be delivered"
            );
        }
        signal.target = target;
        signal.workers.insert(worker);
        Ok(())
    }

    pub fn route(&self, number: u8) -> Route {
        let table = self.table.lock();
        let Some(signal) = table.signals.get(&number) else {
            return Route::Nowhere(format!(
                "signal {number} was raised, but nothing is registered for it"
            ));
        };
        let all = || signal.workers.iter().copied().collect();
        match &signal.target {
            Target::Any => Route::Any(all()),
            Target::Each => Route::Each(all()),
            Target::One(worker) if signal.workers.contains(worker) => Route::Each(vec![*worker]),
            Target::One(worker) => Route::Nowhere(format!(
                "signal {number} was raised for worker {worker}, which has no handler for it"
            )),
            Target::Spooler => Route::Spooler,
            Target::Subscribed => Route::Nowhere(format!(
                "signal {number} was raised for subscribers, of which there are none"
            )),
            Target::Unsupported(target) => {
                Route::Nowhere(format!("^^^ UNSUPPORTED SIGNAL TARGET: {target} ^^^"))
            }
        }
    }

    /// Adds a trigger for `worker`. `is_loading`: the other interpreters register the same one.
    pub fn add(&self, worker: usize, is_loading: bool, trigger: Trigger) -> Result<(), Refused> {
        let mut table = self.table.lock();
        if is_loading {
            let there = table
                .triggers
                .iter()
                .filter(|other| **other == trigger)
                .count();
            let asked = table.asked.entry((worker, trigger.clone())).or_default();
            *asked += 1;
            if *asked <= there {
                return Ok(());
            }
        }
        if table.triggers.len() >= TRIGGERS_MAX {
            return Err(Refused::TooMany);
        }
        table.triggers.push(trigger.clone());
        if let Some(clockwork) = &table.clockwork {
            clockwork.add(self.generation, trigger);
        }
        Ok(())
    }

    /// A new interpreter replaces one whose triggers are registered already.
    pub fn begin_anew(&self, worker: usize) {
        let mut table = self.table.lock();
        table.asked.retain(|(asker, _), _| *asker != worker);
    }

    /// The generation serves from now on: its triggers replace those of the previous one. `deliver`
    /// is called with the number of each due signal, on the clockwork's thread or the one that
    /// watches files. On return files are watched.
    pub fn take_charge(&self, clockwork: &Arc<Clockwork>, deliver: Arc<dyn Fn(u8) + Send + Sync>) {
        let is_armed = {
            let mut table = self.table.lock();
            table.clockwork = Some(Arc::clone(clockwork));
            clockwork.replace(self.generation, table.triggers.clone(), deliver)
        };
        // Not under the lock: that thread reads the table to deliver a signal. It drops its end
        // when done.
        let _disconnected = is_armed.recv();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::background::TimerSpec;

    fn timer(number: u8, seconds: u64) -> Trigger {
        Trigger::Timer(TimerSpec {
            number,
            period: Duration::from_secs(seconds),
            iterations: None,
        })
    }

    fn count(registrations: &Registrations) -> usize {
        registrations.table.lock().triggers.len()
    }

    #[test]
    fn a_module_that_four_interpreters_import_registers_one_timer() {
        let registrations = Registrations::new(1);
        for worker in 1..=4 {
            registrations.add(worker, true, timer(0, 3)).expect("room");
            registrations.add(worker, true, timer(1, 3)).expect("room");
        }
        assert_eq!(count(&registrations), 2);
    }

    #[test]
    fn the_same_timer_twice_in_one_module_is_two_in_all_of_them() {
        let registrations = Registrations::new(1);
        for worker in 1..=4 {
            registrations.add(worker, true, timer(0, 3)).expect("room");
            registrations.add(worker, true, timer(0, 3)).expect("room");
        }
        assert_eq!(count(&registrations), 2);
    }

    #[test]
    fn what_requests_add_is_one_more_each_time_up_to_a_bound() {
        let registrations = Registrations::new(1);
        registrations.add(1, true, timer(0, 3)).expect("room");
        registrations.add(1, false, timer(0, 3)).expect("room");
        registrations.add(2, false, timer(0, 3)).expect("room");
        assert_eq!(count(&registrations), 3);
        let refused = (0..TRIGGERS_MAX)
            .map(|_| registrations.add(2, false, timer(0, 3)))
            .find(Result::is_err);
        assert_eq!(refused, Some(Err(Refused::TooMany)));
        assert_eq!(count(&registrations), TRIGGERS_MAX);
    }

    #[test]
    fn an_interpreter_that_is_loaded_anew_adds_nothing() {
        let registrations = Registrations::new(1);
        registrations.add(1, true, timer(0, 3)).expect("room");
        registrations.begin_anew(1);
        registrations.add(1, true, timer(0, 3)).expect("room");
        assert_eq!(count(&registrations), 1);
    }

    #[test]
    fn signals_go_where_they_are_handled() {
        let registrations = Registrations::new(1);
        for (number, target) in [
            (0, ""),
            (1, "worker"),
            (2, "worker0"),
            (3, "workers"),
            (4, "active-workers"),
            (5, "worker2"),
            (6, "worker3"),
        ] {
            registrations.register(1, number, target).expect("short");
            registrations.register(2, number, target).expect("short");
        }
        let both = vec![1, 2];
        for number in 0..=2 {
            assert_eq!(registrations.route(number), Route::Any(both.clone()));
        }
        for number in 3..=4 {
            assert_eq!(registrations.route(number), Route::Each(both.clone()));
        }
        assert_eq!(registrations.route(5), Route::Each(vec![2]));
        assert!(matches!(registrations.route(6), Route::Nowhere(_)));
        assert!(matches!(registrations.route(7), Route::Nowhere(_)));
    }

    #[test]
    fn unknown_targets_are_named_as_in_uwsgi() {
        let registrations = Registrations::new(1);
        registrations.register(1, 0, "mules").expect("short");
        registrations.register(1, 1, "workerX").expect("short");
        assert_eq!(
            registrations.route(0),
            Route::Nowhere("^^^ UNSUPPORTED SIGNAL TARGET: mules ^^^".to_owned())
        );
        assert!(matches!(registrations.route(1), Route::Nowhere(_)));
        assert_eq!(
            registrations.register(1, 2, &"x".repeat(64)),
            Err(Refused::TargetTooLong)
        );
    }
}
