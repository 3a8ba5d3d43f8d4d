//! `singlemalt reload`, `rollback`, `stop`, `status`, `stacks`: sends a request to the control
//! socket of a running server and prints the outcome. Main thread of a process that does nothing
//! else.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::control_request::{self, ControlRequest};
use super::control_response::{self, ControlResponse};
use super::control_server::{UNDER_WAY, read_note};
use super::listeners::AdminConnection;
use super::message_read::read_message;
use super::table;
use crate::config::{self, Address, Subcommand, Verb};
use crate::os::pidfile;
use crate::os::secret::Secret;
use crate::reload::history::seconds;

const NOT_ASKED: i32 = 1;
/// No server runs there.
const NOT_THERE: i32 = 3;
const NOT_WAITED: i32 = 4;

/// There is nothing to go back to.
const NOTHING_KEPT: i32 = 5;

/// What a server is given to answer what it can answer at once.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// A server that starts anew may be away for so long before it is given up.
const AWAY_MAX: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why there is no answer: for people, and the exit code.
struct CommandError {
    code: i32,
    text: String,
}

impl CommandError {
    fn new(code: i32, text: impl std::fmt::Display) -> Self {
        Self {
            code,
            text: text.to_string(),
        }
    }
}

/// Does what was asked for. Returns the exit code and what the server says.
pub fn ask(subcommand: &Subcommand) -> Result<(i32, String), (i32, String)> {
    let done = Server::of(subcommand).and_then(|server| match subcommand.verb {
        Verb::Status => server.status(subcommand.json),
        Verb::ReloadStatus => server.reload_status(subcommand.json),
        Verb::Reload => server.reload(subcommand),
        Verb::Rollback => server.roll_back(subcommand),
        Verb::Stacks => server.stacks(subcommand.json),
        Verb::Stop => server.stop(subcommand),
    });
    match done {
        Ok((code, text)) => Ok((code, text.trim_end().to_owned())),
        Err(trouble) => Err((trouble.code, trouble.text)),
    }
}

struct Server {
    address: Address,
    secret: Option<Secret>,
    name: String,
    /// What names the process, which may be another one after a reload.
    pidfile: Option<PathBuf>,
}

/// A connection on which something was asked.
struct Line {
    client: AdminConnection,
    answer: ControlResponse,
    arrived_all: bool,
}

impl Server {
    fn of(subcommand: &Subcommand) -> Result<Self, CommandError> {
        if let Some(address) = &subcommand.address {
            let mut server = Self {
                address: address.clone(),
                secret: None,
                name: address.to_string(),
                pidfile: None,
            };
            if matches!(address, Address::Tcp(_)) {
                let file = match (&subcommand.token_file, &subcommand.pidfile) {
                    (Some(file), _) => file.clone(),
                    (None, Some(pidfile)) => format!("{}.token", pidfile.display()).into(),
                    (None, None) => {
                        return Err(CommandError::new(
                            NOT_ASKED,
                            "a port wants --control-token FILE, the file that the server was given",
                        ));
                    }
                };
                server.secret = Some(noted(&file)?.1);
            }
            return Ok(server);
        }
        let Some(pidfile) = &subcommand.pidfile else {
            return Err(CommandError::new(
                NOT_ASKED,
                "which server? --pidfile names it",
            ));
        };
        let name = pidfile.display().to_string();
        pidfile::read(pidfile).map_err(|why| {
            let code = if pidfile.exists() {
                NOT_ASKED
            } else {
                NOT_THERE
            };
            CommandError::new(code, why)
        })?;
        let beside = config::beside(pidfile);
        let (address, secret) = if cfg!(unix) {
            (Address::Unix(beside), None)
        } else {
            let (address, secret) = noted(&beside)?;
            let address = address.parse().map_err(|_| {
                CommandError::new(
                    NOT_ASKED,
                    format_args!("{} holds no address", beside.display()),
                )
            })?;
            (Address::Tcp(address), Some(secret))
        };
        Ok(Self {
            address,
            secret,
            name,
            pidfile: Some(pidfile.clone()),
        })
    }

    /// Asks, and waits for the answer up to `timeout`.
    fn ask(&self, ask: ControlRequest, timeout: Option<Duration>) -> io::Result<Line> {
        let mut client = AdminConnection::connect(&self.address)?;
        let until = timeout.map(|timeout| Instant::now() + timeout);
        client.set_timeout(timeout)?;
        client.write_all(control_request::request(ask, self.secret.as_ref()).as_bytes())?;
        let bytes_max = control_response::ANSWER_BYTES_MAX;
        let answer = read_message(&mut client, until, bytes_max, |arrived| {
            let read = control_response::read(arrived);
            read.map_err(|why| io::Error::new(ErrorKind::InvalidData, why))
        })?;
        Ok(Line {
            client,
            answer,
            arrived_all: true,
        })
    }

