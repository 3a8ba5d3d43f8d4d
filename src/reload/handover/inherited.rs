//! The sockets and connections that a successor gets from its predecessor.

use std::io;
use std::sync::Arc;

use crossbeam::channel::Receiver;

use crate::app::Current;
use crate::net::{Handle, Net, ParkedConnection, Turn};
use crate::os::file_locks::Locks;
use crate::waiter::message::{SharedSocket, SocketKind};

/// What comes before the application is loaded.
#[derive(Default)]
pub struct InheritedSockets {
    /// The listening sockets, in their order.
    pub listeners: Vec<Handle>,
    /// Sockets for commands, in the order in which they are opened.
    pub control: Vec<Handle>,
    /// The socket of the statistics.
    pub stats: Option<Handle>,
    /// Files that are locked (`--flock`).
    pub locks: Locks,
}

impl InheritedSockets {
    /// One more.
    pub fn add(&mut self, socket: SharedSocket) {
        let SharedSocket { kind, handle } = socket;
        match kind {
            SocketKind::Listener => self.listeners.push(handle),
            SocketKind::Control => self.control.push(handle),
            SocketKind::Stats => self.stats = Some(handle),
            #[cfg(unix)]
            SocketKind::Lock => self.locks.push(handle.into()),
            #[cfg(not(unix))]
            SocketKind::Lock => tracing::error!("locked files are not inherited here"),
        }
    }
}

/// For each of the predecessor's listeners its place among those of this process.
pub type Places = Vec<Option<usize>>;

/// The connections with the places that their listeners have here. Those of a listener that the
/// configuration no longer has are closed.
fn moved(connections: Vec<ParkedConnection>, places: &[Option<usize>]) -> Vec<ParkedConnection> {
    let moved = connections.into_iter().filter_map(|mut parked| {
        parked.listener = *places.get(parked.listener)?.as_ref()?;
        Some(parked)
    });
    moved.collect()
}

/// Serves the connections, once a generation serves.
pub fn go_on(connections: Vec<ParkedConnection>, net: &Net, current: &Current) {
    let mut turn = Turn::default();
    for parked in connections {
        if let Err(error) = turn.adopt(net, current, parked) {
            tracing::debug!(%error, "a connection has closed meanwhile");
        }
    }
    // The workers may be idle.
    if let Some(generation) = current.load() {
        generation.queue().wake_if_idle(net);
    }
}

/// Serves the connections that the predecessor hands over, on a thread (`sm-adopt`) that ends with
/// the predecessor.
///
/// # Errors
/// The thread cannot be started.
pub fn adopt(
    handed: Receiver<ParkedConnection>,
    places: Places,
    net: &Arc<Net>,
    current: &Arc<Current>,
) -> io::Result<()> {
    let (net, current) = (Arc::clone(net), Arc::clone(current));
    std::thread::Builder::new()
        .name("sm-adopt".to_owned())
        .spawn(move || {
            for parked in handed {
                go_on(moved(vec![parked], &places), &net, &current);
            }
        })
        .map(drop)
}
