//! What the supervisor does at reloads and for touched files. Main thread.

use std::path::PathBuf;
use std::sync::Arc;

use super::certificates::Certificates;
use super::folders::Folders;
use super::hooks::{self, HookContext};
use super::log_target::LogOutput;
use super::settings::cron_commands;
use crate::admin::metrics_snapshot::MetricsSnapshot;
use crate::background::alarms::Alarms;
use crate::background::clockwork::Clockwork;
use crate::config::Config;
use crate::waiter::link::Link;

/// What the supervisor's actions need.
pub struct Actions<'a> {
    /// The configuration.
    pub config: Arc<Config>,
    /// The folder that the server was started in.
    pub started_in: PathBuf,
    pub clockwork: &'a Clockwork,
    /// Read again at a reload.
    pub certificates: &'a Certificates,
    /// Opened again at a reload.
    pub output: &'a mut LogOutput,
    /// Raised by hooks.
    pub alarms: &'a Alarms,
    pub metrics: &'a MetricsSnapshot,
    pub link: &'a Link,
}

impl Actions<'_> {
    /// Before every reload, whether or not the application loads then.
    pub fn prepare_reload(&mut self) {
        self.output.reopen();
        self.link.share_log();
        self.certificates.reload();
    }

    /// Another version is in charge, and this is its configuration.
    pub fn adopt(&mut self, config: Arc<Config>) {
        let target_of =
            |config: &Config| (config.log.target.clone(), config.log.late_target.clone());
        if target_of(&self.config) != target_of(&config) {
            let folders = Folders::new(&config, &self.started_in);
            self.output.change_target(&config, &folders);
            self.link.share_log();
        }
        if self.config.background.cron != config.background.cron {
            match cron_commands(&config) {
                Ok(commands) => self.clockwork.set_commands(commands),
                Err(failure) => tracing::error!("{}", failure.text),
            }
        }
        self.config = config;
    }

    /// Opens the log again.
    pub fn reopen_log(&mut self, by: &str) {
        tracing::info!("{by}: opening the log anew");
        self.output.reopen();
        self.link.share_log();
    }

    /// Rotates the log files.
    pub fn rotate_log(&mut self, by: &str) {
        tracing::info!("{by}: rotating the log");
        self.output.rotate();
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
        hooks::run_touched(&self.config, number, context)
    }
}
