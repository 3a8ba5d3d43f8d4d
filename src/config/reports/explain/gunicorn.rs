//! A gunicorn command line, or the text of a gunicorn.conf.py, as the equivalent configuration.
//!
//! The Python file is not run: what is a plain assignment of a text, a number, a truth or the usual
//! formula over the number of cores is understood, everything else is named. Pure.

enum Equivalent {
    /// The same value under this name.
    Option(&'static str),
    /// Its own rule.
    Bind,
    Workers,
    WorkerClass,
    Timeout,
    PythonPath,
    RawEnvironment,
    AccessLog,
    /// Half of `https = ADDRESS,CERT,KEY`.
    Certificate,
    /// A bound; 0 is none.
    Bound(&'static str),
    /// Addresses, or `*`.
    TrustedProxies,
    /// A file to be explained by itself.
    ConfigFile,
    /// Nothing has to be said.
    Nothing(&'static str),
}

const LOG_LEVEL: Equivalent = Equivalent::Nothing("set SINGLEMALT_LOG=debug to see more");

/// Settings of gunicorn by their names in files; on the command line `-` stands for `_`.
const SETTINGS: &[(&str, &str, Equivalent)] = &[
    ("bind", "b", Equivalent::Bind),
    ("workers", "w", Equivalent::Workers),
    ("threads", "", Equivalent::Option("threads")),
    ("worker_class", "k", Equivalent::WorkerClass),
    ("timeout", "t", Equivalent::Timeout),
    ("graceful_timeout", "", Equivalent::Option("reload-mercy")),
    ("keepalive", "", Equivalent::Option("http-keepalive")),
    ("keep_alive", "", Equivalent::Option("http-keepalive")),
    ("max_requests", "", Equivalent::Option("max-requests")),
    (
        "max_requests_jitter",
        "",
        Equivalent::Option("max-requests-delta"),
    ),
    (
        "worker_connections",
        "",
        Equivalent::Option("max-connections"),
    ),
    ("backlog", "", Equivalent::Option("listen")),
    ("chdir", "", Equivalent::Option("chdir")),
    ("user", "u", Equivalent::Option("uid")),
    ("group", "g", Equivalent::Option("gid")),
    ("umask", "m", Equivalent::Option("umask")),
    ("pidfile", "p", Equivalent::Option("pidfile")),
    ("pid", "", Equivalent::Option("pidfile")),
    ("proc_name", "n", Equivalent::Option("procname")),
    ("name", "", Equivalent::Option("procname")),
    ("pythonpath", "", Equivalent::PythonPath),
    ("raw_env", "e", Equivalent::RawEnvironment),
    ("env", "", Equivalent::RawEnvironment),
    ("limit_request_line", "", Equivalent::Bound("max-target")),
    ("limit_request_fields", "", Equivalent::Bound("max-fields")),
    (
        "limit_request_field_size",
        "",
        Equivalent::Bound("buffer-size"),
    ),
    ("wsgi_app", "", Equivalent::Option("module")),
    ("reload", "", Equivalent::Option("py-autoreload")),
    ("reuse_port", "", Equivalent::Option("reuse-port")),
    ("errorlog", "", Equivalent::Option("logto")),
    ("error_logfile", "", Equivalent::Option("logto")),
    ("log_file", "", Equivalent::Option("logto")),
    ("accesslog", "", Equivalent::AccessLog),
    ("access_logfile", "", Equivalent::AccessLog),
    ("certfile", "", Equivalent::Certificate),
    ("keyfile", "", Equivalent::Certificate),
    ("config", "c", Equivalent::ConfigFile),
    (
        "preload_app",
        "",
        Equivalent::Nothing("each interpreter loads the application for itself"),
    ),
    (
        "preload",
        "",
        Equivalent::Nothing("each interpreter loads the application for itself"),
    ),
    (
        "worker_tmp_dir",
        "",
        Equivalent::Nothing("there are no worker processes to watch over"),
    ),
    ("loglevel", "", LOG_LEVEL),
    ("log_level", "", LOG_LEVEL),
    (
        "sendfile",
        "",
        Equivalent::Nothing("sendfile is used where the system has it"),
    ),
    (
        "capture_output",
        "",
        Equivalent::Nothing("standard output and error are left alone"),
    ),
    (
        "daemon",
        "D",
        Equivalent::Nothing("name the log file: daemonize = FILE"),
    ),
    ("forwarded_allow_ips", "", Equivalent::TrustedProxies),
];

/// Flags of the command line, which take no value.
const FLAGS: &[&str] = &[
    "preload",
    "reload",
    "daemon",
    "D",
    "capture-output",
    "reuse-port",
    "sendfile",
    "no-sendfile",
];

/// `gunicorn --bind ...`, also with a path or other programs in front of it (`poetry run gunicorn
/// ...`).
pub(super) fn is_command_line(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let program = words.iter().take(5).position(|word| is_gunicorn(word));
    program.is_some_and(|program| program + 1 < words.len()) || text.trim_start().starts_with("--")
}

fn is_gunicorn(word: &str) -> bool {
    word.rsplit('/').next() == Some("gunicorn")
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    /// `cpu_count() * 2 + 1`, as an expression of configuration files.
    Cores(String),
}

#[derive(Default)]
struct Equivalence {
    lines: Vec<String>,
    notes: Vec<String>,
    /// Addresses, which a certificate makes those of https.
    binds: Vec<String>,
    certificate: Option<String>,
    key: Option<String>,
    logs_requests: bool,
    has_timeout: bool,
}

pub(super) fn explain_command_line(text: &str) -> String {
    let mut said = Equivalence::default();
    let words = words(text);
    let start = words.iter().position(|word| is_gunicorn(word));
    let mut words = words.into_iter().skip(start.map_or(0, |start| start + 1));
    while let Some(word) = words.next() {
        let (name, attached) = match word.strip_prefix("--") {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (long.to_owned(), None),
            },
            None => match word
                .strip_prefix('-')
                .and_then(|rest| rest.chars().next().map(|c| (c, rest)))
            {
                Some((letter, rest)) => {
                    let value = rest
                        .get(letter.len_utf8()..)
                        .filter(|value| !value.is_empty());
                    (letter.to_string(), value.map(str::to_owned))
                }
                None => {
                    said.line("module", &word);
                    continue;
                }
            },
        };
        let value = if FLAGS.contains(&name.as_str()) {
            "true".to_owned()
        } else {
            match attached.or_else(|| words.next()) {
                Some(value) => value,
                None => {
                    said.notes.push(format!("{word} wants a value"));
                    continue;
                }
            }
        };
        said.setting(&name.replace('-', "_"), &Value::Text(value));
    }
    said.render("gunicorn")
}

pub(super) fn explain_file(name: &str, text: &str) -> String {
    let mut said = Equivalence::default();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some((key, value)) = assignment(line) else {
            if let Some(hook) = line
                .strip_prefix("def ")
                .and_then(|rest| rest.split('(').next())
            {
                said.notes.push(format!(
                    "line {number}: the function {hook}() is a hook of \
                    gunicorn: import a module that does its work (import, hook-post-fork)"
                ));
            }
            continue;
        };
        let mut value = value.to_owned();
        while value.starts_with(['[', '(']) && !value.contains([']', ')']) {
            match lines.next() {
                Some((_, more)) => value.push_str(without_comment(more).trim()),
                None => break,
            }
        }
        let is_setting = SETTINGS.iter().any(|(other, _, _)| *other == key);
        match literal(&value) {
            Some(value) => said.setting(key, &value),
            None if is_setting => said.notes.push(format!(
                "line {number}: {key} = {value} is worked out by Python; write its value"
            )),
            None => {}
        }
    }
    said.render(name)
}

impl Equivalence {
    fn line(&mut self, option: &str, value: &str) {
        self.lines.push(format!("{option} = {value}"));
    }

