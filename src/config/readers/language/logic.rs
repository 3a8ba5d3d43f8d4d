//! The logic of configuration files: `if-*`, `else`, `endif`, `for-*`, `endfor`
//! (uWSGI docs, "Configuration logic"; core/config.c).
//!
//! As in uWSGI a condition is looked at anew for every option below it, a loop repeats every option
//! by itself, and neither can stand inside another. The value that was looked at is `%(_)`.

use crate::config::readers::system_facts::SystemFacts;

/// The most times that a loop may repeat an option.
const TIMES_MAX: u64 = 10_000;

const BUILT_IN: &[&str] = &[
    "python",
    "python2",
    "python3",
    "http",
    "corerouter",
    "cache",
    "cheaper_busyness",
    "logfile",
    "logsocket",
    "rsyslog",
    "syslog",
    "spooler",
    "rpc",
    "signal",
    "ping",
    "json_logger",
    "json_logging",
    "router_static",
    "router_redirect",
    "router_rewrite",
    "router_basicauth",
    "router_expires",
    "router_http",
    "transformation_gzip",
    "transformation_chunked",
    "stats_pusher_socket",
    "symcall",
    "zergpool",
    "carbon",
    "alarm_curl",
    "nagios",
    "ugreen",
    "dumbloop",
    "transformation_template",
    "transformation_tofile",
    "transformation_toupper",
    "transformation_offload",
    "router_cache",
    "router_hash",
    "router_memcached",
    "router_metrics",
    "router_radius",
    "router_spnego",
    "router_uwsgi",
    "router_xmldir",
    "cheaper_backlog2",
    "notfound",
    "logcrypto",
    "logpipe",
    "sslrouter",
    "rawrouter",
];

/// A plugin of this name has nothing to load: its work is built in, or is named by its options.
pub(crate) fn is_built_in_plugin(name: &str) -> bool {
    let python = name.strip_prefix("python").unwrap_or("x");
    python
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        || BUILT_IN.contains(&name)
}

/// The plugin's work is done by this version, all of it: what `need-plugin` asks for.
pub(crate) fn is_there(name: &str) -> bool {
    const HERE: &[&str] = &[
        "http",
        "corerouter",
        "ping",
        "signal",
        "cheaper_busyness",
        "router_redirect",
        "router_rewrite",
        "router_basicauth",
        "router_static",
        "router_expires",
        "router_hash",
        "transformation_chunked",
    ];
    match name.strip_prefix("python") {
        Some(version) => {
            let is_version = |byte: u8| byte.is_ascii_digit() || byte == b'.';
            version.is_empty() || version.starts_with('3') && version.bytes().all(is_version)
        }
        None => HERE.contains(&name),
    }
}

/// What is open while options are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Logic {
    /// Nothing.
    #[default]
    None,
    /// A condition or a loop: its option (`if-env`), what it looks at, and where it stands.
    Open {
        option: String,
        thing: String,
        place: String,
    },
    /// Behind `else`: whether what follows is read, and the condition that it belongs to.
    Else { read: bool, of: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is read as it is.
    Read,
    /// It is read once for each of these, which stand for `%(_)`.
    ReadFor(Vec<String>),
    /// It is not read.
    Skip,
}

