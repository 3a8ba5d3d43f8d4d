//! Raw settings become the [`Config`] that is meant; the only maker of one.
//!
//! Everything is checked here, once: words become numbers, numbers are held against their bounds,
//! and options that do nothing in this version are named instead of being passed over. Looks at
//! the file system only to expand the wildcards of `--pythonpath`. Runs on the main thread before
//! anything is started.

use super::error::ConfigError;
use super::readers::language::entries::{Loaded, Unknown};
use super::readers::layers::Raw;
use super::readers::options as configuration;
use super::reports::notices;
use super::settings::Config;
use super::values::reader::Reader;

/// What is meant by `raw`. `warnings` are those of the sources themselves, `unknown` the keys of
/// files that are no options.
pub(super) fn resolve(
    raw: &Raw,
    warnings: Vec<String>,
    unknown: &[Unknown],
) -> Result<Config, ConfigError> {
    let mut reader = Reader { raw, warnings };
    let strict = reader.flag(&configuration::STRICT);
    let notices = notices::collect(raw, unknown, strict)?;
    let config = Config {
        app: reader.app()?,
        sockets: reader.sockets()?,
        python: reader.python()?,
        workers: reader.workers()?,
        limits: reader.limits()?,
        http: reader.http()?,
        log: reader.log()?,
        proxies: reader.proxies()?,
        tls: reader.tls()?,
        reload: reader.reload()?,
        process: reader.process()?,
        control: reader.control()?,
        background: reader.background()?,
        static_files: reader.static_files()?,
        alarms: reader.alarms()?,
        start: reader.start()?,
        magic_table: Vec::new(),
        written: Vec::new(),
        prints: Vec::new(),
        warnings: Vec::new(),
        remarks: notices.remarks,
        origins: origins(raw),
    };
    let mut warnings = reader.warnings;
    warnings.extend(notices.warnings);
    Ok(Config { warnings, ..config })
}

/// What the server would run with.
pub(super) fn resolve_loaded(
    raw: &Raw,
    warnings: Vec<String>,
    loaded: &Loaded,
) -> Result<Config, ConfigError> {
    let resolved = resolve(raw, warnings, &loaded.unknown)?;
    let needs_app = !matches!(&resolved.python.one_shot, Some(one_shot) if !one_shot.needs_app());
    if needs_app
        && resolved.app.choice.is_none()
        && resolved.app.mounts.is_empty()
        && resolved.app.eval.is_none()
    {
        return Err(ConfigError::new("no application was named")
            .hint("give a file or a module: singlemalt app.py, or singlemalt pkg.module:app"));
    }
    Ok(Config {
        magic_table: loaded.magic_table.clone(),
        written: loaded.written(),
        prints: loaded.prints.clone(),
        ..resolved
    })
}

fn origins(raw: &Raw) -> Vec<(&'static str, String)> {
    raw.written()
        .filter_map(|(row, settings)| Some((row.name, settings.last()?.place())))
        .collect()
}
