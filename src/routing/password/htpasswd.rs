//! An htpasswd file: `USER:HASH` in each line.
//!
//! Hashes are those that htpasswd writes: bcrypt, MD5 (apr1), SHA-1, crypt, SHA-crypt. The file is
//! looked at for each request, as in uWSGI, and read again when it has changed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::hmac;
use ring::rand::SystemRandom;

use super::apr1::apr1;
use super::{Checked, user_of};
use crate::routing::base64;

/// Pairs that are remembered; then all are forgotten.
const REMEMBERED_MAX: usize = 4096;
/// A password beyond this is wrong. Bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// See the file's header. Any thread.
pub(in crate::routing) struct Htpasswd {
    path: PathBuf,
    contents: Mutex<Contents>,
    key: hmac::Key,
}

/// What tells one state of a file from another.
type Stamp = Option<(SystemTime, u64)>;

#[derive(Default)]
struct Contents {
    stamp: Stamp,
    users: Arc<HashMap<Vec<u8>, Hash>>,
    /// Pairs that were right.
    remembered: HashSet<Vec<u8>>,
}

/// A hash as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hash {
    Sha1(Vec<u8>),
    Apr1(Vec<u8>),
    /// DES, MD5.
    Crypt(String),
    /// bcrypt, SHA-256, SHA-512.
    Slow(String),
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(out)
    }
}

impl Htpasswd {
    /// `Err` is the end of a sentence.
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let file = Self {
            key: key.map_err(|_| "needs randomness, which the system does not give".to_owned())?,
            contents: Mutex::default(),
            path,
        };
        let stamp = file.stamp();
        file.contents.lock().replace(file.read()?, stamp);
        Ok(file)
    }

    fn stamp(&self) -> Stamp {
        let metadata = self.path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    fn read(&self) -> Result<HashMap<Vec<u8>, Hash>, String> {
        let path = self.path.display();
        let text = std::fs::read(&self.path)
            .map_err(|error| format!("cannot read the htpasswd file {path}: {error}"))?;
        let mut users = HashMap::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let entry = entry(line).ok_or_else(|| {
                format!(
                    "has a file with a line that is no USER:HASH of htpasswd: {path} line {}",
                    index + 1
                )
            })?;
            // As in uWSGI and Apache the first line of a user counts.
            users.entry(entry.0).or_insert(entry.1);
        }
        Ok(users)
    }

    /// The users of the file as it is now.
    fn users(&self) -> Arc<HashMap<Vec<u8>, Hash>> {
        let stamp = self.stamp();
        let mut contents = self.contents.lock();
        if contents.stamp != stamp || stamp.is_none() {
            let read = match stamp {
                Some(_) => self.read(),
                None => Ok(HashMap::new()),
            };
            match read {
                Ok(users) => {
                    if stamp.is_none() && contents.stamp.is_some() {
                        let path = self.path.display();
                        tracing::error!("the htpasswd file {path} has gone: all are refused");
                    }
                    contents.replace(users, stamp);
                }
                Err(why) => {
                    tracing::error!("basicauth {why}; the users that it had before stay");
                    contents.stamp = stamp;
                }
            }
        }
        Arc::clone(&contents.users)
    }

    pub(super) fn check(&self, pair: &[u8], may_wait: bool) -> Checked {
        let user = user_of(pair);
        let Some(password) = pair.get(user.len() + 1..) else {
            return Checked::Wrong;
        };
        if password.len() > PASSWORD_BYTES_MAX {
            return Checked::Wrong;
        }
        let users = self.users();
        // Of an unknown user a hash is checked as well: the time tells no names.
        let known = users.get(user);
        let Some(hash) = known.or_else(|| users.values().next()) else {
            return Checked::Wrong;
        };
        let is_right = match hash {
            Hash::Slow(_) => {
                let mark = hmac::sign(&self.key, pair).as_ref().to_vec();
                if known.is_some() && self.contents.lock().remembered.contains(&mark) {
                    return Checked::Right;
                }
                if !may_wait {
                    return Checked::TakesLong;
                }
                let is_right = hash.is_of(password);
                if is_right && known.is_some() {
                    self.contents.lock().remember(mark, &users);
                }
                is_right
            }
            hash => hash.is_of(password),
        };
        match is_right && known.is_some() {
            true => Checked::Right,
            false => Checked::Wrong,
        }
    }
}

impl Contents {
    fn replace(&mut self, users: HashMap<Vec<u8>, Hash>, stamp: Stamp) {
        *self = Self {
            stamp,
            users: Arc::new(users),
            remembered: HashSet::new(),
        };
    }

