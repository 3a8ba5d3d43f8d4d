//! A worker: an OS thread that runs application code for one interpreter.
//!
//! Its loop runs queued jobs, attached to Python, and takes the poll's role when there are none,
//! detached. A thread claims a request only while it holds its interpreter's GIL, so no request
//! waits behind a waiting thread (`gil_gate` limits the competition for a GIL).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::turn::Wait;
use crate::net::{Answered, Exchange, Net, SharedPoll, Turn};
use crate::python::{Attached, Call, InterpreterThread, Served};
use crate::wsgi::environ::Link;
use crate::wsgi::{Head, LogNotes, Response, Summary};

use super::apps::AppCounters;
use super::generation_state::GenerationState;
use super::gil_gate::GilSlot;
use super::harakiri::worker_record::{ClientOutcome, WorkerRecord};
use super::inspect::counters::Ending;
use super::queue::{Job, Next};
use super::worker_context::WorkerContext;
use super::worker_group::WorkerGroup;
use super::worker_id::WorkerId;

/// Jobs in a row before a turn of the poll.
const BURST: usize = 32;
/// The longest burst, unless one job takes longer: well below the tick after which the acceptor
/// polls.
const BURST_TIME: Duration = Duration::from_millis(2);
const SURPLUS_WAIT: Duration = Duration::from_millis(10);
/// How often a worker that waits for the queue checks whether its generation has ended.
const QUEUE_WAIT: Duration = Duration::from_secs(60);
/// Time for another thread to take a wake that was passed on to it.
const PASS_ON_PAUSE: Duration = Duration::from_micros(200);
/// After this time in the queue a request's client may have gone: check.
const STALE_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The group was stopped; in a retired generation the queue is empty, too.
    Stopped,
    Panicked,
}

pub struct Worker {
    id: WorkerId,
    shared: Arc<GenerationState>,
    group: Arc<WorkerGroup>,
    context: WorkerContext,
    gil_slot: Arc<GilSlot>,
    /// When this thread asked for the GIL, for the first job that it then runs.
    gil_wait_began: Option<Instant>,
    watch: Arc<WorkerRecord>,
    turn: Turn,
    response: Response,
    quick_jobs: u32,
    /// The interpreter is due after this many.
    requests_max: u64,
    /// Modules that were loaded when the application's files were last reported.
    modules_known: Cell<usize>,
    has_panicked: bool,
    /// The number of the application that the last request was for.
    application: Option<usize>,
    app_counters: Arc<AppCounters>,
}

impl Worker {
    pub(super) fn new(
        id: WorkerId,
        shared: Arc<GenerationState>,
        group: Arc<WorkerGroup>,
        gil_slot: Arc<GilSlot>,
        watch: Arc<WorkerRecord>,
    ) -> Self {
        let context = shared.setup.context.clone();
        let requests_max = shared.setup.plan.recycling.requests_of(group.worker);
        let response = Response::adding(Arc::clone(&shared.setup.plan.added_fields));
        let app_counters = shared.apps.begin(id.worker, shared.setup.plan.apps.count());
        Self {
            app_counters,
            id,
            shared,
            group,
            context,
            gil_slot,
            watch,
            turn: Turn::default(),
            response,
            quick_jobs: 0,
            gil_wait_began: None,
            requests_max,
            modules_known: Cell::new(0),
            has_panicked: false,
            application: None,
        }
    }

    /// Serves until the group is stopped. The thread is detached from Python on return.
    pub fn serve(&mut self, python: &mut InterpreterThread) -> Exit {
        loop {
            self.gil_slot.wait_until_active();
            // An abandoned worker (harakiri) already has a replacement.
            if self.watch.is_abandoned() || self.may_leave() {
                // Others run the queued jobs.
                self.hand_over();
                return Exit::Stopped;
            }
            if self.has_work() {
                self.run_burst(python);
            }
            if self.watch.is_abandoned() {
                continue;
            }
            if self.has_panicked {
                return Exit::Panicked;
            }
            if self.group.is_stopped() {
                // Stopped: run the queue dry, or leave.
                continue;
            }
            if self.gil_slot.should_park(self.quick_jobs) {
                self.step_back();
                continue;
            }
            let has_jobs = self.has_work();
            let timeout = if has_jobs {
                Some(Duration::ZERO)
            } else if self.gil_slot.is_surplus() {
                Some(SURPLUS_WAIT)
            } else {
                None
            };
            if self.context.shares_poll && !self.shared.is_off_poll() {
                if !has_jobs {
                    self.pass_on();
                }
                self.poll(timeout);
            } else if !has_jobs {
                self.wait_for_queue(python, timeout.unwrap_or(QUEUE_WAIT));
            }
        }
    }

