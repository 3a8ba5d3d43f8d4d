//! Actions of rules: `redirect:https://${HTTP_HOST}$1`, `break:403 Forbidden`. Pure.

use std::path::PathBuf;

use super::refused::refusal;
use super::suggestion::unknown;
use super::template::Template;

/// Every action, in the order in which `--router-list` prints them.
pub const NAMES: &[&str] = &[
    "continue",
    "last",
    "break",
    "return",
    "break-with-status",
    "goto",
    "log",
    "donotlog",
    "logvar",
    "redirect",
    "redirect-302",
    "redirect-permanent",
    "redirect-301",
    "rewrite",
    "rewrite-last",
    "basicauth",
    "basicauth-next",
    "static",
    "static-next",
    "file",
    "file-next",
    "sendfile",
    "sendfile-next",
    "fastfile",
    "fastfile-next",
    "addheader",
    "delheader",
    "remheader",
    "clearheaders",
    "resetheaders",
    "expires",
    "send",
    "send-crnl",
    "addvar",
    "+",
    "-",
    "*",
    "/",
    "hash",
    "setapp",
    "setuser",
    "sethost",
    "setscriptname",
    "setmethod",
    "seturi",
    "setremoteaddr",
    "setpathinfo",
    "fixpathinfo",
    "setdocroot",
    "setscheme",
    "setprocname",
    "signal",
    "alarm",
    "harakiri",
    "donotoffload",
    "chunked",
    "flush",
];

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The rules end; the request goes on.
    Last,
    /// The rules end, and the connection, unless a reply was begun.
    Break,
    /// Answers with this status line (`403 Forbidden`) and closes the connection.
    BreakWith(Vec<u8>),
    /// Answers with the status and its reason.
    Return(u16),
    Goto(Template),
    Log(Template),
    DoNotLog,
    LogVariable(String, Template),
    Redirect {
        to: Template,
        is_permanent: bool,
    },
    Rewrite {
        to: Template,
        is_last: bool,
    },
    BasicAuth(BasicAuth),
    /// A file with its validators and ranges.
    Static {
        file: Template,
        is_optional: bool,
    },
    File(Box<FileReply>),
    AddHeader(Template),
    RemoveHeader(Template),
    /// Begins a reply, or the response anew, with this status line.
    ClearHeaders(Template),
    Expires(Box<Expires>),
    /// Adds to the body of a reply.
    Send {
        text: Template,
        ends_line: bool,
    },
    Set(Vec<u8>, Template),
    /// `setuser`: up to the first colon.
    SetUser(Template),
    FixPath,
    Calculate(Calculation, Vec<u8>, Option<Template>),
    Hash(Box<HashOf>),
    ProcessName(Template),
    Signal(u8),
    Alarm(Template, Template),
    /// Seconds.
    Harakiri(u64),
    /// There is nothing to do.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    pub realm: Vec<u8>,
    pub users: Users,
    /// Wrong credentials go on without a user.
    pub is_optional: bool,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Users {
    /// `USER:PASSWORD`
    One(Vec<u8>),
    /// An htpasswd file.
    File(PathBuf),
}

