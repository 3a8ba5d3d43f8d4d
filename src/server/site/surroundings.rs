//! What a [`Site`](crate::net::Site) is made from beside the configuration.

use std::path::Path;
use std::sync::Arc;

use crate::app::process::Process;
use crate::reload::failed_load::LastLoad;
use crate::server::sockets::Listening;

/// See the file's header.
pub(in crate::server) struct SiteSurroundings<'a> {
    pub(in crate::server) last_load: &'a Arc<LastLoad>,
    /// What relative paths are meant from.
    pub(in crate::server) folder: &'a Path,
    pub(in crate::server) listening: &'a [Listening],
    pub(in crate::server) process: &'a Arc<Process>,
}
