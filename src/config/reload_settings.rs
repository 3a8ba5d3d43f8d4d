//! The part of the configuration that is about reloads. Plain values; `resolve_reload` is their maker.

use std::time::Duration;

/// When and how the application, or an interpreter, is renewed.
#[derive(Clone, Debug, PartialEq)]
pub struct ReloadConfig {
    /// What the application may take to load at a reload (`reload-timeout`).
    pub timeout: Duration,
}
