//! Memory limits: which interpreter is replaced for its memory, and warnings. On the main thread;
//! `memory_watch` has the measurements.

use std::time::Instant;

use super::state::Reloader;
use crate::app::Workers;
use crate::python::Isolation;
use crate::reload::builder::can_roll;
use crate::reload::history::Way;
use crate::reload::memory_watch::{count, megabytes, pause_after};

impl Reloader {
    /// Checks whether memory makes an interpreter due. Once a tick.
    pub(super) fn look_at_memory(&mut self, workers: &Workers) {
        // The main interpreter does the work of all processes, each of which has a share.
        let shares = match workers.isolation() {
            Isolation::Main => self.builder.config().workers.processes,
            Isolation::OwnGil | Isolation::SharedGil => workers.groups().len(),
        };
        let why = self.memory.exceeded(shares);
        if why.is_some_and(|why| workers.recycle_oldest(&why)) {
            self.memory.note_replacement();
        }
        // The memory of a task or a canary says nothing about the interpreters that serve; after a
        // rollback none is replaced.
        let is_unsettled = self.pending.is_busy() || self.disk_has_other_code();
        if self.memory.is_cgroup_due() && !is_unsettled && workers.has_application() {
            self.look_at_cgroup(workers);
        }
    }

    fn look_at_cgroup(&mut self, workers: &Workers) {
        self.memory.looked = Some(Instant::now());
        self.start_missing(workers);
        if self.pending.is_busy() {
            return;
        }
        let Some(sight) = self.memory.see(workers) else {
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
        if self.memory.is_pausing(pause_after(rounds)) || self.missing.is_some() {
            return;
        }
        if self.drop_previous_for_memory(&sight.used()) {
            self.memory.note_replacement();
            return;
        }
        if !sight.has_grown() {
            // A generation that ends still holds memory.
            if self.retiring.is_empty() {
                let grown =
                    "this process holds hardly more than when it had loaded the application";
                self.memory.tell_useless(&sight, grown);
            }
            return;
        }
        let can_leave_first = can_roll(workers) && sight.interpreters > 1;
        if !can_leave_first && !sight.has_room_for(sight.needs) {
            self.memory.tell_tight(&sight);
            return;
        }
        if rounds > 0 {
            let vain = "every interpreter has been replaced meanwhile";
            self.memory.tell_useless(&sight, vain);
        }
        let percent = self
            .builder
            .config()
            .reload
            .cgroup_percent
            .unwrap_or_default();
        let why = format!(
            "{} are used in the container (--reload-on-cgroup {percent})",
            sight.used()
        );
        if workers.recycle_oldest(&why) {
            self.memory.note_replacement();
            self.memory.in_vain += 1;
        }
    }

    /// A reload begins: warns if there is no room for the new version beside the old one.
    pub(super) fn warn_of_room(&mut self, workers: &Workers, way: Way) {
        let Some(sight) = self.memory.see(workers) else {
            return;
        };
        let at_first = self
            .builder
            .version()
            .plan
            .at_first
            .clamp(1, workers.most());
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
        let may_roll = workers.isolation() != Isolation::Main && way != Way::Rolling;
        tracing::warn!(
            "memory: {what} may take {} MB beside what serves, and of the container's {} MB {} MB \
             are left; if that is too little the kernel ends the process. {}",
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
