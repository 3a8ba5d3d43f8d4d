//! The history of reloads: the reload that runs, with its canary, the last ones, the generation
//! that is kept for a rollback, and counters.
//!
//! A client that asks for a reload gets a request number. Requests that wait become one reload, so
//! a reload answers every number that was received before it began. The supervisor writes; any
//! thread reads and waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use crate::reload::record::{CanaryReport, Reload, Reloads, RollbackTarget};

/// How many reloads are remembered for clients that wait.
const ENDED_MAX: usize = 32;

/// A client that waits for a canary's end gets a progress report at the latest after this.
const CANARY_POLL: Duration = Duration::from_secs(2);

/// The history of reloads (see the file's header).
#[derive(Default)]
pub struct ReloadHistory {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The highest request number that was given out.
    asked: u64,
    /// The highest request number that the supervisor has received.
    received: u64,
    begun: u64,
    /// The supervisor has received a request since the present reload began.
    has_waiting: bool,
    running: Option<Running>,
    ended: VecDeque<Ended>,
    /// Why every further request is abandoned: the server stops.
    closed: Option<&'static str>,
    /// Another process serves now.
    is_handed_over: bool,
    /// When the generation that serves took over.
    serving_since: Option<SystemTime>,
    /// Generations that finish their requests and get no new ones.
    draining: Vec<u64>,
    /// The previous generation, while it is kept.
    kept: Option<RollbackTarget>,
    counts: Reloads,
}

/// How a reload is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// A new generation beside the old one.
    #[default]
    Swap,
    /// One interpreter after the other.
    Rolling,
    Exec,
    /// The previous generation, which was kept.
    Rollback,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Way::Swap => "swap",
            Way::Rolling => "rolling",
            Way::Exec => "exec",
            Way::Rollback => "rollback",
        }
    }
}

struct Running {
    number: u64,
    by: String,
    way: Way,
    /// The generation that served when the reload began; 0 if another process served then.
    old: u64,
    /// The generation that the reload makes or puts back; 0: none so far.
    makes: u64,
    canary: Option<CanaryReport>,
    since: SystemTime,
    started: Instant,
    /// The reload answers request numbers up to this one.
    covers: u64,
}

struct Ended {
    covers: u64,
    reload: Reload,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Serves(u64),
    /// The new version does not serve, and why.
    Failed(String),
    /// Some interpreters have the new version, and why not all.
    Partly(String),
    /// The canary served a share of the requests and was withdrawn, and why.
    Withdrawn(String),
    /// The reload did not run to its end, and why.
    Abandoned(String),
}

/// What [`ReloadHistory::wait`] returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    Ended(Reload),
    /// The canary, the generation with this number, gets a share of the requests.
    Canary(CanaryReport, u64),
    /// The new version loads, or the reload waits for another one.
    Loading,
    /// Another process serves now, and its history has the answer.
    ServedElsewhere,
}

impl ReloadHistory {
    /// A number for a request that is about to be sent to the supervisor.
    pub fn next_number(&self) -> u64 {
        let mut state = self.state.lock();
        state.asked += 1;
        state.asked
    }

    /// The supervisor has received the request with this number.
    pub fn received(&self, number: u64) {
        let mut state = self.state.lock();
        state.received = state.received.max(number);
        state.has_waiting = true;
        if let Some(why) = state.closed {
            let received = state.received;
            state.answer_without_reload(received, Outcome::Abandoned(why.to_owned()));
            self.changed.notify_all();
        }
    }

    /// A reload begins while generation `old` serves. It answers every request received so far,
    /// and ends a reload that has not ended yet.
    pub fn begin(&self, by: &str, way: Way, old: u64) {
        self.end(Outcome::Abandoned("another reload came".to_owned()));
        let mut state = self.state.lock();
        state.begun += 1;
        state.has_waiting = false;
        state.running = Some(Running {
            number: state.begun,
            by: by.to_owned(),
            way,
            old,
            makes: 0,
            canary: None,
            since: SystemTime::now(),
            started: Instant::now(),
            covers: state.received,
        });
    }

    /// The running reload is carried out in another way.
    pub fn set_way(&self, way: Way) {
        self.update(|running| running.way = way);
    }

