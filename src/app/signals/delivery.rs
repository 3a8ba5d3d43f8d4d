//! Delivers signals to the workers of a generation. Any thread.
//!
//! A signal goes into the generation's [`SignalQueue`](super::queue::SignalQueue), and a worker of
//! an interpreter that it is for runs its handler between two jobs. Waking the right one: where
//! workers sleep in one poll, the kernel wakes any of them; one that finds no signal of its own
//! wakes the next while a thread that could take one sleeps (`has_signal_for_sleeper`). Threads
//! that share a GIL sleep elsewhere: their gate activates one of them. Where only the acceptor
//! polls, each interpreter has a channel of its own in the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::background::registrations::Route;
use crate::python::{Isolation, WorkerFacts};

use crate::app::apps::AppStats;
use crate::app::generation_state::GenerationState;

impl GenerationState {
    /// `workerN` of a server whose one interpreter does the work of N workers is that interpreter.
    pub(in crate::app) fn existing_target<'t>(&self, target: &'t str) -> &'t str {
        let number = target
            .strip_prefix("worker")
            .and_then(|number| number.parse::<usize>().ok());
        match number {
            Some(number)
                if self.isolation == Isolation::Main
                    && (1..=self.plan.interpreters).contains(&number) =>
            {
                "worker1"
            }
            _ => target,
        }
    }

    /// Delivers a signal. Any thread; does not wait for the handler.
    pub(in crate::app) fn raise(&self, number: u8) {
        if self.is_retired() {
            return;
        }
        // Those that were ended because they were not needed take nothing.
        let groups = self.groups();
        let serves = |worker: &usize| {
            let mut groups = groups.iter();
            groups.any(|group| group.worker == *worker && !group.is_stopped())
        };
        let queued: Vec<Arc<[usize]>> = match self.registrations.route(number) {
            Route::Any(mut workers) => {
                workers.retain(serves);
                let is_any = !workers.is_empty();
                is_any.then(|| workers.into()).into_iter().collect()
            }
            Route::Each(workers) => {
                let workers = workers.into_iter().filter(serves);
                workers.map(|one| [one].into()).collect()
            }
            Route::Nowhere(why) => {
                // A timer would say it at every tick.
                if !self.undeliverable[usize::from(number)].swap(true, Ordering::Relaxed) {
                    tracing::warn!("{why}");
                } else {
                    tracing::debug!("{why}");
                }
                return;
            }
        };
        for to in &queued {
            if self.signals.put(number, Arc::clone(to)) {
                self.activate_for(to);
            }
        }
        if self.context.shares_poll && !self.is_off_poll() {
            // As with jobs: first the signal, then the look whether anybody sleeps.
            self.queue().wake_if_idle(&self.context.net);
        } else {
            for worker in queued.iter().flat_map(|to| to.iter()) {
                self.queue().wake_worker(*worker);
            }
        }
    }

    /// Sees to it that one of these interpreters has a thread that looks for signals.
    fn activate_for(&self, to: &[usize]) {
        let gil_gates = self.gil_gates.lock();
        let is_seen_to = gil_gates
            .values()
            .any(|gil_gate| gil_gate.looks_for_work(to));
        if !is_seen_to {
            let _is_one_parked = gil_gates.values().any(|gil_gate| gil_gate.activate_for(to));
        }
    }

    /// Activates a thread for signals whose interpreter has only stuck and parked ones. The
    /// acceptor calls it, by its tick.
    pub(in crate::app) fn wake_signal_recipients(&self) {
        for to in self.signals.recipients() {
            self.activate_for(&to);
        }
    }

    /// Whether a signal waits that a thread could take which sleeps in the poll.
    pub(in crate::app) fn has_signal_for_sleeper(&self) -> bool {
        if self.signals.waiting() == 0 {
            return false;
        }
        let groups = self.groups();
        let sleepers: Vec<usize> = groups
            .iter()
            .filter(|group| group.sleeps() && !group.is_stopped())
            .map(|group| group.worker)
            .collect();
        let mut recipients = self.signals.recipients().into_iter();
        recipients.any(|to| to.iter().any(|worker| sleepers.contains(worker)))
    }

    /// The generation is in charge: its timers count from now on.
    pub(in crate::app) fn start_signals(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        let deliver = move |number| {
            if let Some(shared) = shared.upgrade() {
                shared.raise(number);
            }
        };
        let clockwork = &self.plan.process.clockwork;
        self.registrations.take_charge(clockwork, Arc::new(deliver));
    }

    pub(in crate::app) fn worker_facts(&self) -> Vec<WorkerFacts> {
        let groups = self.groups();
        let apps = self.apps.stats(&self.plan.apps);
        (1..=self.interpreters())
            .map(|worker| {
                let present = groups.iter().filter(|group| group.worker == worker);
                let counters = present.map(|group| &group.counters);
                let mut facts = self.totals.facts(worker, counters);
                let loaded = apps.iter().filter(|app| app.worker == worker);
                facts.apps = loaded.map(AppStats::facts).collect();
                facts
            })
            .collect()
    }
}
