//! The first process of a server whose processes succeed one another: it stays, and waits.
//!
//! A reload by another process changes the process that serves. The shell, service manager or
//! container that started the server knows the first process only: it waits for its end, takes its
//! exit code, and sends it signals. So the first process starts the others, forwards signals to the
//! one that serves, reaps them, and ends as the last of them ended. Once it serves no more, it
//! executes itself again without Python ([`resume`]); on Windows it waits as it is.
//!
//! - [`message`]: the messages between the waiter and the other processes; read it first
//! - [`channel`]: carries messages and sockets between two processes
//! - [`link`]: a process's connection to its waiter; a thread `sm-link` listens
//! - `processes`: the waiter's state and rules
//! - `restart`: the same for a server that the waiter starts itself (`--supervise`); `supervision`
//!   has what it knows
//! - `wait`: the waiter's loop: a thread (`sm-waiter`), and the main thread after the exec
//! - [`resume`]: the exec, and the program after it
//! - [`role`]: for which of these a process was started, and how it was started
//!
//! `reload` starts successors through it, `server` ends through it. It knows no Python and no
//! connections of clients.

#[cfg_attr(unix, path = "channel_unix.rs")]
#[cfg_attr(windows, path = "channel_windows.rs")]
pub mod channel;
#[cfg_attr(unix, path = "child_process_unix.rs")]
#[cfg_attr(windows, path = "child_process_windows.rs")]
mod child_process;
#[cfg_attr(target_os = "linux", path = "in_progress_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "in_progress_other.rs")]
mod in_progress;
pub mod link;
pub mod message;
mod processes;
#[cfg(any(windows, test))]
mod rendezvous;
mod restart;
#[cfg_attr(unix, path = "resume_unix.rs")]
#[cfg_attr(windows, path = "resume_windows.rs")]
pub mod resume;
pub mod role;
#[cfg(windows)]
#[path = "share_windows.rs"]
mod share;
pub mod supervision;
#[cfg_attr(unix, path = "wait_unix.rs")]
#[cfg_attr(windows, path = "wait_windows.rs")]
mod wait;
