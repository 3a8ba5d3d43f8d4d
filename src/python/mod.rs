//! CPython, through its C API: the only room with `unsafe`.
//!
//! Reading order: [`Runtime`] (the one CPython of the process), [`InterpreterThread`] (an OS
//! thread's place in an interpreter), [`AppTarget`] and [`Loaded`] (the app). The argument for why
//! all this is sound is docs/interpreters.md; SAFETY comments cite its rules. This room knows no
//! sockets: a response leaves through the `Sink` it is given.

#![allow(
    unsafe_code,
    reason = "this room talks to C; every block says why it may"
)]

mod bootstrap;
mod failure;
mod interpreter;
mod interruption;
mod load;
mod object;
mod request;
mod runtime;
mod sources;
mod stacks;
mod target;
mod thread_state;
mod trampoline;
mod uwsgi;

pub use interpreter::{
    Ended, InterpreterHandle, InterpreterSpec, Isolation, alive_count, arena_bytes, arena_bytes_of,
    parked_count,
};
pub use interruption::Interruption;
pub use load::{LoadFailure, Loaded, RefusedExtension};
pub use request::caches::UWSGI_VERSION;
pub use request::call::{Call, Served};
pub use runtime::environment::{EnvironmentError, set_environment};
pub use runtime::{Runtime, RuntimeError, RuntimeOptions, exit_now, linked as linked_version};
pub use sources::{Source, sources_of};
pub use stacks::{Frame, PythonStack, ThreadKey};
pub use target::{AppTarget, Import, TargetKind};
pub use thread_state::{Attached, InterpreterThread, STACK_BYTES_MIN};
pub use uwsgi::backend::{
    AppFacts, Facts, Host, HostRef, LockRefused, OptionText, SignalSource, WorkerFacts,
};