    /// The process that the pidfile names now.
    fn pid(&self) -> Option<i32> {
        pidfile::read(self.pidfile.as_ref()?).ok()
    }

    fn value(&self, answer: &ControlResponse) -> Result<Value, CommandError> {
        let value: Value = serde_json::from_slice(&answer.body).map_err(|error| {
            CommandError::new(
                NOT_ASKED,
                format_args!("{}: not understood: {error}", self.name),
            )
        })?;
        let told = value["pid"].as_i64();
        if let (Some(pid), Some(told)) = (self.pid(), told)
            && i64::from(pid) != told
        {
            return Err(CommandError::new(
                NOT_ASKED,
                format_args!(
                    "{} names process {pid}, and process {told} answers there",
                    self.name
                ),
            ));
        }
        match answer.status {
            // 409 is an answer like any other: there is nothing to go back to.
            401 | 403..=408 | 410..=413 => Err(CommandError::new(
                NOT_ASKED,
                format_args!(
                    "{}: {}",
                    self.name,
                    value["message"].as_str().unwrap_or("refused")
                ),
            )),
            _ => Ok(value),
        }
    }

    fn trouble(&self, error: &io::Error) -> CommandError {
        let name = &self.name;
        match error.kind() {
            ErrorKind::NotFound if self.pid().is_some_and(is_running) => CommandError::new(
                NOT_ASKED,
                format_args!(
                    "the server of {name} has no control socket beside it (--control none?); \
                     singlemalt --reload {name} and --stop {name} send signals"
                ),
            ),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                CommandError::new(NOT_THERE, format_args!("{name}: no server runs there"))
            }
            ErrorKind::PermissionDenied => CommandError::new(
                NOT_ASKED,
                format_args!("{name}: only the server's user and root may ask it"),
            ),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                CommandError::new(NOT_WAITED, format_args!("{name}: no answer in time"))
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => CommandError::new(
                NOT_ASKED,
                format_args!(
                    "{name}: the server hung up: it is leaving, or does not know this user"
                ),
            ),
            _ => CommandError::new(NOT_ASKED, format_args!("{name}: {error}")),
        }
    }

    fn status_value(&self) -> Result<(Vec<u8>, Value), CommandError> {
        let line = self
            .ask(ControlRequest::Status, Some(ANSWER_TIME))
            .map_err(|error| self.trouble(&error))?;
        let value = self.value(&line.answer)?;
        Ok((line.answer.body, value))
    }

    fn status(&self, as_json: bool) -> Result<(i32, String), CommandError> {
        let (body, value) = self.status_value()?;
        let text = if as_json {
            String::from_utf8_lossy(&body).into_owned()
        } else {
            table::status(&value, now())
        };
        Ok((0, text))
    }

    fn reload_status(&self, as_json: bool) -> Result<(i32, String), CommandError> {
        let (_, value) = self.status_value()?;
        Ok(shown(&value["reload"], as_json))
    }

    fn reload(&self, subcommand: &Subcommand) -> Result<(i32, String), CommandError> {
        let ask = ControlRequest::Reload {
            rolling: subcommand.rolling,
            wait: false,
        };
        let line = self
            .ask(ask, Some(ANSWER_TIME))
            .map_err(|error| self.trouble(&error))?;
        let value = self.value(&line.answer)?;
        let Some(number) = value["reload"].as_u64() else {
            let why = value["message"].as_str().unwrap_or("refused");
            return Err(CommandError::new(
                NOT_ASKED,
                format_args!("{}: {why}", self.name),
            ));
        };
        if !subcommand.wait {
            return Ok((0, format!("asked {} to reload", self.name)));
        }
        let until = subcommand.timeout.map(|timeout| Instant::now() + timeout);
        let mut away_since = None;
        let mut told = UNDER_WAY.to_owned();
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(CommandError::new(
                    NOT_WAITED,
                    format_args!("{}: the reload is still under way", self.name),
                ));
            }
            match self.ask(ControlRequest::Outcome(number), left) {
                Ok(line) => {
                    away_since = None;
                    let value = self.value(&line.answer)?;
                    if !value["outcome"].is_null() {
                        return Ok(shown(&value["outcome"], subcommand.json));
                    }
                    // A canary may take hours: say so while waiting.
                    let message = value["message"].as_str().unwrap_or(UNDER_WAY);
                    if message != told {
                        message.clone_into(&mut told);
                        // Standard error is closed: only the outcome matters.
                        let _unread = writeln!(io::stderr(), "{}: {told}", self.name);
                    }
                }
                // It starts anew in its own place, or it has ended.
                Err(error) if is_away(&error) => {
                    let since = *away_since.get_or_insert_with(Instant::now);
                    let has_ended = self.pid().is_some_and(|pid| !is_running(pid));
                    if since.elapsed() > AWAY_MAX || has_ended {
                        return Err(CommandError::new(
                            NOT_THERE,
                            format_args!("{}: the server has gone; its log says why", self.name),
                        ));
                    }
                    std::thread::sleep(LOOK_INTERVAL);
                }
                Err(error) if left.is_some() && is_late(&error) => {}
                Err(error) => return Err(self.trouble(&error)),
            }
        }
    }

    fn roll_back(&self, subcommand: &Subcommand) -> Result<(i32, String), CommandError> {
        let timeout = subcommand.timeout.unwrap_or(ANSWER_TIME);
        let line = self
            .ask(ControlRequest::Rollback, Some(timeout))
            .map_err(|error| self.trouble(&error))?;
        let value = self.value(&line.answer)?;
        let message = value["message"].as_str().unwrap_or("refused");
        let failed = |code| CommandError::new(code, format_args!("{}: {message}", self.name));
        match line.answer.status {
            200 if subcommand.json => Ok((0, shown_body(&line.answer))),
            200 => Ok((0, message.to_owned())),
            202 => Err(failed(NOT_WAITED)),
            409 => Err(failed(NOTHING_KEPT)),
            _ => Err(failed(NOT_ASKED)),
        }
    }

    fn stacks(&self, as_json: bool) -> Result<(i32, String), CommandError> {
        let line = self
            .ask(ControlRequest::Stacks, Some(ANSWER_TIME))
            .map_err(|error| self.trouble(&error))?;
        let value = self.value(&line.answer)?;
        if as_json {
            return Ok((0, shown_body(&line.answer)));
        }
        let lines = value["stacks"].as_array().map_or(&[][..], Vec::as_slice);
        let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
        Ok((
            0,
            match lines.is_empty() {
                true => "no worker runs".to_owned(),
                false => lines.join("\n"),
            },
        ))
    }

    fn stop(&self, subcommand: &Subcommand) -> Result<(i32, String), CommandError> {
        let ask = ControlRequest::Stop {
            now: subcommand.now,
            wait: subcommand.wait,
        };
        let mut line = self
            .ask(ask, Some(ANSWER_TIME))
            .map_err(|error| self.trouble(&error))?;
        let value = self.value(&line.answer)?;
        if line.answer.status != 202 || !line.arrived_all {
            let why = value["message"].as_str().unwrap_or("refused");
            return Err(CommandError::new(
                NOT_ASKED,
                format_args!("{}: {why}", self.name),
            ));
        }
        if !subcommand.wait {
            return Ok((0, format!("asked {} to stop", self.name)));
        }
        // The connection ends with the process.
        let ended = line
            .client
            .set_timeout(subcommand.timeout.filter(|timeout| !timeout.is_zero()))
            .and_then(|()| line.client.read(&mut [0]));
        match ended {
            Err(error) if is_late(&error) => Err(CommandError::new(
                NOT_WAITED,
                format_args!("{}: the server is still stopping", self.name),
            )),
            _ => Ok((0, format!("{} has stopped", self.name))),
        }
    }
}

fn shown_body(answer: &ControlResponse) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn shown(reload: &Value, as_json: bool) -> (i32, String) {
    let text = if as_json {
        format!("{reload:#}")
    } else {
        table::reload(reload, now())
    };
    (table::reload_code(reload), text)
}

fn noted(file: &Path) -> Result<(String, Secret), CommandError> {
    read_note(file).map_err(|error| {
        let code = match error.kind() {
            ErrorKind::NotFound => NOT_THERE,
            _ => NOT_ASKED,
        };
        CommandError::new(
            code,
            format_args!("cannot read {}: {error}", file.display()),
        )
    })
}

fn is_away(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::BrokenPipe
            | ErrorKind::NotFound
    )
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

#[cfg(unix)]
fn is_running(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return false;
    };
    match rustix::process::test_kill_process(pid) {
        Ok(()) => true,
        // It is another user's.
        Err(error) => error == rustix::io::Errno::PERM,
    }
}

/// Windows does not tell; the connection does.
#[cfg(not(unix))]
fn is_running(_pid: i32) -> bool {
    true
}

fn now() -> u64 {
    seconds(SystemTime::now())
}
