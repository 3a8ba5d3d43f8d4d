//! Values that have parts: a file and what is done with it, a variable and its text, a field and
//! its value. Pure.

use std::path::PathBuf;

use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::table::row::OptionRow;
use crate::config::values::reader::Reader;
use crate::protocol::http::response::is_hop_by_hop;

impl Reader<'_> {
    /// `FILE REST`
    pub(crate) fn of_files(
        &self,
        row: &OptionRow,
        rest: &str,
    ) -> Result<Vec<(PathBuf, String)>, ConfigError> {
        let split = |setting: &Setting| {
            let parts = setting.text.split_once(' ');
            let parts = parts.filter(|(file, _)| !file.is_empty() && !file.contains('\0'));
            match parts.map(|(file, text)| (file, text.trim_start())) {
                Some((file, text)) if !text.is_empty() => {
                    Ok((PathBuf::from(file), text.to_owned()))
                }
                _ => Err(setting.error(format_args!("wants FILE {rest}, got '{}'", setting.text))),
            }
        };
        self.raw.all(row).iter().map(split).collect()
    }

    /// `FILE SIGNAL`
    pub(crate) fn signals_of(&self, row: &OptionRow) -> Result<Vec<(PathBuf, u8)>, ConfigError> {
        let split = self.of_files(row, "SIGNAL")?;
        let numbered = split.into_iter().zip(self.raw.all(row));
        numbered
            .map(|((file, text), setting)| match text.trim().parse() {
                Ok(number) => Ok((file, number)),
                Err(_) => Err(setting.error(format_args!(
                    "wants a uwsgi signal from 0 to 255 behind the file, got '{text}'"
                ))),
            })
            .collect()
    }

    /// `NAME[=VALUE]` for the environ.
    pub(crate) fn variables(&self, row: &OptionRow) -> Result<Vec<(String, String)>, ConfigError> {
        let variable = |setting: &Setting| {
            let text = &setting.text;
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_name) || name.starts_with("wsgi.") {
                return Err(setting.error(format_args!("wants NAME=VALUE, got '{text}'")));
            }
            Ok((name.to_owned(), value.to_owned()))
        };
        self.raw.all(row).iter().map(variable).collect()
    }

    /// Names of fields that are no business of the server's alone.
    pub(crate) fn header_names(&self, row: &OptionRow) -> Result<Vec<String>, ConfigError> {
        let name = |setting: &Setting| {
            let name = setting.text.trim();
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(setting.error(format_args!(
                    "wants the name of a field, got '{}'",
                    setting.text
                )));
            }
            if is_servers(name) {
                return Err(of_the_server(setting, name));
            }
            Ok(name.to_owned())
        };
        self.raw.all(row).iter().map(name).collect()
    }

    /// `NAME: VALUE`, as uWSGI takes it; without the colon it could not be a field.
    pub(crate) fn headers(&self, row: &OptionRow) -> Result<Vec<(String, String)>, ConfigError> {
        let header = |setting: &Setting| {
            let parts = setting.text.split_once(':');
            let (name, value) = parts.map_or(("", ""), |(name, value)| (name.trim(), value.trim()));
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(
                    setting.error(format_args!("wants NAME: VALUE, got '{}'", setting.text))
                );
            }
            if value.contains(|c: char| c.is_control() && c != '\t') {
                return Err(setting.error("has a control character in its value"));
            }
            let closes = name.eq_ignore_ascii_case("connection")
                && value
                    .split(',')
                    .any(|word| word.trim().eq_ignore_ascii_case("close"));
            if is_servers(name) && !closes {
                return Err(of_the_server(setting, name));
            }
            Ok((name.to_owned(), value.to_owned()))
        };
        self.raw.all(row).iter().map(header).collect()
    }
}

fn of_the_server(setting: &Setting, name: &str) -> ConfigError {
    let (spelled, origin) = (&setting.spelled, &setting.origin);
    ConfigError::new(format!(
        "{spelled} ({origin}): {name} is about one response or one connection, so the server says it"
    ))
}

/// Whether only the server may say a field of this name.
fn is_servers(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-length")
        || name.eq_ignore_ascii_case("connection")
        || is_hop_by_hop(name.as_bytes())
}

/// A byte of a field's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
