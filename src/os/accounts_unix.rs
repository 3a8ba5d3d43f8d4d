//! Users and groups by name or number, as this machine knows them. Main thread.

use nix::unistd::{Gid, Group, Uid, User};

use crate::config::Principal;

/// The user's number.
///
/// # Errors
/// There is no user of that name, in words. A number needs no user behind it.
pub fn user(principal: &Principal) -> Result<Uid, String> {
    match principal {
        Principal::Number(number) => Ok(Uid::from_raw(*number)),
        Principal::Name(name) => match User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid),
            Ok(None) => Err(format!("there is no user '{name}' on this machine")),
            Err(error) => Err(format!(
                "cannot look up the user '{name}': {}",
                error.desc()
            )),
        },
    }
}

/// The group's number.
///
/// # Errors
/// There is no group of that name, in words. A number needs no group behind it.
pub fn group(principal: &Principal) -> Result<Gid, String> {
    match principal {
        Principal::Number(number) => Ok(Gid::from_raw(*number)),
        Principal::Name(name) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid),
            Ok(None) => Err(format!("there is no group '{name}' on this machine")),
            Err(error) => Err(format!(
                "cannot look up the group '{name}': {}",
                error.desc()
            )),
        },
    }
}
