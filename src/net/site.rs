//! What connections and static files go by, replaced as a whole by a reload.

use std::fmt;

use super::services::FileService;
use super::settings::Settings;

/// See the file's header.
pub struct Site {
    /// Bounds and deadlines.
    pub settings: Settings,
    pub files: Option<Box<dyn FileService>>,
}

impl fmt::Debug for Site {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(out)
    }
}
