//! Encoders of log lines (`log-encoder`, `log-req-encoder`): uWSGI's, from core/logging.c. Pure.

use super::format::nearest;
use super::time_format::strftime;
use super::types::{EncoderKind, LogEncoder, Part};

/// Encoders, as they are written.
const NAMES: &[&str] = &[
    "prefix", "suffix", "nl", "format", "json", "gzip", "compress",
];
/// Variables of `format` and `json`.
const VARIABLES: &[&str] = &["msg", "msgnl", "unix", "micros", "millis"];
const STRFTIME: &str = "strftime:";

/// `NAME[:LOGGER] [ARGUMENT]`. `Err` is the end of the sentence that begins with the option.
pub(crate) fn parse(text: &str) -> Result<LogEncoder, String> {
    let (head, argument) = text.split_once(' ').unwrap_or((text, ""));
    let (name, logger) = match head.split_once(':') {
        Some((name, logger)) => (name, Some(logger.to_owned())),
        None => (head, None),
    };
    let kind = match name {
        "prefix" => EncoderKind::Prefix(argument.as_bytes().to_vec()),
        "suffix" => EncoderKind::Suffix(argument.as_bytes().to_vec()),
        "nl" => EncoderKind::NewLine,
        "format" => EncoderKind::Format(parts(argument)?),
        "json" => EncoderKind::Json(parts(argument)?),
        "gzip" => EncoderKind::Gzip,
        "compress" => EncoderKind::Zlib,
        _ => return Err(unknown("encoder", name, NAMES)),
    };
    Ok(LogEncoder { kind, logger })
}

pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let meant = nearest(name, known.iter().copied());
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    let dot = if meant.is_empty() { ";" } else { "" };
    format!(
        "names an unknown {what} '{name}'{meant}{dot} there are {}",
        known.join(", ")
    )
}

/// `text ${variable} text`
fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let Some((name, after)) = behind.split_once('}') else {
            break;
        };
        if !before.is_empty() {
            parts.push(Part::Text(before.as_bytes().to_vec()));
        }
        parts.push(match name {
            "msg" => Part::Message,
            "msgnl" => Part::MessageWithEnd,
            "unix" => Part::Seconds,
            "micros" => Part::Micros,
            "millis" => Part::Millis,
            _ => match name.strip_prefix(STRFTIME) {
                Some(format) => Part::Time(strftime(format)?),
                None => {
                    let known = unknown("variable", name, VARIABLES);
                    return Err(format!("{known} and strftime:FORMAT"));
                }
            },
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.as_bytes().to_vec()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoders_are_read_as_uwsgi_reads_them() {
        let text = |text: &str| Part::Text(text.as_bytes().to_vec());
        assert_eq!(
            parse(r#"json:audit {"t":"${strftime:%Y}","m":"${msg}"}"#).expect("good"),
            LogEncoder {
                logger: Some("audit".to_owned()),
                kind: EncoderKind::Json(vec![
                    text(r#"{"t":""#),
                    Part::Time("%Y".to_owned()),
                    text(r#"","m":""#),
                    Part::Message,
                    text(r#""}"#),
                ]),
            }
        );
        let prefix = parse("prefix a: b").expect("good").kind;
        assert_eq!(prefix, EncoderKind::Prefix(b"a: b".to_vec()));
    }

    #[test]
    fn unknown_names_are_told() {
        let why = parse("jsno {}").expect_err("unknown");
        assert!(
            why.contains("encoder 'jsno'; did you mean json? there are prefix, suffix"),
            "{why}"
        );
        let why = parse("format ${mgs}").expect_err("unknown");
        assert!(
            why.contains("variable 'mgs'; did you mean msg? there are msg, msgnl"),
            "{why}"
        );
        assert!(parse("format ${strftime:%}").is_err());
    }
}
