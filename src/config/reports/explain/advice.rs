//! What a person who comes from uWSGI should know about some options: what their values come to in
//! one process, what is deprecated or dead, what contradicts what. Pure.

use crate::config::app::target;
use crate::config::python::options as python;
use crate::config::readers::language::logic::is_there;
use crate::config::reports::notices;
use crate::config::sockets::options as sockets;
use crate::config::table::row::OptionRow;
use crate::config::values::value;

pub(super) fn about(row: &OptionRow, text: &str) -> Option<String> {
    let note = match row.name {
        "lazy" => "deprecated in uWSGI: lazy-apps is what is meant".to_owned(),
        "no-orphans" | "py-call-osafterfork" | "close-on-exec" => "can be deleted".to_owned(),
        "gevent" | "asyncio" | "coroae" | "async" => {
            format!("write threads = {} instead", threads_for(text))
        }
        "plugin" => {
            let names: Vec<&str> = target::plugin_names(text)
                .filter(|name| !name.ends_with(".py"))
                .collect();
            let file = names
                .iter()
                .find(|name| name.contains('/') || name.ends_with(".so"));
            let odd = names.iter().find(|name| !is_there(name));
            match (file, odd) {
                (Some(file), _) => {
                    format!("{file} is a plugin of uWSGI in C, and cannot be loaded")
                }
                (None, Some(odd)) => format!("{odd}: {}", notices::without(odd)),
                (None, None) => return None,
            }
        }
        "log-x-forwarded-for" => "only headers of trusted proxies should be believed".to_owned(),
        "https" | "https-socket" | "https2" if text.matches(',').count() >= 3 => {
            "a list of ciphers has no effect: TLS 1.2 and 1.3 with the library's own".to_owned()
        }
        "listen" if value::number(text).is_ok_and(|read| read.value > 4096) => {
            "uWSGI would not start above somaxconn; here the kernel lowers it".to_owned()
        }
        "uid" | "gid" if text == "root" || text == "0" => {
            "is what a server should not be".to_owned()
        }
        _ => return None,
    };
    Some(note)
}

/// Threads instead of so many green ones.
fn threads_for(green: &str) -> u64 {
    match value::number(green) {
        Ok(read) if read.value > 0 => read.value.clamp(2, 64),
        _ => 16,
    }
}

/// What to know about the number of interpreters.
fn about_processes(processes: u64, threads: u64) -> Option<String> {
    if processes > 32 {
        Some(format!(
            "processes = {processes}: {processes} interpreters load the application for \
             themselves, each with memory of its own; as many as there are cores (%k), with \
             threads, usually serve as well"
        ))
    } else if processes > 1 {
        let all = processes.saturating_mul(threads);
        let mut text = format!(
            "processes = {processes}: {processes} interpreters load the application for \
             themselves; if an extension of it refuses subinterpreters, isolation = auto falls \
             back to {all} threads of the main interpreter"
        );
        if threads == 1 {
            text.push_str(
                ", which work on requests at once: an application that counts on one thread in a \
                 process needs processes = 1 and threads = 1 then",
            );
        }
        Some(text)
    } else {
        None
    }
}

/// What to know about options together.
pub(super) fn overall<'e>(
    value_of: impl Fn(&str) -> Option<&'e str>,
    has_unix_socket: bool,
) -> Vec<String> {
    let number = |name: &str| {
        value_of(name)
            .and_then(|text| value::number(text).ok())
            .map(|read| read.value)
    };
    let mut lines = Vec::new();
    let processes = number("processes").unwrap_or(1);
    let threads = number("threads").unwrap_or(1);
    lines.extend(about_processes(processes, threads));
    if let Some(cheaper) = number("cheaper").filter(|cheaper| *cheaper >= processes) {
        lines.push(format!(
            "cheaper = {cheaper} wants more than {cheaper} processes, and there are \
            {processes}: uWSGI would not start"
        ));
    }
    if value_of("harakiri").is_none() && value_of("http-timeout").is_some() {
        lines.push(
            "http-timeout bounds the silence of clients here; what bounds the application \
            is harakiri"
                .to_owned(),
        );
    }
    if value_of("max-requests").is_some() {
        lines.push(
            "max-requests renews an interpreter at a time, never all at once; without a \
            leak it is not needed"
                .to_owned(),
        );
    }
    for name in [
        "reload-on-rss",
        "reload-on-as",
        "reload-on-uss",
        "reload-on-pss",
        "limit-as",
    ] {
        if let Some(limit) = number(name).filter(|_| processes > 1) {
            lines.push(format!(
                "{name} = {limit}: meant for one of {processes} worker processes, \
                it acts here when the one process is above {} \
                MB",
                limit.saturating_mul(processes)
            ));
        }
    }
    if value_of("daemonize").is_some() || value_of("daemonize2").is_some() {
        lines.push(
            "daemonize: under systemd, supervisor or in a container the server should stay \
            in the foreground"
                .to_owned(),
        );
    }
    if value_of("uid").is_none() && value_of("gid").is_some() {
        lines.push("gid without uid: the server stays the user that started it".to_owned());
    }
    if has_unix_socket
        && value_of("chmod-socket")
            .is_some_and(|mode| mode.ends_with('6') || mode.ends_with('7') || mode == "true")
    {
        lines.push(
            "chmod-socket lets every user of the machine write to the socket; 660 and the \
            proxy's group are enough"
                .to_owned(),
        );
    }
    lines
}

/// Whether `cheaper` is what uWSGI and this server take: lower than `processes`.
pub(super) fn is_lower(cheaper: &str, processes: Option<&str>) -> bool {
    let number = |text: &str| value::number(text).ok().map(|read| read.value);
    let processes = processes.and_then(number).unwrap_or(1);
    number(cheaper).is_none_or(|cheaper| cheaper < processes)
}

/// What stands in the suggested configuration instead of an option.
pub(super) enum Replacement {
    Line(String, String),
    Nothing,
}

/// The line that says the same with an effect; `None` to keep the option.
pub(super) fn replacement(
    row: &OptionRow,
    text: &str,
    protocol_is_http: bool,
) -> Option<Replacement> {
    if row.name == sockets::SOCKET.name && protocol_is_http {
        return Some(Replacement::Line("http-socket".to_owned(), text.to_owned()));
    }
    if matches!(row.name, "gevent" | "asyncio" | "coroae" | "async") {
        let threads = threads_for(text).to_string();
        return Some(Replacement::Line("threads".to_owned(), threads));
    }
    if row.name == sockets::PROTOCOL.name && protocol_is_http {
        return Some(Replacement::Nothing);
    }
    if row.name == python::PLUGIN.name {
        // Only files have to be named.
        let files = target::plugin_names(text).filter(|name| name.ends_with(".py"));
        let files: Vec<&str> = files.collect();
        return Some(match files[..] {
            [] => Replacement::Nothing,
            _ => Replacement::Line(row.name.to_owned(), files.join(",")),
        });
    }
    None
}
