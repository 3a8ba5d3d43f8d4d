//! systemd's protocols: notifications to it, its watchdog, and sockets from it.

#[cfg_attr(unix, path = "notify_unix.rs")]
#[cfg_attr(windows, path = "notify_windows.rs")]
pub mod notify;
#[cfg_attr(unix, path = "socket_activation_unix.rs")]
#[cfg_attr(windows, path = "socket_activation_windows.rs")]
pub mod socket_activation;
pub mod watchdog;
