//! Which application a request is for: the table of mounts. Built once at start, then read by every
//! worker for each request, without allocating; no Python, no I/O. A server with one application at
//! the root pays for one comparison.
//!
//! # The rules
//! - An application is mounted at a prefix (`/shop`), for every host or for one. The longest prefix
//!   wins, and only whole segments count: `/shop` holds `/shop` and `/shop/cart`, not `/shopping`.
//! - A prefix is matched against the percent-decoded path, so `/sh%6fp` is under `/shop`. Nothing
//!   is normalised: `//shop` is not.
//! - The mounts of a request's own host come first, then those of `*.example.org` (the longest
//!   first), then those of every host. Case, port and a dot at the end of a host do not matter.
//! - What no mount holds goes to the default application: the one at the root, else (as in uWSGI)
//!   the first that is mounted for every host; under `--no-default-app` to none.
//! - Without `--manage-script-name` a path does not choose, as in uWSGI: the front end names the
//!   application by `SCRIPT_NAME` ([`Mounts::choose_as_told`]), and over HTTP only mounts without a
//!   prefix are chosen between.

use super::Head;
use crate::protocol::cgi;

/// Where one application is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Lower case; `*.example.org` is every host below. `None`: every host.
    host: Option<String>,
    /// As in a decoded path: empty, or `/...` without a slash at the end.
    prefix: String,
}

impl Place {
    /// Below `prefix`, for one host or for all. Slashes around a prefix do not matter: `shop`,
    /// `/shop` and `/shop/` are one, and `/` is the root.
    pub fn new(host: Option<&str>, prefix: &str) -> Self {
        let inner = prefix.trim_matches('/');
        let prefix = if inner.is_empty() {
            String::new()
        } else {
            format!("/{inner}")
        };
        let host = host.map(|host| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase());
        Self { host, prefix }
    }

    /// uWSGI's spelling: the empty text, `/shop`, `example.org|/shop`.
    pub fn mountpoint(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}|{}", self.prefix),
            None => self.prefix.clone(),
        }
    }
}

/// What decides where the places leave it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// A path chooses, and its prefix moves to `SCRIPT_NAME` (`--manage-script-name`).
    pub manages_script_name: bool,
    /// A path without a mount is refused (`--no-default-app`).
    pub no_default_app: bool,
    /// A `SCRIPT_NAME` that a front end sent does not choose (`--ignore-script-name`).
    pub ignores_script_name: bool,
}

/// The application of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its place in the list that the table was made from.
    pub app: usize,
    /// How many bytes at the front of the decoded path are `SCRIPT_NAME` and no part of
    /// `PATH_INFO`.
    pub prefix_bytes: usize,
}

impl Chosen {
    /// The first application, with the whole path.
    pub const FIRST: Self = Self {
        app: 0,
        prefix_bytes: 0,
    };
}

/// What a front end said that speaks in variables (uwsgi, FastCGI, SCGI). Empty where it said
/// nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrontEnd<'a> {
    /// `UWSGI_APPID`: a mountpoint as [`Place::mountpoint`] spells it.
    pub appid: &'a [u8],
    /// `HTTP_HOST`, else `SERVER_NAME`.
    pub host: &'a [u8],
    /// `SCRIPT_NAME`
    pub script_name: &'a [u8],
    /// The path behind `SCRIPT_NAME`.
    pub path: Path<'a>,
}

/// The path of a request from a front end.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// `PATH_INFO`, which is not percent-encoded any more.
    Info(&'a [u8]),
    /// That of `REQUEST_URI`, where there is no `PATH_INFO`; percent-encoded.
    Uri(&'a [u8]),
}

impl Default for Path<'_> {
    fn default() -> Self {
        Self::Info(b"")
    }
}

