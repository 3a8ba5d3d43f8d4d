//! Socket code that differs between systems: each file is the whole of one such thing for the
//! systems in its name. Only `net` uses this folder.

#[cfg(target_os = "linux")]
pub mod close_backlog_linux;
pub mod port_owner;
#[cfg(target_os = "linux")]
pub mod sendfile_linux;
pub mod sendfile_portable;
pub mod short_read;
#[cfg(target_os = "linux")]
pub mod wake_all_linux;
