//! The real binary, started for a test: its log is read line by line, waits have a bound, and it is stopped with the test.
//! Used by the test files that start it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A test that reaches this has failed; a busy machine does not.
const BOUND: Duration = Duration::from_secs(60);

/// A started binary.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Running {
    /// Starts the binary in `folder`, with an environment that steers nothing.
    #[allow(dead_code, reason = "not every test file starts it this way")]
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    /// The same, with these variables in the environment.
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_singlemalt"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let steers = ["UWSGI_", "SINGLEMALT_", "PYTHON", "VIRTUAL_ENV", "RUST_LOG"];
            if steers.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        let mut child = command
            .args(arguments)
            .env("XDG_CACHE_HOME", folder.join(".cache"))
            .env("SINGLEMALT_EXTENSION_SCAN", "off")
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            log: String::new(),
        }
    }

    /// Waits for the last line of the report; returns the report.
    pub fn wait_until_ready(&mut self) -> &str {
        let end = Instant::now() + BOUND;
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let is_last = line.starts_with("ready ");
                    self.log.push_str(&line);
                    self.log.push('\n');
                    if is_last {
                        return &self.log;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("not ready in time:\n{}", self.log),
                Err(RecvTimeoutError::Disconnected) => panic!("never ready:\n{}", self.log),
            }
        }
    }

    /// Waits for the process to leave by itself; returns its exit code and all that it said.
    #[allow(dead_code, reason = "not every test file waits for an end")]
    pub fn wait_for_exit(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + BOUND;
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.log.push_str(&line);
                    self.log.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not leave:\n{}", self.log),
            }
        }
        let code = self.child.wait().expect("it has left").code();
        (code, std::mem::take(&mut self.log))
    }

    /// Asks it to stop; returns its exit code and all that it said.
    #[cfg(unix)]
    #[allow(dead_code, reason = "not every test file stops it politely")]
    pub fn stop(self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.wait_for_exit()
    }

    /// The addresses of the report, in order: `127.0.0.1:80`, `[::1]:80`, `/path`.
    #[allow(dead_code, reason = "not every test file connects")]
    pub fn addresses(&self) -> Vec<String> {
        self.log
            .lines()
            .filter_map(|line| line.trim().strip_prefix("listening on "))
            .filter_map(|url| url.split_once(':'))
            .map(|(_, rest)| rest.trim_start_matches("//").to_owned())
            .collect()
    }

    /// The process id, which reports and messages name.
    #[allow(dead_code, reason = "not every test file redacts it")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killed rather than asked: how it stops is the subject of python-tests. It may have left already.
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

/// Sends `wire` to a listener, ends the sending side, and returns all that comes back.
#[allow(dead_code, reason = "not every test file sends requests")]
pub fn exchange(address: &str, wire: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    #[cfg(unix)]
    if address.starts_with('/') {
        let mut stream = UnixStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(BOUND)).expect("a timeout");
        stream.write_all(wire).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        stream.read_to_end(&mut answer).expect("it answers");
        return answer;
    }
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    stream.write_all(wire).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("it is open");
    stream.read_to_end(&mut answer).expect("it answers");
    answer
}

/// A fresh folder with these files.
#[allow(dead_code, reason = "not every test file writes files")]
pub fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}