impl<'a> FrontEnd<'a> {
    fn new(variables: &'a cgi::Variables) -> Self {
        let script_name = variables.script().unwrap_or_default();
        let path = match variables.path() {
            Some(path) => Path::Info(path),
            None => {
                let target = variables.uri().unwrap_or_default();
                let path = target
                    .split(|byte| *byte == b'?')
                    .next()
                    .unwrap_or_default();
                // What begins with the name that was sent has been chosen by it.
                match !script_name.is_empty() && is_under(path, script_name) {
                    true => Path::Info(b""),
                    false => Path::Uri(path),
                }
            }
        };
        Self {
            appid: variables.value(b"UWSGI_APPID").unwrap_or_default(),
            host: variables.host().unwrap_or_default(),
            script_name,
            path,
        }
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    /// One application for all there is: nothing has to be looked at.
    is_one_for_all: bool,
    rules: Rules,
    default: Option<usize>,
    /// Those of one host, in the order of its name.
    hosts: Vec<Site>,
    /// Those of all hosts below a name, which begins with its dot; the longest name first.
    domains: Vec<Site>,
    everywhere: Site,
    places: Vec<Place>,
}

#[derive(Clone, Debug, Default)]
struct Site {
    name: Vec<u8>,
    /// Prefix and application, the longest prefix first.
    mounted: Vec<(Vec<u8>, usize)>,
}

impl Mounts {
    /// The table of applications that are mounted at `places`: the first is application 0. Of two
    /// at the same place the first counts; the configuration refuses them.
    pub fn new(places: Vec<Place>, rules: Rules) -> Self {
        let mut mounts = Self {
            rules,
            ..Self::default()
        };
        for (app, place) in places.iter().enumerate() {
            let site = match place.host.as_deref() {
                None => &mut mounts.everywhere,
                Some(host) => match host.strip_prefix('*').filter(|rest| rest.starts_with('.')) {
                    Some(domain) => site_of(&mut mounts.domains, domain),
                    None => site_of(&mut mounts.hosts, host),
                },
            };
            let prefix = place.prefix.as_bytes();
            if site.at(prefix).is_none() {
                site.mounted.push((prefix.to_vec(), app));
            }
        }
        let sites = mounts.hosts.iter_mut().chain(&mut mounts.domains);
        for site in sites.chain([&mut mounts.everywhere]) {
            site.mounted
                .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
        mounts.hosts.sort_by(|a, b| a.name.cmp(&b.name));
        mounts
            .domains
            .sort_by_key(|site| std::cmp::Reverse(site.name.len()));
        if !rules.no_default_app {
            let first = places.iter().position(|place| place.host.is_none());
            mounts.default = mounts.everywhere.at(b"").or(first);
        }
        let never_splits = !rules.manages_script_name || places.iter().all(|p| p.prefix.is_empty());
        mounts.is_one_for_all = places.len() == 1 && mounts.default == Some(0) && never_splits;
        mounts.places = places;
        mounts
    }

    /// One application for all there is.
    pub fn one() -> Self {
        Self::new(vec![Place::default()], Rules::default())
    }

    /// The places, in the order of the applications.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The default application.
    pub fn default_app(&self) -> Option<usize> {
        self.default
    }

    /// Applications that no HTTP request can reach: below a prefix, while nothing manages
    /// `SCRIPT_NAME`.
    pub fn unreachable_by_http(&self) -> impl Iterator<Item = &Place> {
        self.places
            .iter()
            .enumerate()
            .filter(|(app, place)| {
                !self.rules.manages_script_name
                    && !place.prefix.is_empty()
                    && self.default != Some(*app)
            })
            .map(|(_, place)| place)
    }

    /// The application of a request. `None`: none.
    #[inline]
    pub fn choose_for(&self, head: &Head) -> Option<Chosen> {
        if self.is_one_for_all {
            return Some(Chosen::FIRST);
        }
        match head {
            Head::Http(http) => {
                let has_no_hosts = self.hosts.is_empty() && self.domains.is_empty();
                let host = head.host().filter(|_| !has_no_hosts);
                self.choose(host.unwrap_or_default(), http.path())
            }
            Head::Variables(variables) => self.choose_as_told(&FrontEnd::new(variables)),
            Head::Rewritten(rewritten) => {
                self.choose_as_told(&FrontEnd::new(rewritten.variables()))
            }
        }
    }

    /// The application for a `Host` and a path, which is still percent-encoded. `None`: none.
    pub fn choose(&self, host: &[u8], path: &[u8]) -> Option<Chosen> {
        if self.is_one_for_all {
            return Some(Chosen::FIRST);
        }
        let found = self
            .sites(host)
            .find_map(|site| match self.rules.manages_script_name {
                true => site.holding(|prefix| is_under(path, prefix)),
                false => site.at(b"").map(|app| Chosen {
                    app,
                    prefix_bytes: 0,
                }),
            });
        found.or(self.fallback())
    }

    /// The application for a request of a front end that speaks in variables: the one that
    /// `UWSGI_APPID` or `SCRIPT_NAME` names, to the letter but for slashes at the end. Under
    /// `--manage-script-name` `PATH_INFO` comes first, and where a mount holds it,
    /// [`Chosen::prefix_bytes`] of it take the place of the `SCRIPT_NAME` that was sent; 0 leaves
    /// both variables as they are. `None`: no application.
    pub fn choose_as_told(&self, front_end: &FrontEnd<'_>) -> Option<Chosen> {
        let FrontEnd {
            appid,
            host,
            script_name,
            path,
        } = *front_end;
        let split = match self.rules.manages_script_name {
            true => self.sites(host).find_map(|site| {
                site.holding(|prefix| {
                    !prefix.is_empty()
                        && match path {
                            Path::Info(path) => is_under_decoded(path, prefix),
                            Path::Uri(path) => is_under(path, prefix),
                        }
                })
            }),
            false => None,
        };
        let prefix_bytes = split.map_or(0, |split| split.prefix_bytes);
        if !appid.is_empty() {
            let named = self.places.iter().position(|place| place.is_called(appid));
            return match named {
                Some(app) => Some(Chosen { app, prefix_bytes }),
                None => self.fallback_with(prefix_bytes),
            };
        }
        if split.is_some() {
            return split;
        }
        let script: &[u8] = match self.rules.ignores_script_name {
            true => b"",
            false => without_slashes(script_name),
        };
        let named = self.sites(host).find_map(|site| site.at(script));
        named
            .map(|app| Chosen {
                app,
                prefix_bytes: 0,
            })
            .or(self.fallback())
    }

    fn fallback(&self) -> Option<Chosen> {
        self.fallback_with(0)
    }

    fn fallback_with(&self, prefix_bytes: usize) -> Option<Chosen> {
        self.default.map(|app| Chosen { app, prefix_bytes })
    }

    /// The tables that apply to a host, the closest first.
    fn sites<'a>(&'a self, host: &'a [u8]) -> impl Iterator<Item = &'a Site> {
        let host = bare_host(host);
        let own = self
            .hosts
            .binary_search_by(|site| {
                let lower = host.iter().map(u8::to_ascii_lowercase);
                site.name.iter().copied().cmp(lower)
            })
            .ok()
            .and_then(|at| self.hosts.get(at));
        let domains = self.domains.iter().filter(move |site| {
            // The name is a dot and more: a host that only ends in it has something in front of it.
            host.len() > site.name.len()
                && host[host.len() - site.name.len()..].eq_ignore_ascii_case(&site.name)
        });
        own.into_iter().chain(domains).chain([&self.everywhere])
    }
}

impl Place {
    /// Whether this is the mountpoint `name`, in uWSGI's spelling.
    fn is_called(&self, name: &[u8]) -> bool {
        let (host, prefix) = match name.iter().position(|byte| *byte == b'|') {
            Some(bar) => (Some(&name[..bar]), &name[bar + 1..]),
            None => (None, name),
        };
        let own_host = self.host.as_deref().map(str::as_bytes);
        let is_same_host = match (own_host, host) {
            (None, None) => true,
            (Some(own), Some(host)) => own.eq_ignore_ascii_case(bare_host(host)),
            _ => false,
        };
        is_same_host && self.prefix.as_bytes() == without_slashes(prefix)
    }
}

impl Site {
    fn at(&self, prefix: &[u8]) -> Option<usize> {
        let mut mounted = self.mounted.iter();
        mounted
            .find(|(other, _)| other == prefix)
            .map(|(_, app)| *app)
    }

