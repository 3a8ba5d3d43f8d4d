//! A folder or file that requests lead to: the only disk access of this room.
//!
//! Opens paths that passed the rules of `path`. The result is a regular file in the folder or in a
//! safe one; all else is a miss: a link that leads out, a FIFO, a socket, a device (opened without
//! waiting and closed).
//!
//! On Linux the kernel resolves the path below a descriptor of the folder (openat2,
//! RESOLVE_BENEATH), so no link can change between check and use (`open_linux`). Elsewhere the path
//! is resolved, checked, opened and checked again (`open_portable`).
//!
//! These calls may wait for a slow disk. They run in a turn of the poll, as in nginx and uWSGI;
//! meanwhile another thread polls. The server waits only when all workers and the acceptor wait for
//! the disk; `--offload-threads` avoids that.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::entry::{Entry, Miss};
#[cfg(target_os = "linux")]
use super::open_linux as open;
#[cfg(not(target_os = "linux"))]
use super::open_portable as open;

#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    held: open::Held,
    has_told: AtomicBool,
}

impl Root {
    /// `path` should be absolute. It may be missing at first, and may be replaced (a symbolic link
    /// to the next release): the descriptor is renewed every second.
    pub fn new(path: PathBuf) -> Self {
        Self {
            held: open::Held::new(&path),
            path,
            has_told: AtomicBool::new(false),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens `names` (see [`Below`](super::path::Below)). A symbolic link may lead to anywhere in
    /// this root, or in one of `safe`.
    pub fn entry(&self, names: &[u8], safe: &[PathBuf]) -> Result<Entry, Miss> {
        let found = self.held.entry(&self.path, names, safe);
        if let Err(Miss::Outside) = &found {
            self.tell(names);
        }
        found
    }

    /// Once: a repeated request must not fill the log.
    fn tell(&self, names: &[u8]) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a symbolic link leads out of {}: {} is not served (--static-safe names folders that links may lead to); further ones are not reported",
                self.path.display(),
                names.escape_ascii()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn kind(root: &Root, names: &str, safe: &[PathBuf]) -> String {
        match root.entry(names.as_bytes(), safe) {
            Ok(Entry::File(opened)) => {
                let text = std::io::read_to_string(opened.file).expect("readable");
                assert_eq!(text.len() as u64, opened.length);
                text
            }
            Ok(Entry::Folder) => "folder".to_owned(),
            Err(Miss::Absent) => "absent".to_owned(),
            Err(Miss::Outside) => "outside".to_owned(),
            Err(Miss::Denied) => "denied".to_owned(),
            Err(Miss::Failed(error)) => error.to_string(),
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("its path");
        for name in ["www/css", "safe", "secret", "www-not"] {
            fs::create_dir_all(path.join(name)).expect("a folder");
        }
        for name in [
            "www/index.html",
            "www/css/site.css",
            "safe/shared.css",
            "secret/key",
            "www-not/key",
        ] {
            fs::write(path.join(name), name).expect("a file");
        }
        (folder, path)
    }

    #[test]
    fn files_and_folders() {
        let (_folder, path) = folder();
        let root = Root::new(path.join("www"));
        for (names, wanted) in [
            ("index.html", "www/index.html"),
            ("css/site.css", "www/css/site.css"),
            ("", "folder"),
            ("css", "folder"),
            ("css/none", "absent"),
            ("none/site.css", "absent"),
            ("index.html/x", "absent"),
        ] {
            assert_eq!(kind(&root, names, &[]), wanted, "{names}");
        }
        let long = "a".repeat(5000);
        assert_eq!(kind(&root, &long, &[]), "absent");
    }

    #[test]
    fn a_root_may_be_a_file_and_may_be_absent() {
        let (_folder, path) = folder();
        let root = Root::new(path.join("www/index.html"));
        assert_eq!(kind(&root, "", &[]), "www/index.html");
        assert_eq!(kind(&root, "x", &[]), "absent");
        let root = Root::new(path.join("none"));
        assert_eq!(kind(&root, "", &[]), "absent");
        assert_eq!(kind(&root, "x", &[]), "absent");
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_to_where_they_may() {
        use std::os::unix::fs::symlink;
        let (_folder, path) = folder();
        let www = path.join("www");
        for (link, target) in [
            ("in-relative", PathBuf::from("css/site.css")),
            ("in-up", PathBuf::from("../www/css/site.css")),
            ("in-absolute", www.join("css/site.css")),
            ("folder", www.join("css")),
            ("out-relative", PathBuf::from("../secret/key")),
            ("out-absolute", path.join("secret/key")),
            ("out-folder", path.join("secret")),
            ("out-neighbour", path.join("www-not/key")),
            ("out-device", PathBuf::from("/dev/zero")),
            ("to-safe", path.join("safe/shared.css")),
            ("safe-folder", path.join("safe")),
            ("loop", PathBuf::from("loop")),
            ("nowhere", PathBuf::from("none")),
            ("out-nowhere", path.join("none")),
        ] {
            symlink(target, www.join(link)).expect("a link");
        }
        let root = Root::new(www.clone());
        let safe = [path.join("safe")];
        for (names, wanted, with_safe) in [
            ("in-relative", "www/css/site.css", "www/css/site.css"),
            // A `..` that leaves the root on its way is not beneath it to the kernel; resolved, it
            // is.
            ("in-up", "www/css/site.css", "www/css/site.css"),
            ("in-absolute", "www/css/site.css", "www/css/site.css"),
            ("folder/site.css", "www/css/site.css", "www/css/site.css"),
            ("folder", "folder", "folder"),
            ("out-relative", "outside", "outside"),
            ("out-absolute", "outside", "outside"),
            ("out-folder/key", "outside", "outside"),
            ("out-folder", "outside", "outside"),
            ("out-neighbour", "outside", "outside"),
            ("out-device", "outside", "outside"),
            ("to-safe", "outside", "safe/shared.css"),
            ("safe-folder/shared.css", "outside", "safe/shared.css"),
            ("safe-folder/none", "absent", "absent"),
            ("loop", "absent", "absent"),
            ("nowhere", "absent", "absent"),
            ("out-nowhere", "absent", "absent"),
        ] {
            assert_eq!(kind(&root, names, &[]), wanted, "{names}");
            assert_eq!(
                kind(&root, names, &safe),
                with_safe,
                "{names} with a safe folder"
            );
        }
        // The root itself may be a link: the configuration names it.
        symlink(&www, path.join("current")).expect("a link");
        let root = Root::new(path.join("current"));
        assert_eq!(kind(&root, "in-absolute", &[]), "www/css/site.css");
        assert_eq!(kind(&root, "out-absolute", &[]), "outside");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_absent_at_once() {
        let (_folder, path) = folder();
        let fifo = path.join("www/fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("mkfifo").success());
        let socket = path.join("www/socket");
        let _listener = std::os::unix::net::UnixListener::bind(socket).expect("a socket");
        let root = Root::new(path.join("www"));
        // Opening a FIFO would wait for a writer for ever.
        assert_eq!(kind(&root, "fifo", &[]), "absent");
        assert_eq!(kind(&root, "socket", &[]), "absent");
    }

    #[test]
    fn a_replaced_folder_is_seen() {
        let (_folder, path) = folder();
        let root = Root::new(path.join("www"));
        assert_eq!(kind(&root, "index.html", &[]), "www/index.html");
        fs::rename(path.join("www"), path.join("old")).expect("renamed");
        fs::rename(path.join("secret"), path.join("www")).expect("renamed");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while kind(&root, "key", &[]) != "secret/key" {
            assert!(std::time::Instant::now() < deadline, "still the old one");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
