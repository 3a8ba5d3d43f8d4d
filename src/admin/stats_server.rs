//! The stats server: uWSGI's JSON for every client that connects (`--stats`), with HTTP around it
//! or without (`--stats-http`).
//!
//! As in uWSGI clients need no credentials: bind it to an address that only permitted clients
//! reach. `sm-stats` accepts clients, a thread for each writes to it; nothing waits for Python.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control_server::{AcceptThread, accept_clients, send};
use super::listeners::{self, AdminConnection, AdminListener};
use super::message_read::read_message;
use super::metrics_snapshot::MetricsSnapshot;
use super::stats_document::HTTP_HEAD;
use crate::config::Failure;
use crate::config::{Address, Config};
use crate::net::Handle;
use crate::reload::handover::inherited::InheritedSockets;

/// What a client is given to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The socket. Dropped, it leaves nothing behind in the file system.
pub struct StatsServer {
    listener: Arc<AdminListener>,
    file: Option<(PathBuf, (u64, u64))>,
    is_spared: bool,
    has_head: bool,
}

impl StatsServer {
    /// Opens it, if it is wanted; `left` is open already. Main thread, when privileges are dropped.
    pub fn open(config: &Config, left: &mut InheritedSockets) -> Result<Option<Self>, Failure> {
        let Some(address) = &config.control.stats else {
            return Ok(None);
        };
        let failed = |error: io::Error| {
            let why = format!("cannot listen on {address}: {error}");
            Failure::about(config, "stats", why)
        };
        let listener = match left.stats.take() {
            Some(left) => AdminListener::from_inherited(left, address),
            None => AdminListener::open(address),
        };
        let listener = listener.map_err(failed)?;
        let file = listener.file();
        if let (Some(mode), Some((path, _))) = (config.sockets.mode, &file) {
            listeners::set_mode(path, mode).map_err(failed)?;
        }
        if let Address::Tcp(tcp) = address
            && !tcp.ip().to_canonical().is_loopback()
        {
            tracing::warn!(
                "--stats {address}: every client that reaches it sees the requests of the \
                 application; let a firewall admit only permitted clients"
            );
        }
        Ok(Some(Self {
            listener: Arc::new(listener),
            file,
            is_spared: false,
            has_head: config.control.stats_http,
        }))
    }

    pub fn serve(&self, metrics: &Arc<MetricsSnapshot>) -> io::Result<AcceptThread> {
        let (listener, metrics, has_head) = (
            Arc::clone(&self.listener),
            Arc::clone(metrics),
            self.has_head,
        );
        accept_clients("sm-stats", listener, move |mut client| {
            // The client has closed.
            let _gone = tell(&mut client, &metrics, has_head);
        })
    }

    /// What makes a second handle to the socket.
    pub fn share(&self) -> impl Fn() -> io::Result<Handle> + Send + Sync + use<> {
        let listener = Arc::clone(&self.listener);
        move || listener.share()
    }

    /// The file is another process's (`true`), which answers here, or this one's own again.
    pub fn spare(&mut self, is_spared: bool) {
        self.is_spared = is_spared;
    }

    /// Where it is, with the port that the system chose.
    pub fn place(&self, config: &Config) -> String {
        match (&config.control.stats, self.listener.port()) {
            (Some(Address::Tcp(tcp)), Some(port)) => {
                std::net::SocketAddr::new(tcp.ip(), port).to_string()
            }
            (Some(address), _) => address.to_string(),
            (None, _) => String::new(),
        }
    }
}

impl Drop for StatsServer {
    fn drop(&mut self) {
        if !self.is_spared
            && let Some((path, mark)) = self.file.take()
            && listeners::mark(&path) == Some(mark)
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::debug!(%error, "cannot remove {}", path.display());
        }
    }
}

fn tell(client: &mut AdminConnection, metrics: &MetricsSnapshot, has_head: bool) -> io::Result<()> {
    client.set_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    if has_head {
        // A request that is not read would make the system break the connection off.
        hear(client)?;
        bytes.extend_from_slice(HTTP_HEAD);
    }
    bytes.extend(metrics.stats());
    send(client, &bytes);
    Ok(())
}

/// Reads a request's head, whatever it asks for.
fn hear(client: &mut AdminConnection) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    read_message(client, Some(until), HEAD_BYTES_MAX, |arrived| {
        Ok(memchr::memmem::find(arrived, b"\r\n\r\n").map(drop))
    })?;
    client.set_timeout(Some(PATIENCE))
}