impl std::fmt::Debug for Users {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // A password is no part of messages.
            Self::One(_) => out.write_str("One"),
            Self::File(path) => path.fmt(out),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct FileReply {
    pub file: Template,
    pub status: Template,
    pub content_type: Vec<u8>,
    /// By the ending of the file.
    pub finds_type: bool,
    pub is_optional: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expires {
    /// From the file's last change on.
    pub file: Option<Template>,
    /// From this second on.
    pub unix: Option<Template>,
    /// Seconds.
    pub value: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    Djb33x,
    Murmur2,
    Random,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HashOf {
    pub key: Template,
    pub variable: Vec<u8>,
    pub algorithm: HashAlgorithm,
    pub items: Vec<Vec<u8>>,
}

impl Action {
    /// `NAME:ARGUMENT`. `Err` is the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_start();
        let (name, argument) = text.split_once(':').unwrap_or((text.trim_end(), ""));
        if let Some(action) = control(name, argument)? {
            return Ok(action);
        }
        if let Some(action) = reply(name, argument)? {
            return Ok(action);
        }
        if let Some(action) = change(name, argument)? {
            return Ok(action);
        }
        if let Some(action) = effect(name, argument)? {
            return Ok(action);
        }
        Err(match refusal(name) {
            Some(why) => format!("names the action {name}, which is not supported: {why}"),
            None => unknown("names", "action", name, NAMES),
        })
    }
}

type Parsed = Result<Option<Action>, String>;

/// Where the rules go on.
fn control(name: &str, argument: &str) -> Parsed {
    Ok(Some(match name {
        "continue" | "last" => Action::Last,
        "break" if argument.len() >= 3 => Action::BreakWith(status_line(argument)?),
        "break" => Action::Break,
        "return" | "break-with-status" => {
            let line = status_line(argument)?;
            let digits = String::from_utf8_lossy(line.get(..3).unwrap_or_default()).into_owned();
            Action::Return(digits.parse().map_err(|_| no_status(argument))?)
        }
        "goto" => Action::Goto(template(argument)?),
        _ => return Ok(None),
    }))
}

/// What answers, or is added to an answer.
fn reply(name: &str, argument: &str) -> Parsed {
    let file =
        |is_optional| Ok::<_, String>(Action::File(Box::new(file_reply(argument, is_optional)?)));
    Ok(Some(match name {
        "redirect" | "redirect-302" => Action::Redirect {
            to: template(argument)?,
            is_permanent: false,
        },
        "redirect-permanent" | "redirect-301" => Action::Redirect {
            to: template(argument)?,
            is_permanent: true,
        },
        "basicauth" => Action::BasicAuth(basic_auth(argument, false)?),
        "basicauth-next" => Action::BasicAuth(basic_auth(argument, true)?),
        "static" | "static-next" => Action::Static {
            file: wanted(name, "a file", argument)?,
            is_optional: name == "static-next",
        },
        "file" | "sendfile" | "fastfile" => file(false)?,
        "file-next" | "sendfile-next" | "fastfile-next" => file(true)?,
        "addheader" => {
            let header = template(argument)?;
            check_header(argument, &header)?;
            Action::AddHeader(header)
        }
        "delheader" | "remheader" => Action::RemoveHeader(wanted(name, "a name", argument)?),
        "clearheaders" | "resetheaders" => {
            let status = template(argument)?;
            if let Some(fixed) = status.fixed() {
                status_line(&String::from_utf8_lossy(fixed))?;
            }
            Action::ClearHeaders(status)
        }
        "expires" => Action::Expires(Box::new(expires(argument)?)),
        "send" | "send-crnl" => {
            if argument.trim_start().starts_with("HTTP/") {
                return Err(format!(
                    "sends a head by hand, and heads are the server's; 'clearheaders:200 OK' \
                     begins a reply and {name} adds to its body"
                ));
            }
            Action::Send {
                text: template(argument)?,
                ends_line: name == "send-crnl",
            }
        }
        _ => return Ok(None),
    }))
}

/// What changes the request.
fn change(name: &str, argument: &str) -> Parsed {
    let set = |variable: &str| Ok::<_, String>(Action::Set(variable.into(), template(argument)?));
    Ok(Some(match name {
        "rewrite" | "rewrite-last" => Action::Rewrite {
            to: template(argument)?,
            is_last: name == "rewrite-last",
        },
        "addvar" => {
            let (key, value) = pair(name, argument)?;
            check_variable(key)?;
            Action::Set(key.into(), template(value)?)
        }
        "+" | "-" | "*" | "/" => {
            let (variable, value) = match argument.split_once(',') {
                Some((variable, value)) => (variable, Some(template(value)?)),
                None => (argument, None),
            };
            check_variable(variable)?;
            let calculation = match name {
                "+" => Calculation::Add,
                "-" => Calculation::Subtract,
                "*" => Calculation::Multiply,
                _ => Calculation::Divide,
            };
            Action::Calculate(calculation, variable.into(), value)
        }
        "hash" => Action::Hash(Box::new(hash_of(argument)?)),
        "setapp" => set("UWSGI_APPID")?,
        "setuser" => Action::SetUser(template(argument)?),
        "sethost" => set("HTTP_HOST")?,
        "setscriptname" => set("SCRIPT_NAME")?,
        "setmethod" => set("REQUEST_METHOD")?,
        "seturi" => set("REQUEST_URI")?,
        "setremoteaddr" => set("REMOTE_ADDR")?,
        "setpathinfo" => set("PATH_INFO")?,
        "setdocroot" => set("DOCUMENT_ROOT")?,
        "setscheme" => set("UWSGI_SCHEME")?,
        "fixpathinfo" => Action::FixPath,
        _ => return Ok(None),
    }))
}

/// What happens beside the request.
fn effect(name: &str, argument: &str) -> Parsed {
    Ok(Some(match name {
        "log" => Action::Log(template(argument)?),
        "donotlog" => Action::DoNotLog,
        "logvar" => {
            let (key, value) = pair(name, argument)?;
            Action::LogVariable(key.to_owned(), template(value)?)
        }
        "setprocname" => Action::ProcessName(wanted(name, "a name", argument)?),
        "signal" => Action::Signal(argument.trim().parse().map_err(|_| {
            format!("wants a uwsgi signal from 0 to 255 behind signal:, got '{argument}'")
        })?),
        "alarm" => {
            let (alarm, message) = argument.split_once(' ').ok_or_else(|| {
                format!("wants an alarm and its message behind alarm:, got '{argument}'")
            })?;
            Action::Alarm(template(alarm)?, template(message)?)
        }
        "harakiri" => Action::Harakiri(
            argument
                .trim()
                .parse()
                .map_err(|_| format!("wants seconds behind harakiri:, got '{argument}'"))?,
        ),
        "donotoffload" | "chunked" | "flush" => Action::Nothing,
        _ => return Ok(None),
    }))
}

fn template(text: &str) -> Result<Template, String> {
    Template::of_action(text)
}

fn wanted(name: &str, what: &str, argument: &str) -> Result<Template, String> {
    if argument.is_empty() {
        return Err(format!("wants {what} behind {name}:"));
    }
    template(argument)
}

/// `KEY=VALUE`
fn pair<'t>(name: &str, argument: &'t str) -> Result<(&'t str, &'t str), String> {
    match argument.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        _ => Err(format!("wants KEY=VALUE behind {name}:, got '{argument}'")),
    }
}

