//! A file that a rule names: `static:/var/www/$1`.
//!
//! The folder is the fixed text in front of the first value of the request, up to its last slash:
//! values cannot lead out of it. Runs on the thread that polls, or on a worker.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::wsgi::{Response, Sink};

use super::asked::Asked;
use super::condition::{Conditions, Validators};
use super::entry::{Entry, Miss, Opened};
use super::media_type::MediaTypes;
use super::path::{Rules, below};
use super::root::Root;
use super::send::{Representation, SendError, send};

/// Where files of one rule lie. Made once; any thread.
#[derive(Debug)]
pub struct Single {
    root: Root,
    /// Bytes of the name that are the root. `None`: the root is the file itself.
    root_bytes: Option<usize>,
}

/// An open file, and its name.
#[derive(Debug)]
pub struct SingleFile {
    name: Vec<u8>,
    opened: Opened,
}

impl Single {
    /// The file of this name, and no other.
    pub fn fixed(path: &Path) -> Self {
        Self {
            root: Root::new(path.to_path_buf()),
            root_bytes: None,
        }
    }

    /// Files whose names begin with these bytes, which are the path of a folder.
    pub fn below(folder: &Path, root_bytes: usize) -> Self {
        Self {
            root: Root::new(folder.to_path_buf()),
            root_bytes: Some(root_bytes),
        }
    }

    /// Opens the file of this complete name. `Err` is the status to answer with.
    pub fn open(&self, name: &[u8], safe: &[PathBuf]) -> Result<SingleFile, u16> {
        let names = match self.root_bytes {
            None => Some(std::borrow::Cow::Borrowed(&b""[..])),
            Some(count) => below(name.get(count..).unwrap_or_default(), Rules::OWN)
                .filter(|below| !below.wants_folder)
                .map(|below| below.names),
        };
        let entry = match names {
            Some(names) => self.root.entry(&names, safe),
            None => Err(Miss::Absent),
        };
        match entry {
            Ok(Entry::File(opened)) => Ok(SingleFile {
                name: name.to_vec(),
                opened,
            }),
            Ok(Entry::Folder) | Err(Miss::Absent | Miss::Outside) => Err(404),
            Err(Miss::Denied) => {
                tracing::error!(
                    "no permission to read {}, which a rule names: answering 403",
                    name.escape_ascii()
                );
                Err(403)
            }
            Err(Miss::Failed(error)) => {
                tracing::error!(%error, "cannot open {}, which a rule names: answering 503", name.escape_ascii());
                Err(503)
            }
        }
    }
}

impl SingleFile {
    /// Its media type.
    pub fn media_type<'t>(&self, types: &'t MediaTypes) -> &'t str {
        types.of(&self.name)
    }

    /// Completes a begun response with it as a static file: validators, conditions, ranges.
    pub fn send_as_static(
        self,
        types: &MediaTypes,
        asked: &(impl Asked + ?Sized),
        response: &mut Response,
        sink: &mut dyn Sink,
    ) {
        let Self { name, opened } = self;
        let method = asked.method();
        let conditions = match method {
            b"GET" | b"HEAD" => Conditions::of(asked),
            _ => Conditions::default(),
        };
        let representation = Representation {
            validators: Validators::of(opened.modified, opened.length, ""),
            media_type: Some(types.of(&name)),
            coding: None,
            varies: false,
            expires: None,
            is_validated: false,
            opened,
        };
        let now = SystemTime::now();
        let is_head = method == b"HEAD";
        if let Err(SendError::Head(error)) =
            send(representation, &conditions, is_head, now, response, sink)
        {
            tracing::error!(%error, "the file of a rule cannot be sent");
            response.fail(500, sink);
        }
    }

    /// Completes a begun response with its bytes.
    pub fn send(self, response: &mut Response, sink: &mut dyn Sink) {
        let Opened { file, length, .. } = self.opened;
        // The connection keeps the rest, and notices a client that has gone.
        let sent = response.send_file(file, 0, length, sink);
        let _ended = sent.and_then(|_| response.finish(sink));
    }
}
