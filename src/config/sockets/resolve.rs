//! Settings of listeners become [`SocketConfig`].

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;

use super::options;
use super::types::{ListenAddress, SocketConfig};
use crate::config::process::hook;
use crate::config::readers::layers::Setting;
use crate::config::table::row::OptionRow;
use crate::config::tls::options as tls;
use crate::config::values::address::{self, Address};
use crate::config::values::value;
use crate::protocol::listen::{Protocol, Redirect, SocketOptions};

impl<'a> Reader<'a> {
    pub(crate) fn sockets(&mut self) -> Result<SocketConfig, ConfigError> {
        let owner = match self.raw.last(&options::CHOWN_SOCKET) {
            None => None,
            Some(setting) => Some(match setting.text.split_once(':') {
                Some((user, group)) if !user.is_empty() && !group.is_empty() => {
                    (hook::principal(user), Some(hook::principal(group)))
                }
                None if !setting.text.is_empty() => (hook::principal(&setting.text), None),
                _ => {
                    return Err(setting.error(format_args!(
                        "wants USER or USER:GROUP, got '{}'",
                        setting.text
                    )));
                }
            }),
        };
        Ok(SocketConfig {
            listen: self.listeners()?,
            protocol: self.handed_protocol()?,
            options: self.socket_options()?,
            mode: self.mode(&options::CHMOD_SOCKET)?,
            vacuum: self.flag(&options::VACUUM),
            owner,
            no_delay: self.flag(&options::TCP_NODELAY),
        })
    }

    fn socket_options(&mut self) -> Result<SocketOptions, ConfigError> {
        Ok(SocketOptions {
            backlog: self.small(&options::LISTEN)?,
            reuse_port: self.flag(&options::REUSE_PORT),
            freebind: self.flag(&options::FREEBIND),
            ipv6_only: false,
            keep_alive: self.flag(&options::SO_KEEPALIVE),
            send_buffer_bytes: self.optional_number(&options::SOCKET_SNDBUF)?,
            receive_buffer_bytes: self.optional_number(&options::SOCKET_RCVBUF)?,
        })
    }

    fn mode(&mut self, row: &OptionRow) -> Result<Option<u32>, ConfigError> {
        let Some(setting) = self.raw.last(row) else {
            return Ok(None);
        };
        // In a file the bare form is `chmod-socket = true`.
        let text = match setting.text.as_str() {
            "true" => "666",
            text => text,
        };
        value::mode(text)
            .map(Some)
            .map_err(|why| setting.error(why))
    }

    /// The address behind `=0`: the first of `--shared-socket`.
    fn shared_socket(&self, setting: &Setting, number: &str) -> Result<&str, ConfigError> {
        let shared = self.raw.all(&options::SHARED_SOCKET);
        let place: Option<usize> = number.parse().ok();
        match place.and_then(|place| shared.get(place)) {
            Some(shared) => Ok(&shared.text),
            None => Err(setting
                .error(format_args!(
                    "wants shared socket {number}, and there are {}",
                    shared.len()
                ))
                .hint("they count from 0, in the order of --shared-socket")),
        }
    }

    /// What `--socket` speaks.
    fn protocol(&self) -> Result<Protocol, ConfigError> {
        const PROTOCOLS: [Protocol; 6] = [
            Protocol::Uwsgi,
            Protocol::Http,
            Protocol::FastCgi { nph: false },
            Protocol::Scgi { nph: false },
            Protocol::FastCgi { nph: true },
            Protocol::Scgi { nph: true },
        ];
        let chosen = self.chosen(&options::PROTOCOL)?;
        Ok(PROTOCOLS.get(chosen).copied().unwrap_or(Protocol::Uwsgi))
    }

    /// The protocol of sockets that were handed over; HTTP by default.
    fn handed_protocol(&self) -> Result<Protocol, ConfigError> {
        match self.raw.last(&options::PROTOCOL) {
            Some(_) => self.protocol(),
            None => Ok(Protocol::Http),
        }
    }

