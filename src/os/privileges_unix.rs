//! Becoming another user: after the sockets are bound, before Python starts, for good.
//!
//! As in uWSGI only root can, and not being able to is fatal: a server that was told to give up its
//! privileges never serves with them. The numbers change for all threads of the process. Main
//! thread.

use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgid, getuid, setgid, setuid};

use super::accounts;
use crate::config::Failure;
use crate::config::{Config, Principal};

struct Wanted<'a> {
    uid: Option<&'a Principal>,
    gid: Option<&'a Principal>,
    add_gid: &'a [Principal],
    initgroups: bool,
    names: [&'static str; 2],
}

/// `--immediate-uid` and `--immediate-gid`: before the sockets are bound.
pub fn drop_at_once(config: &Config) -> Result<(), Failure> {
    change(config, &at_once(config))
}

fn at_once(config: &Config) -> Wanted<'_> {
    let process = &config.process;
    Wanted {
        uid: process.immediate_uid.as_ref(),
        gid: process.immediate_gid.as_ref(),
        add_gid: &[],
        initgroups: process.initgroups,
        names: ["immediate-uid", "immediate-gid"],
    }
}

/// User and group that [`drop`] is going to become, as far as they change. What is made before is
/// given to them.
pub fn future(config: &Config) -> (Option<u32>, Option<u32>) {
    if !geteuid().is_root() {
        return (None, None);
    }
    let process = &config.process;
    // Who does not exist is reported by `drop`.
    let uid = process
        .uid
        .as_ref()
        .and_then(|user| accounts::user(user).ok());
    let gid = process
        .gid
        .as_ref()
        .and_then(|group| accounts::group(group).ok());
    (uid.map(Uid::as_raw), gid.map(Gid::as_raw))
}

/// `--uid`, `--gid`, `--add-gid`.
pub fn drop(config: &Config) -> Result<(), Failure> {
    change(config, &later(config))
}

fn later(config: &Config) -> Wanted<'_> {
    let process = &config.process;
    Wanted {
        uid: process.uid.as_ref(),
        gid: process.gid.as_ref(),
        add_gid: &process.add_gid,
        initgroups: process.initgroups,
        names: ["uid", "gid"],
    }
}

/// Whether [`drop_at_once`] and [`drop`] would do: the accounts exist, and this process may become
/// them.
pub fn check(config: &Config) -> Result<(), Failure> {
    find(config, &at_once(config))?;
    find(config, &later(config)).map(|_| ())
}

/// Who the process is to become.
struct Accounts {
    uid: Option<Uid>,
    gid: Option<Gid>,
    further: Vec<Gid>,
}

/// The accounts; `None` if nothing has to change.
fn find(config: &Config, wanted: &Wanted<'_>) -> Result<Option<Accounts>, Failure> {
    let failed = |option: &str, why: String| Failure::about(config, option, why);
    let [uid_option, gid_option] = wanted.names;
    let uid = wanted.uid.map(accounts::user).transpose();
    let uid = uid.map_err(|why| failed(uid_option, why))?;
    let gid = wanted.gid.map(accounts::group).transpose();
    let gid = gid.map_err(|why| failed(gid_option, why))?;
    let further: Result<Vec<Gid>, String> = wanted.add_gid.iter().map(accounts::group).collect();
    let further = further.map_err(|why| failed("add-gid", why))?;
    if uid.is_none() && gid.is_none() && further.is_empty() {
        return Ok(None);
    }
    if !geteuid().is_root() {
        // What we are already needs no privilege.
        return already(uid, gid, &further)
            .map(|()| None)
            .map_err(|(nth, why)| {
                let option = match nth {
                    0 => uid_option,
                    1 => gid_option,
                    _ => "add-gid",
                };
                failed(
                    option,
                    format!("{why}: only root can. Start as root or as that user, or leave it out"),
                )
            });
    }
    Ok(Some(Accounts { uid, gid, further }))
}

