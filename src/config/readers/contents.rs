//! What `@(...)` and the names of configuration files stand for: the bytes of a file, of standard
//! input, of a descriptor, or, only if it was allowed, of what a command prints.
//!
//! The only place here that reads files as a whole or runs anything. A configuration that can be
//! written to must not become a way to run commands: `exec://` and `http://` are refused without
//! `--allow-config-exec`, which no file can give. uWSGI's other schemes name parts of its own
//! binary, and say so whatever was given.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fetch;

/// What is longer was not meant to be configuration.
const BYTES_MAX: u64 = 4 << 20;
const USUAL_BYTES: usize = 16 * 1024;

static STANDARD_INPUT: OnceLock<Vec<u8>> = OnceLock::new();
static HAS_READ_STREAM: AtomicBool = AtomicBool::new(false);

/// Why there is nothing to read, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The end of the sentence "NAME ...".
    pub(crate) why: String,
    pub(crate) hint: Option<&'static str>,
}

fn unreadable(why: impl Into<String>, hint: Option<&'static str>) -> Unreadable {
    Unreadable {
        why: why.into(),
        hint,
    }
}

/// The bytes that a name stands for.
pub(crate) fn read(name: &str, may_execute: bool, folder: &Path) -> Result<Vec<u8>, Unreadable> {
    if name == "-" {
        return standard_input();
    }
    let Some((scheme, rest)) = name.split_once("://") else {
        return file(name, folder);
    };
    match scheme {
        "file" => file(rest, folder),
        "fd" => descriptor(rest),
        "exec" | "http" if !may_execute => Err(unreadable(
            match scheme {
                "exec" => "would run a command, which is not allowed in a configuration",
                _ => "would fetch something, which is not allowed in a configuration",
            },
            Some(
                "give --allow-config-exec on the command line if no other user can write the \
                file",
            ),
        )),
        "exec" => execute(rest, folder),
        "http" => fetch::http(rest, BYTES_MAX).map_err(|why| unreadable(why, None)),
        "https" => Err(unreadable(
            "cannot be fetched: there is no TLS here",
            Some(
                "fetch it with a command: @(exec://curl -fsS URL), and --allow-config-exec on the \
                 command line",
            ),
        )),
        "call" | "callint" | "sym" => Err(unreadable(
            "names a C function of uWSGI's binary, and there is none",
            Some(
                "run a command instead: @(exec://COMMAND), with --allow-config-exec on the command \
                 line",
            ),
        )),
        "data" | "section" => Err(unreadable(
            "names a part of uWSGI's binary, and there is none",
            Some("put the text into a file"),
        )),
        "emperor" => Err(unreadable(
            "names something that uWSGI's emperor hands out, and there is none",
            Some("put the text into a file"),
        )),
        _ => file(name, folder),
    }
}

fn file(name: &str, folder: &Path) -> Result<Vec<u8>, Unreadable> {
    match File::open(folder.join(name)) {
        Ok(open) => {
            if !open.metadata().is_ok_and(|about| about.is_file()) {
                HAS_READ_STREAM.store(true, Ordering::Relaxed);
            }
            bounded(open)
        }
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound if !name.starts_with('/') => unreadable(
                "cannot be read: there is no such file",
                Some("paths begin at the working directory; %d is the directory of a file itself"),
            ),
            ErrorKind::NotFound => unreadable("cannot be read: there is no such file", None),
            ErrorKind::PermissionDenied => unreadable("cannot be read: permission denied", None),
            _ => unreadable(format!("cannot be read: {error}"), None),
        }),
    }
}

fn standard_input() -> Result<Vec<u8>, Unreadable> {
    let bytes = bounded(std::io::stdin().lock())?;
    STANDARD_INPUT.get_or_init(|| bytes.clone());
    Ok(bytes)
}

/// What the configuration has used up of the process's streams.
#[derive(Clone, Copy, Debug)]
pub struct UsedUp {
    /// Standard input, as it was read.
    pub standard_input: Option<&'static [u8]>,
    /// Another stream, such as a named pipe or a descriptor.
    pub other: bool,
}

/// For a program that reads the configuration after this one.
pub fn used_up() -> UsedUp {
    UsedUp {
        standard_input: STANDARD_INPUT.get().map(Vec::as_slice),
        other: HAS_READ_STREAM.load(Ordering::Relaxed),
    }
}

fn bounded(source: impl Read) -> Result<Vec<u8>, Unreadable> {
    // Most files fit, and are read by one system call and a second that finds their end.
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    source
        .take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(format!("cannot be read: {error}"), None))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(unreadable(
            format!("cannot be read: it is longer than {BYTES_MAX} bytes"),
            None,
        ));
    }
    Ok(bytes)
}

fn descriptor(number: &str) -> Result<Vec<u8>, Unreadable> {
    match number.parse::<u32>() {
        Ok(0) => standard_input(),
        Ok(number) if cfg!(unix) => file(&format!("/dev/fd/{number}"), Path::new("/")),
        _ => Err(unreadable("is not a descriptor that can be read", None)),
    }
}

/// What a command prints; it must succeed.
fn execute(text: &str, folder: &Path) -> Result<Vec<u8>, Unreadable> {
    let mut command = if cfg!(windows) {
        Command::new("cmd")
    } else {
        Command::new("sh")
    };
    command.args([if cfg!(windows) { "/C" } else { "-c" }, text]);
    if !folder.as_os_str().is_empty() {
        command.current_dir(folder);
    }
    match command.output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(unreadable(
                format!("failed ({}): {said}", output.status),
                None,
            ))
        }
        Err(error) => Err(unreadable(format!("could not be run: {error}"), None)),
    }
}

/// As uWSGI does for `@(...)`: the text without the end of its last line.
pub(crate) fn one_value(
    name: &str,
    may_execute: bool,
    folder: &Path,
) -> Result<String, Unreadable> {
    let bytes = read(name, may_execute, folder)?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("is not UTF-8", None))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
