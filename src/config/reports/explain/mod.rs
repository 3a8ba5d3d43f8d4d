//! `--explain FILE`: what a configuration means here. For a uWSGI file each line with its class,
//! its effective value and what it means in one process, then what deserves a look, then the least
//! configuration that says the same; for gunicorn the equivalent.
//!
//! The file is read by the same loader as for serving; nothing is started, and no error of a value
//! ends the report. Text in, text out, but for the files that are read.

mod advice;
mod effective;
mod explained;
mod gunicorn;
mod rules;

pub use explained::Explained;

use std::collections::BTreeMap;

use effective::{effective, effective_text};

use super::show::ini_value;
use super::suggestion;
use crate::config::app::options as app;
use crate::config::error::ConfigError;
use crate::config::process::hook;
use crate::config::readers::contents;
use crate::config::readers::language::entries::{Entry, Loaded, PassedOver};
use crate::config::readers::language::loader::{Loader, Stop};
use crate::config::readers::layers;
use crate::config::readers::layers::{Layer, Written};
use crate::config::readers::options as configuration;
use crate::config::readers::system_facts::SystemFacts;
use crate::config::resolve::resolve_loaded;
use crate::config::settings::Config;
use crate::config::sockets::options as sockets;
use crate::config::table;
use crate::config::table::row::{Class, Group, Kind, OptionRow, Ready};
use crate::config::values::address::Address;
use crate::config::values::{address, value};

