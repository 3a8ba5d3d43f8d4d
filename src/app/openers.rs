//! Threads that open files (`--offload-threads`), and the one for rules that take long. They run no
//! Python.
//!
//! Opening a file may wait for a disk or a network, and would hold up the thread that polls. Here
//! it holds up only these threads and, once their short queue is full, the polling thread. They
//! answer requests for files and queue all others; the polling thread sends what the kernel does
//! not take at once.

use std::sync::Arc;

use crossbeam::channel::{Receiver, bounded};

use crate::net::{Exchange, Net, Turn};

use super::current::Current;

/// Queue length for each thread.
const WAITING_MAX: usize = 64;

/// Starts the threads; they end with the process.
pub fn start(count: usize, net: &Arc<Net>, current: &Arc<Current>) -> std::io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let (sender, receiver) = bounded(count.saturating_mul(WAITING_MAX));
    for number in 1..=count {
        let (net, current, receiver) = (Arc::clone(net), Arc::clone(current), receiver.clone());
        std::thread::Builder::new()
            .name(format!("sm-offload {number}"))
            .spawn(move || run(Turn::for_files(), &net, &current, &receiver))?;
    }
    net.open_files_by(sender);
    Ok(())
}

/// Starts the thread for rules that take long: slow hashes of passwords.
pub fn start_checks(net: &Arc<Net>, current: &Arc<Current>) -> std::io::Result<()> {
    let (sender, receiver) = bounded(WAITING_MAX);
    let (shared, current) = (Arc::clone(net), Arc::clone(current));
    let thread = std::thread::Builder::new().name("sm-password".to_owned());
    thread.spawn(move || run(Turn::for_checks(), &shared, &current, &receiver))?;
    net.check_slowly_by(sender);
    Ok(())
}

fn run(mut turn: Turn, net: &Net, current: &Current, requests: &Receiver<Exchange>) {
    while let Ok(exchange) = requests.recv() {
        let queued = turn.answer_or_queue(net, current, exchange);
        if queued > 0
            && let Some(generation) = current.load()
        {
            generation.queue().wake_if_idle(net);
        }
    }
}
