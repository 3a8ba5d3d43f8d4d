//! How the running server is asked and told, and the subcommands that do so. Plain values;
//! `resolve_control` and
//! `subcommand` are their makers.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::values::address::Address;

/// Control socket, fifos, stats server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlConfig {
    /// Where commands are taken (`control`), beside the pidfiles' places.
    pub door: ControlDoor,
    /// The file with the secret of a port (`control-token`).
    pub token_file: Option<PathBuf>,
    /// Named pipes for one-letter commands (`master-fifo`), in their order.
    pub fifos: Vec<PathBuf>,
    /// Where statistics are served (`stats`).
    pub stats: Option<Address>,
    /// With an HTTP header in front (`stats-http`).
    pub stats_http: bool,
    /// Without spaces (`stats-minified`).
    pub stats_minified: bool,
    /// With what each thread does (off: `stats-no-cores`).
    pub stats_cores: bool,
}

/// Where commands are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlDoor {
    /// Beside each pidfile.
    #[default]
    ByPidfile,
    /// Nowhere (`control = none`).
    Shut,
    /// Here, and beside each pidfile.
    At(Address),
}

/// What stands behind a pidfile's name in that of its control socket (unix), or of the file that
/// says where the control socket is and what its secret is (Windows, and ports).
pub const BESIDE_PIDFILE: &str = "control";

/// `app.pid` becomes `app.pid.control`.
pub fn beside(pidfile: &std::path::Path) -> PathBuf {
    let mut name = pidfile.as_os_str().to_owned();
    name.push(".");
    name.push(BESIDE_PIDFILE);
    name.into()
}

/// `singlemalt reload` and its like: what to ask of which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subcommand {
    /// What.
    pub verb: Verb,
    /// The server by its pidfile.
    pub pidfile: Option<PathBuf>,
    /// The server by its control socket; stronger than the pidfile.
    pub address: Option<Address>,
    /// The file with the secret of a port.
    pub token_file: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
    /// Wait until it is done (off: `--no-wait`).
    pub wait: bool,
    /// Stop without waiting for requests in progress (`--now`).
    pub now: bool,
    /// Replace one interpreter after the other (`--rolling`).
    pub rolling: bool,
    /// How long to wait; `None` is for as long as it takes.
    pub timeout: Option<Duration>,
}

/// What a subcommand asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Load the application anew.
    Reload,
    /// Go back to the version before.
    Rollback,
    /// Say where every worker stands.
    Stacks,
    /// Stop.
    Stop,
    /// Say how it is.
    Status,
    /// Say how the last reload went.
    ReloadStatus,
}
