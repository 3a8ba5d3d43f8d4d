//! Loggers (`logger`, `req-logger`): where log lines go. The texts are those of uWSGI's plugins
//! (logfile, logsocket, logpipe, syslog, rsyslog, systemd_logger). Pure.

use std::path::PathBuf;

use super::encoders::unknown;
use super::types::{Datagrams, LogFile, Logger, LoggerKind, SyslogServer};
use crate::config::values::value;

/// Loggers, as they are written.
const NAMES: &[&str] = &[
    "file", "stdio", "fd", "syslog", "rsyslog", "socket", "pipe", "journald", "systemd", "null",
];
/// Loggers that uWSGI has and this server has not, and what they talk to.
const ELSEWHERE: &[(&str, &str)] = &[
    ("redislog", "a Redis server"),
    ("mongodblog", "a MongoDB server"),
    ("zeromq", "a ZeroMQ socket"),
    ("crypto", "an encrypted socket"),
    ("graylog2", "a Graylog server"),
];

const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("security", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// `[NAME ]KIND[:ARGUMENT]`. `Err` is the end of the sentence that begins with the option.
pub(crate) fn parse(text: &str) -> Result<Logger, String> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let (id, rest) = match text.split_once(' ') {
        Some((id, rest)) if is_name(id) => (Some(id.to_owned()), rest),
        _ => (None, text),
    };
    let (name, argument) = rest.split_once(':').unwrap_or((rest, ""));
    let needs = |what: &str| match argument {
        "" => Err(format!("wants {what} behind {name}:, got '{text}'")),
        _ => Ok(argument),
    };
    let kind = match name {
        "file" => LoggerKind::File(file(needs("a file")?)?),
        "stdio" => LoggerKind::Stdio,
        "fd" => {
            LoggerKind::Descriptor(argument.parse().map_err(|_| {
                format!("wants the number of a descriptor behind fd:, got '{text}'")
            })?)
        }
        "syslog" => syslog(argument)?,
        "rsyslog" => LoggerKind::SyslogServer(syslog_server(needs("HOST[:PORT] or a socket")?)?),
        "socket" => {
            let (address, prefix) = split(needs("HOST:PORT or a socket")?);
            LoggerKind::Socket {
                address: datagrams(address, None)?,
                prefix: prefix.unwrap_or_default().as_bytes().to_vec(),
            }
        }
        "pipe" => LoggerKind::Command(needs("a command")?.to_owned()),
        "journald" | "systemd" => LoggerKind::Journald,
        "null" => LoggerKind::Null,
        other => return Err(not_there(other)),
    };
    Ok(Logger {
        id,
        kind,
        text: rest.to_owned(),
    })
}

fn not_there(name: &str) -> String {
    match ELSEWHERE.iter().find(|(known, _)| *known == name) {
        Some((_, server)) => format!(
            "asks for {name}, and this server sends no logs to {server}: log to a file, a socket \
             or syslog, and let a shipper such as Vector or Fluent Bit send them on"
        ),
        None => unknown("logger", name, NAMES),
    }
}

/// `PATH`, or `logfile=PATH,maxsize=BYTES,backupname=PATH`.
fn file(argument: &str) -> Result<LogFile, String> {
    if !argument.contains('=') {
        return Ok(LogFile {
            path: PathBuf::from(argument),
            ..LogFile::default()
        });
    }
    let mut file = LogFile::default();
    for pair in argument.split(',') {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "logfile" => file.path = PathBuf::from(text),
            "backupname" => file.backup = Some(PathBuf::from(text)),
            "maxsize" => {
                let read = value::bytes(text).map_err(|why| format!("maxsize {why}"))?;
                file.bytes_max = (read.value > 0).then_some(read.value);
            }
            _ => return Err(unknown("key", key, &["logfile", "maxsize", "backupname"])),
        }
    }
    if file.path.as_os_str().is_empty() {
        return Err(format!("wants logfile=FILE, got '{argument}'"));
    }
    Ok(file)
}

/// `[IDENT][,FACILITY]`
fn syslog(argument: &str) -> Result<LoggerKind, String> {
    let (ident, facility) = split(argument);
    let name = facility.unwrap_or("daemon");
    let Some((_, facility)) = FACILITIES.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = FACILITIES.iter().map(|(name, _)| *name).collect();
        return Err(unknown("facility", name, &known));
    };
    let ident = if ident.is_empty() { "uwsgi" } else { ident };
    Ok(LoggerKind::Syslog {
        ident: ident.to_owned(),
        facility: *facility,
    })
}

/// `HOST[:PORT][,TAG[,PRIORITY]]`, or a socket in place of host and port.
fn syslog_server(argument: &str) -> Result<SyslogServer, String> {
    let (address, rest) = split(argument);
    let (tag, priority) = rest.map_or((None, None), |rest| {
        let (tag, priority) = split(rest);
        (Some(tag.to_owned()), priority)
    });
    let priority = match priority {
        Some(text) => text
            .parse()
            .map_err(|_| format!("wants a number for the priority, got '{text}'"))?,
        // LOG_DAEMON and LOG_NOTICE.
        None => 29,
    };
    Ok(SyslogServer {
        address: datagrams(address, Some(514))?,
        tag,
        priority,
    })
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(',') {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

fn datagrams(text: &str, port: Option<u16>) -> Result<Datagrams, String> {
    if text.starts_with('/') || text.starts_with('.') {
        return Ok(Datagrams::Unix(PathBuf::from(text)));
    }
    match (text.rsplit_once(':'), port) {
        (Some((host, port)), _) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(Datagrams::Udp(text.to_owned()))
        }
        (None, Some(port)) if !text.is_empty() => Ok(Datagrams::Udp(format!("{text}:{port}"))),
        (None, None) if !text.is_empty() => Ok(Datagrams::Unix(PathBuf::from(text))),
        _ => Err(format!(
            "wants HOST:PORT or the path of a socket, got '{text}'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loggers_are_read_as_uwsgi_reads_them() {
        let one = parse("audit file:logfile=/a.log,maxsize=1M,backupname=/b.log").expect("good");
        assert_eq!(one.id.as_deref(), Some("audit"));
        assert_eq!(
            one.kind,
            LoggerKind::File(LogFile {
                path: "/a.log".into(),
                bytes_max: Some(1 << 20),
                backup: Some("/b.log".into()),
            })
        );
        let kind = |text: &str| parse(text).expect("good").kind;
        assert_eq!(
            kind("rsyslog:127.0.0.1,web"),
            LoggerKind::SyslogServer(SyslogServer {
                address: Datagrams::Udp("127.0.0.1:514".to_owned()),
                tag: Some("web".to_owned()),
                priority: 29,
            })
        );
        assert_eq!(
            kind("socket:/run/log,a: "),
            LoggerKind::Socket {
                address: Datagrams::Unix("/run/log".into()),
                prefix: b"a: ".to_vec(),
            }
        );
        assert_eq!(
            kind("syslog:web,local3"),
            LoggerKind::Syslog {
                ident: "web".to_owned(),
                facility: 19,
            }
        );
    }

    #[test]
    fn others_are_told() {
        let why = |text: &str| parse(text).expect_err("not there");
        assert!(why("redislog:127.0.0.1").contains("a shipper such as Vector"));
        let told = why("syslgo:web");
        assert!(
            told.contains("logger 'syslgo'; did you mean syslog? there are file, stdio"),
            "{told}"
        );
        assert!(why("syslog:web,lokal0").contains("did you mean local0?"));
        assert!(why("fd:two").contains("number of a descriptor"));
        assert!(why("file").contains("wants a file"));
    }
}