/// The report about a file, or about a gunicorn command line in one argument.
pub(crate) fn explain(name: &str, system: &SystemFacts) -> Result<Explained, ConfigError> {
    if gunicorn::is_command_line(name) {
        let text = gunicorn::explain_command_line(name);
        return Ok(Explained::without_config(text));
    }
    if name.ends_with(".py") {
        let text = contents::read(name, false, &system.directory)
            .map_err(|failure| ConfigError::new(format!("{name} {} (--explain)", failure.why)))?;
        let text = gunicorn::explain_file(name, &String::from_utf8_lossy(&text));
        return Ok(Explained::without_config(text));
    }
    let mut layer = Layer::new(layers::COMMAND_LINE);
    let row = if crate::config::readers::formats::Format::of_ending(
        name.split(':').next().unwrap_or(name),
    )
    .is_some()
    {
        &configuration::CONFIG
    } else {
        &configuration::INI
    };
    layer.push(
        row,
        Written {
            name: row.name.to_owned(),
            spelled: "--explain".to_owned(),
            text: name.to_owned(),
            place: 0,
        },
    );
    let mut loader = Loader::new(system, false);
    loader.goes_on = true;
    let loaded = loader
        .add_layer(layers::COMMAND_LINE, layer)
        .and_then(|()| loader.finish());
    match loaded {
        Ok(loaded) => Ok(Report::new(name, &loaded, system).render()),
        Err(Stop::Exit(code)) => Ok(Explained::without_config(format!(
            "{name} leaves with code {code} while it is read\n"
        ))),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Everything that is known about a file.
struct Report<'l> {
    name: &'l str,
    loaded: &'l Loaded,
    system: &'l SystemFacts,
    /// Without the line that named the file.
    entries: Vec<&'l Entry>,
    /// How many lines that was.
    hidden: usize,
}

impl<'l> Report<'l> {
    fn new(name: &'l str, loaded: &'l Loaded, system: &'l SystemFacts) -> Report<'l> {
        let shown = loaded
            .entries
            .iter()
            .filter(|entry| entry.spelled != "--explain");
        let entries: Vec<&Entry> = shown.collect();
        Report {
            hidden: loaded.entries.len() - entries.len(),
            name,
            loaded,
            system,
            entries,
        }
    }

    fn render(&self) -> Explained {
        let (verdict, config) = self.verdict();
        Explained {
            head: self.summary(),
            verdict,
            rest: self.body(),
            name: self.name.to_owned(),
            config,
        }
    }

    fn body(&self) -> String {
        let mut text = format!("\n{}", self.lines());
        let look = self.deserves_a_look();
        if !look.is_empty() {
            text.push_str("\nworth a look:\n");
            for line in look {
                text.push_str(&format!("  - {line}\n"));
            }
        }
        text.push_str("\nthe same, for singlemalt:\n\n");
        text.push_str(&self.suggestion());
        text
    }

    fn summary(&self) -> String {
        let mut counts: BTreeMap<u8, (usize, &str)> = BTreeMap::new();
        for entry in &self.entries {
            let (order, what) = match entry.row {
                None => (6, "no option (?)"),
                Some(row) if row.language => (5, "of the language of files"),
                Some(row) => match rules::class(row, entry) {
                    (Class::Unsupported(_), _) => (4, "not supported (X)"),
                    (Class::Accepted(_), _) => (2, "not needed (A)"),
                    (_, Ready::Later | Ready::LaterAndEssential(_)) => {
                        (3, "not yet in this version (L)")
                    }
                    (Class::Same, _) => (0, "the same (E)"),
                    (Class::Mapped(_), _) => (1, "mapped to one process (M)"),
                },
            };
            counts.entry(order).or_insert((0, what)).0 += 1;
        }
        let parts: Vec<String> = counts
            .values()
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let options = if self.entries.len() == 1 {
            "line"
        } else {
            "lines"
        };
        format!(
            "{}: {} {options}: {}\n",
            self.name,
            self.entries.len(),
            parts.join(", ")
        )
    }

    /// Whether the server starts with it, and with what.
    fn verdict(&self) -> (String, Option<Box<Config>>) {
        let mut error = match self.tried(&[]) {
            Ok(config) => {
                return (
                    "singlemalt starts with it as it is.\n".to_owned(),
                    Some(config),
                );
            }
            Err(error) => error,
        };
        if !self.names_application() {
            match self.tried(&["sample"]) {
                Ok(config) => {
                    let text = format!(
                        "singlemalt starts with it and an application, which it does not name: \
                         singlemalt {} --module pkg.module\n",
                        self.name
                    );
                    return (text, Some(config));
                }
                Err(other) => error = other,
            }
        }
        (
            format!("singlemalt does not start with it as it is: {error}\n"),
            None,
        )
    }

    /// What the server says to it, up to the start, with these modules of the command line.
    fn tried(&self, modules: &[&str]) -> Result<Box<Config>, ConfigError> {
        let mut layer = Layer::new(layers::COMMAND_LINE);
        for module in modules {
            layer.push(
                &app::MODULE,
                Written {
                    name: app::MODULE.name.to_owned(),
                    spelled: "--module".to_owned(),
                    text: (*module).to_owned(),
                    place: 0,
                },
            );
        }
        let raw = self.loaded.stack().on_top(layer).settle()?;
        match self.loaded.left_out.first() {
            Some(error) => Err(error.clone()),
            None => resolve_loaded(&raw, Vec::new(), self.loaded, self.system).map(Box::new),
        }
    }

    fn names_application(&self) -> bool {
        let serves = [
            "module",
            "wsgi-file",
            "app",
            "mount",
            "eval",
            "ini-paste",
            "paste",
        ];
        let rows = serves.into_iter().filter_map(table::named);
        rows.filter(|row| row.has_effect())
            .any(|row| self.entries.iter().any(|entry| is_of(entry, row)))
    }

    fn lines(&self) -> String {
        let passed = self.loaded.passed_over.iter().map(|line| &line.entry);
        let width = passed
            .chain(self.entries.iter().copied())
            .map(|entry| shown(entry).chars().count())
            .max()
            .unwrap_or(0)
            .min(48);
        let mut text = String::new();
        let mut source = "";
        let mut passed = self.loaded.passed_over.iter().peekable();
        for (index, entry) in self.entries.iter().enumerate() {
            while let Some(line) = passed.next_if(|line| line.before <= index + self.hidden) {
                text.push_str(&passed_over(line, width));
            }
            if source != &*entry.source && *entry.source != *self.file() {
                text.push_str(&format!("{}:\n", entry.source));
            }
            source = &entry.source;
            let (class, meaning) = self.meaning(index, entry);
            let left = format!("{:>4}  {:<width$}  {class}", entry.place, shown(entry));
            text.push_str(format!("{left:<0$}  {meaning}", width + 9).trim_end());
            text.push('\n');
        }
        for line in passed {
            text.push_str(&passed_over(line, width));
        }
        text
    }

    fn file(&self) -> &str {
        self.name.split(':').next().unwrap_or(self.name)
    }

    /// The class as a mark, and what the line means here.
    fn meaning(&self, index: usize, entry: &Entry) -> (&'static str, String) {
        let Some(row) = entry.row else {
            return ("?", self.about_unknown(entry));
        };
        if row.language {
            return ("E", String::new());
        }
        let mut parts: Vec<String> = Vec::new();
        let value = match rules::refusal(row, entry) {
            Some(why) => Err(why),
            None => effective(row, &entry.text),
        };
        let (class, ready) = rules::class(row, entry);
        // One "is" is enough: the value that counts.
        let is_told = matches!(&value, Ok((Some(_), _)));
        if entry.text != entry.before && !is_told {
            parts.push(format!("is '{}'", entry.text));
        }
        if !row.adds_up
            && self
                .entries
                .iter()
                .skip(index + 1)
                .any(|other| is_of(other, row))
        {
            parts.push("a later line wins".to_owned());
        }
        match value {
            Ok((_, Some(warning))) => parts.push(warning),
            Ok((value, None)) => parts.extend(value),
            Err(why) => {
                let unset = layers::unset_variable(&entry.text, &why);
                let why = unset.map_or(why, |(_, why)| why);
                parts.push(format!("ERROR: {why}"));
            }
        }
        if class != Class::Same {
            parts.push(class.sentence().to_owned());
        }
        if let Some(stronger) = self.stronger_application(row) {
            parts.push(format!(
                "passed over, as in uWSGI: {stronger} is the application"
            ));
        }
        if self.is_passed_over_callable(row) {
            parts.push("passed over, as in uWSGI: module names its own callable".to_owned());
        }
        match row.ready {
            Ready::Now => {}
            Ready::Later => parts.push("not yet in this version".to_owned()),
            Ready::LaterAndEssential(_) if matches!(class, Class::Unsupported(_)) => {
                parts.push("the server does not start with it".to_owned());
            }
            Ready::LaterAndEssential(instead) => parts.push(format!(
                "not yet in this version, and the server does not start with it: {instead}"
            )),
        }
        parts.extend(advice::about(row, &entry.text));
        if row.name == "log-format" && entry.text != entry.before {
            parts.push("a placeholder replaces the variable of its name".to_owned());
        }
        if row.name == sockets::SOCKET.name && self.protocol() == "uwsgi" {
            parts.push("nginx's uwsgi_pass goes on as it is".to_owned());
        }
        let mark = match (class, ready) {
            (Class::Accepted(_), _) => "A",
            (Class::Unsupported(_), _) => "X",
            (_, Ready::Later | Ready::LaterAndEssential(_)) => "L",
            (Class::Same, Ready::Now) => "E",
            (Class::Mapped(_), Ready::Now) => "M",
        };
        (mark, parts.join("; "))
    }

    fn stronger_application(&self, row: &OptionRow) -> Option<&'static str> {
        let order = [app::MODULE.name, app::WSGI_FILE.name, app::PASTE.name];
        let stronger = order.iter().position(|name| *name == row.name)?;
        let is_there = |name: &&&str| self.value_of(name).is_some();
        order.iter().take(stronger).find(is_there).copied()
    }

    /// `module = a:b` beside `callable = c`.
    fn is_passed_over_callable(&self, row: &OptionRow) -> bool {
        let module = self.value_of(app::MODULE.name);
        row.name == app::CALLABLE.name && module.is_some_and(|module| module.contains(':'))
    }

    fn about_unknown(&self, entry: &Entry) -> String {
        let unknown = self
            .loaded
            .unknown
            .iter()
            .find(|unknown| unknown.key == entry.key);
        match unknown {
            Some(unknown) if unknown.is_used => format!("a placeholder: %({})", entry.key),
            None => "a placeholder, or a declared option".to_owned(),
            Some(_) => match suggestion::closest(&entry.key) {
                Some(meant) if entry.key.replace('_', "-") == meant => format!(
                    "not an option, and ignored by uWSGI too: '_' and '-' differ; did you mean \
                     {meant}?"
                ),
                Some(meant) => {
                    format!("not an option, and ignored by uWSGI too; did you mean {meant}?")
                }
                None => "not an option, and no value refers to it (the application can: uwsgi.opt)"
                    .to_owned(),
            },
        }
    }

    fn value_of(&self, name: &str) -> Option<&str> {
        let row = table::named(name)?;
        let found = self.entries.iter().rev().find(|entry| is_of(entry, row))?;
        Some(found.text.as_str())
    }

    fn deserves_a_look(&self) -> Vec<String> {
        let left_out = self.loaded.left_out.iter();
        let mut lines: Vec<String> = left_out
            .map(|error| format!("left out of this report: {}", error.message()))
            .collect();
        lines.extend(self.loaded.warnings.iter().cloned());
        let has_unix_socket = self.entries.iter().any(|entry| {
            let is_listener = entry
                .row
                .is_some_and(|row| row.group == Group::Listening && row.kind == Kind::Address);
            is_listener && matches!(address::parse(&entry.text), Ok(Address::Unix(_)))
        });
        lines.extend(advice::overall(|name| self.value_of(name), has_unix_socket));
        lines
    }

    /// The least file that means the same: what has an effect, under its first name.
    fn suggestion(&self) -> String {
        let mut text = String::from("[uwsgi]\n");
        if self.entries.iter().any(|entry| entry.before.contains("$(")) {
            text.push_str("; values of the environment are written out as they are now\n");
        }
        let protocol_is_http = self.protocol() == "http";
        let mut later = String::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(row) = entry.row else {
                continue;
            };
            let is_last = row.adds_up
                || !self
                    .entries
                    .iter()
                    .skip(index + 1)
                    .any(|other| is_of(other, row));
            let is_default = row.default == Some(entry.text.as_str())
                || row.kind == Kind::Flag && !value::flag(&entry.text).value;
            let replacement = advice::replacement(row, &entry.text, protocol_is_http);
            let needs_nothing = replacement.is_none()
                && matches!(row.class, Class::Accepted(_) | Class::Unsupported(_));
            let is_passed_over = self.stronger_application(row).is_some()
                || self.is_passed_over_callable(row)
                || matches!(effective(row, &entry.text), Ok((_, Some(why))) if why == value::NO_NUMBER);
            if row.language || needs_nothing || !is_last || is_default || is_passed_over {
                continue;
            }
            let (name, text_of_value) = match replacement {
                Some(advice::Replacement::Line(name, text)) => (name, text),
                Some(advice::Replacement::Nothing) => continue,
                None => (canonical(row, entry), effective_text(row, &entry.text)),
            };
            let line = format!("{name} = {}\n", ini_value(&text_of_value));
            if row.name == "cheaper"
                && !advice::is_lower(&text_of_value, self.value_of("processes"))
            {
                text.push_str(&format!(
                    "; cheaper = {text_of_value} would have to be lower than processes\n"
                ));
            } else if row.ready != Ready::Now && name == canonical(row, entry) {
                later.push_str(&format!("; {line}"));
            } else {
                text.push_str(&line);
            }
        }
        text.push_str(&self.missing());
        let meant = self.typos();
        if !meant.is_empty() {
            text.push_str(&format!(
                "\n; meant, perhaps, and without effect in uWSGI:\n{meant}"
            ));
        }
        if !later.is_empty() {
            text.push_str(&format!("\n; not yet in this version:\n{later}"));
        }
        text
    }

    /// Lines for what a server needs and the file does not say: an application, an address.
    fn missing(&self) -> String {
        let mut text = String::new();
        if !self.names_application() && self.tried(&[]).is_err() {
            text.push_str(
                "; name the application: module = pkg.module:app, or wsgi-file = app.py\n",
            );
        }
        let mut rows = self.entries.iter().filter_map(|entry| entry.row);
        let listens = rows.any(|row| {
            row.group == Group::Listening && row.kind == Kind::Address
                || row.group == Group::Tls && row.name.starts_with("https")
        });
        if !listens {
            text.push_str(
                "; without an address, 127.0.0.1:8000 is listened on\nhttp = 127.0.0.1:8000\n",
            );
        }
        text
    }

    /// The options that misspelled keys were probably meant to be, as comments.
    fn typos(&self) -> String {
        let unknown = self
            .loaded
            .unknown
            .iter()
            .filter(|unknown| !unknown.is_used);
        let entry_of = |key: &str| self.entries.iter().rfind(|entry| entry.key == key);
        unknown
            .filter_map(|unknown| {
                let entry = entry_of(&unknown.key)?;
                let row = table::named(suggestion::closest(&unknown.key)?)
                    .filter(|row| !row.language && row.has_effect())?;
                let name = row.name;
                let text = effective_text(row, &entry.text);
                Some(format!("; {name} = {}\n", ini_value(&text)))
            })
            .collect()
    }

    /// What `socket` speaks.
    fn protocol(&self) -> &str {
        let last = self
            .entries
            .iter()
            .rfind(|entry| is_of(entry, &sockets::PROTOCOL));
        last.map_or("uwsgi", |entry| &entry.text)
    }
}

/// Families share a row: there the name that was used is kept.
fn canonical(row: &OptionRow, entry: &Entry) -> String {
    let is_family =
        hook::phase(&entry.key).is_some() || row.ready != Ready::Now || row.group == Group::Routing;
    if is_family {
        entry.key.clone()
    } else {
        row.name.to_owned()
    }
}

/// A line of the logic of files, or one that it kept out.
fn passed_over(line: &PassedOver, width: usize) -> String {
    let (class, meaning) = match &line.kept_out_by {
        Some(why) => ("-", format!("not read: {why}")),
        None => ("E", String::new()),
    };
    let left = format!(
        "{:>4}  {:<width$}  {class}",
        line.entry.place,
        shown(&line.entry)
    );
    format!(
        "{}\n",
        format!("{left:<0$}  {meaning}", width + 9).trim_end()
    )
}

fn is_of(entry: &Entry, row: &OptionRow) -> bool {
    entry.row.is_some_and(|other| other.name == row.name)
}

fn shown(entry: &Entry) -> String {
    let text = entry.before.replace(['\n', '\r'], " ");
    format!("{} = {text}", entry.spelled)
}