    fn setting(&mut self, name: &str, value: &Value) {
        let found = SETTINGS
            .iter()
            .find(|(other, letter, _)| *other == name || (!letter.is_empty() && *letter == name));
        let Some((name, _, equivalent)) = found else {
            self.notes.push(format!("{name} has no equivalent"));
            return;
        };
        let texts = match value {
            Value::Text(text) => vec![text.clone()],
            Value::Texts(texts) => texts.clone(),
            Value::Cores(formula) => vec![formula.clone()],
        };
        for text in &texts {
            self.one(name, equivalent, text, value);
        }
    }

    fn one(&mut self, name: &str, equivalent: &Equivalent, text: &str, value: &Value) {
        let is_off = matches!(text, "False" | "None" | "false" | "");
        match equivalent {
            _ if is_off => {}
            Equivalent::Nothing(why) => self.notes.push(format!("{name}: {why}")),
            Equivalent::Bind => {
                let address = text.strip_prefix("tcp://").unwrap_or(text);
                let address = match address {
                    bare if !bare.contains([':', '/']) => format!("{bare}:8000"),
                    bare => bare.to_owned(),
                };
                self.binds.push(address);
            }
            Equivalent::AccessLog => {
                self.logs_requests = true;
                if text != "-" {
                    self.line("req-logger", &format!("file:{text}"));
                }
            }
            Equivalent::Certificate if name == "keyfile" => self.key = Some(text.to_owned()),
            Equivalent::Certificate => self.certificate = Some(text.to_owned()),
            Equivalent::Bound(_) if text == "0" => {
                self.notes
                    .push(format!("{name} = 0: there is always a limit"));
            }
            Equivalent::Bound(option) => self.line(option, text),
            Equivalent::ConfigFile => {
                self.has_timeout = true;
                // It may say where requests are logged.
                self.logs_requests = true;
                self.notes.push(format!(
                    "what {text} says is not in here: singlemalt --explain {text}"
                ));
            }
            Equivalent::Workers => {
                if let Value::Cores(_) = value {
                    self.notes.push(
                        "workers: a formula over the cores is for processes that wait; \
                        here processes = %k and some threads do the same with less \
                        memory"
                            .to_owned(),
                    );
                }
                self.line("processes", text);
            }
            Equivalent::TrustedProxies => self.trusted_proxies(text),
            Equivalent::WorkerClass => self.worker_class(text),
            Equivalent::Timeout => {
                self.has_timeout = true;
                if text != "0" {
                    self.line("harakiri", text);
                    self.notes.push(
                        "timeout: gunicorn kills a worker that is silent for so long; \
                        harakiri ends the one request"
                            .to_owned(),
                    );
                }
            }
            Equivalent::PythonPath => {
                for path in text.split(',') {
                    self.line("pythonpath", path.trim());
                }
            }
            Equivalent::RawEnvironment => self.line("env", text),
            Equivalent::Option(_) if text == "-" => {}
            Equivalent::Option("py-autoreload") => self.line("py-autoreload", "1"),
            Equivalent::Option("max-requests") if text == "0" => {}
            Equivalent::Option(option) => {
                let text = if text == "True" { "true" } else { text };
                self.line(option, text);
            }
        }
    }

