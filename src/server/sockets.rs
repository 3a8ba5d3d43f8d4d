//! Binds the listeners, and gives unix sockets their mode and owner. Main thread, before privileges
//! are dropped and Python is started.

use std::fmt;
use std::sync::Arc;

use super::certificates::Certificates;
use crate::admin::control_server::ControlServer;
use crate::config::Failure;
use crate::config::{self, Config, ListenAddress};
use crate::net::{Address, Handle, Listener};
#[cfg(unix)]
use crate::os::inherited;
use crate::os::vacuum::Vacuum;
use crate::os::writable;
use crate::protocol::listen::{Protocol, SocketOptions};
use crate::tls::Port;
#[cfg(unix)]
use nix::unistd::{Gid, Uid};

/// Binds every address, in order. Sockets are noted for `--vacuum`.
pub fn bind(
    config: &Config,
    certificates: &Certificates,
    vacuum: &mut Vacuum,
) -> Result<Vec<Listener>, Failure> {
    let options = options(config);
    config
        .sockets
        .listen
        .iter()
        .enumerate()
        .map(|(index, listen)| {
            let listener = bind_one(listen, &options, config)?;
            set_mode_and_owner(config, listener.address(), vacuum)?;
            Ok(with_options(listener, listen, certificates.port(index)))
        })
        .collect()
}

fn with_options(listener: Listener, listen: &ListenAddress, tls: Option<Arc<Port>>) -> Listener {
    listener
        .with_tls(tls)
        .with_redirect(listen.redirect)
        .with_proxy_protocol(listen.expects_proxy)
        .lent(matches!(listen.address, config::Address::Descriptor(_)))
}

/// As [`bind`], for a successor: it uses the predecessor's sockets, `left`. Also returns, for each
/// of them, the place of its listener, if its address is still configured.
pub fn bind_again(
    config: &Config,
    certificates: &Certificates,
    vacuum: &mut Vacuum,
    left: Vec<Handle>,
) -> Result<(Vec<Listener>, Vec<Option<usize>>), Failure> {
    let options = options(config);
    let (found, places) = find(config, left);
    let mut listeners = Vec::with_capacity(found.len());
    for (place, (listen, found)) in config.sockets.listen.iter().zip(found).enumerate() {
        let listener = match found {
            Some(listener) => {
                #[cfg(unix)]
                if let Address::Unix(path) = listener.address() {
                    vacuum.note_socket(path);
                }
                listener
            }
            None => {
                let listener = bind_one(listen, &options, config)?;
                set_mode_and_owner(config, listener.address(), vacuum)?;
                listener
            }
        };
        listeners.push(with_options(listener, listen, certificates.port(place)));
    }
    Ok((listeners, places))
}

/// For each configured address the socket that was left, and for each of these its place.
fn find(config: &Config, left: Vec<Handle>) -> (Vec<Option<Listener>>, Vec<Option<usize>>) {
    let options = options(config);
    let mut places = vec![None; left.len()];
    let mut left: Vec<Option<Listener>> = left
        .into_iter()
        .map(|descriptor| Listener::adopt(descriptor, &options).ok())
        .collect();
    let asked = config
        .sockets
        .listen
        .iter()
        .enumerate()
        .map(|(place, listen)| {
            let at = left.iter().position(|listener| {
                listener
                    .as_ref()
                    .is_some_and(|listener| is_meant(&listen.address, listener.address(), &options))
            })?;
            *places.get_mut(at)? = Some(place);
            left.get_mut(at)?.take()
        });
    let found = asked.collect();
    (found, places)
}

/// Whether the socket has the configured address. Port 0 is any port.
#[cfg_attr(
    not(unix),
    expect(unused_variables, reason = "only Unix hands descriptors over")
)]
fn is_meant(asked: &config::Address, bound: &Address, options: &SocketOptions) -> bool {
    match (asked, bound) {
        (config::Address::Tcp(asked), Address::Tcp(bound)) => {
            asked.ip() == bound.ip() && (asked.port() == 0 || asked.port() == bound.port())
        }
        #[cfg(unix)]
        (config::Address::Unix(asked), Address::Unix(bound)) => asked == bound,
        #[cfg(unix)]
        (config::Address::Descriptor(number), bound) => {
            let handed_over = inherited::take(*number)
                .and_then(|descriptor| Listener::adopt(descriptor, options));
            handed_over.is_ok_and(|listener| listener.address() == bound)
        }
        #[cfg(target_os = "linux")]
        (config::Address::Abstract(asked), Address::Abstract(bound)) => asked.as_bytes() == *bound,
        _ => false,
    }
}

