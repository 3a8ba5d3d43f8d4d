//! Raw settings of static files become their part of the [`Config`](super::Config).
//!
//! The same rules as in `resolve`, which calls this: everything is checked here, once. Whether the
//! directories are there is found out later, by the server.

use std::path::PathBuf;
use std::time::Duration;

use super::options;
use super::types::{Lifetime, LifetimeSubject, StaticConfig, StaticMap, StaticSender};
use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::table::row::OptionRow;
use crate::config::values::reader::{Reader, path_of};
use crate::config::values::value;

impl Reader<'_> {
    pub(crate) fn static_files(&mut self) -> Result<StaticConfig, ConfigError> {
        let mut maps = self.static_maps(&options::STATIC_MAP, false)?;
        maps.extend(self.static_maps(&options::STATIC_MAP2, true)?);
        let twin_patterns = self.raw.all(&options::STATIC_GZIP).iter();
        Ok(StaticConfig {
            checks: self.paths(&options::STATIC_CHECK)?,
            maps,
            indexes: self.names(&options::STATIC_INDEX)?,
            skipped_endings: self.texts(&options::STATIC_SKIP_EXT),
            safe: self.paths(&options::STATIC_SAFE)?,
            media_type_files: self.paths(&options::MIME_FILE)?,
            lifetimes: self.lifetimes()?,
            twins_everywhere: self.flag(&options::STATIC_GZIP_ALL),
            twin_prefixes: self.texts(&options::STATIC_GZIP_DIR),
            twin_endings: self.texts(&options::STATIC_GZIP_EXT),
            twin_patterns: twin_patterns
                .map(|setting| pattern(setting, &setting.text))
                .collect::<Result<_, _>>()?,
            opening_threads: self.small(&options::OFFLOAD_THREADS)?,
            sender: self.static_sender()?,
            sendfile_roots: self.sendfile_roots()?,
            accel_maps: self.static_maps(&options::X_ACCEL_REDIRECT, false)?,
        })
    }

    fn names(&self, row: &OptionRow) -> Result<Vec<String>, ConfigError> {
        let name = |setting: &Setting| {
            let text = &setting.text;
            let is_name = !text.is_empty() && !matches!(text.as_str(), "." | "..");
            if is_name && !text.contains(['/', '\\', '\0']) {
                return Ok(text.clone());
            }
            Err(setting.error(format_args!("wants the name of a file, got '{text}'")))
        };
        self.raw.all(row).iter().map(name).collect()
    }

    /// The whole disk is no folder of files to be sent: the application could be talked into naming
    /// any.
    fn sendfile_roots(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let root = |setting: &Setting| {
            let path = path_of(setting)?;
            if path.is_absolute() && path.parent().is_some() {
                return Ok(path);
            }
            Err(setting.error(format_args!(
                "wants the absolute path of a directory other than the root, got '{}'",
                setting.text
            )))
        };
        self.raw
            .all(&options::X_SENDFILE)
            .iter()
            .map(root)
            .collect()
    }

    fn static_maps(
        &self,
        row: &OptionRow,
        keeps_prefix: bool,
    ) -> Result<Vec<StaticMap>, ConfigError> {
        let map = |setting: &Setting| {
            let parts = setting.text.split_once('=');
            let (prefix, path) =
                parts.map_or(("", ""), |(prefix, path)| (prefix.trim(), path.trim()));
            if !prefix.starts_with('/') || path.is_empty() || path.contains('\0') {
                return Err(setting
                    .error(format_args!(
                        "wants PREFIX=PATH with a prefix that begins with /, got '{}'",
                        setting.text
                    ))
                    .hint("/static=/srv/site/static"));
            }
            Ok(StaticMap {
                prefix: prefix.to_owned(),
                path: PathBuf::from(path),
                keeps_prefix,
                origin: setting.place(),
            })
        };
        self.raw.all(row).iter().map(map).collect()
    }

    /// In uWSGI's order.
    fn lifetimes(&mut self) -> Result<Vec<Lifetime>, ConfigError> {
        const KINDS: [(&OptionRow, LifetimeSubject, bool); 8] = [
            (&options::STATIC_EXPIRES, LifetimeSubject::File, false),
            (&options::STATIC_EXPIRES_MTIME, LifetimeSubject::File, true),
            (
                &options::STATIC_EXPIRES_PATH_INFO,
                LifetimeSubject::Path,
                false,
            ),
            (
                &options::STATIC_EXPIRES_PATH_INFO_MTIME,
                LifetimeSubject::Path,
                true,
            ),
            (&options::STATIC_EXPIRES_URI, LifetimeSubject::Target, false),
            (
                &options::STATIC_EXPIRES_URI_MTIME,
                LifetimeSubject::Target,
                true,
            ),
            (
                &options::STATIC_EXPIRES_TYPE,
                LifetimeSubject::MediaType,
                false,
            ),
            (
                &options::STATIC_EXPIRES_TYPE_MTIME,
                LifetimeSubject::MediaType,
                true,
            ),
        ];
        let mut lifetimes = Vec::new();
        for (row, subject, since_change) in KINDS {
            for setting in self.raw.all(row) {
                lifetimes.push(self.lifetime(setting, subject, since_change)?);
            }
        }
        Ok(lifetimes)
    }

    fn lifetime(
        &mut self,
        setting: &Setting,
        subject: LifetimeSubject,
        since_change: bool,
    ) -> Result<Lifetime, ConfigError> {
        let text = setting.text.trim();
        let is_type = subject == LifetimeSubject::MediaType;
        // uWSGI's help says x=y for all of them, its parser wants a space behind an expression.
        let parts = match text.rsplit_once([' ', '\t']) {
            Some(parts) if !is_type => Some(parts),
            _ => text.rsplit_once('='),
        };
        let wanted = if is_type {
            "TYPE=SECONDS"
        } else {
            "'REGEX SECONDS'"
        };
        let Some((what, seconds)) = parts else {
            return Err(setting.error(format_args!("wants {wanted}, got '{text}'")));
        };
        let seconds = value::number(seconds.trim())
            .map_err(|why| setting.error(format_args!("wants {wanted}, got '{text}': {why}")))?;
        let seconds = self.keep(setting, seconds);
        let what = what.trim();
        Ok(Lifetime {
            subject,
            pattern: if is_type {
                what.to_owned()
            } else {
                pattern(setting, what)?
            },
            lifetime: Duration::from_secs(seconds),
            since_change,
        })
    }

    fn static_sender(&self) -> Result<StaticSender, ConfigError> {
        let Some(setting) = self.raw.last(&options::FILE_SERVE_MODE) else {
            return Ok(StaticSender::Server);
        };
        match setting.text.to_ascii_lowercase().as_str() {
            "x-accel-redirect" | "xaccelredirect" | "nginx" => Ok(StaticSender::Nginx),
            "x-sendfile" | "xsendfile" | "apache" | "lighttpd" => Ok(StaticSender::Apache),
            other => Err(setting.error(format_args!(
                "wants x-accel-redirect (nginx) or x-sendfile (apache, lighttpd), got '{other}'"
            ))),
        }
    }
}

fn pattern(setting: &Setting, text: &str) -> Result<String, ConfigError> {
    match regex_lite::Regex::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(setting.error(format_args!(
            "wants a regular expression (without look-around and back references), got '{text}': \
             {error}"
        ))),
    }
}
