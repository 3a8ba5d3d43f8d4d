//! The part of the configuration that is about static files. Plain values; `resolve_static` is
//! their maker.

use std::path::PathBuf;
use std::time::Duration;

/// Static files, and files that applications name. Paths are as they were written: relative ones
/// count from the working directory of the server (`chdir`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfig {
    /// Directories in which every path is looked for (`check-static`), first of all.
    pub checks: Vec<PathBuf>,
    /// Prefixes and what they mean (`static-map`, then `static-map2`).
    pub maps: Vec<StaticMap>,
    /// Names that stand for a directory (`static-index`).
    pub indexes: Vec<String>,
    /// Endings that are left to the application (`static-skip-ext`).
    pub skipped_endings: Vec<String>,
    /// Directories that symbolic links may lead to (`static-safe`).
    pub safe: Vec<PathBuf>,
    /// Files with media types (`mime-file`).
    pub media_type_files: Vec<PathBuf>,
    /// How long clients may keep files, the rule that counts first in front (`static-expires` and
    /// its relatives).
    pub lifetimes: Vec<Lifetime>,
    /// Every file may have a compressed twin (`static-gzip-all`).
    pub twins_everywhere: bool,
    /// Beginnings of names of files that may (`static-gzip-dir`).
    pub twin_prefixes: Vec<String>,
    /// Endings of names of files that may (`static-gzip-ext`).
    pub twin_endings: Vec<String>,
    /// Regular expressions for names of files that may (`static-gzip`); checked.
    pub twin_patterns: Vec<String>,
    /// Threads that open files (`offload-threads`); 0: the thread that reads the request.
    pub opening_threads: usize,
    /// Who sends the bytes of static files (`file-serve-mode`).
    pub sender: StaticSender,
    /// Directories with files that applications may name (`x-sendfile`).
    pub sendfile_roots: Vec<PathBuf>,
    /// Addresses by which applications may name files (`x-accel-redirect`).
    pub accel_maps: Vec<StaticMap>,
}

impl StaticConfig {
    /// Whether anything was configured that makes requests mean files.
    pub fn is_serving(&self) -> bool {
        !self.checks.is_empty() || !self.maps.is_empty()
    }

    /// Whether applications may name files.
    pub fn is_naming(&self) -> bool {
        !self.sendfile_roots.is_empty() || !self.accel_maps.is_empty()
    }
}

/// `PREFIX=PATH`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticMap {
    /// `/static`
    pub prefix: String,
    /// A directory or a file.
    pub path: PathBuf,
    /// The prefix is a part of the file's path too.
    pub keeps_prefix: bool,
    /// Where it was written, for messages.
    pub origin: String,
}

/// One rule of how long clients may keep a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// What the pattern is held against.
    pub subject: LifetimeSubject,
    /// A regular expression (checked), or the whole media type.
    pub pattern: String,
    /// How long.
    pub lifetime: Duration,
    /// From the file's last change instead of from now.
    pub since_change: bool,
}

/// What a [`Lifetime`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeSubject {
    /// The file's name on disk.
    File,
    /// The decoded path of the request.
    Path,
    /// The target of the request with its query.
    Target,
    /// The media type.
    MediaType,
}

/// Who sends the bytes of a static file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaticSender {
    /// The server.
    #[default]
    Server,
    /// nginx, told by `X-Accel-Redirect`.
    Nginx,
    /// Apache or lighttpd, told by `X-Sendfile`.
    Apache,
}
