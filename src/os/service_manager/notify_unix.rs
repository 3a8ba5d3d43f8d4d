//! Notifies systemd (sd_notify(3)): a datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! By hand: `sd-notify` reads the environment at each message, while Python threads may change it.
//!
//! For units of `Type=notify` and `Type=notify-reload`. Without the variable nothing is done. A
//! message that cannot be delivered is logged and forgotten: the server serves with and without
//! anybody listening. Main thread.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::os::pidfile;

pub struct Notifier(Way);

type SendMessage = dyn Fn(&str) -> io::Result<()> + Send + Sync;

/// How messages reach the service manager.
enum Way {
    None,
    Socket(UnixDatagram, SocketAddr),
    /// Another process sends them: a service manager may accept messages of the main process only.
    Through(Box<SendMessage>),
}

impl Notifier {
    /// The socket of `NOTIFY_SOCKET`, by the variable's value.
    pub fn new(variable: Option<&OsStr>) -> Self {
        let Some(name) = variable.filter(|name| !name.is_empty()) else {
            return Self(Way::None);
        };
        let opened = address(name).and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        match opened {
            Ok((socket, address)) => Self(Way::Socket(socket, address)),
            Err(error) => {
                tracing::warn!(
                    "NOTIFY_SOCKET says {}, and nothing can be sent there: {error}",
                    name.display()
                );
                Self(Way::None)
            }
        }
    }

    /// Messages are sent by another process, if `NOTIFY_SOCKET` has this value.
    pub fn through(
        variable: Option<&OsStr>,
        send: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(match variable {
            Some(name) if !name.is_empty() => Way::Through(Box::new(send)),
            _ => Way::None,
        })
    }

    pub fn ready(&self) {
        self.ready_as("serving");
    }

    /// A reload has failed, for the reason in one line; the old version serves on.
    pub fn reload_failed(&self, why: &str) {
        let why: String = why.chars().filter(|c| !c.is_control()).collect();
        self.ready_as(&format!("serving; the last reload failed: {why}"));
    }

    fn ready_as(&self, status: &str) {
        // After --daemonize it is not the process that was started.
        let id = pidfile::pid();
        self.send(&format!("READY=1\nMAINPID={id}\nSTATUS={status}"));
    }

    /// A reload begins; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading"
        ));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// The server works. Within each `WatchdogSec`.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Sends a message, as another process has written it.
    pub fn send(&self, message: &str) {
        let sent = match &self.0 {
            Way::None => Ok(()),
            Way::Socket(socket, address) => {
                socket.send_to_addr(message.as_bytes(), address).map(drop)
            }
            Way::Through(send) => send(message),
        };
        if let Err(error) = sent {
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
