//! The application as it is loaded and served: generations of workers, and the queue that feeds them.
//!
//! This room joins `net` (which has requests), `background` (which raises signals) and `python` (which has the application); nobody below knows
//! both. Reading order:
//!
//! - [`apps`]: what is loaded, where it is mounted, and what it has done
//! - [`queue`]: the bounded queue between those who poll and those who run, and the wake-up protocol
//! - [`runners`]: which of the threads that share a GIL may take work
//! - [`worker`]: a thread, its interpreter, its application, for life
//! - `holding`: when it sends what it has answered
//! - [`crew`]: one interpreter's threads: dismissed together, never in a request
//! - [`canary`]: which requests a canary gets, and what it is judged by
//! - `birth`: the life of a worker thread
//! - `placement`: its name and its cores
//! - [`recycling`]: when an interpreter is due to be replaced
//! - [`roster`]: who works in a generation, and how one of them is replaced
//! - [`generation`]: one loaded version of the application: born whole or not at all
//! - [`current`]: the generation that serves, behind an `ArcSwap`
//! - `postbox`, `host`: signals on their way to a worker, and what the `uwsgi` module is told
//! - `tally`: what each worker has done
//! - [`survey`]: what workers do at this moment, for whoever asks from outside
//! - [`harakiri`], `watch`: requests that take too long, and what is known of each
//! - [`stacks`]: what every worker does at this moment
//! - [`probe`]: what a new interpreter has to answer before it serves
//! - [`process`]: what all generations have around them
//! - [`acceptor`]: the thread that keeps going while every worker is stuck
//! - [`openers`]: threads that open files for those who poll

pub mod acceptor;
pub mod apps;
pub mod gil_gate;
pub mod harakiri;
pub mod inspect;
mod load_generation;
pub mod scaling;
mod signal_queue;
mod thread_placement;
mod uwsgi_backend;
pub mod worker_group;
pub mod workers;

pub mod canary;
pub mod current;
pub mod generation;
pub mod openers;
pub mod probe;
pub mod process;
pub mod queue;
pub mod recycling;
pub mod worker;

pub use acceptor::Acceptor;
pub use apps::Apps;
pub use current::Current;
pub use generation::{Generation, Patience, Plan, Report, StartError};
pub use recycling::Due;
pub use workers::Roster;
