//! User names and passwords of `basicauth`: one pair, or an htpasswd file.
//!
//! Comparisons take the same time for every guess. A hash that takes long on purpose (bcrypt,
//! SHA-crypt) is checked only by a thread that may wait; a pair that was right before is remembered,
//! as a keyed hash, until the file changes.

mod apr1;
mod htpasswd;

use std::path::Path;

use ring::digest::{SHA256, digest};

pub(super) use htpasswd::Htpasswd;

use super::language::action::Users;

/// Who may come in. Made once; any thread.
#[derive(Debug)]
pub(super) enum Credentials {
    /// The digest of `USER:PASSWORD`.
    One(Vec<u8>),
    File(Box<Htpasswd>),
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Right,
    Wrong,
    /// Another thread has to check it.
    TakesLong,
}

impl Credentials {
    /// Reads the file, if it is one; a relative one from `folder`. `Err` is the end of a sentence.
    pub(super) fn new(users: &Users, folder: &Path) -> Result<Self, String> {
        match users {
            Users::One(pair) => Ok(Self::One(digest(&SHA256, pair).as_ref().to_vec())),
            Users::File(path) => Ok(Self::File(Box::new(Htpasswd::open(folder.join(path))?))),
        }
    }

    /// Whether `USER:PASSWORD` is right.
    pub(super) fn check(&self, pair: &[u8], may_wait: bool) -> Checked {
        match self {
            // Digests of secrets may be compared in any time.
            Self::One(known) => match digest(&SHA256, pair).as_ref() == &**known {
                true => Checked::Right,
                false => Checked::Wrong,
            },
            Self::File(file) => file.check(pair, may_wait),
        }
    }
}

/// The name in `USER:PASSWORD`.
pub(super) fn user_of(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b':').next().unwrap_or_default()
}