/// An open listener.
pub struct Listening {
    /// The real address: for port 0 the port that the system chose.
    pub address: Address,
    /// The protocol of its clients.
    pub protocol: Protocol,
    /// With TLS around it.
    pub has_tls: bool,
}

impl Listening {
    /// The text before the address in the report.
    pub fn word(&self) -> &'static str {
        match self.protocol {
            Protocol::Http => self.scheme(),
            other => other.word(),
        }
    }

    /// The scheme of the URLs of this address.
    pub fn scheme(&self) -> &'static str {
        if self.has_tls { "https" } else { "http" }
    }
}

/// Describes the listeners, in their order.
pub fn listening(config: &Config, listeners: &[Listener]) -> Vec<Listening> {
    let pairs = config.sockets.listen.iter().zip(listeners);
    pairs
        .map(|(asked, listener)| Listening {
            address: listener.address().clone(),
            has_tls: listener.has_tls(),
            protocol: asked.protocol,
        })
        .collect()
}

/// Warns of addresses where other machines can pose as a front end: the protocols have no secret,
/// and a front end may name any user.
pub fn warn_of_open_protocols(listening: &[Listening]) {
    for Listening {
        address, protocol, ..
    } in listening
    {
        let is_open = match address {
            Address::Tcp(tcp) => !tcp.ip().to_canonical().is_loopback(),
            #[cfg(unix)]
            Address::Unix(_) => false,
            #[cfg(target_os = "linux")]
            Address::Abstract(_) => false,
        };
        if protocol.takes_variables() && is_open {
            tracing::warn!(
                "{address} speaks {protocol} to every client that reaches it, and believes it: it \
                 can set REMOTE_USER, REMOTE_ADDR and every other variable. Bind it to 127.0.0.1 or a \
                 unix socket, or let a firewall \
                 see to it that only the web server gets there",
                protocol = protocol.word()
            );
        }
    }
}

/// Whether the addresses could be bound, and their files given away: for checks of a
/// configuration. An address in use is no fault, and a descriptor is handed over by the start.
pub fn check(config: &Config) -> Result<(), Failure> {
    let options = &config.sockets.options;
    ControlServer::check(config)?;
    for listen in &config.sockets.listen {
        let asked = &listen.address;
        if cfg!(unix) && matches!(asked, config::Address::Descriptor(_)) {
            continue;
        }
        check_one(asked, options)
            .map_err(|why| Failure::new(format_args!("{}: {why}", listen.origin)))?;
    }
    let admin = [
        ("stats", config.control.stats.as_ref()),
        ("control", control(config)),
    ];
    for (option, address) in admin {
        if let Some(address) = address {
            check_one(address, options).map_err(|why| Failure::about(config, option, why))?;
        }
    }
    #[cfg(unix)]
    if has_file(config) {
        owner(config)?;
    }
    Ok(())
}

#[cfg(unix)]
fn has_file(config: &Config) -> bool {
    let mut listen = config.sockets.listen.iter();
    listen.any(|listen| matches!(listen.address, config::Address::Unix(_)))
}

fn control(config: &Config) -> Option<&config::Address> {
    match &config.control.door {
        config::ControlDoor::At(address) => Some(address),
        _ => None,
    }
}