fn check_variable(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("wants the name of a variable".to_owned());
    }
    if name.starts_with("wsgi.") || name.starts_with("uwsgi.") {
        return Err(format!(
            "sets {name}, which is an object of the server; the scheme is setscheme's"
        ));
    }
    Ok(())
}

fn no_status(text: &str) -> String {
    format!("wants a status such as '403 Forbidden', got '{text}'")
}

/// `403`, or `403 Forbidden`.
fn status_line(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let is_status = match bytes {
        [b'2'..=b'9', b'0'..=b'9', b'0'..=b'9'] => true,
        [b'2'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', reason @ ..] => {
            reason.iter().all(|byte| *byte >= b' ' && *byte != 0x7f)
        }
        _ => false,
    };
    if !is_status {
        return Err(no_status(text));
    }
    Ok(bytes.to_vec())
}

/// A field with a known name and value has to be one.
fn check_header(text: &str, header: &Template) -> Result<(), String> {
    let no_field = || format!("wants 'NAME: VALUE' behind addheader:, got '{text}'");
    let (name, _) = text.split_once(':').ok_or_else(no_field)?;
    let is_fixed = !name.contains('$');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || (is_fixed && !name.bytes().all(is_token)) {
        return Err(no_field());
    }
    match header.fixed() {
        Some(fixed) if fixed.iter().any(|byte| *byte < b' ' && *byte != b'\t') => Err(no_field()),
        _ => Ok(()),
    }
}

