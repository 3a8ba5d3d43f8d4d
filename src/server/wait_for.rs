//! `--wait-for-*`: the start waits for files, mounts, interfaces and sockets. Main thread, before
//! Python starts.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::app::Deadlines;
use crate::config::Failure;
use crate::config::{Awaited, WaitTarget};

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How long an attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Waits for these, one after the other.
///
/// # Errors
/// One is not there in time, or `deadlines` have ended.
pub fn wait<'a>(
    all: impl Iterator<Item = &'a Awaited>,
    say: &dyn Fn(&str),
    deadlines: &Deadlines,
) -> Result<(), Failure> {
    for awaited in all {
        wait_for(awaited, say, deadlines)?;
    }
    Ok(())
}

fn wait_for(awaited: &Awaited, say: &dyn Fn(&str), deadlines: &Deadlines) -> Result<(), Failure> {
    let Awaited {
        target,
        timeout,
        option,
    } = awaited;
    let failed = |why: &str| Failure::new(format_args!("--{option}: {} {why}", name(target)));
    let until = Instant::now() + *timeout;
    let mut is_said = false;
    loop {
        match is_there(target) {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() >= until => {
                return Err(failed(&format!(
                    "is not there after {} s",
                    timeout.as_secs_f64()
                )));
            }
            Ok(false) => {}
            Err(why) => return Err(failed(why)),
        }
        if !std::mem::replace(&mut is_said, true) {
            say(&format!("waiting for {} (--{option})", name(target)));
        }
        deadlines.pause(LOOK_INTERVAL).map_err(Failure::new)?;
    }
}

fn name(target: &WaitTarget) -> String {
    match target {
        WaitTarget::Path(path)
        | WaitTarget::File(path)
        | WaitTarget::Folder(path)
        | WaitTarget::Mount(path) => path.display().to_string(),
        WaitTarget::Interface(name) => format!("the interface {name}"),
        WaitTarget::Socket(address) => format!("a server at {address}"),
    }
}

fn is_there(target: &WaitTarget) -> Result<bool, &'static str> {
    match target {
        WaitTarget::Path(path) => Ok(path.exists()),
        WaitTarget::File(path) => Ok(path.is_file()),
        WaitTarget::Folder(path) => Ok(path.is_dir()),
        WaitTarget::Mount(path) => is_mounted(path),
        WaitTarget::Interface(_) if !cfg!(target_os = "linux") => {
            Err("cannot be waited for on this system")
        }
        WaitTarget::Interface(name) => Ok(Path::new("/sys/class/net").join(name).exists()),
        WaitTarget::Socket(address) => Ok(connects(address)),
    }
}

/// Whether the directory is on another file system than its parent.
#[cfg(unix)]
fn is_mounted(path: &Path) -> Result<bool, &'static str> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(path) = path.canonicalize() else {
        return Ok(false);
    };
    let device = |path: &Path| path.metadata().map(|about| about.dev()).ok();
    Ok(match path.parent() {
        Some(above) => path.is_dir() && device(&path) != device(above),
        None => true,
    })
}

#[cfg(not(unix))]
fn is_mounted(_path: &Path) -> Result<bool, &'static str> {
    Err("cannot be waited for on this system")
}

/// A name that is not known yet is no error: the name server may come up together with us.
fn connects(address: &str) -> bool {
    #[cfg(unix)]
    if address.contains('/') {
        let path = address.strip_prefix("unix:").unwrap_or(address);
        return std::os::unix::net::UnixStream::connect(path).is_ok();
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = address.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixStream};
        return SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixStream::connect_addr(&address))
            .is_ok();
    }
    let mut all = address.to_socket_addrs().into_iter().flatten();
    all.any(|one| TcpStream::connect_timeout(&one, CONNECT_TIMEOUT).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awaited(target: WaitTarget) -> Awaited {
        Awaited {
            target,
            timeout: Duration::from_millis(300),
            option: "wait-for-fs",
        }
    }

    #[test]
    fn what_is_there_and_what_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "").expect("a file");
        let there = |target| is_there(&target).expect("a look");
        assert!(there(WaitTarget::Path(file.clone())));
        assert!(there(WaitTarget::File(file.clone())));
        assert!(!there(WaitTarget::Folder(file.clone())));
        assert!(there(WaitTarget::Folder(folder.path().to_owned())));
        assert!(!there(WaitTarget::File(folder.path().join("b"))));
        if cfg!(target_os = "linux") {
            assert!(there(WaitTarget::Mount("/proc".into())));
            assert!(!there(WaitTarget::Mount(folder.path().to_owned())));
            assert!(there(WaitTarget::Interface("lo".to_owned())));
            assert!(!there(WaitTarget::Interface("none-such".to_owned())));
        }
    }

    #[test]
    fn a_socket_is_there_while_a_server_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        assert!(connects(&address));
        drop(listener);
        assert!(!connects(&address));
        assert!(!connects("no such name:80"));
    }

    #[test]
    fn a_thing_that_does_not_come_is_a_failure() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = awaited(WaitTarget::Path(folder.path().join("b")));
        let failure =
            wait([one].iter(), &|_| {}, &Deadlines::endless()).expect_err("it does not come");
        assert!(
            failure.text.starts_with("--wait-for-fs: "),
            "{}",
            failure.text
        );
        assert!(
            failure.text.ends_with("is not there after 0.3 s"),
            "{}",
            failure.text
        );
    }
}
