//! Who works in a generation: its crews, and what all of their threads share.
//!
//! The roster outlives the generation: it is how one sees a retired generation's threads to their end, and how one
//! interpreter of a serving generation is replaced by a fresh one. It holds no sender, so it keeps no queue open.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::apps::AppLedger;
use super::canary::Score;
use super::generation::{Patience, Plan, StartError};
use super::gil_gate::Domain;
use super::inspect::counters::Ledger;
use super::load_generation::{self, Entrance};
use super::queue::{Job, Next, Queue};
use super::recycling::Due;
use super::scaling::cheaper::Seen;
use super::scaling::idle::Rest;
use super::signal_queue::Postbox;
use super::uwsgi_backend::GenerationHost;
use super::worker::Surroundings;
use super::worker_group::{Crew, Gate, wait_for_none};
use crossbeam::channel::{Receiver, Sender, bounded, never};

use crate::background::registrations::Registrations;
use crate::net::{Dispatch as _, Rejected, Turn};
use crate::python::{BackendRef, InterpreterSpec, Isolation, Runtime};

/// What every thread of the generation shares. Holds no sender: the queue must be able to end.
pub struct Shared {
    /// The generation's number.
    pub(super) id: u64,
    queue: Queue,
    pub(super) plan: Plan,
    pub(super) runtime: &'static Runtime,
    pub(super) surroundings: Surroundings,
    pub(super) isolation: Isolation,
    crews: Mutex<Vec<Arc<Crew>>>,
    crews_made: AtomicU64,
    /// By crew and thread, as far as these matter; see `domain_of`.
    pub(super) domains: Mutex<HashMap<(u64, usize), Arc<Domain>>>,
    pub(super) registrations: Registrations,
    pub(super) postbox: Postbox,
    /// Signals of which it was said already that nobody gets them.
    pub(super) undeliverable: [AtomicBool; 256],
    pub(super) ledger: Ledger,
    backend: BackendRef,
    retired: AtomicBool,
    /// Its workers wait for the queue and not in the poll; those that wait hear of the end of that by the channel.
    aside: AtomicBool,
    recall: Mutex<Option<(Sender<Infallible>, Receiver<Infallible>)>>,
    pub(super) rest: Rest,
    alive: (Mutex<usize>, Condvar),
    /// Answered by crews that have ended.
    answered: AtomicU64,
    /// Of these, those that went wrong.
    failed: AtomicU64,
    /// Requests that are not waited for any longer: their threads were given up.
    given_up: AtomicU64,
    parked: AtomicUsize,
    /// What is loaded, and what it has done.
    pub(super) apps: AppLedger,
}

impl Shared {
    pub(super) fn new(
        id: u64,
        queue: Queue,
        plan: &Plan,
        runtime: &'static Runtime,
        surroundings: &Surroundings,
        isolation: Isolation,
    ) -> Arc<Self> {
        let process = Arc::clone(&plan.process);
        Arc::new_cyclic(|shared| Self {
            id,
            queue,
            plan: plan.clone(),
            runtime,
            surroundings: surroundings.clone(),
            isolation,
            crews: Mutex::default(),
            crews_made: AtomicU64::new(0),
            domains: Mutex::default(),
            registrations: Registrations::new(id),
            postbox: Postbox::default(),
            undeliverable: [const { AtomicBool::new(false) }; 256],
            ledger: Ledger::default(),
            backend: BackendRef(Arc::new(GenerationHost::new(
                id,
                Weak::clone(shared),
                &process,
            ))),
            retired: AtomicBool::new(false),
            aside: AtomicBool::new(false),
            recall: Mutex::default(),
            rest: Rest::default(),
            alive: Default::default(),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            parked: AtomicUsize::new(0),
            apps: AppLedger::default(),
        })
    }

    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether the generation serves no more: workers run the queue dry and end.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Whether its workers wait for the queue alone.
    pub(super) fn is_aside(&self) -> bool {
        self.aside.load(Ordering::SeqCst)
    }

    /// Disconnects when those who stand aside are to come back; at once if they are already.
    pub(super) fn recall(&self) -> Receiver<Infallible> {
        if !self.surroundings.shares_poll {
            return never();
        }
        match &*self.recall.lock() {
            Some((_, recall)) => recall.clone(),
            None => bounded(0).1,
        }
    }

