//! The composition root: the only room that knows everybody.
//!
//! In the order of a server's life:
//!
//! - `step`: [`run`]: how a process of it begins, by what it is for
//! - `assembly`: assembles the server in order, and takes it down in reverse
//! - `groundwork`: what it needs around it, and its stand-in too
//! - [`start_with`]: starts anew with another configuration when that failed
//! - [`ask_by_pidfile`]: tells a running server something instead
//! - `failure`: why there is no server
//! - `daemon`: detaches it from its terminal
//! - `log_target`, `redirect`: where its log goes
//! - `file_locks`, `awaited`: what must hold before it starts
//! - `limits`, `title`, `process_name`: what the process may use, and what it is called
//! - `sockets`, `inherited`, `activation`: where it listens
//! - `notify`: how a service manager hears of it
//! - `certificates`: the TLS of its sockets
//! - `accounts`, `privileges`, `file_owner`: who it is, and whose its files are
//! - `application`: what it serves
//! - `errand`: what it does instead of serving
//! - `static_files`: what it serves without the application
//! - `failed_load`: what it says in development when the application does not load
//! - `process`: what the application is told about the process, and what becomes of its wishes
//! - `pidfile`, `vacuum`: what it leaves in the file system, and takes away again
//! - `hooks`: what else is to be done at phases of its life
//! - `alarms`: what raises alarms beside hooks and the application
//! - `report`: what a person reads at start
//! - `request_log`: turns answered requests into log lines
//! - `supervisor`, `ending`, `signals`: what it is told, and how it stops
//! - `control`, `fifo`, `stats`, `doors`, `census`, `journal`: how it is asked and told while it runs
//! - `control_command`: asks it: [`ask_by_control`]
//! - `reload`, `agenda`, `adaptation`, `changing`, `beat`, `triggers`, `memory`, `cgroup`: how and when it renews what it serves
//! - `rebirth`, `in_place`, `stand_in`, `offspring`, `relay`, `line`, `words`: how it leaves its place to another process
//! - `successor`, `keeper`, `meeting`: how that process becomes the server, and who waits for its end
//! - `trial`: how a new version is tried out before it gets all requests
//!
//! Everything here runs on the main thread, which is detached from Python all the while.

pub(crate) mod alarms;
pub(crate) mod applications;
pub(crate) mod certificates;
pub(crate) mod fallback;
pub(crate) mod handover;
pub(crate) mod hooks;
pub(crate) mod log_target;
pub(crate) mod one_shot;
pub(crate) mod prepare;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod request_log;
pub(crate) mod role;
pub(crate) mod settings;
#[cfg_attr(unix, path = "signals_unix.rs")]
#[cfg_attr(windows, path = "signals_windows.rs")]
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod start;
pub(crate) mod static_files;
pub(crate) mod stop;
pub(crate) mod supervisor;
pub(crate) mod wait_for;

pub use crate::admin::control_command::ask as ask_by_control;
pub use crate::config::Failure;
pub use crate::os::pidfile_command::ask as ask_by_pidfile;
pub use fallback::start_with;
pub use role::{could_not_begin, run};
