//! x
pub use crate::server::supervisor::Event;