    fn trusted_proxies(&mut self, text: &str) {
        self.line("trusted-proxies", text.trim());
        let note = if text.trim() == "*" {
            "forwarded_allow_ips = *: every client may say who it is; name the proxy's address"
        } else {
            "forwarded_allow_ips: trusted-proxies believes the same proxies, and takes REMOTE_ADDR \
             from them, too"
        };
        self.notes.push(note.to_owned());
    }

    fn worker_class(&mut self, text: &str) {
        match text {
            "sync" => {}
            "gthread" => self.notes.push(
                "worker_class gthread: threads is all that it \
                 needs"
                    .to_owned(),
            ),
            "gevent" | "eventlet" | "tornado" => {
                self.line("threads", "16");
                self.notes.push(format!(
                    "worker_class {text}: green threads do not run in \
                        interpreters of their own; threads are used instead (raise them if \
                        requests wait for other services)"
                ));
            }
            other => self.notes.push(format!(
                "worker_class {other} serves something else than \
                    WSGI (an ASGI application needs an ASGI server)"
            )),
        }
    }

    fn render(mut self, name: &str) -> String {
        let encrypted = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(format!("{certificate},{key}")),
            // gunicorn takes a file that holds both.
            (Some(certificate), None) => Some(format!("{certificate},{certificate}")),
            (None, _) => None,
        };
        if encrypted.is_some() && self.binds.is_empty() {
            self.binds.push("127.0.0.1:8000".to_owned());
        }
        let addresses = self.binds.iter().map(|address| match &encrypted {
            Some(files) => format!("https = {address},{files}"),
            None => format!("http = {address}"),
        });
        self.lines.splice(0..0, addresses.collect::<Vec<_>>());
        if !self.logs_requests {
            self.line("disable-logging", "true");
            self.notes.push(
                "gunicorn logs requests only where accesslog says so; leave disable-logging out to \
                 see them"
                    .to_owned(),
            );
        }
        if !self.has_timeout {
            self.notes.push(
                "timeout: gunicorn kills a worker that is silent for 30 seconds; without harakiri \
                 = 30 a request may take as long as it likes here"
                    .to_owned(),
            );
        }
        if !self.lines.iter().any(|line| line.starts_with("module = ")) {
            self.notes.push(
                "the application is named on gunicorn's command line: add module = pkg.module:app"
                    .to_owned(),
            );
        }
        let mut text = format!("{name}, for singlemalt:\n\n[uwsgi]\n");
        let mut later = String::new();
        for line in &self.lines {
            let option = line.split(" = ").next().unwrap_or_default();
            let row = crate::config::table::named(option);
            if row.is_some_and(|row| !row.has_effect()) {
                later.push_str(&format!("; {line}\n"));
            } else {
                text.push_str(&format!("{line}\n"));
            }
        }
        if !later.is_empty() {
            text.push_str(&format!("\n; not yet in this version:\n{later}"));
        }
        if !self.notes.is_empty() {
            text.push_str("\nworth a look:\n");
            for note in &self.notes {
                text.push_str(&format!("  - {note}\n"));
            }
        }
        text
    }
}

