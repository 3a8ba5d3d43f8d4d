//! What the supervisor does at reloads and for touched files. Main thread.

use super::certificates::Certificates;
use super::hooks::{self, HookContext};
use super::log_target::LogOutput;
use crate::admin::metrics_snapshot::MetricsSnapshot;
use crate::background::alarms::Alarms;
use crate::config::Config;

/// What the supervisor's actions need.
pub struct Actions<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Read again at a reload.
    pub certificates: &'a Certificates,
    /// Opened again at a reload.
    pub output: &'a mut LogOutput,
    /// Raised by hooks.
    pub alarms: &'a Alarms,
    pub metrics: &'a MetricsSnapshot,
}

impl Actions<'_> {
    /// Before every reload, whether or not the application loads then.
    pub fn prepare_reload(&mut self) {
        self.reopen_log();
        self.certificates.reload();
    }

    /// Opens the log again.
    pub fn reopen_log(&mut self) {
        self.output.reopen();
    }

    pub fn log_status(&self, by: &str) {
        tracing::info!("{by}\n{}", self.metrics.shown());
    }

    /// Runs the hook with this number. `Some`: stop with this exit code.
    pub fn run_touched(&self, number: usize) -> Option<i32> {
        let context = HookContext {
            say: &|line| self.output.say(line),
            alarms: self.alarms,
        };
        hooks::run_touched(self.config, number, context)
    }
}