/// Decides over one option below a condition or a loop. `option` looks up what was written so far.
pub(crate) fn decide(
    kind: &str,
    thing: &str,
    system: &SystemFacts,
    option: impl Fn(&str) -> Option<String>,
) -> Result<Fate, String> {
    let (positive, subject) = match kind.strip_prefix("if-not-") {
        Some(subject) => (false, subject),
        None => (
            true,
            kind.strip_prefix("if-")
                .or_else(|| kind.strip_prefix("if"))
                .unwrap_or(kind),
        ),
    };
    let (name, wanted) = match thing.split_once('=') {
        Some((name, wanted)) => (name, Some(wanted)),
        None => (thing, None),
    };
    let (holds, value) = match subject {
        "env" => {
            let value = system.environment.get(name);
            let value = value.map(|value| value.to_string_lossy().into_owned());
            (is(value.as_deref(), wanted), value)
        }
        "opt" => {
            let value = option(name);
            (is(value.as_deref(), wanted), value)
        }
        "exists" => (system.path(thing).exists(), Some(thing.to_owned())),
        "file" => (system.path(thing).is_file(), Some(thing.to_owned())),
        "dir" | "directory" => (system.path(thing).is_dir(), Some(thing.to_owned())),
        "plugin" => (is_built_in_plugin(thing), Some(thing.to_owned())),
        "reload" => (system.is_reload, None),
        "hostname" => (system.host == thing, Some(thing.to_owned())),
        "hostname-match" => {
            let pattern = regex_lite::Regex::new(thing)
                .map_err(|error| format!("wants a regular expression: {error}"))?;
            (pattern.is_match(&system.host), Some(thing.to_owned()))
        }
        "for" => {
            let words = thing.split(' ').filter(|word| !word.is_empty());
            return Ok(Fate::ReadFor(words.map(str::to_owned).collect()));
        }
        "for-times" => {
            let times = times(thing);
            if times > TIMES_MAX {
                return Err(format!("wants at most {TIMES_MAX}, got {times}"));
            }
            return Ok(Fate::ReadFor(
                (1..=times).map(|number| number.to_string()).collect(),
            ));
        }
        "for-glob" => return glob(thing, system).map(Fate::ReadFor),
        // uWSGI says that there is no such file, and goes on without what is below.
        "for-readline" if is_missing(kind, thing, system) => return Ok(Fate::Skip),
        "for-readline" => {
            let text = crate::config::readers::contents::one_value(thing, false, &system.directory)
                .map_err(|failure| failure.why)?;
            return Ok(Fate::ReadFor(text.lines().map(str::to_owned).collect()));
        }
        _ => return Err("is no condition".to_owned()),
    };
    Ok(match (holds == positive, value) {
        (false, _) => Fate::Skip,
        (true, Some(value)) => Fate::ReadFor(vec![value]),
        (true, None) => Fate::Read,
    })
}

/// The option that closes a condition or a loop.
pub(crate) fn end_of(option: &str) -> &'static str {
    if option.starts_with("if") {
        "endif"
    } else {
        "endfor"
    }
}

/// How often `for-times` reads, as in uWSGI (atoi): what is no number is 0, and so is what is below
/// it; what follows a number is left out.
pub(crate) fn times(thing: &str) -> u64 {
    let digits = thing.trim_start().trim_start_matches('+');
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    let digits = digits.get(..end).unwrap_or_default();
    match digits.parse() {
        Ok(times) => times,
        Err(_) if digits.is_empty() => 0,
        Err(_) => u64::MAX,
    }
}

/// A loop over the lines of a file that is not there.
pub(crate) fn is_missing(kind: &str, thing: &str, system: &SystemFacts) -> bool {
    let is_path = thing != "-" && !thing.contains("://");
    kind == "for-readline" && is_path && !system.path(thing).exists()
}

fn is(value: Option<&str>, wanted: Option<&str>) -> bool {
    match (value, wanted) {
        (Some(value), Some(wanted)) => value == wanted,
        (value, None) => value.is_some(),
        (None, Some(_)) => false,
    }
}

/// Paths that match, directories with a slash at their end; the pattern itself if none does.
fn glob(pattern: &str, system: &SystemFacts) -> Result<Vec<String>, String> {
    let paths = system
        .glob(pattern)
        .map_err(|error| format!("wants a pattern: {error}"))?;
    let mut found = Vec::new();
    for path in paths {
        if found.len() as u64 >= TIMES_MAX {
            return Err(format!("finds more than {TIMES_MAX} files"));
        }
        let mark = if system.path(&path).is_dir() { "/" } else { "" };
        found.push(format!("{}{mark}", path.display()));
    }
    if found.is_empty() {
        found.push(pattern.to_owned());
    }
    Ok(found)
}
