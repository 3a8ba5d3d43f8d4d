//! The format of request lines (`log-format`): its text becomes a list of pieces once, at start.
//!
//! The variables are uWSGI's (core/logging.c, `uwsgi_register_logchunks`), and some that only one
//! process can tell. Pure.

/// A piece of a request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Written as it is.
    Text(Vec<u8>),
    /// Differs between requests.
    Variable(Variable),
}

/// What a request line can say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// One with a name of its own.
    Known(Known),
    /// `var.NAME`: a CGI variable of the request.
    Request(String),
    /// `logvar.NAME`, or any other name: what the application said with `uwsgi.set_logvar`.
    Application(String),
}

/// Variables and their names.
macro_rules! known {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// A variable with a name of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Known { $($(#[$doc])+ $variant,)+ }

        impl Known {
            /// All of them, in the order of the documentation.
            const ALL: &[(&str, Known)] = &[$(($name, Known::$variant)),+];
        }
    };
}

known! {
    /// The target of the request, path and query.
    Uri = "uri",
    /// `GET`, ...
    Method = "method",
    /// `REMOTE_USER`.
    User = "user",
    /// The client's address.
    Address = "addr",
    /// The `Host` field.
    Host = "host",
    /// `HTTP/1.1`.
    Protocol = "proto",
    /// The `User-Agent` field.
    UserAgent = "uagent",
    /// The `Referer` field.
    Referer = "referer",
    /// The status of the response.
    Status = "status",
    /// Bytes of the response's body.
    BodyBytes = "rsize",
    /// Bytes of the response's head.
    HeadBytes = "hsize",
    /// Bytes of both.
    Bytes = "size",
    /// Bytes of the request's body.
    RequestBodyBytes = "cl",
    /// Microseconds of the request.
    Micros = "micros",
    /// Milliseconds of the request.
    Millis = "msecs",
    /// Seconds of the request, with a fraction.
    Seconds = "secs",
    /// Milliseconds since 1970 at the request's beginning.
    BeginMillis = "tmsecs",
    /// Microseconds since 1970 at the request's beginning.
    BeginMicros = "tmicros",
    /// Seconds since 1970 at the request's beginning.
    Begin = "time",
    /// The request's beginning as Apache writes it.
    ApacheTime = "ltime",
    /// The request's beginning by `log-date`'s format, with `logformat-strftime`.
    FormattedTime = "ftime",
    /// The request's beginning as C's `ctime` writes it.
    Ctime = "ctime",
    /// Seconds since 1970 when the line is written.
    Epoch = "epoch",
    /// The process.
    Pid = "pid",
    /// The worker.
    Worker = "wid",
    /// Pieces of the body that the application gave.
    Switches = "switches",
    /// CGI variables of the request.
    Variables = "vars",
    /// The thread of the worker.
    Core = "core",
    /// Bytes of the address space.
    AddressSpace = "vsz",
    /// Bytes of memory.
    Resident = "rss",
    /// Megabytes of the address space.
    AddressSpaceMegabytes = "vszM",
    /// Megabytes of memory.
    ResidentMegabytes = "rssM",
    /// Bytes of the request's head.
    RequestHeadBytes = "pktsize",
    /// The first modifier of a uwsgi packet.
    Modifier1 = "modifier1",
    /// The second modifier of a uwsgi packet.
    Modifier2 = "modifier2",
    /// Fields of the response.
    Headers = "headers",
    /// Failed writes.
    WriteErrors = "werr",
    /// Failed reads.
    ReadErrors = "rerr",
    /// Both.
    Errors = "ioerr",
    /// Microseconds in the queue.
    QueuedMicros = "qmicros",
    /// Microseconds from the application's end to the last byte.
    SentMicros = "smicros",
    /// Microseconds that the worker waited for the GIL before the application was called.
    GilMicros = "gwait",
    /// The version of the application.
    Generation = "generation",
    /// The interpreter.
    Interpreter = "interpreter",
    /// The `X-Request-ID` field.
    RequestId = "requestid",
    /// The `traceparent` field.
    TraceParent = "traceparent",
}

/// Reads a format.
///
/// # Errors
/// The end of the sentence that begins with the option: a variable is not known and close to one
/// that is. Other unknown names are the application's, as in uWSGI.
pub(crate) fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("%(") {
        let (before, behind) = rest.split_at(at);
        let name = behind.get(2..).and_then(|named| named.split_once(')'));
        let Some((name, after)) = name.filter(|(name, _)| !name.is_empty()) else {
            // Not closed: text, as in uWSGI.
            break;
        };
        plain.push_str(before);
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain).into_bytes()));
        }
        pieces.push(Piece::Variable(variable(name)?));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into_bytes()));
    }
    Ok(pieces)
}

fn variable(name: &str) -> Result<Variable, String> {
    if let Some((_, known)) = Known::ALL.iter().find(|(known, _)| *known == name) {
        return Ok(Variable::Known(*known));
    }
    if let Some(name) = name.strip_prefix("var.") {
        return Ok(Variable::Request(name.to_owned()));
    }
    if let Some(name) = name.strip_prefix("logvar.") {
        return Ok(Variable::Application(name.to_owned()));
    }
    if name.starts_with("metric.") {
        return Err(format!("has %({name}), and there are no such metrics yet"));
    }
    let names = Known::ALL.iter().map(|(name, _)| *name);
    match nearest(name, names.clone()).filter(|_| name.len() > 2) {
        Some(meant) => Err(format!(
            "has an unknown variable %({name}); did you mean %({meant})? The variables are {} \
             and var.NAME; one that the application sets with uwsgi.set_logvar can be written \
             %(logvar.{name})",
            names.collect::<Vec<_>>().join(", ")
        )),
        None => Ok(Variable::Application(name.to_owned())),
    }
}

/// The name that `word` is probably meant to be.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typos = if word.len() < 6 { 1 } else { 2 };
    names
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, _)| *distance <= typos)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_becomes_pieces() {
        let text = |text: &str| Piece::Text(text.as_bytes().to_vec());
        let known = |known| Piece::Variable(Variable::Known(known));
        assert_eq!(
            parse("%(addr) - [%(ltime)] 100% (%(var.HTTP_X_A)) %(who)%(open").expect("good"),
            [
                known(Known::Address),
                text(" - ["),
                known(Known::ApacheTime),
                text("] 100% ("),
                Piece::Variable(Variable::Request("HTTP_X_A".to_owned())),
                text(") "),
                Piece::Variable(Variable::Application("who".to_owned())),
                text("%(open"),
            ]
        );
    }

    #[test]
    fn a_misspelled_name_is_told_with_the_known_ones() {
        let sentence = parse("%(mtehod)").expect_err("unknown");
        assert!(sentence.contains("%(mtehod); did you mean %(method)?"));
        assert!(sentence.contains("uagent, referer, status"));
        assert_eq!(
            parse("%(logvar.mtehod)").expect("the application's"),
            [Piece::Variable(Variable::Application("mtehod".to_owned()))]
        );
    }
}
