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
//! - `control`, `fifo`, `stats`, `doors`, `census`, `journal`, `bequest`: how it is asked and told while it runs
//! - `control_command`: asks it: [`ask_by_control`]
//! - `reload`, `agenda`, `adaptation`, `changing`, `beat`, `triggers`, `memory`, `cgroup`: how and when it renews what it serves
//! - `rebirth`, `in_place`, `stand_in`, `offspring`, `relay`, `takeover`, `line`, `words`: how it renews itself while another process
//!   serves, which is `standing_in`
//! - `successor`, `keeper`, `meeting`: how that process becomes the server instead, and who waits for its end
//! - `trial`: how a new version is tried out before it gets all requests
//!
//! Everything here runs on the main thread, which is detached from Python all the while.

#[cfg(unix)]
#[path = "accounts_unix.rs"]
mod accounts;
#[cfg_attr(unix, path = "activation_unix.rs")]
#[cfg_attr(windows, path = "activation_windows.rs")]
mod activation;
mod adaptation;
mod agenda;
mod alarms;
mod application;
mod assembly;
mod awaited;
mod beat;
#[cfg_attr(unix, path = "bequest_unix.rs")]
#[cfg_attr(windows, path = "bequest_windows.rs")]
mod bequest;
mod census;
mod certificates;
#[cfg_attr(target_os = "linux", path = "cgroup_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "cgroup_other.rs")]
mod cgroup;
mod changing;
mod control;
mod control_command;
#[cfg_attr(unix, path = "daemon_unix.rs")]
#[cfg_attr(windows, path = "daemon_windows.rs")]
mod daemon;
#[cfg_attr(unix, path = "doors_unix.rs")]
#[cfg_attr(windows, path = "doors_windows.rs")]
mod doors;
mod ending;
mod errand;
mod failed_load;
mod failure;
mod fallback;
#[cfg_attr(unix, path = "fifo_unix.rs")]
#[cfg_attr(windows, path = "fifo_windows.rs")]
mod fifo;
#[cfg_attr(unix, path = "file_locks_unix.rs")]
#[cfg_attr(windows, path = "file_locks_windows.rs")]
mod file_locks;
#[cfg_attr(unix, path = "file_owner_unix.rs")]
#[cfg_attr(windows, path = "file_owner_windows.rs")]
mod file_owner;
mod groundwork;
mod hooks;
#[cfg_attr(unix, path = "in_place_unix.rs")]
#[cfg_attr(windows, path = "in_place_windows.rs")]
mod in_place;
#[cfg(unix)]
#[path = "inherited_unix.rs"]
mod inherited;
mod journal;
mod keeper;
#[cfg_attr(unix, path = "limits_unix.rs")]
#[cfg_attr(windows, path = "limits_windows.rs")]
mod limits;
#[cfg_attr(unix, path = "line_unix.rs")]
#[cfg_attr(windows, path = "line_windows.rs")]
mod line;
mod log_target;
mod meeting;
#[cfg_attr(target_os = "linux", path = "memory_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "memory_other.rs")]
mod memory;
#[cfg_attr(unix, path = "notify_unix.rs")]
#[cfg_attr(windows, path = "notify_windows.rs")]
mod notify;
#[cfg_attr(unix, path = "offspring_unix.rs")]
#[cfg_attr(windows, path = "offspring_windows.rs")]
mod offspring;
mod pidfile;
#[cfg_attr(unix, path = "pidfile_unix.rs")]
#[cfg_attr(windows, path = "pidfile_windows.rs")]
mod pidfile_command;
#[cfg_attr(unix, path = "privileges_unix.rs")]
#[cfg_attr(windows, path = "privileges_windows.rs")]
mod privileges;
mod process;
#[cfg_attr(target_os = "linux", path = "process_name_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "process_name_other.rs")]
mod process_name;
mod rebirth;
#[cfg_attr(unix, path = "redirect_unix.rs")]
#[cfg_attr(windows, path = "redirect_windows.rs")]
mod redirect;
mod relay;
mod reload;
mod report;
mod request_log;
mod settings;
#[cfg_attr(unix, path = "signals_unix.rs")]
#[cfg_attr(windows, path = "signals_windows.rs")]
mod signals;
mod sockets;
mod stand_in;
#[cfg(unix)]
mod standing_in;
mod static_files;
mod stats;
mod step;
mod successor;
mod supervisor;
mod takeover;
mod title;
#[cfg_attr(unix, path = "tracebacker_unix.rs")]
#[cfg_attr(windows, path = "tracebacker_windows.rs")]
mod tracebacker;
mod trial;
mod triggers;
mod vacuum;
mod words;

pub use control_command::ask as ask_by_control;
pub use failure::Failure;
pub use fallback::start_with;
pub use pidfile_command::ask as ask_by_pidfile;
pub use step::{could_not_begin, run};