    /// The application of the longest prefix that `holds`.
    fn holding(&self, holds: impl Fn(&[u8]) -> bool) -> Option<Chosen> {
        let mut mounted = self.mounted.iter();
        mounted
            .find(|(prefix, _)| holds(prefix))
            .map(|(prefix, app)| Chosen {
                app: *app,
                prefix_bytes: prefix.len(),
            })
    }
}

fn site_of<'a>(sites: &'a mut Vec<Site>, name: &str) -> &'a mut Site {
    let at = match sites.iter().position(|site| site.name == name.as_bytes()) {
        Some(at) => at,
        None => {
            sites.push(Site {
                name: name.as_bytes().to_vec(),
                mounted: Vec::new(),
            });
            sites.len() - 1
        }
    };
    &mut sites[at]
}

/// Whether a percent-encoded path is the prefix or something below it.
fn is_under(path: &[u8], prefix: &[u8]) -> bool {
    let mut rest = Decoded(path);
    for byte in prefix {
        if rest.next() != Some(*byte) {
            return false;
        }
    }
    prefix.is_empty() || matches!(rest.next(), None | Some(b'/'))
}

fn is_under_decoded(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The bytes that a percent-encoded path stands for, by the rule of `PATH_INFO`
/// ([`super::environ`]).
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        let (decoded, rest) = match (byte, rest) {
            (b'%', [high, low, after @ ..]) => match super::environ::hex_byte(*high, *low) {
                Some(decoded) => (decoded, after),
                None => (*byte, rest),
            },
            _ => (*byte, rest),
        };
        self.0 = rest;
        Some(decoded)
    }
}

/// A host without its port and without a dot at the end: `[::1]:80` is `[::1]`.
fn bare_host(host: &[u8]) -> &[u8] {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|byte| *byte == b']').map(|at| at + 1),
        _ => host.iter().position(|byte| *byte == b':'),
    };
    let host = &host[..end.unwrap_or(host.len())];
    host.strip_suffix(b".").unwrap_or(host)
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/');
    &path[..end.map_or(0, |at| at + 1)]
}

#[cfg(test)]
mod tests;
