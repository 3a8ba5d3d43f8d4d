//! Windows: a process that this one has started: whether it is there, and its end.

use std::process::Child;

/// A child.
#[derive(Debug)]
pub struct Offspring(Child);

impl Offspring {
    /// This child.
    pub fn of(child: Child) -> Self {
        Self(child)
    }

    /// Its process id. Windows' are small.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap_or(i32::MAX)
    }

    /// How it ended, in words, if it has.
    pub fn ended(&mut self) -> Option<String> {
        Some(match self.0.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => match status.code() {
                Some(0) => "has left".to_owned(),
                // That of a crash is a word of the system's, which is known by its hexadecimal
                // digits.
                Some(code) if code < 0 => format!("left with exit code {code:#x}"),
                Some(code) => format!("left with exit code {code}"),
                None => "is gone".to_owned(),
            },
            Err(error) => format!("cannot be waited for ({error})"),
        })
    }

    /// It ends now.
    pub fn kill(&mut self) {
        let _gone = self.0.kill();
    }
}
