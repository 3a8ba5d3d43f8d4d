//! Static files, served without the application, Python or a GIL.
//!
//! Decisions are apart from disk access. Reading order:
//!
//! - [`asked`]: the request, independent of its protocol
//! - [`path`]: from a decoded path to plain names below a folder
//! - [`root`], `open_linux`, `open_portable`: opens files below a folder; the only disk access
//! - [`encoding`]: selects a compressed twin
//! - [`condition`], [`range`]: whether the client needs the file, and which part
//! - [`media_type`], [`expires`]: fields about the file
//! - [`send`]: the answer
//! - `named`: a file that the application names instead of a body (X-Sendfile, X-Accel-Redirect)
//! - [`single`]: a file that a rule names
//!
//! The semantics are uWSGI's (core/static.c, core/protocol.c): GET and HEAD only; folders to check
//! first, then maps in their order; other requests go to the application; folders are never listed.
//! [`Files::answer`] runs in a turn of the poll, on the thread that owns the connection.

pub mod asked;
pub mod condition;
pub mod encoding;
mod entry;
pub mod expires;
pub mod media_type;
pub mod named;
#[cfg(target_os = "linux")]
mod open_linux;
mod open_portable;
pub mod path;
pub mod range;
pub mod root;
pub mod send;
pub mod single;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::SystemTime;

use regex_lite::Regex;

use crate::wsgi::{Response, Sink};

use asked::Asked;
use condition::{Conditions, Validators, Verdict, verdict};
use encoding::{Coding, wanted};
use entry::{Entry, Miss, Opened};
use expires::{Looked, Rule};
use media_type::MediaTypes;
use path::{Below, Rules, behind, below};
use root::Root;
use send::{Representation, SendError, hand_over, send};

/// Maps a URL prefix to a root.
#[derive(Debug)]
pub struct Place {
    /// Such as `/static`; empty for every path.
    pub prefix: Vec<u8>,
    /// Whether the prefix is a part of the file's name too (`static-map2`, `check-static`).
    pub keeps_prefix: bool,
    pub root: Root,
}

/// The files for which compressed twins are looked for.
#[derive(Clone, Debug, Default)]
pub struct Twins {
    pub all: bool,
    pub prefixes: Vec<Vec<u8>>,
    pub endings: Vec<Vec<u8>>,
    pub patterns: Vec<Regex>,
}

impl Twins {
    fn are_for(&self, name: &[u8]) -> bool {
        self.all
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
            || self.endings.iter().any(|ending| name.ends_with(ending))
            || (!self.patterns.is_empty() && {
                let name = String::from_utf8_lossy(name);
                self.patterns.iter().any(|pattern| pattern.is_match(&name))
            })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServeMode {
    #[default]
    Own,
    /// The front end, which gets the name in this field (`X-Accel-Redirect`, `X-Sendfile`).
    FrontEnd(&'static str),
}

/// The configuration of static files. Made once; any thread.
#[derive(Debug, Default)]
pub struct Files {
    pub places: Vec<Place>,
    /// Folders that symbolic links may lead to.
    pub safe: Vec<PathBuf>,
    /// Index files, in the order in which they are tried.
    pub indexes: Vec<Vec<u8>>,
    pub skipped_endings: Vec<Vec<u8>>,
    /// Paths of mounted applications: the path behind one is tried too (`manage-script-name`).
    pub script_names: Vec<Vec<u8>>,
    pub twins: Twins,
    pub lifetimes: Vec<Rule>,
    pub media_types: MediaTypes,
    pub serve_mode: ServeMode,
}

struct Found<'a> {
    root: &'a Root,
    /// Below the root, with the index.
    names: Cow<'a, [u8]>,
    opened: Opened,
}

impl Files {
    /// Whether the request may mean a file, without a look at the disk.
    pub fn concerns(&self, asked: &(impl Asked + ?Sized)) -> bool {
        let is_asked_for = matches!(asked.method(), b"GET" | b"HEAD");
        is_asked_for && {
            let path = asked.path();
            self.paths(&path).any(|path| {
                self.places
                    .iter()
                    .any(|place| behind(&place.prefix, path).is_some())
            })
        }
    }

    /// Answers the request and returns `true`, or leaves it to the application.
    pub fn answer(
        &self,
        asked: &(impl Asked + ?Sized),
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> bool {
        let is_head = match asked.method() {
            b"GET" => false,
            b"HEAD" => true,
            _ => return false,
        };
        let path = asked.path();
        match self.find(&path) {
            Ok(found) => {
                if let Err(SendError::Head(error)) =
                    self.answer_with(found, &path, asked, is_head, response, sink)
                {
                    tracing::error!(%error, "the name of a static file cannot be sent: {}", path.escape_ascii());
                    response.fail(500, sink);
                }
                true
            }
            Err(Miss::Absent | Miss::Outside) => false,
            Err(Miss::Denied) => {
                tracing::error!(
                    "no permission to read the static file for {}: answering 403. The user of the server has to be able to read it, and to search its folders",
                    path.escape_ascii()
                );
                response.fail(403, sink);
                true
            }
            Err(Miss::Failed(error)) => {
                tracing::error!(%error, "cannot open the static file for {}: answering 503", path.escape_ascii());
                response.fail(503, sink);
                true
            }
        }
    }

    fn find<'a>(&'a self, path: &'a [u8]) -> Result<Found<'a>, Miss> {
        if ends_with_any(path, &self.skipped_endings) {
            return Err(Miss::Absent);
        }
        let mut worst = Miss::Absent;
        for path in self.paths(path) {
            for place in &self.places {
                match self.find_in(place, path) {
                    Ok(found) => return Ok(found),
                    Err(Miss::Absent) => {}
                    Err(miss) => worst = worse(worst, miss),
                }
            }
        }
        Err(worst)
    }

    fn paths<'a>(&self, path: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mounted = self
            .script_names
            .iter()
            .filter_map(|script_name| behind(script_name, path))
            .min_by_key(|rest| rest.len());
        std::iter::once(path).chain(mounted)
    }

    fn find_in<'a>(&'a self, place: &'a Place, path: &'a [u8]) -> Result<Found<'a>, Miss> {
        let rest = behind(&place.prefix, path).ok_or(Miss::Absent)?;
        let rest = if place.keeps_prefix { path } else { rest };
        let Below {
            names,
            wants_folder,
        } = below(rest, Rules::OWN).ok_or(Miss::Absent)?;
        let root = &place.root;
        let found = match root.entry(&names, &self.safe)? {
            // A file has nothing below it; a root that is a file matches its prefix alone.
            Entry::File(_) if wants_folder && !rest.is_empty() => return Err(Miss::Absent),
            Entry::File(opened) => Found {
                root,
                names,
                opened,
            },
            Entry::Folder => self.index(root, &names)?,
        };
        if ends_with_any(&found.names, &self.skipped_endings) {
            return Err(Miss::Absent);
        }
        Ok(found)
    }