    /// Its workers leave the poll and wait for what is queued. Whoever queues something wakes them by that.
    pub(super) fn stand_aside(&self) {
        self.recall.lock().get_or_insert_with(|| bounded(0));
        self.aside.store(true, Ordering::SeqCst);
        for crew in self.crews.lock().iter() {
            crew.call_out(self.surroundings.net.poll());
        }
    }

    /// They may poll again.
    pub(super) fn rejoin(&self) {
        self.aside.store(false, Ordering::SeqCst);
        self.recall.lock().take();
        for crew in self.crews.lock().iter() {
            // Some may not have come out yet, and now they do not have to.
            if !crew.is_dismissed() {
                crew.all_called(self.surroundings.net.poll());
            }
        }
    }

    /// Nothing is queued any more: the crews leave when the queue is dry. The order matters: a thread that sees itself
    /// dismissed sees the generation retired too, and does not leave a request behind.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        if self.surroundings.net.is_draining() {
            // The server stops: nobody waits for what a timer wanted.
            self.postbox.clear();
        }
        // Under the lock: a crew that is added from now on is dismissed by whoever adds it.
        for crew in self.crews.lock().iter() {
            crew.dismiss(self.surroundings.net.poll());
        }
        self.release_runners();
    }

    /// A request was queued and no interpreter is there.
    pub(super) fn want_interpreter(&self) {
        if self.rest.becomes_wanted() {
            (self.surroundings.on_wanted)(self.id);
        }
    }

    /// The crews that serve.
    fn serving(&self) -> Vec<Arc<Crew>> {
        let mut crews = self.crews();
        crews.retain(|crew| !crew.is_dismissed());
        crews
    }

    /// What is queued here, where nobody serves, goes to the generation in charge, or gets 503.
    pub(super) fn pass_on(&self, is_wanted_elsewhere: bool) {
        let (net, current) = (&*self.surroundings.net, &*self.surroundings.current);
        let mut turn = None;
        while let Next::Job(Job::Request(exchange)) = self.queue.next() {
            let (exchange, rejected) = if is_wanted_elsewhere {
                match current.submit(exchange) {
                    Ok(()) => continue,
                    Err(back) => back,
                }
            } else {
                (exchange, Rejected::Stopped)
            };
            let turn = turn.get_or_insert_with(Turn::default);
            turn.turn_away(net, current, exchange, rejected);
        }
        if is_wanted_elsewhere {
            current.wake_successor(self.id, net);
        }
    }

    /// The crew is due, unless that was said already or it is too young. Whether it is.
    pub(super) fn ask_for_replacement(&self, crew: &Crew, why: impl FnOnce() -> String) -> bool {
        let is_due = crew.becomes_due(self.plan.recycling.lifetime_min);
        if is_due {
            (self.surroundings.on_due)(Due {
                generation: self.id,
                crew: crew.serial,
                worker: crew.worker,
                why: why(),
            });
        }
        is_due
    }

    pub(super) fn dismiss(&self, crew: &Crew) {
        crew.dismiss(self.surroundings.net.poll());
        self.release_runners();
    }

    fn release_runners(&self) {
        for domain in self.domains.lock().values() {
            domain.release();
        }
    }

    /// A new interpreter's threads, none of them started.
    pub(super) fn add_crew(&self, worker: usize, gate: Gate) -> Arc<Crew> {
        let serial = self.crews_made.fetch_add(1, Ordering::Relaxed) + 1;
        let crew = Crew::new(worker, serial, gate, self.threads_per_interpreter());
        let mut crews = self.crews.lock();
        crews.push(Arc::clone(&crew));
        if self.is_retired() {
            crew.dismiss(self.surroundings.net.poll());
        }
        crew
    }

    /// The interpreter is gone.
    pub(super) fn remove_crew(&self, crew: &Crew) {
        let mut crews = self.crews.lock();
        crews.retain(|other| other.serial != crew.serial);
        self.ledger.keep(crew.worker, &crew.tallies);
        self.answered.fetch_add(crew.answered(), Ordering::Relaxed);
        self.failed
            .fetch_add(crew.tallies.failed(), Ordering::Relaxed);
        drop(crews);
        self.domains
            .lock()
            .retain(|(serial, _), _| *serial != crew.serial);
    }

    pub(super) fn crews(&self) -> Vec<Arc<Crew>> {
        self.crews.lock().clone()
    }

    /// Which threads compete for one GIL.
    pub(super) fn domain_of(&self, crew: &Crew, core: usize) -> Arc<Domain> {
        let key = if self.runtime.is_free_threaded() {
            (crew.serial, core)
        } else {
            match self.isolation {
                Isolation::OwnGil => (crew.serial, 0),
                Isolation::SharedGil | Isolation::Main => (0, 0),
            }
        };
        let mut domains = self.domains.lock();
        Arc::clone(domains.entry(key).or_insert_with(Domain::new))
    }

    /// Looks after the runners; whether anybody runs a job.
    pub(super) fn tick(&self) -> bool {
        self.rouse_addressees();
        let domains = self.domains.lock();
        domains
            .values()
            .fold(false, |is_running, domain| domain.tick() | is_running)
    }

    pub(super) fn spec(&self, plan: &Plan, worker: usize) -> InterpreterSpec {
        let threads = self.threads_per_interpreter();
        InterpreterSpec {
            isolation: self.isolation,
            worker_id: worker,
            multithread: threads > 1,
            multiprocess: self.interpreters() > 1,
            backend: self.backend.clone(),
            ..plan.spec.clone()
        }
    }

    /// At most.
    pub(super) fn interpreters(&self) -> usize {
        self.plan.shape(self.isolation).0
    }

    /// At its birth.
    pub(super) fn interpreters_at_first(&self) -> usize {
        self.plan.at_first.clamp(1, self.interpreters())
    }

    pub(super) fn threads_per_interpreter(&self) -> usize {
        self.plan.shape(self.isolation).1
    }

    pub(super) fn shares_gil(&self) -> bool {
        !self.runtime.is_free_threaded()
            && match self.isolation {
                Isolation::OwnGil => self.plan.threads > 1,
                Isolation::SharedGil | Isolation::Main => {
                    self.plan.threads * self.plan.interpreters > 1
                }
            }
    }

    pub(super) fn thread_begins(&self) {
        *self.alive.0.lock() += 1;
    }

    pub(super) fn thread_has_ended(&self) {
        *self.alive.0.lock() -= 1;
        self.alive.1.notify_all();
    }

    /// A thread is not to be waited for any longer: it is stuck in a request.
    pub(super) fn thread_is_given_up(&self, crew: &Crew, is_sibling: bool) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
        crew.thread_is_given_up(is_sibling);
        self.thread_has_ended();
    }

    /// It has come back, and will end.
    pub(super) fn thread_is_back(&self, crew: &Crew, is_sibling: bool) {
        // Its request has ended, and is counted among those.
        self.given_up.fetch_sub(1, Ordering::Relaxed);
        self.thread_begins();
        crew.thread_is_back(is_sibling);
    }

    pub(super) fn count_parked(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }
}

