//! The part of the configuration that is about the process: its user, its files, its name, its
//! limits, what it does at each phase of its life. Plain values; `resolve_process` is their maker.
//!
//! What a field does is done by the server, once, at the phase that its comment names. Options
//! that the server does not act on yet are marked so in the option table (`.later()` in
//! `options/process.rs`), and that mark is the only switch.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::log::types::LogTarget;

/// A user or group, by name or number; looked up when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// `www-data`
    Name(String),
    /// `33`
    Number(u32),
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Name(name) => formatter.write_str(name),
            Principal::Number(number) => number.fmt(formatter),
        }
    }
}

/// Life of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessConfig {
    /// How long requests in progress may take to finish after a stop or reload was asked for.
    pub reload_mercy: Duration,
    /// How long requests are answered as before after a signal to stop (`shutdown-delay`).
    pub shutdown_delay: Duration,
    /// Stop when the first request has been answered (`once`).
    pub once: bool,
    /// Whether the server is started again when it crashes (`supervise`).
    pub supervise: Supervise,
    /// Become this user after the sockets are bound (`uid`). Failing is fatal.
    pub uid: Option<Principal>,
    /// Become this group after the sockets are bound (`gid`), before `uid`. Failing is fatal.
    pub gid: Option<Principal>,
    /// Further groups to be a member of (`add-gid`), set before `gid`. Failing is fatal.
    pub add_gid: Vec<Principal>,
    /// Become this user at once (`immediate-uid`), before the sockets are bound.
    pub immediate_uid: Option<Principal>,
    /// Become this group at once (`immediate-gid`), before the sockets are bound.
    pub immediate_gid: Option<Principal>,
    /// Become a member of all of the user's groups when `uid` is a name (off: `no-initgroups`).
    pub initgroups: bool,
    /// The mode bits that new files do not get (`umask`), set first of all.
    pub umask: Option<u32>,
    /// Detach from the terminal before Python and threads start, and log there (`daemonize`).
    pub daemonize: Option<LogTarget>,
    /// Detach, as `daemonize`, but report a failed start to the terminal first (`daemonize2`): in
    /// one process nothing can be detached after threads were started, so that the parent waits
    /// until the application is loaded.
    pub daemonize2: Option<LogTarget>,
    /// Write the process id there, before privileges are dropped (`pidfile`).
    pub pidfile: Option<PathBuf>,
    /// Write the process id there, after privileges were dropped (`pidfile2`).
    pub pidfile2: Option<PathBuf>,
    /// As `pidfile`, but once the server is ready (`safe-pidfile`).
    pub safe_pidfile: Option<PathBuf>,
    /// As `pidfile2`, but once the server is ready (`safe-pidfile2`).
    pub safe_pidfile2: Option<PathBuf>,
    /// The title of the process (`procname` and its family).
    pub procname: ProcessTitle,
    /// Cores for each worker thread (`cpu-affinity`, Linux).
    pub cpu_affinity: Option<usize>,
    /// RLIMIT_AS for each worker, in bytes (`limit-as`, given in megabytes).
    pub limit_as_bytes: Option<u64>,
    /// RLIMIT_NPROC (`limit-nproc`).
    pub limit_nproc: Option<u64>,
    /// RLIMIT_NOFILE (`max-fd`).
    pub max_fd: Option<u64>,
    /// Change to this directory after the application was loaded (`chdir2`).
    pub chdir2: Option<PathBuf>,
    /// Leave with code 0 instead of reloading (`exit-on-reload`).
    pub exit_on_reload: bool,
    /// What to do at phases of the process, in the order in which it was written within each
    /// phase (`hook-*` and `exec-*`; uWSGI runs the hooks of a phase before its commands, and so
    /// does the order here).
    pub hooks: Vec<Hook>,
}

/// Whether the first process only keeps the sockets and starts the server, again after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supervise {
    /// The first process is the server.
    #[default]
    Off,
    /// It starts the server.
    On,
    /// It also starts a second server, which is loaded and waits.
    Warm,
}

/// What the process is called in `ps`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTitle {
    /// The whole title (`procname`, or else `procname-master`: there is one process).
    pub title: Option<String>,
    /// In front of the title (`procname-prefix`; `procname-prefix-spaced` ends in a space).
    pub prefix: String,
    /// Behind the title (`procname-append`).
    pub append: String,
    /// Name the application in the title (`auto-procname`).
    pub automatic: bool,
}

/// Something to do at a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When.
    pub phase: Phase,
    /// What.
    pub action: HookAction,
    /// The file that is touched, for [`Phase::Touch`].
    pub file: Option<PathBuf>,
    /// Where it was written, for messages: `hook-post-fork (uwsgi.ini line 3)`.
    pub origin: String,
}