fn change(config: &Config, wanted: &Wanted<'_>) -> Result<(), Failure> {
    let failed = |option: &str, why: String| Failure::about(config, option, why);
    let [uid_option, gid_option] = wanted.names;
    let Some(Accounts { uid, gid, further }) = find(config, wanted)? else {
        return Ok(());
    };
    let user = uid.and_then(|uid| User::from_uid(uid).ok().flatten());
    let user = user.filter(|_| wanted.initgroups);
    change_groups(user.as_ref(), gid, &further).map_err(|why| {
        failed(
            if gid.is_some() {
                gid_option
            } else {
                uid_option
            },
            why,
        )
    })?;
    if let Some(gid) = gid {
        setgid(gid).map_err(|error| {
            let why = format!("cannot become group {gid}: {}", error.desc());
            failed(gid_option, why)
        })?;
    }
    if let Some(uid) = uid {
        setuid(uid).map_err(|error| {
            let why = format!("cannot become user {uid}: {}", error.desc());
            failed(uid_option, why)
        })?;
        let is_root_again = !uid.is_root() && setuid(Uid::from_raw(0)).is_ok();
        if getuid() != uid || geteuid() != uid || is_root_again {
            let why = format!("this system did not let go of root for user {uid}");
            return Err(failed(uid_option, why));
        }
        if gid.is_none() && getgid().as_raw() == 0 {
            tracing::warn!(
                "the group stays root's: --{uid_option} changes the user only; add --{gid_option}"
            );
        }
    }
    tracing::info!(
        "running as user {}, group {}",
        named_user(geteuid()),
        getegid()
    );
    Ok(())
}

fn named_user(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("{} ({uid})", user.name),
        _ => uid.to_string(),
    }
}

/// Whether nothing has to change; else which of the three options cannot be had.
fn already(uid: Option<Uid>, gid: Option<Gid>, further: &[Gid]) -> Result<(), (usize, String)> {
    if let Some(uid) = uid.filter(|uid| *uid != geteuid()) {
        return Err((0, format!("cannot become user {uid}")));
    }
    if let Some(gid) = gid.filter(|gid| *gid != getegid()) {
        return Err((1, format!("cannot become group {gid}")));
    }
    let mine = rustix::process::getgroups().unwrap_or_default();
    let is_mine = |gid: &Gid| mine.iter().any(|group| group.as_raw() == gid.as_raw());
    match further.iter().find(|gid| !is_mine(gid)) {
        Some(gid) => Err((2, format!("cannot become a member of group {gid}"))),
        None => Ok(()),
    }
}

/// The supplementary groups: the user's own, or none; and the further ones.
#[cfg(not(target_vendor = "apple"))]
fn change_groups(user: Option<&User>, gid: Option<Gid>, further: &[Gid]) -> Result<(), String> {
    use nix::unistd::{getgroups, initgroups, setgroups};

    let result = match user {
        Some(user) => std::ffi::CString::new(user.name.as_str())
            .map_err(|_| nix::errno::Errno::EINVAL)
            .and_then(|name| initgroups(&name, gid.unwrap_or_else(getgid))),
        None => setgroups(&[]),
    };
    result
        .and_then(|()| {
            if further.is_empty() {
                return Ok(());
            }
            let mut groups = getgroups()?;
            groups.extend(
                further
                    .iter()
                    .filter(|gid| !groups.contains(gid))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            setgroups(&groups)
        })
        .map_err(|error| format!("cannot change the supplementary groups: {}", error.desc()))
}

/// Its calls for groups go around the system's directory, so that they cannot be relied upon.
#[cfg(target_vendor = "apple")]
fn change_groups(_user: Option<&User>, _gid: Option<Gid>, _further: &[Gid]) -> Result<(), String> {
    Err(
        "macOS does not let a program give up root's groups: have launchd start it as that user \
         (UserName in its plist)"
            .to_owned(),
    )
}
