//! Loggers whose write may wait: a descriptor, the standard input of a command. Each has a thread
//! and a bounded queue; what does not fit is lost and counted.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

/// Past this, lines are lost. Bytes.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How soon a command that has ended is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

pub struct SlowTarget {
    batches: Sender<Vec<u8>>,
    /// Bytes that wait or are being written.
    pending: Arc<AtomicUsize>,
    batch: Vec<u8>,
    batch_lines: u64,
}

impl SlowTarget {
    /// Writes to `file`.
    pub fn descriptor(mut file: File) -> io::Result<Self> {
        Self::start(move |batch| file.write_all(batch).is_ok())
    }

    /// Writes to the standard input of a command, which is started again when it has ended.
    pub fn command(text: &str) -> io::Result<Self> {
        let mut command = RunningCommand {
            text: text.to_owned(),
            child: None,
            started_at: None,
        };
        // A command that cannot be started at all is an error of the start.
        command.start()?;
        Self::start(move |batch| command.write(batch))
    }

    fn start(mut write: impl FnMut(&[u8]) -> bool + Send + 'static) -> io::Result<Self> {
        let (batches, receiver): (_, Receiver<Vec<u8>>) = unbounded();
        let pending = Arc::new(AtomicUsize::new(0));
        let ours = Arc::clone(&pending);
        std::thread::Builder::new()
            .name("sm-log-slow".to_owned())
            .spawn(move || {
                for batch in receiver {
                    if !write(&batch) {
                        let lines = batch.split_inclusive(|byte| *byte == b'\n').count();
                        tracing::warn!(
                            "{lines} log lines were lost: their logger does not take them"
                        );
                    }
                    ours.fetch_sub(batch.len(), Ordering::SeqCst);
                }
            })?;
        Ok(Self {
            batches,
            pending,
            batch: Vec::new(),
            batch_lines: 0,
        })
    }

    /// Bytes that wait or are being written.
    pub(super) fn pending(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.pending)
    }

    pub(super) fn add(&mut self, line: &[u8]) {
        self.batch.extend_from_slice(line);
        self.batch_lines += 1;
    }

    /// Hands the lines over. Returns how many are lost.
    pub(super) fn flush(&mut self) -> u64 {
        if self.batch.is_empty() {
            return 0;
        }
        let batch = std::mem::take(&mut self.batch);
        let lines = std::mem::take(&mut self.batch_lines);
        if self.pending.load(Ordering::SeqCst) > BYTES_MAX {
            return lines;
        }
        self.pending.fetch_add(batch.len(), Ordering::SeqCst);
        match self.batches.send(batch) {
            Ok(()) => 0,
            Err(_) => lines,
        }
    }
}

struct RunningCommand {
    text: String,
    child: Option<Child>,
    started_at: Option<Instant>,
}

impl RunningCommand {
    fn start(&mut self) -> io::Result<()> {
        self.started_at = Some(Instant::now());
        #[cfg(unix)]
        let mut command = Command::new("/bin/sh");
        #[cfg(unix)]
        command.arg("-c");
        #[cfg(not(unix))]
        let mut command = Command::new("cmd");
        #[cfg(not(unix))]
        command.arg("/C");
        command.arg(&self.text).stdin(Stdio::piped());
        // Ctrl-C in a terminal is for the server; the command ends with its input.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    fn write(&mut self, batch: &[u8]) -> bool {
        if self.try_write(batch) {
            return true;
        }
        if let Some(mut child) = self.child.take() {
            // It has closed its input; it ends, or is ended.
            drop(child.stdin.take());
            if child.kill().and_then(|()| child.wait()).is_err() {
                tracing::debug!("a command of a logger cannot be ended");
            }
            tracing::warn!(
                "the logger pipe:{} has ended; it is started again",
                self.text
            );
        }
        if let Some(at) = self.started_at {
            std::thread::sleep(RESTART_PAUSE.saturating_sub(at.elapsed()));
        }
        match self.start() {
            Ok(()) => self.try_write(batch),
            Err(error) => {
                tracing::error!("cannot start the logger pipe:{}: {error}", self.text);
                false
            }
        }
    }

    fn try_write(&mut self, batch: &[u8]) -> bool {
        let child = self.child.as_mut();
        let input = child.and_then(|child| child.stdin.as_mut());
        input.is_some_and(|input| input.write_all(batch).is_ok())
    }
}