fn basic_auth(argument: &str, is_optional: bool) -> Result<BasicAuth, String> {
    let (realm, users) = argument.split_once(',').ok_or_else(|| {
        // A password may be in it.
        "wants REALM,USER:PASSWORD or REALM,FILE behind basicauth:".to_owned()
    })?;
    if realm.contains(['"', '\\']) || realm.bytes().any(|byte| byte < b' ') {
        return Err(format!(
            "wants a realm without quotes and controls, got '{realm}'"
        ));
    }
    if users.is_empty() {
        return Err("wants USER:PASSWORD or a file behind the comma of basicauth:".to_owned());
    }
    let users = match users.contains(':') {
        true => Users::One(users.into()),
        false => Users::File(PathBuf::from(users)),
    };
    Ok(BasicAuth {
        realm: realm.into(),
        users,
        is_optional,
    })
}

/// `KEY=VALUE,KEY=VALUE` with these keys.
fn keys<'t>(
    name: &str,
    argument: &'t str,
    known: &[&str],
) -> Result<Vec<(&'t str, &'t str)>, String> {
    let entries = argument.split(',').filter(|entry| !entry.is_empty());
    let pairs = entries.map(|entry| {
        let (key, value) = pair(name, entry)?;
        if !known.contains(&key) {
            return Err(unknown("names", &format!("key of {name}:"), key, known));
        }
        Ok((key, value))
    });
    pairs.collect()
}

fn value_of<'t>(pairs: &[(&str, &'t str)], names: &[&str]) -> Option<&'t str> {
    let mut last = pairs.iter().rev();
    last.find(|(key, _)| names.contains(key))
        .map(|(_, value)| *value)
}

fn file_reply(argument: &str, is_optional: bool) -> Result<FileReply, String> {
    const KEYS: &[&str] = &["filename", "status", "content_type", "mime"];
    for absent in ["nocl", "no_cl", "no_content_length", "no_headers"] {
        if argument
            .split(',')
            .any(|entry| entry.split('=').next() == Some(absent))
        {
            return Err(format!(
                "asks for {absent}, and length and head are the server's; leave it out"
            ));
        }
    }
    let pairs = keys("file", argument, KEYS)?;
    let Some(file) = value_of(&pairs, &["filename"]) else {
        return Err(format!(
            "wants filename=FILE behind file:, got '{argument}'"
        ));
    };
    let status = template(value_of(&pairs, &["status"]).unwrap_or("200 OK"))?;
    if let Some(fixed) = status.fixed() {
        status_line(&String::from_utf8_lossy(fixed))?;
    }
    Ok(FileReply {
        file: template(file)?,
        status,
        content_type: value_of(&pairs, &["content_type"])
            .unwrap_or("text/html")
            .into(),
        finds_type: value_of(&pairs, &["mime"]).is_some(),
        is_optional,
    })
}

fn expires(argument: &str) -> Result<Expires, String> {
    let pairs = keys("expires", argument, &["filename", "file", "unix", "value"])?;
    let of = |names: &[&str]| value_of(&pairs, names).map(template).transpose();
    Ok(Expires {
        file: of(&["filename", "file"])?,
        unix: of(&["unix"])?,
        value: of(&["value"])?,
    })
}

fn hash_of(argument: &str) -> Result<HashOf, String> {
    const ALGORITHMS: &[&str] = &["djb33x", "murmur2", "random", "rand"];
    let pairs = keys("hash", argument, &["key", "var", "algo", "items"])?;
    let needed = |key: &str| {
        value_of(&pairs, &[key])
            .ok_or_else(|| "wants key=TEXT,var=NAME,items=A;B;C behind hash:".to_owned())
    };
    let items = needed("items")?.split(';').filter(|item| !item.is_empty());
    let items: Vec<Vec<u8>> = items.map(|item| item.into()).collect();
    if items.is_empty() {
        return Err("wants at least one item behind hash:".to_owned());
    }
    let variable = needed("var")?;
    check_variable(variable)?;
    let algorithm = match value_of(&pairs, &["algo"]).unwrap_or("djb33x") {
        "djb33x" => HashAlgorithm::Djb33x,
        "murmur2" => HashAlgorithm::Murmur2,
        "random" | "rand" => HashAlgorithm::Random,
        other => return Err(unknown("names", "algorithm", other, ALGORITHMS)),
    };
    Ok(HashOf {
        key: template(needed("key")?)?,
        variable: variable.into(),
        algorithm,
        items,
    })
}
