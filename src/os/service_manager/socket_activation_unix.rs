//! Sockets that systemd has opened for this process (socket activation: sd_listen_fds(3)).
//!
//! By hand: `listenfd` takes sockets without a `LISTEN_PID` and changes the environment.
//!
//! `LISTEN_FDS` is their number, from descriptor 3 on; `LISTEN_PID` names the process. As in uWSGI
//! a socket takes the place of the configured address that it is bound to; with no address
//! configured all of them are served. Main thread, before anything else is opened.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use socket2::{SockAddr, Socket};

use crate::config::Failure;
use crate::config::{Address, Config, ListenAddress};
use crate::os::inherited;

/// What says so; for us alone, so that no child of the application takes it for its own.
const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The first descriptor (SD_LISTEN_FDS_START).
const FIRST: u32 = 3;
/// More than anybody opens; a wrong number must not keep the start busy.
const SOCKETS_MAX: u32 = 1024;

/// How many sockets were handed over to this process, or to the one that it stands in for, and the
/// variables that say so. Before it detaches.
pub fn handed_over(pid: u32) -> (u32, Vec<String>) {
    let variable = |name: &str| std::env::var_os(name);
    let says = VARIABLES
        .into_iter()
        .filter(|name| variable(name).is_some());
    (count(pid, variable), says.map(str::to_owned).collect())
}

fn count(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> u32 {
    let number = |name| variable(name)?.to_str()?.parse::<u32>().ok();
    if number("LISTEN_PID") == Some(pid) {
        number("LISTEN_FDS").unwrap_or(0)
    } else {
        0
    }
}

/// The configuration with the sockets that were handed over in it; `None` if none were.
pub fn apply(config: &Config, count: u32) -> Result<Option<Config>, Failure> {
    if count == 0 {
        return Ok(None);
    }
    if count > SOCKETS_MAX {
        return Err(Failure::new(format_args!(
            "LISTEN_FDS says {count} sockets were handed over; at most {SOCKETS_MAX} are accepted"
        )));
    }
    let mut config = config.clone();
    let mut handed = Vec::new();
    for descriptor in FIRST..FIRST + count {
        let socket = inherited::take(descriptor).and_then(bound_to);
        let address = socket.map_err(|error| {
            Failure::new(format_args!(
                "LISTEN_FDS says that descriptor {descriptor} is a socket for this server, and it cannot be used: {error}"
            ))
        })?;
        handed.push((descriptor, address));
    }
    let is_default = |listen: &ListenAddress| listen.is_default;
    if config.sockets.listen.iter().all(is_default) {
        let origin = |descriptor| format!("LISTEN_FDS, descriptor {descriptor}");
        let template = config.sockets.listen.first().cloned();
        config.sockets.listen = handed
            .iter()
            .filter_map(|(descriptor, _)| {
                Some(ListenAddress {
                    address: Address::Descriptor(*descriptor),
                    protocol: config.sockets.protocol,
                    origin: origin(*descriptor),
                    is_default: false,
                    ..template.clone()?
                })
            })
            .collect();
        return Ok(Some(config));
    }
    for (descriptor, bound) in handed {
        let mut listening = config.sockets.listen.iter_mut();
        match listening.find(|listen| is_at(&listen.address, &bound)) {
            Some(listen) => listen.address = Address::Descriptor(descriptor),
            None => tracing::warn!(
                "descriptor {descriptor} was handed over (LISTEN_FDS) and is bound to {}, which is none of the configured addresses: it is not served",
                shown(&bound)
            ),
        }
    }
    Ok(Some(config))
}

fn bound_to(descriptor: OwnedFd) -> std::io::Result<SockAddr> {
    Socket::from(descriptor).local_addr()
}

fn is_at(address: &Address, bound: &SockAddr) -> bool {
    match address {
        Address::Tcp(tcp) => bound.as_socket() == Some(*tcp),
        Address::Unix(path) => bound.as_pathname().is_some_and(|bound| {
            let absolute = |path| std::path::absolute(path).ok();
            bound == path || absolute(bound) == absolute(path.as_path())
        }),
        Address::Abstract(name) => bound.as_abstract_namespace() == Some(name.as_bytes()),
        Address::Descriptor(_) => false,
    }
}

fn shown(bound: &SockAddr) -> String {
    if let Some(address) = bound.as_socket() {
        return address.to_string();
    }
    match (bound.as_pathname(), bound.as_abstract_namespace()) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(name)) => format!("@{}", name.escape_ascii()),
        (None, None) => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_this_process_counts() {
        let own = std::process::id().to_string();
        let told = |pid: &str, sockets: &str| {
            count(std::process::id(), |name| match name {
                "LISTEN_PID" => Some(OsString::from(pid)),
                "LISTEN_FDS" => Some(OsString::from(sockets)),
                _ => None,
            })
        };
        assert_eq!(told(&own, "2"), 2);
        assert_eq!(told("1", "2"), 0);
        assert_eq!(told("", "2"), 0);
        assert_eq!(told(&own, "two"), 0);
        assert_eq!(told(&own, "-1"), 0);
        assert_eq!(count(1, |_| None), 0);
    }
}