/// What stood in the way of a replacement may be gone by then.
const PAUSE: Duration = Duration::from_secs(60);

/// Who works in a generation, or still does when it has been retired.
#[derive(Clone)]
pub struct Roster(Arc<Shared>);

impl Roster {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// The generation's number.
    pub fn generation(&self) -> u64 {
        self.0.id
    }

    /// How its interpreters were made.
    pub fn isolation(&self) -> Isolation {
        self.0.isolation
    }

    /// Whether it serves an application; without one it answers 500.
    pub fn has_application(&self) -> bool {
        self.0.plan.apps.count() > 0
    }

    /// Its interpreters that serve, in the order of their numbers: crew and worker.
    pub fn crews(&self) -> Vec<(u64, usize)> {
        let mut crews: Vec<_> = self
            .0
            .crews()
            .iter()
            .filter(|crew| !crew.is_dismissed())
            .map(|crew| (crew.serial, crew.worker))
            .collect();
        crews.sort_by_key(|(_, worker)| *worker);
        crews
    }

    /// Asks for the replacement of every interpreter that has lived long enough.
    pub fn ask_for_the_aged(&self) {
        for crew in self.0.crews() {
            let age = crew.since.elapsed();
            let limit = self.0.plan.recycling.lifetime_of(crew.worker);
            if limit.is_some_and(|limit| age >= limit) {
                let why = || format!("{} s old (--max-worker-lifetime)", age.as_secs());
                self.0.ask_for_replacement(&crew, why);
            }
        }
    }

    /// Asks for the replacement of the interpreter that has lived longest: memory is the process's, and nobody can tell
    /// which one holds it. Whether it is old enough.
    pub fn ask_for_the_oldest(&self, why: &str) -> bool {
        let serving = self.0.serving();
        let oldest = serving.iter().min_by_key(|crew| crew.since);
        oldest.is_some_and(|crew| self.0.ask_for_replacement(crew, || why.to_owned()))
    }