    /// The pair was right for `users`; the file may have changed since.
    fn remember(&mut self, mark: Vec<u8>, users: &Arc<HashMap<Vec<u8>, Hash>>) {
        if !Arc::ptr_eq(&self.users, users) {
            return;
        }
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        self.remembered.insert(mark);
    }
}

fn entry(line: &[u8]) -> Option<(Vec<u8>, Hash)> {
    let user = user_of(line);
    let hash = line.get(user.len() + 1..)?;
    // More may follow behind another colon.
    let hash = hash.split(|byte| *byte == b':').next().unwrap_or_default();
    if user.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(hash).ok()?;
    let is_crypt = |text: &str| {
        text.len() == 13
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
    };
    let hash = if let Some(sum) = hash.strip_prefix(b"{SHA}") {
        Hash::Sha1(base64::decode(sum).filter(|sum| sum.len() == 20)?)
    } else if hash.starts_with(b"$apr1$") {
        apr1(b"", hash)?;
        Hash::Apr1(hash.to_vec())
    } else if text.starts_with("$2") || text.starts_with("$5$") || text.starts_with("$6$") {
        Hash::Slow(text.to_owned())
    } else if text.starts_with("$1$") || is_crypt(text) {
        Hash::Crypt(text.to_owned())
    } else {
        return None;
    };
    Some((user.to_vec(), hash))
}

impl Hash {
    fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha1(sum) => is_same(digest(&SHA1_FOR_LEGACY_USE_ONLY, password).as_ref(), sum),
            Self::Apr1(hash) => apr1(password, hash).is_some_and(|made| is_same(&made, hash)),
            Self::Crypt(hash) | Self::Slow(hash) => pwhash::unix::verify(password, hash),
        }
    }
}

/// Takes the same time for all bytes: it compares digests of them.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    digest(&SHA256, one).as_ref() == digest(&SHA256, other).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Result<Htpasswd, String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        std::fs::write(&path, text).expect("a file");
        let opened = Htpasswd::open(path);
        (folder, opened)
    }

    #[test]
    fn every_hash_of_htpasswd() {
        let text = "# users\nann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\
             ben:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0\n\ncat:saHW9GdxihkGQ\n\
             dan:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n\
             eve:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA\n\
             fay:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77v\
             wPZN.Pq.H91p5hVO1\ngus:$1$saltsalt$9xy1btjgzLYfb7hivXtC//\n";
        let (_folder, file) = file(text);
        let file = file.expect("a file of htpasswd");
        assert_eq!(file.check(b"ann:secret", false), Checked::Right);
        assert_eq!(file.check(b"ann:Secret", false), Checked::Wrong);
        assert_eq!(file.check(b"ben:secret", false), Checked::Right);
        assert_eq!(file.check(b"ben:", false), Checked::Wrong);
        assert_eq!(file.check(b"cat:secret", false), Checked::Right);
        assert_eq!(file.check(b"gus:secret", false), Checked::Right);
        for slow in [&b"dan:secret"[..], b"eve:secret", b"fay:secret"] {
            assert_eq!(file.check(slow, false), Checked::TakesLong);
            assert_eq!(file.check(slow, true), Checked::Right);
            assert_eq!(file.check(slow, false), Checked::Right, "it is remembered");
        }
        assert_eq!(file.check(b"ann", false), Checked::Wrong);
        for unknown in [&b"nan:secret"[..], b":", b"", b"dan:x"] {
            assert_eq!(file.check(unknown, true), Checked::Wrong);
        }
    }

    #[test]
    fn bad_files_are_errors() {
        for text in [
            "ann",
            "ann:plain",
            ":{SHA}x",
            "ann:{SHA}AAAA",
            "ann:$apr1$salt",
        ] {
            let (_folder, read) = file(text);
            let why = read.expect_err(text);
            assert!(why.contains("line 1"), "{why}");
        }
        let why = Htpasswd::open("/nowhere/users".into()).expect_err("no file");
        assert!(why.contains("cannot read the htpasswd file"), "{why}");
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let (folder, file) = file("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
        let file = file.expect("a file of htpasswd");
        let path = folder.path().join("users");
        std::fs::write(&path, "ben:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n# longer\n").expect("a file");
        assert_eq!(file.check(b"ann:secret", false), Checked::Wrong);
        assert_eq!(file.check(b"ben:secret", false), Checked::Right);
        std::fs::write(&path, "ben\n").expect("a file");
        assert_eq!(
            file.check(b"ben:secret", false),
            Checked::Right,
            "the old users stay"
        );
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(file.check(b"ben:secret", false), Checked::Wrong);
    }
}
