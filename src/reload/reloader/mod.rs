//! The reloader decides, on the main thread, what is renewed next and which generation serves.
//!
//! The next generation loads beside the one that serves and takes its place in one swap; the old
//! one ends when it has answered the requests in its queue. An application in the main interpreter
//! is renewed with the whole process (`handover`). docs/reload.md describes both.
//!
//! - `state`: the reloader and its tasks, which run on `sm-reload`, one at a time, and report back
//!   as an event, so that a swap and a stop never meet
//! - `generations`: which generation serves, the canary, the previous generation, rollbacks
//! - `replacement`: one interpreter is replaced
//! - `autoscaling`: more or fewer interpreters
//! - `memory`: replacements because of memory limits
//! - `parked`: a renewal of the process because of interpreters that cannot be ended

mod autoscaling;
mod generations;
mod memory;
mod other_generations;
mod parked;
mod replacement;
mod state;

pub use state::{Action, Reloader};