/// The phases of the process, in the order in which they come. Those of uWSGI that one process
/// cannot tell apart are still told apart here, so that their order stays as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before anything else, `asap`.
    Asap,
    /// `pre-jail`: before privileges are dropped.
    PreJail,
    /// `post-jail`: before privileges are dropped.
    PostJail,
    /// `in-jail`: before privileges are dropped.
    InJail,
    /// `as-root`: before privileges are dropped.
    AsRoot,
    /// `as-user`: after privileges were dropped.
    AsUser,
    /// `pre-app`: before the application is loaded.
    PreApp,
    /// `post-app`: after the application was loaded.
    PostApp,
    /// `master-start`: when the supervisor begins.
    MasterStart,
    /// `post-fork`: in each interpreter, once it is there.
    PostFork,
    /// `accepting`: each interpreter is about to take requests.
    Accepting,
    /// `accepting1`: the first interpreter is about to take requests.
    Accepting1,
    /// `accepting-once`: as `accepting`, but not again after a reload.
    AcceptingOnce,
    /// `accepting1-once`: as `accepting1`, but not again after a reload.
    Accepting1Once,
    /// `as-user-atexit`: when the process ends.
    AsUserAtExit,
    /// `touch`: when a file changes; the action's text begins with the file's path.
    Touch,
}

impl Phase {
    /// Every phase and its name behind `hook-` or `exec-`.
    pub const ALL: &[(&str, Phase)] = &[
        ("asap", Phase::Asap),
        ("pre-jail", Phase::PreJail),
        ("post-jail", Phase::PostJail),
        ("in-jail", Phase::InJail),
        ("as-root", Phase::AsRoot),
        ("as-user", Phase::AsUser),
        ("pre-app", Phase::PreApp),
        ("post-app", Phase::PostApp),
        ("master-start", Phase::MasterStart),
        ("post-fork", Phase::PostFork),
        ("accepting", Phase::Accepting),
        ("accepting1", Phase::Accepting1),
        ("accepting-once", Phase::AcceptingOnce),
        ("accepting1-once", Phase::Accepting1Once),
        ("as-user-atexit", Phase::AsUserAtExit),
        ("touch", Phase::Touch),
    ];
}

/// What a hook does. Paths are relative to the working directory of its phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAction {
    /// `exec:COMMAND`: run a command in a shell and wait; a failure is logged, and fatal in the
    /// phases up to `pre-app`. `exec-*` options are this action.
    Exec(String),
    /// `safeexec:COMMAND`: as `exec`, but a failure is only logged.
    SafeExec(String),
    /// `cd:DIR`, `chdir:DIR`
    ChangeDirectory(PathBuf),
    /// `mkdir:DIR`, with mode 777 less the umask.
    MakeDirectory(PathBuf),
    /// `putenv:KEY=VALUE`
    SetEnvironment(String, String),
    /// `chmod:FILE MODE`
    ChangeMode(PathBuf, u32),
    /// `sticky:FILE`: set the sticky bit.
    Sticky(PathBuf),
    /// `chown:FILE USER GROUP`, `chown2:FILE UID GID`
    ChangeOwner(PathBuf, Principal, Principal),
    /// `create:FILE`, `creat:FILE`: an empty file, emptied if it is there.
    Create(PathBuf),
    /// `write:FILE TEXT`; `writen:` with a line's end.
    Write(PathBuf, String),
    /// `append:FILE TEXT`; `appendn:` with a line's end.
    Append(PathBuf, String),
    /// `writefifo:FILE TEXT`: as `write`, but never waits for a reader.
    WriteFifo(PathBuf, String),
    /// `unlink:FILE`
    Unlink(PathBuf),
    /// `wait_for_fs:PATH`: until there is something.
    WaitForPath(PathBuf),
    /// `wait_for_file:PATH`: until there is a file.
    WaitForFile(PathBuf),
    /// `wait_for_dir:PATH`: until there is a directory.
    WaitForDirectory(PathBuf),
    /// `print:TEXT`, `log:TEXT`: a line for the log.
    Log(String),
    /// `alarm:NAME TEXT`: raise an alarm.
    Alarm(String, String),
    /// `exit[:CODE]`: leave.
    Exit(i32),
    /// `unix_signal:N gracefully_kill_them_all` and its relatives: what that signal means from
    /// now on.
    Signal(SignalMeaning),
}

/// uWSGI's C functions that a `unix_signal` or `call*` action may name, as what they do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalMeaning {
    /// Signal N stops the server after the requests in progress (`gracefully_kill_them_all`).
    GracefulStop(i32),
    /// Signal N stops the server at once (`kill_them_all`).
    Stop(i32),
    /// Signal N reloads the server (`grace_them_all`).
    Reload(i32),
    /// Signal N reloads without mercy (`reap_them_all`).
    ReloadAtOnce(i32),
}

/// What `--stop PIDFILE` and its relatives ask for; the server sends the signal and leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidfileCommand {
    /// What is asked for.
    pub request: PidfileRequest,
    /// The file that holds the process id.
    pub pidfile: PathBuf,
}

/// What a running server can be asked for by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfileRequest {
    /// `--stop`: SIGINT, as in uWSGI.
    Stop,
    /// `--reload`: SIGHUP.
    Reload,
    /// `--pause`, `--suspend`, `--resume`: SIGTSTP.
    Pause,
}

/// The longest that a hook may wait for a file to appear.
pub const HOOK_WAIT_MAX: Duration = Duration::from_secs(60);
