//! What differs between systems and is no socket: signals, daemon, privileges, limits, title, memory,
//! cgroup, service manager, pidfile.
//!
//! Called by `server` at start and at stop, and by `reload` and `admin` for a few facts of the process.
//! Main thread, unless an item says otherwise. It knows the configuration and nothing above it. Each
//! thing has a file for the systems that have it and one for the others that does nothing or says so.

#[cfg(unix)]
#[path = "accounts_unix.rs"]
pub mod accounts;
#[cfg_attr(target_os = "linux", path = "cgroup_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "cgroup_other.rs")]
pub mod cgroup;
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
#[path = "held_signals_unix.rs"]
pub mod held_signals;
#[cfg(unix)]
#[path = "inherited_unix.rs"]
pub mod inherited;
#[cfg_attr(unix, path = "limits_unix.rs")]
#[cfg_attr(windows, path = "limits_windows.rs")]
pub mod limits;
#[cfg_attr(target_os = "linux", path = "memory_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "memory_other.rs")]
pub mod memory;
#[cfg_attr(unix, path = "notify_unix.rs")]
#[cfg_attr(windows, path = "notify_windows.rs")]
pub mod notify;
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
#[cfg_attr(unix, path = "redirect_unix.rs")]
#[cfg_attr(windows, path = "redirect_windows.rs")]
pub mod redirect;
pub mod secret;
#[cfg_attr(unix, path = "socket_activation_unix.rs")]
#[cfg_attr(windows, path = "socket_activation_windows.rs")]
pub mod socket_activation;
pub mod title;
pub mod vacuum;
