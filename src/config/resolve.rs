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
use super::readers::system_facts::SystemFacts;
use super::reports::notices;
use super::settings::Config;
use super::values::reader::Reader;

/// What is meant by `raw`. `warnings` are those of the sources themselves, `unknown` the keys of
/// files that are no options.
pub(super) fn resolve(
    raw: &Raw,
    warnings: Vec<String>,
    unknown: &[Unknown],
    system: &SystemFacts,
) -> Result<Config, ConfigError> {
    let mut reader = Reader {
        raw,
        warnings,
        system,
    };
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
        spooler: reader.spooler()?,
        cache: reader.cache()?,
        static_files: reader.static_files()?,
        routing: reader.routing()?,
        alarms: reader.alarms()?,
        start: reader.start()?,
        magic_table: Vec::new(),
        written: Vec::new(),
        prints: Vec::new(),
        warnings: Vec::new(),
        remarks: notices.remarks,
        reads_again: true,
        values: values(raw),
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
    system: &SystemFacts,
) -> Result<Config, ConfigError> {
    let resolved = resolve(raw, warnings, &loaded.unknown, system)?;
    let needs_app = !matches!(&resolved.python.one_shot, Some(one_shot) if !one_shot.needs_app());
    if needs_app
        && resolved.app.choice.is_none()
        && resolved.app.mounts.is_empty()
        && resolved.app.eval.is_none()
        && !stands_alone(&resolved)
    {
        return Err(ConfigError::new("no application was named")
            .hint("give a file or a module: singlemalt app.py, or singlemalt pkg.module:app"));
    }
    Ok(Config {
        magic_table: loaded.magic_table.clone(),
        written: loaded.written(),
        reads_again: loaded.reads_again(),
        prints: loaded.prints.clone(),
        ..resolved
    })
}

/// Whether the server has something to do without an application: files, rules, commands at their
/// times, modules that are imported.
pub(super) fn stands_alone(config: &Config) -> bool {
    let background = &config.background;
    let python = &config.python;
    !config.app.need_app
        && config.python.one_shot.is_none()
        && (config.static_files.is_serving()
            || !config.routing.is_empty()
            || !background.cron.is_empty()
            || !config.spooler.folders.is_empty()
            || !background.touch_exec.is_empty()
            || !python.shared_imports.is_empty()
            || !python.imports.is_empty()
            || !python.plugins.is_empty())
}

fn values(raw: &Raw) -> Vec<(&'static str, Vec<String>)> {
    raw.written()
        .filter(|(row, _)| row.has_effect() && !row.command)
        .map(|(row, settings)| {
            let texts = settings.iter().map(|setting| setting.text.clone());
            (row.name, texts.collect())
        })
        .collect()
}

fn origins(raw: &Raw) -> Vec<(&'static str, String)> {
    raw.written()
        .filter_map(|(row, settings)| Some((row.name, settings.last()?.place())))
        .collect()
}