/// `name = value` at the beginning of a line.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = without_comment(line).split_once('=')?;
    let name = name.trim_end();
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    (is_name && !value.starts_with('=')).then_some((name, value.trim()))
}

fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '#') => return line.get(..at).unwrap_or(line),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
    }
    line
}

fn literal(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(inner) = text
        .strip_prefix(['[', '('])
        .and_then(|inner| inner.strip_suffix([']', ')']))
        .filter(|_| !text.contains("cpu_count"))
    {
        let items = inner
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        let texts: Option<Vec<String>> = items.map(scalar).collect();
        return texts.map(Value::Texts);
    }
    if text.contains("cpu_count()") {
        return cores(text).map(Value::Cores);
    }
    scalar(text).map(Value::Text)
}

fn scalar(text: &str) -> Option<String> {
    for quote in ['"', '\''] {
        let quoted = text
            .strip_prefix(quote)
            .and_then(|inner| inner.strip_suffix(quote));
        if let Some(inner) = quoted.filter(|inner| !inner.contains(quote)) {
            return Some(inner.to_owned());
        }
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_');
    if is_number {
        return Some(text.replace('_', ""));
    }
    matches!(text, "True" | "False" | "None").then(|| text.to_owned())
}

/// `multiprocessing.cpu_count() * 2 + 1` as the arithmetic of placeholders, which also works from
/// left to right.
fn cores(text: &str) -> Option<String> {
    let text = text.replace(['(', ')'], " ");
    let mut formula: Vec<String> = Vec::new();
    for word in text
        .replace('*', " * ")
        .replace('+', " + ")
        .split_whitespace()
    {
        match word {
            "*" | "+" => formula.push(word.to_owned()),
            word if word.ends_with("cpu_count") => formula.push("cores".to_owned()),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                formula.push(number.to_owned())
            }
            _ => return None,
        }
    }
    // Only a product that is followed by a sum means the same from left to right.
    let plus = formula.iter().position(|word| word == "+");
    let times = formula.iter().rposition(|word| word == "*");
    if let (Some(plus), Some(times)) = (plus, times)
        && plus < times
    {
        return None;
    }
    Some("%k".to_owned())
}

/// The words of a shell's command line: quotes hold them together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in text.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), letter) if open == letter => quote = None,
            (None, letter) if letter.is_whitespace() || letter == '\\' => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals() {
        assert_eq!(literal("'a'"), Some(Value::Text("a".to_owned())));
        assert_eq!(literal("4"), Some(Value::Text("4".to_owned())));
        assert_eq!(
            literal("['a', \"b\"]"),
            Some(Value::Texts(vec!["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(
            literal("multiprocessing.cpu_count() * 2 + 1"),
            Some(Value::Cores("%k".to_owned()))
        );
        assert_eq!(
            literal("(cpu_count() * 2) + 1"),
            Some(Value::Cores("%k".to_owned()))
        );
        assert_eq!(literal("1_000"), Some(Value::Text("1000".to_owned())));
        assert_eq!(literal("os.environ['X']"), None);
        for line in [
            "gunicorn app",
            "/srv/venv/bin/gunicorn -w 4 app",
            "poetry run gunicorn app:app",
            "python -m gunicorn app",
            "--bind :8000 app",
        ] {
            assert!(is_command_line(line), "{line}");
        }
        for file in [
            "uwsgi.ini",
            "gunicorn",
            "gunicorn.conf.py",
            "/etc/gunicorn/a b.ini",
            "",
        ] {
            assert!(!is_command_line(file), "{file}");
        }
        assert_eq!(assignment("bind = ':80'  # here"), Some(("bind", "':80'")));
        assert_eq!(assignment("    bind = 1"), None);
        assert_eq!(assignment("if a == b:"), None);
        assert_eq!(words("a 'b c' d\\\n e=\"f g\""), ["a", "b c", "d", "e=f g"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|(bind|workers|=|'|\"|\\[|\\]|\n|#|cpu_count\\(\\)| \
            |--|-b|-|é){0,20}") {
            drop(explain_file("gunicorn.conf.py", &text));
            drop(explain_command_line(&text));
        }
    }
}
