//! Windows has no limits that a process could set for itself.

use crate::config::Config;

/// Says so where one is asked for.
pub fn apply(config: &Config) {
    let process = &config.process;
    for (is_given, option) in [
        (process.limit_as_bytes.is_some(), "limit-as"),
        (process.limit_nproc.is_some(), "limit-nproc"),
        (process.max_fd.is_some(), "max-fd"),
    ] {
        if is_given {
            let origin = config.origin(option).unwrap_or(option);
            tracing::warn!(
                "{origin}: without effect, Windows has no such limit. A job object can limit the process"
            );
        }
    }
}
