//! The thread `sm-clock`: raises signals for the timers, cron entries and file monitors of the
//! serving generation, and runs the commands of `--cron`. It starts on demand; file monitors report
//! on the thread of [`FileWatch`]. Neither runs Python: a signal is only queued.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use parking_lot::Mutex;

use super::cron::{LocalMinute, When};
use super::cron_command::CronCommand;
use super::timers::Timers;
use super::trigger::Trigger;
use super::watch::{FileWatch, WatchId};

pub type Deliver = Arc<dyn Fn(u8) + Send + Sync>;

enum Order {
    /// The sender is dropped when the order is done.
    Replace(u64, Vec<Trigger>, Deliver, Sender<Infallible>),
    Add(u64, Trigger),
    Commands(Vec<CronCommand>),
    Stop,
}

/// The handle of the thread. One per process.
#[derive(Default)]
pub struct Clockwork {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Set while the thread runs.
    orders: Option<Sender<Order>>,
    /// The generation in charge, for a thread that starts later.
    in_charge: Option<(u64, Deliver)>,
    is_stopped: bool,
    has_commands: bool,
    /// Orders that wait until another process has released the clock.
    held: Option<Vec<Order>>,
}

impl Clockwork {
    /// Delays all orders until [`release`](Self::release).
    pub fn hold(&self) {
        self.state.lock().held = Some(Vec::new());
    }

    pub fn release(&self) {
        let mut state = self.state.lock();
        for order in state.held.take().unwrap_or_default() {
            state.send(order);
        }
    }

    /// Replaces the triggers of the last generation. The receiver disconnects when files are
    /// watched and timers run.
    pub(super) fn replace(
        &self,
        generation: u64,
        triggers: Vec<Trigger>,
        deliver: Deliver,
    ) -> Receiver<Infallible> {
        let (armed, is_armed) = bounded(0);
        let mut state = self.state.lock();
        state.in_charge = Some((generation, Arc::clone(&deliver)));
        if state.held.is_some() {
            // The caller does not wait: another process still raises these.
            let (nobody_waits, _) = bounded(0);
            state.send(Order::Replace(generation, triggers, deliver, nobody_waits));
        } else if state.orders.is_some() || !triggers.is_empty() {
            state.send(Order::Replace(generation, triggers, deliver, armed));
        }
        is_armed
    }

    pub(super) fn add(&self, generation: u64, trigger: Trigger) {
        self.state.lock().send(Order::Add(generation, trigger));
    }

    /// These commands, in the place of those before.
    pub fn set_commands(&self, commands: Vec<CronCommand>) {
        let mut state = self.state.lock();
        if !commands.is_empty() || state.has_commands {
            state.has_commands = true;
            state.send(Order::Commands(commands));
        }
    }

    /// Raises a signal in the generation in charge, if any. Any thread; does not wait for the
    /// handler.
    pub fn raise(&self, number: u8) {
        let deliver = match &self.state.lock().in_charge {
            Some((_, deliver)) => Arc::clone(deliver),
            None => return,
        };
        deliver(number);
    }

    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.is_stopped = true;
        if let Some(orders) = state.orders.take() {
            // The thread may have ended.
            orders.send(Order::Stop).ok();
        }
    }
}

impl State {
    fn send(&mut self, order: Order) {
        if self.is_stopped {
            return;
        }
        if let Some(held) = &mut self.held {
            held.push(order);
            return;
        }
        if self.orders.is_none() {
            self.orders = start();
            if let (Some(orders), Some((generation, deliver))) = (&self.orders, &self.in_charge) {
                let (nobody_waits, _) = bounded(0);
                let deliver = Arc::clone(deliver);
                let nothing_yet = Order::Replace(*generation, Vec::new(), deliver, nobody_waits);
                orders.send(nothing_yet).ok();
            }
        }
        if let Some(orders) = &self.orders
            && orders.send(order).is_err()
        {
            tracing::error!(
                "the thread of timers has ended; timers, cron entries and monitors do nothing"
            );
        }
    }
}

fn start() -> Option<Sender<Order>> {
    let (orders, received) = unbounded();
    let thread = std::thread::Builder::new().name("sm-clock".to_owned());
    match thread.spawn(move || Thread::default().run(&received)) {
        Ok(_) => Some(orders),
        Err(error) => {
            tracing::error!(%error, "cannot start the thread of timers; timers, cron entries and monitors do nothing");
            None
        }
    }
}

/// A cron entry, and the last minute in which it was due.
struct Entry {
    number: u8,
    when: When,
    last: Option<i64>,
}

#[derive(Default)]
struct Thread {
    generation: u64,
    deliver: Option<Deliver>,
    timers: Timers,
    entries: Vec<Entry>,
    commands: Vec<CronCommand>,
    watch: Option<FileWatch>,
    monitors: Vec<(u8, PathBuf, WatchId)>,
}