    /// This crew is not replaced now: nobody asks again for a minute.
    pub fn put_off(&self, crew: u64) {
        for late in self.0.crews().iter().filter(|one| one.serial == crew) {
            late.put_off(PAUSE);
        }
    }

    /// A fresh interpreter, with the application loaded as it is now, takes the place of this crew's, which leaves after
    /// the requests it is in. Waits for that up to `grace`. One of a new version has to answer the probe first. Runs on `sm-reload`, detached from Python.
    ///
    /// # Errors
    /// There is no fresh one: the old one serves on, and nobody asks again for a minute.
    pub fn replace(
        &self,
        crew: u64,
        patience: &Patience,
        (grace, is_new_version): (Duration, bool),
    ) -> Result<Duration, StartError> {
        let shared = &self.0;
        let crews = shared.crews();
        let old = crews
            .iter()
            .find(|old| old.serial == crew && !old.is_dismissed())
            .ok_or(StartError::Gone)?;
        if shared.isolation == Isolation::Main {
            return Err(StartError::MainIsTaken);
        }
        let fresh = shared.add_crew(old.worker, Gate::Shut);
        let entrance = if is_new_version {
            Entrance::Renewed
        } else {
            Entrance::Free
        };
        match load_generation::of_crew(shared, &fresh, patience, entrance) {
            Ok(()) => {
                let elapsed = fresh.since.elapsed();
                fresh.open_gate();
                shared.dismiss(old);
                old.wait_until_ended(Instant::now() + grace);
                Ok(elapsed)
            }
            Err(error) => {
                shared.dismiss(&fresh);
                old.put_off(PAUSE);
                if !matches!(error, StartError::TooLate | StartError::GivenUp) {
                    fresh.wait_until_ended(Instant::now() + shared.plan.end_grace * 2);
                }
                Err(error)
            }
        }
    }

    /// The other way round, where there is no memory for both: this crew leaves, after the requests it is in, and then a fresh
    /// interpreter is made. `None`: it has not left within `mercy`, and there is no fresh one. Runs on `sm-reload`, detached from
    /// Python.
    ///
    /// # Errors
    /// There is no fresh one.
    pub fn replace_old_first(
        &self,
        crew: u64,
        patience: &Patience,
        mercy: Duration,
    ) -> Result<Option<Duration>, StartError> {
        let shared = &self.0;
        let serving = shared.serving();
        let old = serving.iter().find(|old| old.serial == crew);
        let old = old.ok_or(StartError::Gone)?;
        shared.dismiss(old);
        if old.wait_until_ended(Instant::now() + mercy) > 0 {
            return Ok(None);
        }
        // The server may have begun to stop meanwhile.
        patience.pause(Duration::ZERO)?;
        let began = Instant::now();
        self.hire(1, patience)?;
        Ok(Some(began.elapsed()))
    }

    /// Whether this crew's interpreter is gone.
    pub fn has_left(&self, crew: u64) -> bool {
        self.0.crews().iter().all(|other| other.serial != crew)
    }

    /// How many interpreters there may be.
    pub fn most(&self) -> usize {
        self.0.interpreters()
    }

    /// What is to be seen of those that serve, in the order of their age.
    pub fn seen(&self) -> Vec<Seen> {
        let mut serving = self.0.serving();
        serving.sort_by_key(|crew| crew.since);
        let seen = serving.iter().map(|crew| Seen {
            crew: crew.serial,
            worker: crew.worker,
            is_busy: crew.tallies.is_busy(),
            running: crew.tallies.running(),
        });
        seen.collect()
    }

    /// Requests that no thread has begun.
    pub fn waiting(&self) -> usize {
        self.0.queue().len()
    }

    /// Whether it has let the last interpreter go; the next request brings one back.
    pub fn is_at_rest(&self) -> bool {
        self.0.rest.is_asleep()
    }

    /// Whether no interpreter could be made just now, so that none is tried yet.
    pub fn is_broken(&self) -> bool {
        self.0.rest.is_broken()
    }

