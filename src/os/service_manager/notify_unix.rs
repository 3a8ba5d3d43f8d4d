//! Notifies systemd (sd_notify(3)): a datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! By hand: `sd-notify` reads the environment at each message, while Python threads may change it.
//!
//! For units of `Type=notify` and `Type=notify-reload`. Without the variable nothing is done. A message that cannot be
//! delivered is logged and forgotten: the server serves with and without anybody listening. Main thread.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::os::pidfile;

/// The socket of the service manager, if there is one.
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// The socket of `NOTIFY_SOCKET`, by the variable's value.
    pub fn new(variable: Option<&OsStr>) -> Self {
        let Some(name) = variable.filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        let opened = address(name).and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        match opened {
            Ok(opened) => Self(Some(opened)),
            Err(error) => {
                tracing::warn!(
                    "NOTIFY_SOCKET says {}, and nothing can be sent there: {error}",
                    name.display()
                );
                Self(None)
            }
        }
    }

    /// The server serves, or serves again.
    pub fn ready(&self) {
        // After --daemonize it is not the process that was started.
        let id = pidfile::pid();
        self.send(&format!("READY=1\nMAINPID={id}\nSTATUS=serving"));
    }

    /// A reload begins; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading"
        ));
    }

    /// The server stops.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.0 else {
            return;
        };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!(%error, "cannot tell the service manager about {message:?}");
        }
    }
}

fn address(name: &OsStr) -> std::io::Result<SocketAddr> {
    match name.as_bytes().split_first() {
        #[cfg(target_os = "linux")]
        Some((b'@', rest)) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(rest)
        }
        Some((b'/', _)) => SocketAddr::from_pathname(name),
        _ => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "it is neither an absolute path nor an abstract name",
        )),
    }
}
