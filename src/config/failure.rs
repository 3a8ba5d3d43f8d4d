//! Why the server did not start: a text for the person who started it, and the exit code.

use std::fmt;

use super::settings::Config;

/// uWSGI's exit code for "no application, and one is needed".
pub const NO_APP: u8 = 22;

/// Why the server did not start, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// For the person who started it, without `error:` in front.
    pub text: String,
    /// The process's exit code.
    pub code: u8,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(text: impl fmt::Display) -> Self {
        Self {
            text: text.to_string(),
            code: 1,
        }
    }

    /// A failure because of an option, which the text begins with: its name and where it was
    /// written.
    pub fn about(config: &Config, option: &str, why: impl fmt::Display) -> Self {
        match config.origin(option) {
            Some(origin) => Self::new(format_args!("{origin}: {why}")),
            None => Self::new(format_args!("--{option}: {why}")),
        }
    }
}
