//! The part of the configuration that is about reloads. Plain values; `resolve_reload` is their
//! maker.

use std::path::PathBuf;
use std::time::Duration;

/// When and how the application, or an interpreter, is renewed.
#[derive(Clone, Debug, PartialEq)]
pub struct ReloadConfig {
    /// How a reload goes (`reload-mode`).
    pub mode: ReloadMode,
    /// What the application may take to load at a reload (`reload-timeout`).
    pub timeout: Duration,
    /// What a new version has to answer before it serves (`reload-probe`).
    pub probe: Option<ProbeRules>,
    /// Which share of the requests a new version gets, and for how long (`reload-canary`). Empty:
    /// all at once.
    pub canary: Vec<CanaryStage>,
    /// How long the version before is kept (`keep-previous`).
    pub keep_previous: Option<Duration>,
    /// Go back when one of these is touched (`touch-rollback`).
    pub touch_rollback: Vec<PathBuf>,
    /// Reload when one of these is touched (`touch-reload`).
    pub touch: Vec<PathBuf>,
    /// Replace one interpreter after the other when one of these is touched (`touch-chain-reload`).
    pub touch_chain: Vec<PathBuf>,
    /// Reload when something below one of these changes (`fs-reload`).
    pub folders: Vec<PathBuf>,
    /// Reload when a module of the application is saved (`py-autoreload`).
    pub watches_modules: bool,
    /// But not one of these, or in them (`py-auto-reload-ignore`).
    pub python_ignored: Vec<String>,
    /// When an interpreter is replaced by a fresh one.
    pub recycling: Recycling,
    /// Memory for each interpreter.
    pub memory: MemoryLimits,
    /// Percent of the cgroup's memory limit (`reload-on-cgroup`).
    pub cgroup_percent: Option<u64>,
    /// When interpreters that cannot be ended renew the process.
    pub parked: ParkedLimits,
}

/// The interpreters that cannot be ended which one process keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParkedLimits {
    /// Their number (`max-parked-interpreters`).
    pub interpreters: Option<u64>,
    /// What they hold (`max-parked-memory`).
    pub bytes: Option<u64>,
}

/// After how much an interpreter is replaced by a fresh one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recycling {
    /// Requests after which an interpreter is replaced (`max-requests`).
    pub requests_max: Option<u64>,
    /// How many more for each interpreter than for the one before it (`max-requests-delta`).
    pub requests_delta: u64,
    /// No interpreter is replaced that is younger (`min-worker-lifetime`).
    pub lifetime_min: Duration,
    /// The age at which an interpreter is replaced (`max-worker-lifetime`).
    pub lifetime_max: Option<Duration>,
    /// How much more for each interpreter than for the one before it (`max-worker-lifetime-delta`).
    pub lifetime_delta: Duration,
    /// Exceptions of the application that have its interpreter replaced (`reload-on-exception` and
    /// its family).
    pub exceptions: Option<Exceptions>,
}

/// A request that the server makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRules {
    /// A path and query, or a URL.
    pub target: String,
    /// The only status that will do; otherwise 2xx and 3xx will.
    pub status: Option<u16>,
    /// What the answer may take (`reload-probe-timeout`).
    pub timeout: Duration,
}

/// A part of a new version's way to all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryStage {
    /// Its share, of a million requests.
    pub share: u32,
    /// How long.
    pub time: Duration,
}

/// How a reload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadMode {
    /// All interpreters at once, beside the old ones.
    Swap,
    /// One interpreter after the other.
    Rolling,
    /// The process starts anew in its own place.
    Exec,
}

/// Which exceptions of the application are meant. Empty lists mean any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// `ZeroDivisionError` (`reload-on-exception-type`).
    pub types: Vec<String>,
    /// `division by zero` (`reload-on-exception-value`).
    pub values: Vec<String>,
    /// `ZeroDivisionError: division by zero` (`reload-on-exception-repr`).
    pub reprs: Vec<String>,
}

/// Memory of the process for each interpreter above which one is replaced, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Resident (`reload-on-rss`, `evil-reload-on-rss`).
    pub resident_bytes: Option<u64>,
    /// Address space (`reload-on-as`, `evil-reload-on-as`).
    pub address_bytes: Option<u64>,
    /// Its own (`reload-on-uss`).
    pub own_bytes: Option<u64>,
    /// Its own and its share of what it shares (`reload-on-pss`).
    pub proportional_bytes: Option<u64>,
}

impl MemoryLimits {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}