    fn listeners(&mut self) -> Result<Vec<ListenAddress>, ConfigError> {
        let settings = self.addresses()?;
        self.warn_of_unopened(&settings);
        let is_abstract = self.flag(&options::ABSTRACT_SOCKET);
        let mut listen: Vec<ListenAddress> = Vec::new();
        for (setting, protocol) in settings {
            let mut one = self.listener(setting, protocol)?;
            one.address = match one.address {
                Address::Unix(path) if is_abstract => {
                    Address::Abstract(path.to_string_lossy().into_owned())
                }
                address => address,
            };
            let any_port = matches!(&one.address, Address::Tcp(tcp) if tcp.port() == 0);
            let twice = listen.iter().find(|other| other.address == one.address);
            if let Some(other) = twice.filter(|_| !any_port) {
                return Err(setting.error(format_args!(
                    "wants {}, which {} has already",
                    one.address, other.origin
                )));
            }
            listen.push(one);
        }
        if listen.is_empty() {
            let address = address::parse(options::DEFAULT_ADDRESS).map_err(ConfigError::new)?;
            listen.push(ListenAddress {
                protocol: Protocol::Http,
                address,
                tls: None,
                expects_proxy: false,
                redirect: None,
                origin: "default".to_owned(),
                is_default: true,
            });
        }
        self.expect_proxies(&mut listen)?;
        Ok(listen)
    }

    /// Every option that names an address, in the order in which they were written.
    fn addresses(&self) -> Result<Vec<(&'a Setting, Protocol)>, ConfigError> {
        let kinds = [
            (&options::HTTP, Protocol::Http),
            (&options::HTTP_SOCKET, Protocol::Http),
            (&options::SOCKET, self.protocol()?),
            (&options::UWSGI_SOCKET, Protocol::Uwsgi),
            (&options::FASTCGI_SOCKET, Protocol::FastCgi { nph: false }),
            (
                &options::FASTCGI_NPH_SOCKET,
                Protocol::FastCgi { nph: true },
            ),
            (&options::SCGI_SOCKET, Protocol::Scgi { nph: false }),
            (&options::SCGI_NPH_SOCKET, Protocol::Scgi { nph: true }),
            (&tls::HTTPS, Protocol::Http),
            (&tls::HTTPS_SOCKET, Protocol::Http),
            (&tls::HTTPS2, Protocol::Http),
            (&tls::HTTP_TO_HTTPS, Protocol::Http),
        ];
        let mut settings: Vec<(&Setting, Protocol)> = Vec::new();
        for (row, protocol) in kinds {
            let all = self.raw.all(row).iter();
            settings.extend(all.map(|setting| (setting, protocol)));
        }
        settings.sort_by_key(|(setting, _)| (setting.origin.layer, setting.origin.place));
        Ok(settings)
    }

    /// Warns of shared sockets that no option names.
    fn warn_of_unopened(&mut self, settings: &[(&Setting, Protocol)]) {
        for (number, setting) in self.raw.all(&options::SHARED_SOCKET).iter().enumerate() {
            let (name, named) = (format!("={number}"), format!("addr=={number}"));
            let mut parts = settings.iter().flat_map(|(one, _)| one.text.split(','));
            if !parts.any(|part| part == name || part == named) {
                self.warn(setting, &format!("is not opened: no option names {name}"));
            }
        }
    }

    /// One address, with the TLS or the redirect of its option.
    fn listener(
        &mut self,
        setting: &Setting,
        protocol: Protocol,
    ) -> Result<ListenAddress, ConfigError> {
        let (text, tls, redirect) = match setting.name.as_str() {
            "https" | "https-socket" => {
                let (text, tls) = self.https(setting)?;
                (text, Some(tls), None)
            }
            "https2" => {
                let (text, tls) = self.https2(setting)?;
                (text, Some(tls), None)
            }
            "http-to-https" => {
                let (text, redirect) = redirect(setting)?;
                (text, None, Some(redirect))
            }
            _ => (setting.text.as_str(), None, None),
        };
        let text = match text.strip_prefix('=') {
            Some(number) => self.shared_socket(setting, number)?,
            None => text,
        };
        let address = address::parse(text).map_err(|why| {
            let why = format!("wants an address, got '{text}': {why}");
            setting.error_of_value(&why, "8000")
        })?;
        Ok(ListenAddress {
            protocol,
            address,
            tls,
            expects_proxy: false,
            redirect,
            origin: setting.place(),
            is_default: false,
        })
    }
}

/// `ADDRESS[,PORT]`
fn redirect(setting: &Setting) -> Result<(&str, Redirect), ConfigError> {
    let Some((address, port)) = setting.text.split_once(',') else {
        return Ok((&setting.text, Redirect { port: None }));
    };
    let port = port
        .trim()
        .parse()
        .map_err(|_| setting.error(format_args!("wants ADDRESS[,PORT], got '{}'", setting.text)))?;
    Ok((address, Redirect { port: Some(port) }))
}