    fn index<'a>(&'a self, root: &'a Root, folder: &[u8]) -> Result<Found<'a>, Miss> {
        let mut worst = Miss::Absent;
        for index in &self.indexes {
            let names = match folder {
                b"" => index.clone(),
                folder => [folder, b"/", index].concat(),
            };
            match root.entry(&names, &self.safe) {
                Ok(Entry::File(opened)) => {
                    return Ok(Found {
                        root,
                        names: names.into(),
                        opened,
                    });
                }
                Ok(Entry::Folder) => {}
                Err(miss) => worst = worse(worst, miss),
            }
        }
        Err(worst)
    }

    fn answer_with(
        &self,
        found: Found<'_>,
        path: &[u8],
        asked: &(impl Asked + ?Sized),
        is_head: bool,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> Result<(), SendError> {
        response.begin(b"200 OK")?;
        let now = SystemTime::now();
        let file = file_name(&found);
        let media_type = self.media_types.of(&file);
        let varies = self.twins.are_for(&file);
        let twin = varies.then(|| self.twin(&found, asked)).flatten();
        let (opened, coding) = match twin {
            Some((twin, coding)) => (twin, Some(coding)),
            None => (found.opened, None),
        };
        let mark = coding.map_or("", Coding::ending).replace('.', "-");
        let looked = Looked {
            file: &file,
            path,
            target: asked.target(),
            media_type,
        };
        let mut representation = Representation {
            validators: Validators::of(opened.modified, opened.length, &mark),
            expires: expires::expires(&self.lifetimes, looked, now, opened.modified),
            media_type: Some(media_type),
            coding,
            varies,
            is_validated: false,
            opened,
        };
        let conditions = Conditions::of(asked);
        match self.serve_mode {
            ServeMode::Own => send(representation, &conditions, is_head, now, response, sink),
            ServeMode::FrontEnd(field) => {
                representation.validators.etag = None;
                let file = match coding {
                    Some(coding) => [&*file, coding.ending().as_bytes()].concat().into(),
                    None => file,
                };
                // Only the conditions that uWSGI answers itself; the front end knows the file and
                // does the rest.
                let since = Conditions {
                    if_none_match: conditions.if_none_match,
                    if_modified_since: conditions.if_modified_since,
                    ..Conditions::default()
                };
                match verdict(&since, &representation.validators, 0, is_head) {
                    Verdict::NotModified => {
                        send(representation, &since, is_head, now, response, sink)
                    }
                    _ => hand_over(&representation, field, &file, now, response, sink),
                }
            }
        }
    }

    /// The compressed twin that the client prefers. A twin older than the file is ignored.
    fn twin(&self, found: &Found<'_>, asked: &(impl Asked + ?Sized)) -> Option<(Opened, Coding)> {
        let accepted = asked.field("Accept-Encoding")?;
        wanted(&accepted).find_map(|coding| Some((self.twin_in(found, coding)?, coding)))
    }

    fn twin_in(&self, found: &Found<'_>, coding: Coding) -> Option<Opened> {
        // A root that is a file has no twins.
        if found.names.is_empty() {
            return None;
        }
        let names = [&*found.names, coding.ending().as_bytes()].concat();
        match found.root.entry(&names, &self.safe) {
            Ok(Entry::File(twin)) if !is_older(&twin, &found.opened) => Some(twin),
            _ => None,
        }
    }
}

/// In whole seconds: archives and some tools store no more.
fn is_older(twin: &Opened, original: &Opened) -> bool {
    let seconds = |opened: &Opened| {
        opened
            .modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    seconds(twin) < seconds(original)
}

fn worse(one: Miss, other: Miss) -> Miss {
    let rank = |miss: &Miss| match miss {
        Miss::Absent => 0,
        Miss::Outside => 1,
        Miss::Denied => 2,
        Miss::Failed(_) => 3,
    };
    if rank(&other) > rank(&one) {
        other
    } else {
        one
    }
}

fn ends_with_any(name: &[u8], endings: &[Vec<u8>]) -> bool {
    endings.iter().any(|ending| name.ends_with(ending))
}

fn file_name<'a>(found: &Found<'a>) -> Cow<'a, [u8]> {
    let root = found.root.path().as_os_str().as_encoded_bytes();
    if found.names.is_empty() {
        return Cow::Borrowed(root);
    }
    let between: &[u8] = if root.ends_with(b"/") { b"" } else { b"/" };
    Cow::Owned([root, between, &found.names].concat())
}
