//! Which proxies in front are believed, and what: the configuration's words become `net`'s. Main thread, at start.

use crate::config::Config;
use crate::net;
use crate::proxies::trusted::Network;
use crate::proxies::{Believed, Trusted};

/// Whose fields count.
pub fn proxies(config: &Config) -> Option<net::Proxies> {
    let headers = config.proxies.headers;
    (!config.proxies.is_empty()).then(|| net::Proxies {
        trusted: trusted(config),
        believed: Believed {
            x_for: headers.x_for,
            x_proto: headers.x_proto,
            x_host: headers.x_host,
            forwarded: headers.forwarded,
        },
    })
}

/// Who may speak the PROXY protocol: the trusted ones, and without a list this machine.
pub fn greeters(config: &Config) -> Trusted {
    if !config.proxies.is_empty() {
        return trusted(config);
    }
    if config.listen.iter().any(|listen| listen.expects_proxy) {
        tracing::info!(
            "the PROXY protocol is taken from this machine only; name proxies on others with --trusted-proxies"
        );
    }
    Trusted::this_machine()
}

fn trusted(config: &Config) -> Trusted {
    let networks = config.proxies.networks.iter();
    Trusted {
        networks: networks
            .map(|&(address, bits)| Network::new(address, bits))
            .collect(),
        unix: config.proxies.unix,
        everybody: config.proxies.everybody,
    }
}
