//! Where the log goes: `--logto`, `--logto2`, and the log of a daemon. A file is appended to; `udp:HOST:PORT`
//! gets a datagram for each line.
//!
//! Opened on the main thread; opened anew, by the supervisor, on SIGHUP: whoever moves the file away (logrotate)
//! sends one.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use crate::config::Failure;
use crate::config::{Config, LogTarget};
use crate::os::redirect;
use crate::telemetry::{Destination, LogWriter};

/// A target that is open, and can be opened again.
pub struct Log {
    target: LogTarget,
    opened: Opened,
}

enum Opened {
    File(File),
    Udp(UdpSocket),
}

impl Log {
    /// Opens the target of `option`. A relative path is relative to the working directory, now and later.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(
        config: &Config,
        option: &'static str,
        target: &LogTarget,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let name = match target {
                LogTarget::File(path) => path.display().to_string(),
                LogTarget::Udp(address) => format!("udp:{address}"),
            };
            Failure::about(
                config,
                option,
                format_args!("cannot log to {name}: {error}"),
            )
        };
        let target = match target {
            LogTarget::File(path) => LogTarget::File(std::path::absolute(path).map_err(failed)?),
            LogTarget::Udp(address) => LogTarget::Udp(address.clone()),
        };
        let opened = open(&target).map_err(failed)?;
        Ok(Self { target, opened })
    }

    /// From now on everything goes there: our lines, and what the application prints.
    ///
    /// # Errors
    /// The system has no descriptor left for it.
    pub fn redirect(&self, writer: &LogWriter) -> io::Result<()> {
        match &self.opened {
            Opened::File(file) => redirect::to_file(file, writer),
            Opened::Udp(socket) => {
                redirect::standard_streams_to_socket(socket)?;
                writer.send_to(Destination::Datagrams(socket.try_clone()?));
                Ok(())
            }
        }
    }

    /// Opens it anew: the file may have been moved away. On an error the old one stays.
    pub fn reopen(&mut self, writer: &LogWriter) {
        let LogTarget::File(path) = &self.target else {
            return;
        };
        let path = path.display().to_string();
        let reopened = open(&self.target).and_then(|opened| {
            self.opened = opened;
            self.redirect(writer)
        });
        match reopened {
            Ok(()) => tracing::info!("log file {path} opened again"),
            Err(error) => tracing::error!("cannot open {path} again: {error}"),
        }
    }
}

fn open(target: &LogTarget) -> io::Result<Opened> {
    match target {
        LogTarget::File(path) => {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            redirect::private(&mut options);
            options.open(path).map(Opened::File)
        }
        LogTarget::Udp(address) => {
            let address = resolve(address)?;
            let local: SocketAddr = match address {
                SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(local)?;
            socket.connect(address)?;
            Ok(Opened::Udp(socket))
        }
    }
}

fn resolve(address: &str) -> io::Result<SocketAddr> {
    address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}
