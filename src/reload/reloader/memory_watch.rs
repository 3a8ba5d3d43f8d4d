//! When memory makes an interpreter due, and whether there is room for a fresh one beside those that serve. The main thread's.
//!
//! The process is one, so nobody can tell which interpreter holds the memory: it is always the oldest that is due. What a cgroup
//! (a container) uses may also be somebody else's, or what the application simply needs. So its limit makes an interpreter due only
//! if this process has grown since it loaded the application, and less and less often if that does not help.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Reloader, TICK, can_roll};
use crate::app::Roster;
use crate::config::{MemoryLimits, ReloadConfig};
use crate::os::memory;
use crate::os::memory::cgroup::{Cgroup, Level};
use crate::python::Isolation;
use crate::reload::history::Way;

/// How often a cgroup is looked at: nothing else may wake an idle server.
const CGROUP_TICK: Duration = Duration::from_secs(5);
/// Memory comes back late, if at all: so long after a replacement its effect is waited for.
const PAUSE: Duration = Duration::from_secs(60);
/// Each time that every interpreter was replaced in vain, the pause doubles; so often at most.
const DOUBLED_MAX: usize = 5;

/// What is known of memory, and what was done and said about it.
pub(super) struct MemoryWatch {
    limits: MemoryLimits,
    /// If it has a limit, and the percentage of it that counts.
    cgroup: Option<(Cgroup, u64)>,
    looked: Option<Instant>,
    /// When an interpreter was replaced for its memory.
    acted: Option<Instant>,
    /// Replacements since the cgroup was last seen below the mark.
    in_vain: usize,
    /// Of this generation.
    needs: (u64, Needs),
    has_told_useless: bool,
    has_told_tight: bool,
}

/// What so many interpreters were seen to take: for each number of them, the least.
#[derive(Debug, Default)]
struct Needs(BTreeMap<usize, u64>);

/// The cgroup and the process at one moment.
#[derive(Debug)]
struct Sight {
    level: Level,
    /// Bytes at which an interpreter is due.
    mark: u64,
    /// Bytes that this process holds.
    own: u64,
    interpreters: usize,
    /// Bytes that so many interpreters need, and that one more needs: at most.
    needs: u64,
    one_needs: u64,
}

impl Needs {
    fn note(&mut self, interpreters: usize, bytes: u64) {
        let least = self.0.entry(interpreters).or_insert(bytes);
        *least = bytes.min(*least);
    }

    /// What so many need, at most. A process is its interpreters and what they share: so more of them take at most as many times more,
    /// and fewer not more than all.
    fn of(&self, interpreters: usize) -> u64 {
        let estimates = self.0.iter().map(|(&seen, &bytes)| {
            let (more, seen) = (count(interpreters.max(seen)), count(seen));
            // Each seen number is at least 1.
            bytes.saturating_mul(more) / seen.max(1)
        });
        estimates.min().unwrap_or(0)
    }

    /// What one more needs, at most.
    fn of_one(&self) -> u64 {
        let shares = self
            .0
            .iter()
            .map(|(&seen, &bytes)| bytes / count(seen).max(1));
        shares.min().unwrap_or(0)
    }
}

