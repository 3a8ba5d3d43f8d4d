//! Decides when memory makes an interpreter due for replacement, and whether there is room for a
//! fresh one beside those that serve. Used by the main thread.
//!
//! All interpreters share the process's memory, so the oldest one is replaced. Other processes may
//! use a cgroup's memory too, and the application may simply need it. So the cgroup's limit makes
//! an interpreter due only if this process has grown since it loaded the application, and less and
//! less often if replacements do not help.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::builder::can_roll;
use crate::app::Workers;
use crate::config::{MemoryLimits, ReloadConfig};
use crate::os::memory;
use crate::os::memory::cgroup::{Cgroup, Level};

/// How often time and memory are checked.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How often a cgroup is checked: less often, so that an idle server is rarely woken.
const CGROUP_TICK: Duration = Duration::from_secs(5);
/// How long after a replacement its effect is waited for: memory is returned late, if at all.
pub(super) const PAUSE: Duration = Duration::from_secs(60);
/// The pause doubles each time that every interpreter was replaced in vain, this often at most.
const DOUBLED_MAX: usize = 5;

pub(super) struct MemoryWatch {
    limits: MemoryLimits,
    cgroup: Option<CgroupLimit>,
    /// When the cgroup was last checked.
    pub(super) looked: Option<Instant>,
    /// When an interpreter was last replaced for its memory.
    acted: Option<Instant>,
    /// Replacements since the cgroup was last below the mark.
    pub(super) in_vain: usize,
    /// The generation that `needs` is about.
    generation: u64,
    needs: Needs,
    has_told_useless: bool,
    has_told_tight: bool,
}

struct CgroupLimit {
    cgroup: Cgroup,
    /// The percentage of the limit at which an interpreter is due.
    percent: u64,
}

/// For each number of interpreters, the least memory in bytes that the process was seen to hold.
#[derive(Debug, Default)]
struct Needs(BTreeMap<usize, u64>);

/// The memory of the cgroup and the process at one moment.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) level: Level,
    /// Bytes at which an interpreter is due.
    pub(super) mark: u64,
    /// Bytes that this process holds.
    pub(super) own: u64,
    pub(super) interpreters: usize,
    /// An upper bound of the bytes that so many interpreters need.
    pub(super) needs: u64,
    /// An upper bound of the bytes that one more needs.
    pub(super) one_needs: u64,
}

impl Needs {
    fn note(&mut self, interpreters: usize, bytes: u64) {
        let least = self.0.entry(interpreters).or_insert(bytes);
        *least = bytes.min(*least);
    }

    /// An upper bound for this number of interpreters. They share part of their memory, so n times
    /// as many need at most n times as much, and fewer need no more than all.
    fn of(&self, interpreters: usize) -> u64 {
        let estimates = self.0.iter().map(|(&seen, &bytes)| {
            let (more, seen) = (count(interpreters.max(seen)), count(seen));
            bytes.saturating_mul(more) / seen.max(1)
        });
        estimates.min().unwrap_or(0)
    }

    /// An upper bound for one more interpreter.
    fn of_one(&self) -> u64 {
        let shares = self
            .0
            .iter()
            .map(|(&seen, &bytes)| bytes / count(seen).max(1));
        shares.min().unwrap_or(0)
    }
}

/// The pause after a replacement, when all interpreters have been replaced in vain so often.
pub(super) fn pause_after(rounds: usize) -> Duration {
    PAUSE * (1 << rounds.min(DOUBLED_MAX))
}

pub(super) fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

impl Sight {
    pub(super) fn left(&self) -> u64 {
        self.level.limit.saturating_sub(self.level.used)
    }

    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.left() >= bytes
    }

    /// Whether the process holds a tenth more than it needs.
    pub(super) fn has_grown(&self) -> bool {
        self.own >= self.needs.saturating_add(self.needs / 10)
    }

    /// `470 of 512 MB`
    pub(super) fn used(&self) -> String {
        format!(
            "{} of {} MB",
            megabytes(self.level.used),
            megabytes(self.level.limit)
        )
    }
}

pub(super) const fn megabytes(bytes: u64) -> u64 {
    bytes >> 20
}

impl MemoryWatch {
    pub(super) fn new(config: &ReloadConfig, serving: Option<&Workers>) -> Self {
        if config.memory.is_any() && !memory::IS_KNOWN {
            tracing::warn!(
                "--reload-on-rss and its like are without effect: this system does not tell"
            );
        }
        let cgroup = config
            .cgroup_percent
            .and_then(|percent| Cgroup::find().map(|cgroup| CgroupLimit { cgroup, percent }));
        let mut watch = Self {
            limits: config.memory,
            cgroup,
            looked: None,
            acted: None,
            in_vain: 0,
            generation: 0,
            needs: Needs::default(),
            has_told_useless: false,
            has_told_tight: false,
        };
        if let Some(workers) = serving
            && let Some(sight) = watch.see(workers)
        {
            tracing::info!(
                "memory: the container (cgroup) may use {} MB; {} is renewed at {} MB \
                 (--reload-on-cgroup {})",
                megabytes(sight.level.limit),
                if can_roll(workers) {
                    "the oldest interpreter"
                } else {
                    "the process"
                },
                megabytes(sight.mark),
                config.cgroup_percent.unwrap_or_default()
            );
        }
        watch
    }

    /// How often to check; `None`: never.
    pub(super) fn cycle(&self) -> Option<Duration> {
        if self.limits.is_any() {
            return Some(TICK);
        }
        self.cgroup.as_ref().map(|_| CGROUP_TICK)
    }

    /// Every interpreter was loaded anew.
    pub(super) fn note_all_fresh(&mut self) {
        self.generation = 0;
    }

