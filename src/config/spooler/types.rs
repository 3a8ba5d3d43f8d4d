//! What the spooler goes by, and what `singlemalt spool` is asked to do. Plain values.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::app::types::AppTarget;

/// The spooler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolerConfig {
    /// Directories with tasks that are run here (`spooler`).
    pub folders: Vec<PathBuf>,
    /// Directories with tasks for another server (`spooler-external`).
    pub external_folders: Vec<PathBuf>,
    /// Tasks of each directory that run at once (`spooler-processes`).
    pub threads: usize,
    /// Imported by the spooler's interpreters (`spooler-import`).
    pub imports: Vec<AppTarget>,
    /// Between two looks at a directory (`spooler-frequency`).
    pub frequency: Duration,
    /// Tasks of one interpreter (`spooler-max-tasks`).
    pub tasks_max: Option<u64>,
    /// How long a task may take (`spooler-harakiri`).
    pub harakiri: Option<Duration>,
    /// The working directory of tasks (`spooler-chdir`).
    pub working_folder: Option<PathBuf>,
    /// Tasks are not logged (`spooler-quiet`).
    pub is_quiet: bool,
    /// Interpreters are made on demand (`spooler-cheap`).
    pub is_cheap: bool,
    /// Signals count as tasks (`spooler-signal-as-task`).
    pub counts_signals: bool,
    /// The first pause before a task is tried again (`spooler-retry-delay`).
    pub retry_delay: Option<Duration>,
    /// Tries of a task (`spooler-retry-max`).
    pub tries_max: Option<u32>,
    /// The niceness of its threads (`spooler-nice`).
    pub nice: Option<i32>,
    /// Tasks are on the disk before they are acknowledged (off: `spooler-no-sync`).
    pub is_durable: bool,
}

/// `singlemalt spool ls DIR` and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolCommand {
    /// What is done.
    pub action: SpoolAction,
    /// The spooler's directory.
    pub folder: PathBuf,
    /// Tasks by their names, or parts of them.
    pub names: Vec<String>,
    /// Keys and values of a new task.
    pub pairs: Vec<(String, String)>,
    /// The file with the body of a new task; `-` is standard input.
    pub body: Option<PathBuf>,
    /// Every task in `failed/` (`--all`).
    pub is_all: bool,
    /// Print JSON.
    pub is_json: bool,
    /// How long to wait.
    pub timeout: Option<Duration>,
}

/// What `singlemalt spool` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolAction {
    /// Lists the tasks.
    List,
    /// Shows tasks in full.
    Show,
    /// Lets tasks run now.
    Retry,
    /// Removes tasks.
    Remove,
    /// Adds a task.
    Add,
    /// Waits until all tasks are done.
    Drain,
}