    /// Whether no work is left here. A retired generation's queue is checked last: nothing is
    /// queued after its retirement.
    fn may_leave(&self) -> bool {
        self.group.is_stopped() && (!self.shared.is_retired() || !self.has_work())
    }

    fn has_work(&self) -> bool {
        self.shared.queue().has_jobs() || self.shared.signals.queue.has_for(self.id.worker)
    }

    /// The wake that ended this wait may have been meant for a thread of another interpreter: a
    /// signal for that one is waiting.
    fn pass_on(&self) {
        while self.shared.has_signal_for_sleeper() {
            self.context.net.poll().wake();
            // Give it time, or the kernel would wake this thread again.
            std::thread::sleep(PASS_ON_PAUSE);
            if self.has_work() || self.group.is_stopped() {
                return;
            }
        }
    }

    /// Runs queued jobs without detaching from Python in between.
    fn run_burst(&mut self, python: &mut InterpreterThread) {
        let began_at = Instant::now();
        python.attached(|py| {
            for count in 0..BURST {
                // Alternate, so that neither signals nor requests starve.
                if let Some(number) = self.shared.signals.queue.take(self.id.worker) {
                    if self.context.shares_poll && self.shared.has_signal_for_sleeper() {
                        self.context.net.poll().wake();
                    }
                    self.run_signal(py, number);
                    if self.should_pause() {
                        break;
                    }
                    if !self.shared.queue().has_jobs() {
                        continue;
                    }
                }
                let Next::Job(job) = self.shared.queue().next() else {
                    break;
                };
                self.gil_wait_began = (count == 0).then_some(began_at);
                // More than one job: wake another worker.
                if count == 0 && self.context.shares_poll && self.shared.queue().has_jobs() {
                    self.shared.queue().wake_if_idle(&self.context.net);
                }
                let ended_at = self.run(py, job);
                let is_long = ended_at.saturating_duration_since(began_at) > BURST_TIME;
                if is_long || self.should_pause() {
                    break;
                }
            }
        });
    }

    fn should_pause(&self) -> bool {
        self.has_panicked
            || self.watch.is_abandoned()
            || self.gil_slot.should_park(self.quick_jobs)
            || self.group.is_stopped()
    }

    fn run_signal(&mut self, py: &mut Attached<'_>, number: u8) {
        let counters = self.group.counters.of(self.id.core);
        self.gil_slot.begin_job();
        counters.begin_signal(number);
        self.watch.begin_signal(number);
        let run = catch_unwind(AssertUnwindSafe(|| py.run_signal(number)));
        self.watch.end_signal();
        counters.end_signal();
        if run.is_err() {
            tracing::error!(
                worker = self.id.worker,
                core = self.id.core,
                "a worker panicked in the handler of signal {number}; the worker is replaced"
            );
            self.has_panicked = true;
        }
        self.gil_slot.end_job(&mut self.quick_jobs);
    }

    fn run(&mut self, py: &mut Attached<'_>, job: Job) -> Instant {
        match job {
            Job::Request(exchange) => self.answer(py, exchange),
        }
    }