/// What a replacement is waited for when all interpreters have been replaced in vain so often.
fn pause_after(rounds: usize) -> Duration {
    PAUSE * (1 << rounds.min(DOUBLED_MAX))
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

impl Sight {
    fn left(&self) -> u64 {
        self.level.limit.saturating_sub(self.level.used)
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.left() >= bytes
    }

    /// Noticeably: by a tenth.
    fn has_grown(&self) -> bool {
        self.own >= self.needs.saturating_add(self.needs / 10)
    }

    /// `470 of 512 MB`
    fn used(&self) -> String {
        format!(
            "{} of {} MB",
            megabytes(self.level.used),
            megabytes(self.level.limit)
        )
    }
}

const fn megabytes(bytes: u64) -> u64 {
    bytes >> 20
}

impl MemoryWatch {
    pub(super) fn new(config: &ReloadConfig, serving: Option<&Roster>) -> Self {
        if config.memory.is_any() && !memory::IS_KNOWN {
            tracing::warn!(
                "--reload-on-rss and its like are without effect: this system does not tell"
            );
        }
        let cgroup = config
            .cgroup_percent
            .and_then(|percent| Some((Cgroup::find()?, percent)));
        let mut watch = Self {
            limits: config.memory,
            cgroup,
            looked: None,
            acted: None,
            in_vain: 0,
            needs: Default::default(),
            has_told_useless: false,
            has_told_tight: false,
        };
        if let Some(roster) = serving
            && let Some(sight) = watch.see(roster)
        {
            tracing::info!(
                "memory: the container (cgroup) may use {} MB; {} is renewed at {} MB (--reload-on-cgroup {})",
                megabytes(sight.level.limit),
                if can_roll(roster) {
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

    /// How often there is anything to look for.
    pub(super) fn cycle(&self) -> Option<Duration> {
        if self.limits.is_any() {
            return Some(TICK);
        }
        self.cgroup.as_ref().map(|_| CGROUP_TICK)
    }

    /// The application was loaded anew in every interpreter.
    pub(super) fn note_all_fresh(&mut self) {
        self.needs = Default::default();
    }

    fn note_replacement(&mut self) {
        self.acted = Some(Instant::now());
    }

    /// Whether the last replacement is to be waited for.
    fn is_pausing(&self, pause: Duration) -> bool {
        self.acted.is_some_and(|at| at.elapsed() <= pause)
    }

    /// Which limit of the process is exceeded, in words.
    fn exceeded(&self, interpreters: usize) -> Option<String> {
        if !self.limits.is_any() || self.is_pausing(PAUSE) {
            return None;
        }
        let used = memory::used(&self.limits)?;
        memory::exceeded(&self.limits, &used, interpreters)
    }

    /// Whether the cgroup is to be looked at now.
    fn is_cgroup_due(&self) -> bool {
        self.cgroup.is_some() && self.looked.is_none_or(|at| at.elapsed() >= CGROUP_TICK)
    }

    /// The cgroup and the process now; what they are like is noted, so nothing may be under way. `None`: there is no limit, or nobody
    /// works.
    fn see(&mut self, roster: &Roster) -> Option<Sight> {
        let (cgroup, percent) = self.cgroup.as_ref()?;
        let (level, own) = (cgroup.level()?, memory::anonymous()?);
        let interpreters = roster.crews().len();
        if interpreters == 0 {
            return None;
        }
        if self.needs.0 != roster.generation() {
            self.needs = (roster.generation(), Needs::default());
            self.in_vain = 0;
            (self.has_told_useless, self.has_told_tight) = (false, false);
        }
        let needs = &mut self.needs.1;
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

    /// Why no fresh interpreter has room beside those that serve, if so; only where one of them can leave first.
    pub(super) fn shortage(&mut self, roster: &Roster) -> Option<String> {
        let sight = self.see(roster)?;
        let is_short = sight.interpreters > 1 && !sight.has_room_for(sight.one_needs);
        is_short.then(|| {
            format!(
                "of the container's memory {} MB are left, and a fresh interpreter may take {} MB",
                megabytes(sight.left()),
                megabytes(sight.one_needs)
            )
        })
    }

    /// Whether a fresh interpreter has room beside those that serve.
    pub(super) fn has_room(&mut self, roster: &Roster) -> bool {
        self.see(roster)
            .is_none_or(|sight| sight.has_room_for(sight.one_needs))
    }

    /// It is not for its interpreters that so much is used.
    fn tell_useless(&mut self, sight: &Sight, why: &str) {
        if !std::mem::replace(&mut self.has_told_useless, true) {
            tracing::warn!(
                "memory: {} are used in the container (cgroup), and fresh interpreters do not help: {why}. Take fewer interpreters \
                 (--processes), give the container more memory, or look at what else runs in it",
                sight.used()
            );
        }
    }

    /// Nothing can be done.
    fn tell_tight(&mut self, sight: &Sight) {
        if !std::mem::replace(&mut self.has_told_tight, true) {
            tracing::error!(
                "memory: {} are used in the container (cgroup), and this process cannot be relieved: what takes its place needs up to \
                 {} MB beside it, {} MB are left. Give the container more memory, renew earlier (a lower --reload-on-cgroup), or \
                 restart it before the kernel ends it",
                sight.used(),
                megabytes(sight.needs),
                megabytes(sight.left())
            );
        }
    }

    /// What there is to say after a look that finds enough left. What was said is not said again as long as it is close.
    fn note_below_mark(&mut self, sight: &Sight) {
        self.in_vain = 0;
        if sight.level.used < sight.mark / 8 * 7 {
            (self.has_told_useless, self.has_told_tight) = (false, false);
        }
    }
}

impl Reloader {
    /// Looks whether memory makes an interpreter due. Once a tick.
    pub(super) fn look_at_memory(&mut self, roster: &Roster) {
        let why = self.memory.exceeded(roster.crews().len());
        if why.is_some_and(|why| roster.ask_for_the_oldest(&why)) {
            self.memory.note_replacement();
        }
        // What is being made, or tried out, takes memory that says nothing of those that serve; and where a version was taken back
        // none is made.
        let is_unsettled = self.agenda.is_busy() || self.is_code_another();
        if self.memory.is_cgroup_due() && !is_unsettled && roster.has_application() {
            self.look_at_cgroup(roster);
        }
    }

    fn look_at_cgroup(&mut self, roster: &Roster) {
        self.memory.looked = Some(Instant::now());
        self.fill_vacancy(roster);
        if self.agenda.is_busy() {
            return;
        }
        let Some(sight) = self.memory.see(roster) else {
            return;
        };
        tracing::debug!(
            "memory: {} are used in the cgroup; {} MB are this process's, which needs {} MB",
            sight.used(),
            megabytes(sight.own),
            megabytes(sight.needs)
        );
        if sight.level.used < sight.mark {
            self.memory.note_below_mark(&sight);
            return;
        }
        let rounds = self.memory.in_vain / sight.interpreters;
        if self.memory.is_pausing(pause_after(rounds)) || self.has_vacancy() {
            return;
        }
        if self.let_kept_go(&sight.used()) {
            self.memory.note_replacement();
            return;
        }
        if !sight.has_grown() {
            // What is about to end does not count.
            if self.retiring.is_empty() {
                let grown =
                    "this process holds hardly more than when it had loaded the application";
                self.memory.tell_useless(&sight, grown);
            }
            return;
        }
        let can_leave_first = can_roll(roster) && sight.interpreters > 1;
        if !can_leave_first && !sight.has_room_for(sight.needs) {
            self.memory.tell_tight(&sight);
            return;
        }
        if rounds > 0 {
            let vain = "every interpreter has been replaced meanwhile";
            self.memory.tell_useless(&sight, vain);
        }
        let percent = self.recipe.config.reload.cgroup_percent.unwrap_or_default();
        let why = format!(
            "{} are used in the container (--reload-on-cgroup {percent})",
            sight.used()
        );
        if roster.ask_for_the_oldest(&why) {
            self.memory.note_replacement();
            self.memory.in_vain += 1;
        }
    }

    /// A reload begins: whether what it makes has room beside what serves.
    pub(super) fn warn_of_room(&mut self, roster: &Roster, way: Way) {
        let Some(sight) = self.memory.see(roster) else {
            return;
        };
        let at_first = self.recipe.plan.at_first.clamp(1, roster.most());
        let (what, needed) = match way {
            Way::Exec => ("a second process", sight.needs),
            Way::Rolling => ("a fresh interpreter", sight.one_needs),
            Way::Swap | Way::Rollback => {
                let made = count(at_first.max(sight.interpreters));
                ("a new generation", sight.one_needs.saturating_mul(made))
            }
        };
        if sight.has_room_for(needed) {
            return;
        }
        let may_roll = roster.isolation() != Isolation::Main && way != Way::Rolling;
        tracing::warn!(
            "memory: {what} may take {} MB beside what serves, and of the container's {} MB {} MB are left; if that is too little the \
             kernel ends the process. {}",
            megabytes(needed),
            megabytes(sight.level.limit),
            megabytes(sight.left()),
            if may_roll {
                "--reload-mode rolling replaces one interpreter after the other"
            } else {
                "Give the container more memory, or replace the container instead"
            }
        );
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
        assert_eq!(needs.of(1), 100, "nobody knows what they share");
        assert_eq!(needs.of(4), 200);
        assert_eq!(needs.of_one(), 50);
        // Seen is better than reckoned.
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
