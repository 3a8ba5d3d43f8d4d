//! The subscriber for `tracing` events: one line each, level first, fields behind the message.
//!
//! `SINGLEMALT_LOG` (error, warn, info, debug, trace; default info) says how much. Events with the
//! target `app` come from the application (tracebacks, `wsgi.errors`) and are written at once, those
//! of `wsgi.errors` as they are.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::writer::LogWriter;

/// Target of events about the application.
const APP: &str = "app";
/// Target of text that the application wrote, in pieces of any kind.
const APP_ERRORS: &str = "app.errors";
/// Target of lines without a level.
const APP_STDERR: &str = "app.stderr";

/// Makes `writer` the place where every message of the process goes. `level`: the word from
/// `SINGLEMALT_LOG`, if it is set. Once, before other threads start.
pub fn install(writer: LogWriter, level: Option<&str>) -> Result<(), String> {
    let filter = match level {
        None => LevelFilter::INFO,
        Some(word) => word.parse().map_err(|_| {
            format!("SINGLEMALT_LOG is '{word}'; it can be off, error, warn, info, debug or trace")
        })?,
    };
    let subscriber = tracing_subscriber::registry().with(Messages(writer).with_filter(filter));
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
}

struct Messages(LogWriter);

impl<S: Subscriber> Layer<S> for Messages {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        if metadata.target() == APP_ERRORS {
            return self.0.append_text(text.message.as_bytes());
        }
        let level = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        let level = if metadata.target() == APP_STDERR {
            ""
        } else {
            level
        };
        let text = match text.fields.as_str() {
            "" => text.message,
            fields => text.message + fields,
        };
        // In order with what the application prints.
        if metadata.target() == APP {
            self.0.write_message(level, &text);
        } else {
            self.0.append_message(level, &text);
        }
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A String takes everything.
        let _infallible = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