    fn answer(&mut self, py: &mut Attached<'_>, mut exchange: Exchange) -> Instant {
        let net = &*self.context.net;
        let taken_at = Instant::now();
        let queued = taken_at.saturating_duration_since(exchange.received_at());
        let gil_wait = self.gil_wait_began.take();
        let gil_wait = gil_wait.map_or(Duration::ZERO, |began| taken_at.duration_since(began));
        if queued > STALE_AFTER && exchange.is_client_gone() {
            tracing::debug!("dropped a queued request: its client has gone");
            self.turn.abandon(net, exchange);
            return taken_at;
        }
        self.gil_slot.begin_job();
        self.group.counters.of(self.id.core).begin_request(taken_at);
        self.watch.begin(&exchange, net, taken_at);
        let served = self.call(py, &mut exchange);
        py.calm();
        let net = &*self.context.net;
        self.look_after(py, served, taken_at);
        let client = self.watch.end();
        if self.watch.is_abandoned() {
            net.recount_connection();
        }
        let at = Instant::now();
        let summary = settle(
            &mut self.response,
            &mut self.turn,
            net,
            &mut exchange,
            client,
        );
        let end = match served {
            None | Some(Served::Failed) => Ending::Raised,
            _ if summary.status >= 500 || client != ClientOutcome::Application => Ending::Failed,
            _ => Ending::Good,
        };
        let sent_bytes = summary.body_bytes + summary.header_bytes as u64;
        let counters = self.group.counters.of(self.id.core);
        counters.end_request(at.saturating_duration_since(taken_at), sent_bytes, end);
        let answers = self.group.count_answer();
        let answered = Answered {
            summary,
            queued,
            app: at.saturating_duration_since(taken_at),
            at,
            worker: self.id.worker,
            core: self.id.core,
            application: self.application,
            requests: answers,
            generation: self.shared.setup.id,
            gil: gil_wait,
            notes: LogNotes::both(self.response.take_notes(), py.take_log_notes()),
        };
        self.gil_slot.end_job(&mut self.quick_jobs);
        if answers >= self.requests_max {
            self.due(|| format!("{answers} requests (--max-requests)"));
        }
        let current = &*self.context.current;
        let queued = self.turn.complete(net, current, exchange, answered);
        self.tell_successor(queued);
        at
    }

    /// Runs the application. Returns `None` if it panicked; the client got 500.
    fn call(&mut self, py: &mut Attached<'_>, exchange: &mut Exchange) -> Option<Served> {
        let net = &*self.context.net;
        let parts = exchange.parts(net);
        let (facts, mut sink) = (parts.facts, parts.sink);
        sink.set_owner(&self.watch.owner);
        self.response.reset(facts, self.turn.date());
        if let Some(routed) = parts.routed {
            self.response.set_filter(routed.filter.take());
            if routed.harakiri.is_some() {
                self.watch.limit(routed.harakiri);
            }
        }
        if let Some(files) = &net.site().files
            && let Some(delivery) = files.offer(parts.head)
        {
            self.response.offer(delivery);
        }
        let apps = &self.shared.setup.plan.apps;
        let chosen = apps.mounts().choose_for(parts.head);
        self.application = chosen.map(|chosen| chosen.app);
        let response = &mut self.response;
        let served = catch_unwind(AssertUnwindSafe(|| {
            panic_if_asked(parts.head);
            let Some(chosen) = chosen else {
                response.fail(500, &mut sink);
                return Served::NoApp;
            };
            py.serve(Call {
                listener: parts.listener,
                head: parts.head,
                peer: parts.peer,
                link: Link {
                    identity: parts.identity.as_deref(),
                    is_https: parts.is_https,
                },
                chosen,
                body: parts.body,
                response,
                sink: &mut sink,
            })
        }));
        match (chosen, &served) {
            (Some(chosen), served) => {
                let has_failed = matches!(served, Ok(Served::Failed) | Err(_));
                self.app_counters.count(chosen.app, has_failed);
            }
            (None, _) => self.shared.apps.warn_no_app(apps, parts.head),
        }
        if served.is_err() {
            // The panic hook has logged it. The response machine is plain data and stays usable.
            tracing::error!(
                worker = self.id.worker,
                core = self.id.core,
                "a worker panicked in a request; the request is answered with 500 and the worker is replaced"
            );
            self.response.fail(500, &mut sink);
            self.has_panicked = true;
        }
        served.ok()
    }

    fn tell_successor(&self, queued: usize) {
        if queued > 0 && self.context.shares_poll {
            let WorkerContext { net, current, .. } = &self.context;
            current.wake_successor(self.shared.setup.id, net);
        }
    }

    /// After a request: replaces the interpreter if its exception says so, and reports new source
    /// files.
    fn look_after(&self, py: &mut Attached<'_>, served: Option<Served>, began_at: Instant) {
        if served == Some(Served::Failed)
            && let Some(rules) = &self.shared.setup.plan.recycling.exceptions
            && let Some((kind, value)) = py.take_raised()
            && let Some(why) = rules.why(&kind, &value)
        {
            self.due(|| why);
        }
        if let Some(on_sources) = &self.context.on_sources {
            let mut known = self.modules_known.get();
            let sources = py.new_sources(&mut known);
            self.modules_known.set(known);
            if !sources.is_empty() {
                on_sources(&sources, began_at.elapsed());
            }
        }
    }