    /// Whether a reload of this kind is running.
    pub fn is_under_way(&self, way: Way) -> bool {
        let state = self.state.lock();
        state.running.as_ref().is_some_and(|one| one.way == way)
    }

    /// The generation that the running reload makes.
    pub fn set_generation(&self, generation: u64) {
        self.update(|running| running.makes = generation);
    }

    /// The present state of the running reload's canary.
    pub fn set_canary(&self, canary: CanaryReport) {
        self.update(|running| running.canary = Some(canary));
    }

    fn update(&self, update: impl FnOnce(&mut Running)) {
        if let Some(running) = &mut self.state.lock().running {
            update(running);
            self.changed.notify_all();
        }
    }

    /// Abandons the running reload and the ones that wait.
    pub fn abandon(&self, why: &str) {
        let mut state = self.state.lock();
        if let Some(running) = state.running.take() {
            state.end(running, Outcome::Abandoned(why.to_owned()));
        }
        let received = state.received;
        state.answer_without_reload(received, Outcome::Abandoned(why.to_owned()));
        state.has_waiting = false;
        self.changed.notify_all();
    }

    /// The running reload has ended. Without one this does nothing: an interpreter was replaced.
    pub fn end(&self, outcome: Outcome) {
        let mut state = self.state.lock();
        if let Some(running) = state.running.take() {
            state.end(running, outcome);
            self.changed.notify_all();
        }
    }

    /// The server stops: abandons the running reload and every request from now on.
    pub fn close(&self, why: &'static str) {
        self.state.lock().closed = Some(why);
        self.abandon(why);
    }

    /// Another process serves now and has the history: ends every wait.
    pub fn hand_over(&self) {
        self.state.lock().is_handed_over = true;
        self.changed.notify_all();
    }

    /// Waits up to `timeout` for the end of the reload that answers `number`. With
    /// `until_stage_changes` it returns early when a canary begins or enters its next stage, and
    /// after a short time while one runs.
    pub fn wait(&self, number: u64, timeout: Duration, until_stage_changes: bool) -> Progress {
        let (asked, deadline) = (Instant::now(), Instant::now() + timeout);
        let mut state = self.state.lock();
        let mut stage_before = None;
        loop {
            if let Some(ended) = state.ended.iter().find(|ended| ended.covers >= number) {
                return Progress::Ended(ended.reload.clone());
            }
            if state.is_handed_over {
                return Progress::ServedElsewhere;
            }
            let running = state
                .running
                .as_ref()
                .filter(|running| running.covers >= number);
            let canary = running.and_then(|running| Some((running.canary.clone()?, running.makes)));
            let stage = canary.as_ref().map_or(0, |(canary, _)| canary.stage);
            let is_news = until_stage_changes
                && (stage != *stage_before.get_or_insert(stage)
                    || stage > 0 && asked.elapsed() >= CANARY_POLL);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || is_news {
                return canary.map_or(Progress::Loading, |(canary, generation)| {
                    Progress::Canary(canary, generation)
                });
            }
            self.changed.wait_for(&mut state, left);
        }
    }

    /// Whether this request number was ever given out.
    pub fn knows(&self, number: u64) -> bool {
        (1..=self.state.lock().asked).contains(&number)
    }

    /// The running reload, or else the last one.
    pub fn latest(&self) -> Reload {
        let state = self.state.lock();
        let latest = match (&state.running, state.ended.back()) {
            (Some(running), _) if running.canary.is_some() => describe(running, "canary"),
            (Some(running), _) => describe(running, "loading"),
            (None, Some(ended)) => ended.reload.clone(),
            (None, None) => {
                return Reload {
                    outcome: "none",
                    ..Reload::default()
                };
            }
        };
        Reload {
            one_more_waits: state.has_waiting,
            ..latest
        }
    }

    /// A generation has taken over.
    pub fn note_takeover(&self) {
        self.state.lock().serving_since = Some(SystemTime::now());
    }

    /// When the generation that serves took over, in seconds since 1970.
    pub fn serving_since(&self) -> u64 {
        self.state.lock().serving_since.map_or(0, seconds)
    }

    pub fn set_kept(&self, kept: Option<RollbackTarget>) {
        self.state.lock().kept = kept;
    }

    /// The generation that a rollback would put back.
    pub fn kept(&self) -> Option<RollbackTarget> {
        self.state.lock().kept
    }

