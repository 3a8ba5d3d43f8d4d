//! Windows has no fork: a server without a console is a service.

use std::io;

#[expect(dead_code, reason = "there is no daemon to be")]
pub enum Role {
    Starter(i32),
    Daemon(Option<Starter>),
}

/// The process that was started and waits for news: there is none.
pub enum Starter {}

impl Starter {
    pub fn release(self) {
        match self {}
    }

    /// Has it leave with `code`.
    pub fn fail(self, _code: u8) {
        match self {}
    }
}

/// # Errors
/// Always: says what to do instead.
pub fn detach(
    _waits: bool,
    _fork_python: &dyn Fn() -> Option<io::Result<i32>>,
) -> io::Result<Role> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "Windows has no daemons: run it as a service (NSSM and WinSW wrap any program), or detached with \
         `Start-Process -WindowStyle Hidden`, and log with --logto FILE",
    ))
}
