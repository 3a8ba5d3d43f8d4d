//! Settings of proxies become [`ProxyRules`].

use std::net::IpAddr;

use super::options;
use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::sockets::types::ListenAddress;
use crate::config::values::address;
use crate::config::values::address::Address;
use crate::config::values::reader::Reader;
use crate::protocol::listen::Protocol;
use crate::protocol::proxy::trusted::Network;
use crate::protocol::proxy::{ProxyRules, TrustedFields};

impl Reader<'_> {
    pub(crate) fn proxies(&mut self) -> Result<ProxyRules, ConfigError> {
        let mut config = ProxyRules::default();
        for setting in self.raw.all(&options::TRUSTED_PROXIES) {
            let words = setting.text.split([',', ' ']).map(str::trim);
            for word in words.filter(|word| !word.is_empty()) {
                match word {
                    "*" => config.trusted.everybody = true,
                    "unix" => config.trusted.unix = true,
                    _ => config.trusted.networks.push(network(setting, word)?),
                }
            }
        }
        if config.trusted.everybody
            && let Some(setting) = self.raw.last(&options::TRUSTED_PROXIES)
        {
            self.warn(
                setting,
                "trusts every peer: any client that reaches the server can choose the address and \
                 the scheme that the application sees",
            );
        }
        if let Some(setting) = self.raw.last(&options::TRUSTED_PROXY_HEADERS) {
            config.fields = headers(setting)?;
        }
        if self.flag(&options::LOG_X_FORWARDED_FOR)
            && config.is_empty()
            && let Some(setting) = self.raw.last(&options::LOG_X_FORWARDED_FOR)
        {
            self.warn(
                setting,
                "logs what trusted proxies say, and none is named: name them with \
                 --trusted-proxies",
            );
        }
        Ok(config)
    }

    /// Notes where the PROXY protocol is expected.
    pub(crate) fn expect_proxies(
        &mut self,
        listen: &mut [ListenAddress],
    ) -> Result<(), ConfigError> {
        let everywhere = self.flag(&options::ENABLE_PROXY_PROTOCOL);
        for one in listen.iter_mut() {
            one.expects_proxy = everywhere && one.protocol == Protocol::Http;
        }
        for setting in self.raw.all(&options::PROXY_PROTOCOL) {
            let wanted: Address = address::parse(&setting.text).map_err(|why| {
                setting.error(format_args!(
                    "wants an address, got '{}': {why}",
                    setting.text
                ))
            })?;
            let found = listen.iter_mut().find(|one| one.address == wanted);
            match found {
                Some(one) if one.protocol == Protocol::Http => one.expects_proxy = true,
                Some(_) => {
                    return Err(setting.error(format_args!(
                        "wants an address that speaks HTTP, and {wanted} does not"
                    )));
                }
                None => {
                    return Err(setting
                        .error(format_args!(
                            "wants one of the server's own addresses, and {wanted} is none"
                        ))
                        .hint(format!("listen there: --http {wanted}")));
                }
            }
        }
        Ok(())
    }
}

fn network(setting: &Setting, word: &str) -> Result<Network, ConfigError> {
    let wrong = || {
        setting
            .error(format_args!("wants addresses and networks, got '{word}'"))
            .hint("for example 192.0.2.7, 10.0.0.0/8, fd00::/8, unix")
    };
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => all,
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
            bits.parse().map_err(|_| wrong())?
        }
        Some(_) => return Err(wrong()),
    };
    if bits > all {
        return Err(wrong());
    }
    Ok(Network::new(address, bits))
}

fn headers(setting: &Setting) -> Result<TrustedFields, ConfigError> {
    let mut headers = TrustedFields::default();
    let words = setting.text.split([',', ' ']).map(str::trim);
    for word in words.filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => headers.x_for = true,
            "x-forwarded-proto" => headers.x_proto = true,
            "x-forwarded-host" => headers.x_host = true,
            "forwarded" => headers.forwarded = true,
            _ => {
                return Err(setting
                    .error(format_args!("does not know the field '{word}'"))
                    .hint(
                        "it knows x-forwarded-for, x-forwarded-proto, x-forwarded-host and \
                        forwarded",
                    ));
            }
        }
    }
    if headers.forwarded && (headers.x_for || headers.x_proto || headers.x_host) {
        return Err(setting
            .error("wants forwarded or the x-forwarded fields, not both")
            .hint("your proxy sets one of them, and hands on the other as the client sent it"));
    }
    Ok(headers)
}
