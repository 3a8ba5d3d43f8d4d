//! What a person reads when the server starts.

use std::fmt::Write as _;
use std::time::Duration;

use super::sockets::Place;
use crate::app::Report;
use crate::net::Address;
use crate::python::{Isolation, Runtime};

/// A longer reason for the isolation has lines of its own. Bytes.
const WHY_ON_THE_LINE_MAX: usize = 80;

/// The first line, before anything can take long.
pub fn greeting(runtime: &Runtime) -> String {
    format!(
        "singlemalt {} with CPython {} ({})",
        env!("CARGO_PKG_VERSION"),
        runtime.version(),
        runtime.prefix()
    )
}

/// What was loaded, how it runs, and where it listens: a line each.
pub fn serving(report: &Report, listening: &[Place], elapsed: Duration) -> String {
    let mut text = String::new();
    // A String takes everything, so these writes cannot fail.
    let _infallible = write_serving(&mut text, report, listening, elapsed);
    text
}

fn write_serving(
    text: &mut String,
    report: &Report,
    listening: &[Place],
    elapsed: Duration,
) -> std::fmt::Result {
    match &report.loaded {
        Ok(loaded) => {
            writeln!(
                text,
                "app: {}, callable '{}', loaded in {}",
                loaded.name,
                loaded.callable,
                milliseconds(loaded.elapsed)
            )?;
            if let Some(note) = &loaded.note {
                writeln!(text, "  note: {note}")?;
            }
            for refused in &loaded.refused {
                let by = if refused.importer.is_empty() {
                    String::new()
                } else {
                    format!(" (imported by {})", refused.importer)
                };
                writeln!(
                    text,
                    "  note: {}{by} has no subinterpreter support; its pure Python version is used, which is slower",
                    refused.module
                )?;
            }
        }
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
    let interpreters = report.interpreters.len();
    let each: Vec<String> = report.interpreters.iter().map(milliseconds_of).collect();
    writeln!(
        text,
        "workers: {} x {}, ready in {}",
        counted(interpreters, "interpreter"),
        counted(report.threads / interpreters.max(1), "thread"),
        each.join(", ")
    )?;
    for place in listening {
        writeln!(text, "listening on {}", url(place))?;
    }
    write!(
        text,
        "ready after {}, pid {}; Ctrl-C stops",
        milliseconds(elapsed),
        std::process::id()
    )
}

fn write_indented(text: &mut String, lines: &str) -> std::fmt::Result {
    for line in lines.lines() {
        writeln!(text, "  {line}")?;
    }
    Ok(())
}

fn url(place: &Place) -> String {
    let scheme = place.scheme;
    match &place.address {
        Address::Tcp(address) => format!("{scheme}://{address}"),
        #[cfg(unix)]
        Address::Unix(path) => format!("{scheme}+unix:{}", path.display()),
        #[cfg(target_os = "linux")]
        Address::Abstract(name) => format!("{scheme}+unix:@{}", name.escape_ascii()),
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn milliseconds_of(time: &Duration) -> String {
    milliseconds(*time)
}
