//! Tries extension files in another process, which may crash or hang in them. That process reads a
//! file's name from its standard input, tries it, and answers with a line of JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::files::Found;
use super::known::Outcome;

/// A process tries so many files; each stays in its memory.
const FILES_OF_A_PROCESS: usize = 64;
/// One that takes longer hangs.
const TRIAL_MAX: Duration = Duration::from_secs(10);

/// How the folder's name begins that the files are tried in.
const SCRATCH_PREFIX: &str = "singlemalt-try-";

/// The process that has made the folder is gone: removes it, if the working directory is such a
/// one.
pub fn remove_scratch() {
    let is_scratch = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(SCRATCH_PREFIX)
    };
    if let Some(folder) = std::env::current_dir().ok().filter(is_scratch) {
        // An error: it has been removed already.
        let _gone = std::fs::remove_dir_all(folder);
    }
}

/// Tries all files in order; only the first ones if no more processes can be started. `command`
/// starts such a process, in a folder that is removed afterwards. Its other output is discarded.
pub fn try_all(files: &[Found], command: &dyn Fn() -> Command) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(files.len());
    let Ok(scratch) = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir() else {
        return outcomes;
    };
    while outcomes.len() < files.len() {
        let rest = &files[outcomes.len()..];
        let rest = &rest[..rest.len().min(FILES_OF_A_PROCESS)];
        match Prober::start(command(), scratch.path()) {
            Some(prober) => outcomes.extend(prober.try_some(rest)),
            None => break,
        }
    }
    outcomes
}

struct Prober {
    child: Child,
    /// It leaves when this is closed.
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Prober {
    /// `None`: it does not begin.
    fn start(mut command: Command, folder: &Path) -> Option<Self> {
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let (input, output) = (child.stdin.take()?, child.stdout.take()?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let prober = Self {
            child,
            input,
            lines,
        };
        // Its first line says that Python has started.
        prober.lines.recv_timeout(TRIAL_MAX).ok()?;
        Some(prober)
    }

    /// Tries files up to the first one that ends the process; at least one.
    fn try_some(mut self, files: &[Found]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for file in files {
            let outcome = self.try_one(file);
            let is_over = matches!(outcome, Outcome::Crashes | Outcome::Hangs);
            outcomes.push(outcome);
            if is_over {
                break;
            }
        }
        outcomes
    }

    fn try_one(&mut self, file: &Found) -> Outcome {
        let line = format!("{}\t{}\n", file.module, file.path.display());
        if self.input.write_all(line.as_bytes()).is_err() {
            return Outcome::Crashes;
        }
        match self.lines.recv_timeout(TRIAL_MAX) {
            Ok(answer) => serde_json::from_str(&answer)
                .unwrap_or_else(|_| Outcome::Fails("it has written to our output".to_owned())),
            Err(RecvTimeoutError::Timeout) => Outcome::Hangs,
            Err(RecvTimeoutError::Disconnected) => Outcome::Crashes,
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        // Errors: it has ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
