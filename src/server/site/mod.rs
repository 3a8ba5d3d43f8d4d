//! What connections go by, for `net`: bounds, static files, rules. Replaced as a whole by a reload.

mod build;
mod routing;
pub(super) mod static_files;
mod surroundings;

pub(super) use build::site;
pub(super) use routing::may_take_long;
pub(super) use surroundings::SiteSurroundings;