    /// Makes up to `count` more interpreters, side by side; each serves as soon as it is ready. Returns their numbers. Runs on
    /// `sm-reload`, detached from Python.
    ///
    /// # Errors
    /// One could not be made; others may have been.
    pub fn hire(&self, count: usize, patience: &Patience) -> Result<Vec<usize>, StartError> {
        let shared = &self.0;
        let taken: Vec<usize> = shared.serving().iter().map(|crew| crew.worker).collect();
        let free = (1..=self.most()).filter(|worker| !taken.contains(worker));
        let workers: Vec<usize> = free.take(count).collect();
        let births: Vec<_> = std::thread::scope(|scope| {
            let births: Vec<_> = workers
                .iter()
                .map(|&worker| scope.spawn(move || self.hire_one(worker, patience)))
                .collect();
            births.into_iter().map(|birth| birth.join()).collect()
        });
        for birth in births {
            birth.unwrap_or(Err(StartError::Panicked))?;
        }
        Ok(workers)
    }

    fn hire_one(&self, worker: usize, patience: &Patience) -> Result<(), StartError> {
        let shared = &self.0;
        let fresh = shared.add_crew(worker, Gate::Shut);
        match load_generation::of_crew(shared, &fresh, patience, Entrance::Free) {
            Ok(()) => {
                shared.rest.wake();
                shared.surroundings.bell.call_in(&shared.surroundings.net);
                fresh.open_gate();
                Ok(())
            }
            Err(error) => {
                shared.dismiss(&fresh);
                if !matches!(error, StartError::TooLate | StartError::GivenUp) {
                    fresh.wait_until_ended(Instant::now() + shared.plan.end_grace * 2);
                }
                Err(error)
            }
        }
    }

    /// Lets the interpreter go that has lived longest, after the requests it is in; waits for that up to `grace`. Returns its
    /// number. `None`: it is the last one. Runs on `sm-reload`.
    pub fn let_one_go(&self, grace: Duration) -> Option<usize> {
        let shared = &self.0;
        let serving = shared.serving();
        let oldest = serving.iter().min_by_key(|crew| crew.since)?;
        if serving.len() < 2 {
            return None;
        }
        shared.dismiss(oldest);
        self.forget_letters();
        oldest.wait_until_ended(Instant::now() + grace);
        Some(oldest.worker)
    }

    /// Lets all interpreters go, unless there is something to do; waits for their end up to `grace`. Whether they went. Runs on
    /// `sm-reload`.
    pub fn go_to_rest(&self, grace: Duration) -> bool {
        let shared = &self.0;
        shared.rest.fall_asleep();
        let serving = shared.serving();
        let is_busy = || serving.iter().any(|crew| crew.tallies.is_busy());
        if shared.queue().has_jobs() || is_busy() {
            shared.rest.wake();
            return false;
        }
        for crew in &serving {
            shared.dismiss(crew);
        }
        shared.postbox.clear();
        // From now on it polls.
        shared.surroundings.bell.ring();
        let deadline = Instant::now() + grace;
        for crew in &serving {
            crew.wait_until_ended(deadline);
        }
        true
    }

    /// No interpreter could be made for those who wait: they are told so. Returns how long nobody tries again.
    pub fn give_up_waking(&self) -> Duration {
        let pause = self.0.rest.fail();
        self.turn_away();
        pause
    }

    /// Answers what is queued in a generation at rest with 503.
    pub fn turn_away(&self) {
        if self.is_at_rest() {
            self.0.rest.unwant();
            self.0.pass_on(false);
        }
    }

    fn forget_letters(&self) {
        let serving = self.0.serving();
        let present: Vec<usize> = serving.iter().map(|crew| crew.worker).collect();
        self.0.postbox.keep_for(&present);
    }

    /// Waits until every thread of the generation has ended, or until `deadline`. Returns how many have not.
    pub fn wait(&self, deadline: Instant) -> usize {
        wait_for_none(&self.0.alive, deadline)
    }

    /// Requests that it has answered.
    pub fn answered(&self) -> u64 {
        let crews = self.0.crews.lock();
        let present: u64 = crews.iter().map(|crew| crew.answered()).sum();
        present + self.0.answered.load(Ordering::Relaxed)
    }

    /// What came of its requests.
    pub fn score(&self) -> Score {
        let crews = self.0.crews.lock();
        let failed: u64 = crews.iter().map(|crew| crew.tallies.failed()).sum();
        drop(crews);
        let given_up = self.0.given_up.load(Ordering::Relaxed);
        Score {
            answered: self.answered() + given_up,
            failed: failed + self.0.failed.load(Ordering::Relaxed) + given_up,
        }
    }

    /// Interpreters of it that could not be ended and stay for ever.
    pub fn parked(&self) -> usize {
        self.0.parked.load(Ordering::Relaxed)
    }
}
