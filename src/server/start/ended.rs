//! How a process of the server ends.

use super::succeeded::Succeeded;
use super::supervising::Supervising;

/// How a process of the server ends.
pub(super) enum Ended {
    /// The server has stopped: the exit code.
    Stopped(i32),
    /// Another process is the server.
    Succeeded(Succeeded),
    /// This process only starts the server.
    Supervising(Supervising),
}
