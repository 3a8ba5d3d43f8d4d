//! CPython, through its C API: the only room with `unsafe`.
//!
//! `server` starts the one [`Runtime`] on the main thread; each worker of `app` owns an
//! [`InterpreterThread`] and runs every job through [`Attached`]. Harakiri and the readers of
//! stacks enter from threads of their own. No object leaves this room and none crosses
//! interpreters: what comes out is plain data. It opens no socket and reads no configuration.
//! docs/internals/interpreters.md argues that this is sound, and SAFETY comments cite its rules.
//! Read `interpreter` first, then `thread_state`, then `request/call`.
//!
//! - `object`, `trampoline`, `namespace`, `attached`: the layer that everything else stands on
//! - `interpreter`, `interpreter_end`, `waits`, `thread_state`, `bootstrap`, `interruption`,
//!   `stacks`: the life of an interpreter
//! - `load`, `target`, `sources`, `refusal`, `failure`: the app, and errors as text
//! - `crash`, `fork`: ends of the process, and copies of it
//! - `runtime`, `request`, `uwsgi`: rooms of their own

#![allow(
    unsafe_code,
    reason = "this room talks to C; every block says why it may"
)]

mod attached;
mod bootstrap;
mod crash;
mod environ;
mod extensions;
mod failure;
mod fork;
mod gil;
mod interpreter;
mod interpreter_end;
mod interruption;
mod load;
mod load_failure;
mod namespace;
mod object;
mod refusal;
mod request;
mod runtime;
#[cfg(target_os = "linux")]
#[path = "shared_memory_linux.rs"]
mod shared_memory;
mod sources;
mod stacks;
mod target;
mod thread_id;
mod thread_state;
mod trampoline;
mod uwsgi;
mod waits;
mod world;

pub use attached::Attached;
pub use crash::{Cause, watch as watch_crashes};
pub use extensions::ExtensionImport;
pub use fork::is_child;
pub use interpreter::Role;
pub use interpreter::{
    InterpreterHandle, InterpreterSpec, Isolation, arena_bytes, arena_bytes_of,
    subinterpreter_count,
};
pub use interpreter_end::{Ended, parked_count};
pub use interruption::Interruption;
pub use load::Loaded;
pub use load_failure::LoadFailure;
pub use refusal::{Consequence, RefusedExtension};
pub use request::call::{Call, Served};
pub use runtime::environment::{
    Environment, EnvironmentError, environment_now, move_environment, set_environment,
};
pub use runtime::error::RuntimeError;
pub use runtime::hosted::fork;
pub(crate) use runtime::trim::free_memory;
pub use runtime::{
    Release, Runtime, RuntimeOptions, exit_now, linked as linked_version, program_of,
};
#[cfg(target_os = "linux")]
pub use shared_memory::shared_memory;
pub use sources::{Source, sources_of};
pub use stacks::{Frame, PythonStack, ThreadKey};
pub use target::{AppTarget, Import, TargetKind};
pub use thread_state::{InterpreterThread, STACK_BYTES_MIN};
pub use uwsgi::backend::{
    AppFacts, Backend, BackendRef, CacheChange, Facts, LockRefused, OptionText, SignalSource,
    SpoolTask, WorkerFacts,
};
pub use uwsgi::constants::UWSGI_VERSION;
pub use uwsgi::spooler::TaskEnd;