    fn due(&self, why: impl FnOnce() -> String) {
        self.shared.ask_for_recycling(&self.group, why);
    }

    /// Takes a turn. Without a timeout it waits for an event.
    fn poll(&mut self, timeout: Option<Duration>) {
        let queue = self.shared.queue();
        let net = &*self.context.net;
        let may_wait = timeout != Some(Duration::ZERO);
        if may_wait {
            if !queue.enter_poll() {
                return;
            }
            if !self.group.enter_poll(net.poll()) {
                queue.leave_poll();
                return;
            }
            // Signals and the request to leave the poll are set before a worker is woken.
            if self.shared.signals.queue.has_for(self.id.worker) || self.shared.is_off_poll() {
                self.group.leave_poll(net.poll());
                queue.leave_poll();
                return;
            }
        }
        let wait = Wait::Shared(timeout);
        let current = &*self.context.current;
        let taken = self.turn.take(net, current, wait);
        if may_wait {
            self.group.leave_poll(net.poll());
            queue.leave_poll();
        }
        queue.note_turn();
        self.context.acceptor_waker.wake();
        match taken {
            Ok(queued) => {
                // This worker runs one job; wake another for the rest.
                if queued > 1 {
                    queue.wake_if_idle(net);
                }
                // After a swap no job is queued here.
                if queued > 0 {
                    current.wake_successor(self.shared.setup.id, net);
                } else if current.pass_wake_on(self.shared.setup.id, net) && may_wait {
                    // Give it time, or the kernel would wake this thread again.
                    std::thread::sleep(PASS_ON_PAUSE);
                }
                if queued == 0 && timeout == Some(SURPLUS_WAIT) && self.gil_slot.is_surplus() {
                    self.step_back();
                }
            }
            Err(error) => {
                SharedPoll::note_failure(&error);
                tracing::error!(%error, "waiting for readiness failed");
                std::thread::sleep(SURPLUS_WAIT);
            }
        }
    }

    fn wait_for_queue(&mut self, python: &mut InterpreterThread, timeout: Duration) {
        let queue = self.shared.queue();
        let recall = self.shared.recall();
        match queue.wait(self.id.worker, self.group.stop_channel(), &recall, timeout) {
            Next::Job(job) => {
                python.attached(|py| self.run(py, job));
            }
            Next::Empty if self.gil_slot.is_surplus() && !self.has_work() => self.step_back(),
            Next::Empty | Next::Ended => {}
        }
    }

    /// Parks until needed, unless a signal waits for this interpreter.
    fn step_back(&self) {
        self.hand_over();
        self.gil_slot
            .park_if_surplus(|| self.shared.signals.queue.has_for(self.id.worker));
    }

    /// Wakes a sleeping worker for queued jobs and signals: its wake may have ended this thread's
    /// wait.
    fn hand_over(&self) {
        if self.context.shares_poll
            && (self.shared.queue().has_jobs() || self.shared.has_signal_for_sleeper())
        {
            self.shared.queue().wake_if_idle(&self.context.net);
        }
    }
}

/// Completes the response after the application or harakiri.
fn settle(
    response: &mut Response,
    turn: &mut Turn,
    net: &Net,
    exchange: &mut Exchange,
    client: ClientOutcome,
) -> Summary {
    if client == ClientOutcome::Owes504 {
        let mut parts = exchange.parts(net);
        response.reset(parts.facts, turn.date());
        response.fail(504, &mut parts.sink);
    }
    let mut summary = response.summary();
    match client {
        ClientOutcome::Application | ClientOutcome::Owes504 => {}
        ClientOutcome::Got504 => {
            exchange.taken_over(true);
            summary.status = 504;
            summary.keep_alive = false;
            summary.aborted = false;
        }
        ClientOutcome::BrokenOff => {
            exchange.taken_over(false);
            summary.aborted = true;
        }
    }
    summary
}

/// In debug builds `SINGLEMALT_PANIC_AT` names a request target that panics the worker, for tests.
fn panic_if_asked(head: &Head) {
    #[cfg(debug_assertions)]
    if std::env::var_os("SINGLEMALT_PANIC_AT")
        .is_some_and(|target| target.as_encoded_bytes() == head.target())
    {
        panic!("asked to by SINGLEMALT_PANIC_AT");
    }
    #[cfg(not(debug_assertions))]
    let _ = head;
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.apps.end(self.id.worker, &self.app_counters);
        self.gil_slot.leave();
    }
}
