//! Internal routing: rules that look at requests before the application, and at responses before
//! they leave (`route`, `error-route`, `response-route`, `final-route`).
//!
//! [`language`] reads the rules when the configuration is read; [`Rules`] is their compiled form,
//! made once for each version of the configuration. `server` calls it: on the thread that polls,
//! before a request is queued, so that a redirect or a 403 costs no worker and no GIL; on a worker
//! when the head of a response is about to leave. No Python, no sockets. Conditions and replies
//! may open files, as static files do; only the check of a slow password hash may take long
//! ([`Verdict::Later`]).
//!
//! In reading order: [`language`], `request` (variables), `expand` (templates), `holds`
//! (conditions), `chain` and `table` (the compiled form), `run` (one chain, one request), `act` (the
//! actions), `reply` (answers), `filter` (responses), `entry` (what `server` calls).

mod act;
mod base64;
mod chain;
mod entry;
mod expand;
mod filter;
mod hash;
mod holds;
pub mod language;
mod password;
mod placed;
mod reply;
mod request;
mod run;
mod table;

pub use entry::{Finished, Incoming, Verdict};
pub use language::action::NAMES as ACTIONS;
pub use language::condition::NAMES as CONDITIONS;
pub use language::parse;
pub use placed::{Placed, may_take_long};
pub use table::{Rules, Services, Surroundings};
