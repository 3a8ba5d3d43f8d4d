//! The static files service: built from the configuration on the main thread, after the change of
//! directories, and used by all threads.

use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use regex_lite::Regex;

use crate::config::{Config, LifetimeSubject, StaticConfig, StaticMap, StaticSender};
use crate::files::expires::{Rule, Subject};
use crate::files::media_type::MediaTypes;
use crate::files::named::{Named, X_ACCEL_REDIRECT, X_SENDFILE};
use crate::files::root::Root;
use crate::files::{Files, Place, ServeMode, Twins};
use crate::net::{FileService, Given};
use crate::wsgi::environ::Peer;
use crate::wsgi::{Delivery, Head, Response, Sink};

use crate::config::Failure;

/// The service, with relative paths below `folder`; `None` without static files, so that requests
/// are not looked at.
pub fn service(config: &Config, folder: &Path) -> Result<Option<Box<dyn FileService>>, Failure> {
    let wanted = &config.static_files;
    if !wanted.is_serving() && !wanted.is_naming() {
        return Ok(None);
    }
    let media_types = media_types(config, &wanted.media_type_files, folder)?;
    let whole = |path: &Path| whole(folder, path);
    let safe: Vec<PathBuf> = wanted.safe.iter().map(|path| whole(path)).collect();
    let named = wanted.is_naming().then(|| Named {
        roots: wanted
            .sendfile_roots
            .iter()
            .map(|path| root(&whole(path), "--x-sendfile"))
            .collect(),
        places: wanted
            .accel_maps
            .iter()
            .map(|map| place(map, folder))
            .collect(),
        safe: safe.clone(),
        media_types: media_types.clone(),
    });
    let files = Files {
        places: places(wanted, folder),
        safe,
        indexes: bytes(&wanted.indexes),
        skipped_endings: bytes(&wanted.skipped_endings),
        script_names: script_names(config),
        twins: Twins {
            all: wanted.twins_everywhere,
            prefixes: bytes(&wanted.twin_prefixes),
            endings: bytes(&wanted.twin_endings),
            patterns: wanted
                .twin_patterns
                .iter()
                .map(|pattern| regex(pattern))
                .collect::<Result<_, _>>()?,
        },
        lifetimes: wanted
            .lifetimes
            .iter()
            .map(|lifetime| {
                let pattern = &lifetime.pattern;
                Ok(Rule {
                    subject: match lifetime.subject {
                        LifetimeSubject::File => Subject::File(regex(pattern)?),
                        LifetimeSubject::Path => Subject::Path(regex(pattern)?),
                        LifetimeSubject::Target => Subject::Target(regex(pattern)?),
                        LifetimeSubject::MediaType => Subject::MediaType(pattern.clone()),
                    },
                    lifetime: lifetime.lifetime,
                    since_change: lifetime.since_change,
                })
            })
            .collect::<Result<_, Failure>>()?,
        media_types,
        serve_mode: match wanted.sender {
            StaticSender::Server => ServeMode::Own,
            StaticSender::Nginx => ServeMode::FrontEnd(X_ACCEL_REDIRECT),
            StaticSender::Apache => ServeMode::FrontEnd(X_SENDFILE),
        },
    };
    Ok(Some(Box::new(Service {
        files,
        named: named.map(Arc::new),
    })))
}

struct Service {
    files: Files,
    named: Option<Arc<Named>>,
}

impl FileService for Service {
    fn concerns(&self, head: &Head) -> bool {
        self.files.concerns(head)
    }

    fn answer(
        &self,
        head: &Head,
        _client: &Peer,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> Given {
        if self.files.answer(head, response, sink) {
            Given::File
        } else {
            Given::Nothing
        }
    }

    fn offer(&self, head: &Head) -> Option<Box<dyn Delivery>> {
        self.named.as_ref().map(|named| named.offer(head))
    }
}

/// uWSGI's order: directories to check, then maps.
fn places(wanted: &StaticConfig, folder: &Path) -> Vec<Place> {
    let checks = wanted.checks.iter().map(|path| Place {
        prefix: Vec::new(),
        keeps_prefix: true,
        root: root(&whole(folder, path), "--check-static"),
    });
    let maps = wanted.maps.iter().map(|map| place(map, folder));
    checks.chain(maps).collect()
}

fn place(map: &StaticMap, folder: &Path) -> Place {
    Place {
        prefix: map.prefix.clone().into_bytes(),
        keeps_prefix: map.keeps_prefix,
        root: root(&whole(folder, &map.path), &map.origin),
    }
}

/// A missing directory is no error: `collectstatic` may run after the start.
fn root(path: &Path, origin: &str) -> Root {
    if !path.exists() {
        tracing::warn!(
            "{origin}: {} does not exist (yet): nothing is served from there",
            path.display()
        );
    }
    Root::new(path.to_path_buf())
}

/// The working directory may change once more (`chdir2`), and the application may change it.
pub(super) fn whole(folder: &Path, path: &Path) -> PathBuf {
    let path = folder.join(path);
    absolute(&path).unwrap_or(path)
}

/// With `manage-script-name` the path that counts is the one behind the mount, as in uWSGI.
fn script_names(config: &Config) -> Vec<Vec<u8>> {
    if !config.app.manage_script_name {
        return Vec::new();
    }
    let mounts = config.app.mounts.iter();
    mounts
        .map(|mount| mount.prefix.clone().into_bytes())
        .filter(|prefix| !prefix.is_empty())
        .collect()
}

pub(super) fn media_types(
    config: &Config,
    files: &[PathBuf],
    folder: &Path,
) -> Result<MediaTypes, Failure> {
    let mut types = MediaTypes::default();
    for path in files {
        let complain = |why: String| Failure::about(config, "mime-file", why);
        let text = std::fs::read(folder.join(path))
            .map_err(|error| complain(format!("cannot read {}: {error}", path.display())))?;
        types.add(&String::from_utf8_lossy(&text)).map_err(|line| {
            complain(format!(
                "{} line {line} does not begin with a media type (text/plain txt log)",
                path.display()
            ))
        })?;
    }
    Ok(types)
}

fn bytes(texts: &[String]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.clone().into_bytes()).collect()
}

/// Checked when the configuration was read.
fn regex(pattern: &str) -> Result<Regex, Failure> {
    Regex::new(pattern).map_err(Failure::new)
}
