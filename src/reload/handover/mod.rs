//! One process hands its server over to another: for apps that live in the main interpreter.

#[cfg_attr(unix, path = "channel_unix.rs")]
#[cfg_attr(windows, path = "channel_windows.rs")]
pub mod channel;
#[cfg_attr(unix, path = "child_process_unix.rs")]
#[cfg_attr(windows, path = "child_process_windows.rs")]
pub mod child_process;
pub mod message;
pub mod origin;
pub mod rendezvous;
pub mod successor_process;