    pub fn counts(&self) -> Reloads {
        self.state.lock().counts
    }

    /// The generations that finish their requests and get no new ones.
    pub fn set_draining(&self, generations: Vec<u64>) {
        self.state.lock().draining = generations;
    }

    /// The generations that finish their requests and get no new ones.
    pub fn draining(&self) -> Vec<u64> {
        self.state.lock().draining.clone()
    }

    /// What a successor has to know ([`from_predecessor`](Self::from_predecessor)). Empty if no
    /// reload runs.
    pub fn for_successor(&self) -> String {
        let state = self.state.lock();
        state.running.as_ref().map_or_else(String::new, |running| {
            let since = seconds(running.since);
            let Reloads {
                done,
                failed,
                withdrawn,
            } = state.counts;
            // The successor loaded the application after the last of these requests, so its
            // start answers all of them.
            format!(
                "{} {} {since} {done} {failed} {withdrawn} {}",
                running.number, state.asked, running.by
            )
        })
    }

    /// The history of a successor, which has yet to report that it serves.
    pub fn from_predecessor(text: &str) -> Self {
        let history = Self::default();
        let mut fields = text.splitn(7, ' ');
        let mut next = || fields.next()?.parse::<u64>().ok();
        let numbers = (next(), next(), next());
        let counts = (next(), next(), next());
        if let (
            (Some(number), Some(asked), Some(since)),
            (Some(done), Some(failed), Some(withdrawn)),
        ) = (numbers, counts)
        {
            let since = UNIX_EPOCH + Duration::from_secs(since);
            let elapsed = since.elapsed().unwrap_or_default();
            let mut state = history.state.lock();
            (state.asked, state.received, state.begun) = (asked, asked, number);
            state.counts = Reloads {
                done,
                failed,
                withdrawn,
            };
            state.running = Some(Running {
                number,
                by: fields.next().unwrap_or_default().to_owned(),
                way: Way::Exec,
                old: 0,
                makes: 1,
                canary: None,
                since,
                started: Instant::now()
                    .checked_sub(elapsed)
                    .unwrap_or_else(Instant::now),
                covers: asked,
            });
        }
        history
    }
}

impl State {
    fn end(&mut self, running: Running, outcome: Outcome) {
        let counter = match &outcome {
            Outcome::Serves(_) => Some(&mut self.counts.done),
            Outcome::Failed(_) | Outcome::Partly(_) => Some(&mut self.counts.failed),
            Outcome::Withdrawn(_) => Some(&mut self.counts.withdrawn),
            Outcome::Abandoned(_) => None,
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
        let mut reload = describe(&running, "");
        set_outcome(&mut reload, outcome);
        self.push(running.covers, reload);
    }

    /// Answers the requests up to `covers` that no reload has answered, if there are any.
    fn answer_without_reload(&mut self, covers: u64, outcome: Outcome) {
        if covers <= self.ended.back().map_or(0, |ended| ended.covers) {
            return;
        }
        let mut reload = Reload {
            since: seconds(SystemTime::now()),
            ..Reload::default()
        };
        set_outcome(&mut reload, outcome);
        self.has_waiting = false;
        self.push(covers, reload);
    }

    fn push(&mut self, covers: u64, reload: Reload) {
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { covers, reload });
    }
}

fn describe(running: &Running, outcome: &'static str) -> Reload {
    Reload {
        outcome,
        number: running.number,
        by: running.by.clone(),
        since: seconds(running.since),
        seconds: running.started.elapsed().as_secs_f64(),
        way: running.way.name(),
        old: running.old,
        makes: running.makes,
        canary: running.canary.clone(),
        ..Reload::default()
    }
}

fn set_outcome(reload: &mut Reload, outcome: Outcome) {
    (reload.outcome, reload.generation, reload.reason) = match outcome {
        Outcome::Serves(generation) => ("serves", generation, String::new()),
        Outcome::Failed(reason) => ("failed", 0, reason),
        Outcome::Partly(reason) => ("partly", 0, reason),
        Outcome::Withdrawn(reason) => ("withdrawn", 0, reason),
        Outcome::Abandoned(reason) => ("given up", 0, reason),
    };
}

/// Seconds since 1970.
pub(crate) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