impl Thread {
    fn run(mut self, received: &Receiver<Order>) {
        loop {
            let order = match self.next() {
                Some(at) => received.recv_deadline(at),
                None => received.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.raise();
        }
    }

    fn next(&self) -> Option<Instant> {
        let timer = self.timers.next();
        if self.entries.is_empty() && self.commands.is_empty() {
            return timer;
        }
        let (_, left) = LocalMinute::now();
        let minute = Instant::now() + Duration::from_millis(left);
        Some(timer.map_or(minute, |timer| timer.min(minute)))
    }

    fn take(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Replace(generation, triggers, deliver, _armed) => {
                self.generation = generation;
                self.deliver = Some(deliver);
                let timers = triggers.iter().filter_map(|trigger| match trigger {
                    Trigger::Timer(spec) => Some(*spec),
                    Trigger::Cron { .. } | Trigger::File { .. } => None,
                });
                self.timers.replace(now, timers);
                let entries = std::mem::take(&mut self.entries);
                let monitors = std::mem::take(&mut self.monitors);
                for trigger in triggers {
                    match trigger {
                        Trigger::Timer(_) => {}
                        Trigger::Cron { number, when } => {
                            // An entry that was due in this minute is not due again.
                            let before = entries
                                .iter()
                                .find(|entry| entry.number == number && entry.when == when);
                            let last = before.and_then(|entry| entry.last);
                            self.entries.push(Entry { number, when, last });
                        }
                        Trigger::File { number, path } => self.monitor(number, path),
                    }
                }
                for (_, _, id) in monitors {
                    if let Some(watch) = &self.watch {
                        watch.remove(id);
                    }
                }
            }
            Order::Add(generation, trigger) if generation == self.generation => match trigger {
                Trigger::Timer(spec) => self.timers.add(now, spec),
                Trigger::Cron { number, when } => self.entries.push(Entry {
                    number,
                    when,
                    last: None,
                }),
                Trigger::File { number, path } => self.monitor(number, path),
            },
            Order::Commands(mut commands) => {
                for command in &mut commands {
                    command.take_over(&self.commands);
                }
                self.commands = commands;
            }
            Order::Add(..) | Order::Stop => {}
        }
    }

    /// Raises a signal when the file changes; for a folder, also when an entry changes (as in
    /// uWSGI).
    fn monitor(&mut self, number: u8, path: PathBuf) {
        let Some(deliver) = self.deliver.clone() else {
            return;
        };
        if self.watch.is_none() {
            match FileWatch::start() {
                Ok(watch) => self.watch = Some(watch),
                Err(error) => {
                    tracing::error!(%error, "cannot watch {}", path.display());
                    return;
                }
            }
        }
        let Some(watch) = &self.watch else {
            return;
        };
        let id = watch.add(&path, {
            let deliver = Arc::clone(&deliver);
            move |_: &Path| deliver(number)
        });
        self.monitors.push((number, path.clone(), id));
        if path.is_dir() {
            let folder = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
            let id = watch.add_tree(&path, move |changed: &Path| {
                if changed.parent() == Some(folder.as_path()) {
                    deliver(number);
                }
            });
            self.monitors.push((number, path, id));
        }
    }

    fn raise(&mut self) {
        let due = self.timers.due(Instant::now());
        let mut raised = due;
        if !(self.entries.is_empty() && self.commands.is_empty()) {
            let (minute, _) = LocalMinute::now();
            for entry in &mut self.entries {
                if entry.when.matches(&minute) && entry.last != Some(minute.serial) {
                    entry.last = Some(minute.serial);
                    raised.push(entry.number);
                }
            }
            for command in &mut self.commands {
                command.look(&minute);
            }
        }
        if let Some(deliver) = &self.deliver {
            for number in raised {
                deliver(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::timers::TimerSpec;

    #[test]
    fn what_is_held_is_raised_when_it_is_released() {
        let clockwork = Clockwork::default();
        clockwork.hold();
        let (raised, heard) = unbounded();
        let deliver: Deliver = Arc::new(move |number| {
            raised.send(number).expect("the test listens");
        });
        let timer = Trigger::Timer(TimerSpec {
            number: 7,
            period: Duration::from_millis(1),
            iterations: Some(1),
        });
        // Held triggers are not waited for.
        let armed = clockwork.replace(1, vec![timer], deliver);
        assert!(armed.recv().is_err());
        assert!(clockwork.state.lock().orders.is_none(), "no thread counts");
        clockwork.raise(9);
        assert_eq!(heard.recv(), Ok(9));
        clockwork.release();
        assert_eq!(heard.recv_timeout(Duration::from_secs(60)), Ok(7));
        clockwork.stop();
    }
}
