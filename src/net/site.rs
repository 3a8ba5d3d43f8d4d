//! What connections, static files and rules go by, replaced as a whole by a reload.

use std::fmt;

use super::services::{FileService, RouteService};
use super::settings::Settings;

/// See the file's header.
pub struct Site {
    /// Bounds and deadlines.
    pub settings: Settings,
    pub files: Option<Box<dyn FileService>>,
    /// Internal routing.
    pub routes: Option<Box<dyn RouteService>>,
}

impl fmt::Debug for Site {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(out)
    }
}
