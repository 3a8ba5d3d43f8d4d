//! Trusted proxies: addresses, networks, and the peers of unix sockets.

use std::net::IpAddr;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of `address` and as many leading bits; more bits than the address has are all of
    /// them.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8: peers are compared in that form.
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), canonical @ IpAddr::V4(_)) if bits >= 96 => Self {
                address: canonical,
                bits: bits - 96,
            },
            _ => Self { address, bits },
        }
    }

    /// Whether this address belongs to it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits.min(32))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits.min(128))
            }
            _ => false,
        }
    }
}

/// A peer of a connection: an address, or `None` behind a unix socket.
pub type Other = Option<IpAddr>;

/// The trusted proxies. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Networks.
    pub networks: Vec<Network>,
    /// Every peer of our unix sockets.
    pub unix: bool,
    /// Every peer.
    pub everybody: bool,
}

impl Trusted {
    /// This machine: loopback addresses and unix sockets.
    pub fn this_machine() -> Self {
        Self {
            networks: vec![
                Network::new(IpAddr::from([127, 0, 0, 0]), 8),
                Network::new(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16]), 128),
            ],
            unix: true,
            everybody: false,
        }
    }

    /// Whether this one is trusted.
    pub fn trusts(&self, other: Other) -> bool {
        self.everybody
            || match other {
                Some(address) => self.networks.iter().any(|network| network.holds(address)),
                None => self.unix,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, bits) = text.split_once('/').expect("a slash");
        Network::new(
            address.parse().expect("an address"),
            bits.parse().expect("bits"),
        )
    }

    #[track_caller]
    fn check(text: &str, inside: &[&str], outside: &[&str]) {
        let network = network(text);
        for address in inside {
            assert!(
                network.holds(address.parse().expect("an address")),
                "{address} is in {text}"
            );
        }
        for address in outside {
            assert!(
                !network.holds(address.parse().expect("an address")),
                "{address} is not in {text}"
            );
        }
    }

    #[test]
    fn networks_hold_what_begins_alike() {
        check(
            "10.0.0.0/8",
            &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
            &["11.0.0.0", "9.255.255.255", "::a00:1"],
        );
        check("192.0.2.7/32", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]);
        check(
            "192.0.2.128/25",
            &["192.0.2.128", "192.0.2.255"],
            &["192.0.2.127"],
        );
        check(
            "0.0.0.0/0",
            &["0.0.0.0", "255.255.255.255"],
            &["::", "2001:db8::1"],
        );
        check(
            "2001:db8::/32",
            &["2001:db8::", "2001:db8:ffff::1"],
            &["2001:db9::", "10.0.0.1"],
        );
        check("::1/128", &["::1"], &["::", "::2", "127.0.0.1"]);
        check("::/0", &["::", "ffff::"], &["1.2.3.4"]);
        check("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.0"]);
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        let none = Trusted::default();
        assert!(!none.trusts(None) && !none.trusts(Some(IpAddr::from([127, 0, 0, 1]))));
        let here = Trusted::this_machine();
        assert!(
            here.trusts(None)
                && here.trusts("::1".parse().ok())
                && here.trusts("127.9.9.9".parse().ok())
        );
        assert!(!here.trusts("192.0.2.1".parse().ok()) && !here.trusts("::2".parse().ok()));
    }
}
