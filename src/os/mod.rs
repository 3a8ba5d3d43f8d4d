//! The parts of the server that differ between systems, sockets of the application aside: daemon,
//! privileges, limits, title, memory and cgroup, service manager, pidfile.
//!
//! `server` calls it at start and at stop, on the main thread; `reload` and `admin` read a few
//! facts of the process, on any thread. It may not decide, run Python or import a room above
//! `config` and `telemetry`. A file for each system implements the same items; where a system has
//! no such thing, they do nothing or return an error that says so. Read `daemon` and `privileges`
//! first.

#[cfg(unix)]
#[path = "accounts_unix.rs"]
pub mod accounts;
pub mod cache_folder;
#[cfg_attr(unix, path = "daemon_unix.rs")]
#[cfg_attr(windows, path = "daemon_windows.rs")]
pub mod daemon;
#[cfg_attr(unix, path = "file_locks_unix.rs")]
#[cfg_attr(windows, path = "file_locks_windows.rs")]
pub mod file_locks;
#[cfg_attr(unix, path = "file_owner_unix.rs")]
#[cfg_attr(windows, path = "file_owner_windows.rs")]
pub mod file_owner;
#[cfg(unix)]
#[path = "inherited_unix.rs"]
pub mod inherited;
#[cfg_attr(unix, path = "limits_unix.rs")]
#[cfg_attr(windows, path = "limits_windows.rs")]
pub mod limits;
pub mod memory;
pub mod pidfile;
#[cfg_attr(unix, path = "pidfile_command_unix.rs")]
#[cfg_attr(windows, path = "pidfile_command_windows.rs")]
pub mod pidfile_command;
#[cfg_attr(unix, path = "privileges_unix.rs")]
#[cfg_attr(windows, path = "privileges_windows.rs")]
pub mod privileges;
#[cfg_attr(target_os = "linux", path = "process_name_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "process_name_other.rs")]
pub mod process_name;
pub mod program;
#[cfg_attr(unix, path = "redirect_unix.rs")]
#[cfg_attr(windows, path = "redirect_windows.rs")]
pub mod redirect;
pub mod secret;
pub mod service_manager;
#[cfg(unix)]
#[path = "signals_unix.rs"]
pub mod signals;
pub mod title;
pub mod vacuum;
#[path = "files/writable.rs"]
pub mod writable;
