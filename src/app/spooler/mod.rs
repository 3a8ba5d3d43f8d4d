//! The spooler's threads: they run the handlers of tasks, beside requests.
//!
//! Each directory has `--spooler-processes` threads, each with an interpreter of its own that has
//! loaded the application; with isolation main they are further threads of the main interpreter.
//! They belong to a generation: a reload starts those of the next one, which take all tasks from
//! then on, and the old ones end when they have finished theirs. The files are `background`'s. Read
//! `runner` first.
//!
//! - `service`: what all generations share; `start`: the threads of one generation
//! - `runner`: one thread
//! - `deadlines`: `--spooler-harakiri`
//! - `thread`: the niceness of a thread

mod deadlines;
mod runner;
pub mod service;
mod start;
#[cfg_attr(target_os = "linux", path = "thread_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "thread_other.rs")]
mod thread;
