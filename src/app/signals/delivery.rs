//! Delivers signals to the workers of a generation. Any thread.
//!
//! A signal goes into the generation's [`SignalQueue`](super::queue::SignalQueue), and a worker of
//! a right interpreter runs its handler between two jobs. Where workers sleep in one poll, the
//! kernel wakes any of them; a wrong one wakes the next while a right one sleeps
//! (`has_signal_for_sleeper`). Threads that share a GIL sleep elsewhere: their gate activates one.
//! Where only the acceptor polls, each interpreter has its own channel in the queue.

use std::sync::Arc;

use crate::python::Isolation;

use crate::app::generation_state::GenerationState;

impl GenerationState {
    /// Maps `workerN` to the one interpreter that does the work of N workers.
    pub(in crate::app) fn existing_target<'t>(&self, target: &'t str) -> &'t str {
        let number = target
            .strip_prefix("worker")
            .and_then(|number| number.parse::<usize>().ok());
        match number {
            Some(number)
                if self.setup.isolation == Isolation::Main
                    && (1..=self.setup.plan.interpreters).contains(&number) =>
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
        let serving = self.groups.serving();
        let serves = |worker: &usize| serving.iter().any(|group| group.worker == *worker);
        let recipients = self.signals.recipients_of(number, serves, || {
            self.setup.plan.process.spooler.files.raise(number)
        });
        for to in &recipients {
            if self.signals.queue.put(number, Arc::clone(to)) {
                self.gil_gates.activate_for(to);
            }
        }
        if recipients.is_empty() {
            return;
        }
        if self.setup.context.shares_poll && !self.is_off_poll() {
            // As with jobs: first the signal, then the look for sleepers.
            self.queue().wake_if_idle(&self.setup.context.net);
        } else {
            for worker in recipients.iter().flat_map(|to| to.iter()) {
                self.queue().wake_worker(*worker);
            }
        }
    }

    /// Whether a signal waits for an interpreter with a thread that sleeps in the poll.
    pub(in crate::app) fn has_signal_for_sleeper(&self) -> bool {
        if self.signals.queue.waiting() == 0 {
            return false;
        }
        let serving = self.groups.serving();
        let sleepers: Vec<usize> = serving
            .iter()
            .filter(|group| group.sleeps())
            .map(|group| group.worker)
            .collect();
        let mut recipients = self.signals.queue.recipients().into_iter();
        recipients.any(|to| to.iter().any(|worker| sleepers.contains(worker)))
    }

    pub(in crate::app) fn start_signals(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        let deliver = move |number| {
            if let Some(shared) = shared.upgrade() {
                shared.raise(number);
            }
        };
        let clockwork = &self.setup.plan.process.clockwork;
        let registrations = &self.signals.registrations;
        registrations.take_charge(clockwork, Arc::new(deliver));
    }
}
