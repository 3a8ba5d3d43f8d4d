//! What the server has put into the file system, and `--vacuum`, which removes it at the end.
//!
//! A file that another process has put in its place since then (a successor's socket, another
//! server's process id) is left alone. The end is the end of [`Vacuum`]'s life, whatever the
//! reason. Main thread.

#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::{fs, io};

/// Removes what was noted, when it is dropped.
pub struct Vacuum {
    is_wanted: bool,
    is_spared: bool,
    files: Vec<Litter>,
}

struct Litter {
    path: PathBuf,
    mark: Mark,
}

/// How a file of ours is told from another of the same name.
enum Mark {
    /// A socket: device and inode.
    #[cfg(unix)]
    Inode(u64, u64),
    /// A file that holds this process id.
    Pid(u32),
}

impl Vacuum {
    /// Nothing yet. Unless `is_wanted`, nothing ever.
    pub fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            is_spared: false,
            files: Vec::new(),
        }
    }

    /// Nothing is removed for now (`true`): another process needs it. Or again as it was
    /// configured.
    pub fn spare(&mut self, is_spared: bool) {
        self.is_spared = is_spared;
    }

    /// Notes a unix socket that was bound just now.
    #[cfg(unix)]
    pub fn note_socket(&mut self, path: &Path) {
        match std::path::absolute(path).and_then(|path| Ok((inode(&path)?, path))) {
            Ok(((device, inode), path)) => self.files.push(Litter {
                path,
                mark: Mark::Inode(device, inode),
            }),
            Err(error) => tracing::debug!(%error, "cannot look at {}", path.display()),
        }
    }

    /// Notes a file that holds the server's process id. `path` is absolute.
    pub fn note_pidfile(&mut self, path: PathBuf, pid: u32) {
        self.files.push(Litter {
            path,
            mark: Mark::Pid(pid),
        });
    }
}

impl Drop for Vacuum {
    fn drop(&mut self) {
        if !self.is_wanted || self.is_spared {
            return;
        }
        for Litter { path, mark } in self.files.drain(..) {
            let is_ours = match mark {
                #[cfg(unix)]
                Mark::Inode(device, number) => inode(&path).map(|found| found == (device, number)),
                Mark::Pid(pid) => {
                    fs::read_to_string(&path).map(|text| text.trim() == pid.to_string())
                }
            };
            let removed = match is_ours {
                Ok(true) => fs::remove_file(&path),
                Ok(false) => {
                    tracing::info!(
                        "{} is not ours any more, so it stays (--vacuum)",
                        path.display()
                    );
                    Ok(())
                }
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("cannot remove {} (--vacuum): {error}", path.display());
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