fn check_one(asked: &config::Address, options: &SocketOptions) -> Result<(), String> {
    let address = match asked {
        config::Address::Tcp(address) => Address::Tcp(*address),
        #[cfg(unix)]
        config::Address::Unix(path) => Address::Unix(path.clone()),
        #[cfg(target_os = "linux")]
        config::Address::Abstract(name) => Address::Abstract(name.as_bytes().to_owned()),
        _ => {
            return Err(format!(
                "cannot listen on {asked}: this system has no such sockets"
            ));
        }
    };
    Listener::check(&address, options).map_err(|error| error.to_string())?;
    match asked {
        config::Address::Unix(path) if path.symlink_metadata().is_err() => {
            writable::check_folder(path)
                .map_err(|error| format!("cannot listen on {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The user and group of `--chown-socket`.
#[cfg(unix)]
fn owner(config: &Config) -> Result<Option<(Uid, Option<Gid>)>, Failure> {
    use crate::os::accounts;

    let Some((user, group)) = &config.sockets.owner else {
        return Ok(None);
    };
    let failed = |why| Failure::about(config, "chown-socket", why);
    let uid = accounts::user(user).map_err(failed)?;
    let gid = group.as_ref().map(accounts::group).transpose();
    Ok(Some((uid, gid.map_err(failed)?)))
}

fn bind_one(
    listen: &ListenAddress,
    options: &SocketOptions,
    config: &Config,
) -> Result<Listener, Failure> {
    let failed = |why: &dyn fmt::Display| Failure::new(format_args!("{}: {why}", listen.origin));
    let address = match &listen.address {
        config::Address::Tcp(address) => Address::Tcp(*address),
        #[cfg(unix)]
        config::Address::Unix(path) => Address::Unix(path.clone()),
        #[cfg(target_os = "linux")]
        config::Address::Abstract(name) => Address::Abstract(name.as_bytes().to_owned()),
        #[cfg(not(target_os = "linux"))]
        config::Address::Abstract(name) => {
            return Err(failed(&format_args!(
                "cannot listen on @{name}: only Linux has abstract sockets; use a path or a port"
            )));
        }
        #[cfg(unix)]
        config::Address::Descriptor(number) => {
            return inherited::take(*number)
                .and_then(|descriptor| Listener::adopt(descriptor, options))
                .map_err(|error| {
                    failed(&format_args!(
                        "cannot listen on descriptor {number}: {error}. It must be a bound stream \
                         socket that was handed over"
                    ))
                });
        }
        #[cfg(not(unix))]
        config::Address::Unix(_) | config::Address::Descriptor(_) => {
            return Err(failed(&format_args!(
                "cannot listen on {}: this system has no such sockets; use an address such as \
                 127.0.0.1:8000",
                listen.address
            )));
        }
    };
    let options = SocketOptions {
        ipv6_only: has_ipv4_beside(&address, config),
        ..options.clone()
    };
    Listener::bind(&address, &options).map_err(|error| failed(&error))
}

/// Whether an IPv4 listener has the same port. Otherwise `[::]` takes IPv4 clients too, as in uWSGI
/// and gunicorn.
fn has_ipv4_beside(address: &Address, config: &Config) -> bool {
    let own = match address {
        Address::Tcp(own) => own,
        #[cfg(unix)]
        Address::Unix(_) => return false,
        #[cfg(target_os = "linux")]
        Address::Abstract(_) => return false,
    };
    config
        .sockets
        .listen
        .iter()
        .any(|other| match other.address {
            config::Address::Tcp(other) => other.is_ipv4() && other.port() == own.port(),
            _ => false,
        })
}

fn options(config: &Config) -> SocketOptions {
    let options = &config.sockets.options;
    if options.reuse_port && cfg!(not(unix)) {
        tracing::warn!("--reuse-port is without effect: this system does not share ports");
    }
    if options.freebind && cfg!(not(target_os = "linux")) {
        tracing::warn!("--freebind is without effect: only Linux has it");
    }
    SocketOptions {
        backlog: backlog(config),
        ..options.clone()
    }
}

/// The kernel lowers a backlog above its limit silently, and uWSGI does not start. Here it is
/// lowered, with a log line if the backlog was configured.
fn backlog(config: &Config) -> u32 {
    let Some(limit) = system_limit() else {
        return config.sockets.options.backlog;
    };
    if config.sockets.options.backlog <= limit {
        return config.sockets.options.backlog;
    }
    if let Some(origin) = config.origin("listen") {
        tracing::warn!(
            "{origin}: {} connections may not wait, only {limit}: the system's limit is lower. \
             Raise \
             net.core.somaxconn with sysctl",
            config.sockets.options.backlog
        );
    }
    limit
}

#[cfg(target_os = "linux")]
fn system_limit() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    text.trim().parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn system_limit() -> Option<u32> {
    None
}

#[cfg(unix)]
fn set_mode_and_owner(
    config: &Config,
    address: &Address,
    vacuum: &mut Vacuum,
) -> Result<(), Failure> {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    let Address::Unix(path) = address else {
        return Ok(());
    };
    vacuum.note_socket(path);
    let failed = |option: &str, why: String| Failure::about(config, option, why);
    if let Some(mode) = config.sockets.mode {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(|error| {
            let why = format!(
                "cannot set the mode of {} to {mode:o}: {error}",
                path.display()
            );
            failed("chmod-socket", why)
        })?;
    }
    if let (Some((uid, gid)), Some((user, _))) = (owner(config)?, &config.sockets.owner) {
        chown(path, Some(uid.as_raw()), gid.map(|gid| gid.as_raw())).map_err(|error| {
            let why = format!("cannot give {} to {user}: {error}", path.display());
            failed("chown-socket", why)
        })?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn set_mode_and_owner(
    config: &Config,
    _address: &Address,
    _vacuum: &mut Vacuum,
) -> Result<(), Failure> {
    for option in ["chmod-socket", "chown-socket"] {
        if let Some(origin) = config.origin(option) {
            tracing::warn!(
                "{origin}: without effect, sockets of this system have neither mode nor owner"
            );
        }
    }
    Ok(())
}