    pub(super) fn note_replacement(&mut self) {
        self.acted = Some(Instant::now());
    }

    /// Whether the effect of the last replacement is still waited for.
    pub(super) fn is_pausing(&self, pause: Duration) -> bool {
        self.acted.is_some_and(|at| at.elapsed() <= pause)
    }

    /// Which limit of the process is exceeded, in words.
    pub(super) fn exceeded(&self, interpreters: usize) -> Option<String> {
        if !self.limits.is_any() || self.is_pausing(PAUSE) {
            return None;
        }
        let used = memory::used(&self.limits)?;
        memory::exceeded(&self.limits, &used, interpreters)
    }

    pub(super) fn is_cgroup_due(&self) -> bool {
        self.cgroup.is_some() && self.looked.is_none_or(|at| at.elapsed() >= CGROUP_TICK)
    }

    /// Reads the memory of the cgroup and the process, and notes what the interpreters need, so no
    /// task may run. `None` without a limit, and without interpreters.
    pub(super) fn see(&mut self, workers: &Workers) -> Option<Sight> {
        let CgroupLimit { cgroup, percent } = self.cgroup.as_ref()?;
        let (level, own) = (cgroup.level()?, memory::anonymous()?);
        let interpreters = workers.groups().len();
        if interpreters == 0 {
            return None;
        }
        if self.generation != workers.generation() {
            (self.generation, self.needs) = (workers.generation(), Needs::default());
            self.in_vain = 0;
            (self.has_told_useless, self.has_told_tight) = (false, false);
        }
        let needs = &mut self.needs;
        needs.note(interpreters, own);
        Some(Sight {
            level,
            mark: level.limit / 100 * percent,
            own,
            interpreters,
            needs: needs.of(interpreters),
            one_needs: needs.of_one(),
        })
    }

    /// Why a fresh interpreter has no room beside those that serve. `None` if it has, and if there
    /// is only one, which cannot end first.
    pub(super) fn shortage(&mut self, workers: &Workers) -> Option<String> {
        let sight = self.see(workers)?;
        let is_short = sight.interpreters > 1 && !sight.has_room_for(sight.one_needs);
        is_short.then(|| {
            format!(
                "of the container's memory {} MB are left, and a fresh interpreter may take \
                 {} MB",
                megabytes(sight.left()),
                megabytes(sight.one_needs)
            )
        })
    }

    /// Whether a fresh interpreter has room beside those that serve.
    pub(super) fn has_room(&mut self, workers: &Workers) -> bool {
        self.see(workers)
            .is_none_or(|sight| sight.has_room_for(sight.one_needs))
    }

    /// Warns, once, that replacements do not help.
    pub(super) fn tell_useless(&mut self, sight: &Sight, why: &str) {
        if !std::mem::replace(&mut self.has_told_useless, true) {
            tracing::warn!(
                "memory: {} are used in the container (cgroup), and fresh interpreters do not \
                 help: {why}. Take fewer interpreters (--processes), give the container more \
                 memory, or look at what else runs in it",
                sight.used()
            );
        }
    }

    /// Reports, once, that there is no room for a replacement.
    pub(super) fn tell_tight(&mut self, sight: &Sight) {
        if !std::mem::replace(&mut self.has_told_tight, true) {
            tracing::error!(
                "memory: {} are used in the container (cgroup), and this process cannot be \
                 relieved: what takes its place needs up to {} MB beside it, {} MB are left. Give \
                 the container more memory, renew earlier (a lower --reload-on-cgroup), or restart \
                 it before the kernel ends it",
                sight.used(),
                megabytes(sight.needs),
                megabytes(sight.left())
            );
        }
    }

    /// Enough memory is left. A warning is repeated only after the use was well below the mark.
    pub(super) fn note_below_mark(&mut self, sight: &Sight) {
        self.in_vain = 0;
        if sight.level.used < sight.mark / 8 * 7 {
            (self.has_told_useless, self.has_told_tight) = (false, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_interpreters_need_at_most_as_many_times_more() {
        let mut needs = Needs::default();
        assert_eq!((needs.of(3), needs.of_one()), (0, 0));
        needs.note(2, 100);
        assert_eq!(needs.of(2), 100);
        assert_eq!(needs.of(1), 100, "the shared part is unknown");
        assert_eq!(needs.of(4), 200);
        assert_eq!(needs.of_one(), 50);
        // A measured value counts more than an estimate.
        needs.note(4, 160);
        assert_eq!((needs.of(4), needs.of_one()), (160, 40));
        needs.note(4, 500);
        assert_eq!(needs.of(4), 160, "the least counts");
        needs.note(1, 60);
        assert_eq!((needs.of(1), needs.of(2), needs.of(8)), (60, 100, 320));
    }

    fn sight(used: u64, own: u64, needs: u64) -> Sight {
        Sight {
            level: Level { limit: 1000, used },
            mark: 900,
            own,
            interpreters: 2,
            needs,
            one_needs: needs / 2,
        }
    }

    #[test]
    fn what_does_not_help_is_done_less_and_less_often() {
        let minutes = [0, 1, 2, 5, 6, 1000].map(|rounds| pause_after(rounds).as_secs() / 60);
        assert_eq!(minutes, [1, 2, 4, 32, 32, 32]);
    }

    #[test]
    fn a_tenth_more_is_growth() {
        assert!(!sight(900, 109, 100).has_grown());
        assert!(sight(900, 110, 100).has_grown());
    }

    #[test]
    fn room_is_what_is_left() {
        let sight = sight(950, 0, 100);
        assert!(sight.has_room_for(50) && !sight.has_room_for(51));
        let above = self::sight(1200, 0, 0);
        assert_eq!(above.left(), 0);
    }
}
