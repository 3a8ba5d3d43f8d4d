//! The lines that the server prints when it starts.

use std::fmt::Write as _;
use std::time::Duration;

use crate::app::Report;
use crate::app::apps::{AppReport, shown};
use crate::net::Address;
use crate::python::{Isolation, Loaded, Runtime};

use super::sockets::Listening;
use crate::reload::report::counted;

/// A longer reason for the isolation has lines of its own. Bytes.
const WHY_ON_THE_LINE_MAX: usize = 80;

/// The first line, before the application loads.
pub fn greeting(runtime: &Runtime) -> String {
    format!(
        "singlemalt {} with CPython {}{} ({})",
        env!("CARGO_PKG_VERSION"),
        runtime.version(),
        if runtime.is_free_threaded() {
            ", free-threaded"
        } else {
            ""
        },
        runtime.prefix()
    )
}

/// The applications, the isolation, the workers and the addresses: a line each.
pub fn serving(report: &Report, listening: &[Listening], elapsed: Duration) -> String {
    let mut text = String::new();
    // A String takes everything, so these writes cannot fail.
    let _infallible = write_serving(&mut text, report, listening, elapsed);
    text
}

fn write_serving(
    text: &mut String,
    report: &Report,
    listening: &[Listening],
    elapsed: Duration,
) -> std::fmt::Result {
    match &report.loaded {
        Ok(apps) => write_apps(text, apps)?,
        Err(why) => {
            writeln!(text, "app: NONE, every request is answered 500:")?;
            write_indented(text, why)?;
        }
    }
    let meaning = match report.isolation {
        Isolation::OwnGil => "every interpreter has its own GIL",
        Isolation::SharedGil => "interpreters share one GIL",
        Isolation::Main => "all threads share the main interpreter",
    };
    write!(text, "isolation: {}, {meaning}", report.isolation.word())?;
    match report.why.as_str() {
        "" => writeln!(text)?,
        why if why.len() <= WHY_ON_THE_LINE_MAX => writeln!(text, " ({why})")?,
        why => {
            writeln!(text, ", because")?;
            write_indented(text, why)?;
        }
    }
    if let Some(change) = &report.shape_change {
        writeln!(text, "WARNING: {change}")?;
    }
    let interpreters = report.interpreters.len();
    let each: Vec<String> = report.interpreters.iter().map(milliseconds_of).collect();
    writeln!(
        text,
        "workers: {} x {}, ready in {}{}",
        counted(interpreters, "interpreter"),
        counted(report.threads / interpreters.max(1), "thread"),
        each.join(", "),
        match report.most {
            most if most > interpreters => format!(" (up to {most} when they are needed)"),
            _ => String::new(),
        }
    )?;
    for one in listening {
        writeln!(text, "listening on {}", url(one))?;
    }
    write!(
        text,
        "ready after {}, pid {}; Ctrl-C stops",
        milliseconds(elapsed),
        std::process::id()
    )
}

/// A line for each application; the only one, at the root, needs no number and no place.
fn write_apps(text: &mut String, apps: &[AppReport]) -> std::fmt::Result {
    if apps.is_empty() {
        return writeln!(
            text,
            "app: none is named, requests that no static file answers are answered 500"
        );
    }
    for (number, app) in apps.iter().enumerate() {
        match apps {
            [only] if only.mountpoint.is_empty() => write!(text, "app: ")?,
            [only] => write!(text, "app at {}: ", shown(&only.mountpoint))?,
            _ => write!(text, "app {number} at {}: ", shown(&app.mountpoint))?,
        }
        match &app.loaded {
            Some(loaded) => write_loaded(text, loaded)?,
            None => writeln!(text, "NONE, its requests are answered 500, see above")?,
        }
    }
    let default = apps.iter().position(|app| app.is_default);
    match default {
        _ if apps.len() < 2 => Ok(()),
        Some(number) => writeln!(text, "what no mount holds goes to app {number}"),
        None => writeln!(text, "what no mount holds is answered 500"),
    }
}

fn write_loaded(text: &mut String, loaded: &Loaded) -> std::fmt::Result {
    writeln!(
        text,
        "{}, callable '{}', loaded in {}",
        loaded.name,
        loaded.callable,
        milliseconds(loaded.elapsed)
    )?;
    if let Some(note) = &loaded.note {
        writeln!(text, "  note: {note}")?;
    }
    for refused in &loaded.refused {
        writeln!(
            text,
            "  note: the extension {refused} refuses interpreters with a GIL of their own; {}",
            refused.consequence_in_words()
        )?;
    }
    Ok(())
}

fn write_indented(text: &mut String, lines: &str) -> std::fmt::Result {
    for line in lines.lines() {
        writeln!(text, "  {line}")?;
    }
    Ok(())
}

/// The URL of a listener.
pub fn url(listening: &Listening) -> String {
    let word = listening.word();
    match &listening.address {
        Address::Tcp(address) => format!("{word}://{address}"),
        #[cfg(unix)]
        Address::Unix(path) => format!("{word}+unix:{}", path.display()),
        #[cfg(target_os = "linux")]
        Address::Abstract(name) => format!("{word}+unix:@{}", name.escape_ascii()),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn milliseconds_of(time: &Duration) -> String {
    milliseconds(*time)
}
