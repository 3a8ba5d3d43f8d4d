//! Interpreters and threads, as values.

use std::path::PathBuf;
use std::time::Duration;

/// How many interpreters and threads there are, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkersConfig {
    /// Interpreters (uWSGI's processes), at least 1.
    pub processes: usize,
    /// Threads of each interpreter, at least 1.
    pub threads: usize,
    /// How interpreters are made.
    pub isolation: IsolationChoice,
    /// The file that remembers which applications need the main interpreter.
    pub isolation_cache: IsolationCache,
    /// Tell after the start which installed extensions would refuse.
    pub scans_extensions: bool,
    /// Who waits in the poll (for tests and development).
    pub poll: PollChoice,
    /// When there are fewer of them.
    pub autoscale: AutoscaleConfig,
}

/// How interpreters are made (docs/isolation.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationChoice {
    /// The strongest that the Python and the application allow.
    Auto,
    /// Subinterpreters, each with a GIL of its own.
    OwnGil,
    /// Subinterpreters that share the main interpreter's GIL.
    SharedGil,
    /// The main interpreter only.
    Main,
}

/// The file that remembers which applications need the main interpreter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IsolationCache {
    /// In the user's folder for caches.
    #[default]
    OfUser,
    /// This one.
    At(PathBuf),
    /// None.
    Off,
}

/// Who waits in the poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollChoice {
    /// Idle workers where the system lets several threads wait on one poll, else the acceptor.
    Auto,
    /// Idle workers.
    Shared,
    /// The acceptor thread, always.
    Acceptor,
}

/// When there are more interpreters, and when fewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoscaleConfig {
    /// `cheaper` and its family; `None`: there are always `processes` of them.
    pub cheaper: Option<CheaperRules>,
    /// No interpreter before the first request (`cheap`).
    pub cheap: bool,
    /// Without a request for this long all interpreters are ended (`idle`).
    pub idle: Option<Duration>,
    /// Or the server stops (`die-on-idle`).
    pub die_on_idle: bool,
}

/// How the number of interpreters is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheaperRules {
    /// The least number (`cheaper`): at least 1, and fewer than `processes`.
    pub least: usize,
    /// How many there are at start (`cheaper-initial`): from `least` to `processes`.
    pub initial: usize,
    /// How many more at once (`cheaper-step`).
    pub step: usize,
    /// How long there has to be too much work (`cheaper-overload`); for `backlog` a number of
    /// requests.
    pub overload: Duration,
    /// How long there has to be too little work for `spare2` (`cheaper-idle`).
    pub idle: Duration,
    /// What decides (`cheaper-algo`).
    pub algorithm: CheaperAlgorithm,
    /// Bytes of the process from which on none is started (`cheaper-rss-limit-soft`).
    pub memory_soft: Option<u64>,
    /// Bytes of the process from which on one is ended (`cheaper-rss-limit-hard`); more than the
    /// soft limit.
    pub memory_hard: Option<u64>,
}

/// What decides about the number of interpreters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheaperAlgorithm {
    /// `spare`: one spare interpreter. More when all are busy for a while, fewer when several are
    /// idle for a while.
    Spare,
    /// `spare2`: as many spare ones as the least number. More before all are busy, fewer slowly.
    Spare2,
    /// `backlog`: by the number of requests that wait.
    Backlog,
    /// `busyness`: by the share of time that interpreters spend in requests.
    Busyness(BusynessRules),
    /// `manual`: only by command.
    Manual,
}

/// What can be set about `busyness`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusynessRules {
    /// Percent of work below which there are too many (`cheaper-busyness-min`).
    pub percent_min: u64,
    /// Percent of work above which there are too few (`cheaper-busyness-max`).
    pub percent_max: u64,
    /// Rounds of little work before one is ended (`cheaper-busyness-multiplier`).
    pub multiplier: u64,
    /// Rounds that are added when one was ended too early (`cheaper-busyness-penalty`).
    pub penalty: u64,
    /// Log what is seen (`cheaper-busyness-verbose`).
    pub is_verbose: bool,
    /// Waiting requests above which interpreters are started at once
    /// (`cheaper-busyness-backlog-alert`).
    pub backlog_alert: usize,
    /// Rounds of little work before an extra one is ended (`cheaper-busyness-backlog-multiplier`).
    pub backlog_multiplier: u64,
    /// Interpreters that are started at once for waiting requests
    /// (`cheaper-busyness-backlog-step`).
    pub backlog_step: usize,
    /// How long any request may wait (`cheaper-busyness-backlog-nonzero`).
    pub backlog_nonzero: Duration,
}
