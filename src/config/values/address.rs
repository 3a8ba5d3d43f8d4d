//! Places to listen, as uWSGI writes them.
//!
//! | written | means |
//! |---|---|
//! | `:9090`, `*:9090`, `9090` | every IPv4 address of the machine, port 9090 |
//! | `127.0.0.1:9090`, `[::1]:8000` | that address |
//! | `[::]:8000` | every address, IPv4 too, unless an IPv4 address has the same port |
//! | `localhost:8000` | 127.0.0.1 (no name is looked up) |
//! | `127.0.0.1:0` | a port that the system chooses; the start-up report names it |
//! | `@name` | Linux's abstract socket of that name |
//! | `fd://3` | a socket that was handed over (systemd) |
//! | `/run/app.sock`, `./app.sock`, `app.sock`, `unix:app.sock` | a unix socket |
//!
//! Pure: text in, address out. Names are not resolved and files are not touched.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP. Port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A unix socket, relative to the directory that `--chdir` leads to.
    Unix(PathBuf),
    /// Linux's abstract unix socket of this name, without the `@`.
    Abstract(String),
    /// A listening socket that is open already, by its number.
    Descriptor(u32),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(formatter),
            Address::Unix(path) => path.display().fmt(formatter),
            Address::Abstract(name) => write!(formatter, "@{name}"),
            Address::Descriptor(number) => write!(formatter, "fd://{number}"),
        }
    }
}

/// Reads an address; `Err` says what is wrong with it, as the end of a sentence.
pub(crate) fn parse(text: &str) -> Result<Address, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains('\0') {
        return Err("it has a NUL character".to_owned());
    }
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err("'unix:' wants a path behind it".to_owned()),
            path => Ok(Address::Unix(PathBuf::from(path))),
        };
    }
    if let Some(name) = text.strip_prefix('@') {
        return match name {
            "" => Err("'@' wants a name behind it".to_owned()),
            name => Ok(Address::Abstract(name.to_owned())),
        };
    }
    if let Some(number) = text.strip_prefix("fd://") {
        return match number.parse() {
            Ok(number) => Ok(Address::Descriptor(number)),
            Err(_) => Err(format!("'{number}' is not the number of a descriptor")),
        };
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err("give ADDRESS:PORT without a scheme in front".to_owned());
    }
    if text.contains('/') || text.ends_with(".sock") || text.ends_with(".socket") {
        return Ok(Address::Unix(PathBuf::from(text)));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(every_ipv4(port(text)?));
    }
    let Some((host, port_text)) = text.rsplit_once(':') else {
        return Err(format!(
            "a port is missing: {text}:8000, or ./{text} for a unix socket"
        ));
    };
    if text.ends_with(']') {
        return Err(format!("a port is missing: {text}:8000"));
    }
    if let Some(inner) = host.strip_prefix('[') {
        let Some(inner) = inner.strip_suffix(']') else {
            return Err("'[' has no ']'".to_owned());
        };
        let Ok(ip) = inner.parse::<Ipv6Addr>() else {
            return Err(format!("'{inner}' is not an IPv6 address"));
        };
        return Ok(tcp(IpAddr::V6(ip), port(port_text)?));
    }
    if host.contains(':') {
        return Err(format!(
            "an IPv6 address is written in brackets: [::1]:{}",
            if port_text.is_empty() {
                "8000"
            } else {
                port_text
            }
        ));
    }
    let port = port(port_text)?;
    match host {
        "" | "*" => Ok(every_ipv4(port)),
        "localhost" => Ok(tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        host => match host.parse::<Ipv4Addr>() {
            Ok(ip) => Ok(tcp(IpAddr::V4(ip), port)),
            Err(_) => Err(format!(
                "'{host}' is not an IP address, and names are not looked up: \
                 write 127.0.0.1:{port}, or :{port} for every address"
            )),
        },
    }
}

fn tcp(ip: IpAddr, port: u16) -> Address {
    Address::Tcp(SocketAddr::new(ip, port))
}

fn every_ipv4(port: u16) -> Address {
    tcp(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

fn port(text: &str) -> Result<u16, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(port) = text.parse() {
            return Ok(port);
        }
        return Err(format!("port {text} is larger than 65535"));
    }
    Err(format!("'{text}' is not a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match parse(text) {
            Ok(Address::Tcp(address)) => format!("tcp {address}"),
            Ok(Address::Unix(path)) => format!("unix {}", path.display()),
            Ok(Address::Abstract(name)) => format!("abstract {name}"),
            Ok(Address::Descriptor(number)) => format!("descriptor {number}"),
            Err(why) => format!("error {why}"),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn tcp_forms() {
        check(":9090", "tcp 0.0.0.0:9090");
        check("*:9090", "tcp 0.0.0.0:9090");
        check("9090", "tcp 0.0.0.0:9090");
        check(":0", "tcp 0.0.0.0:0");
        check("127.0.0.1:9090", "tcp 127.0.0.1:9090");
        check("0.0.0.0:1234", "tcp 0.0.0.0:1234");
        check("localhost:80", "tcp 127.0.0.1:80");
        check("[::1]:8000", "tcp [::1]:8000");
        check("[::]:65535", "tcp [::]:65535");
    }

    #[test]
    fn unix_forms() {
        check("/run/app.sock", "unix /run/app.sock");
        check("./app", "unix ./app");
        check("app.sock", "unix app.sock");
        check("unix:app", "unix app");
        check("unix:/run/app", "unix /run/app");
        check("unix:///run/app", "unix /run/app");
        check("/tmp/a:b", "unix /tmp/a:b");
        check("@name", "abstract name");
        check("fd://3", "descriptor 3");
    }

    #[test]
    fn what_is_refused_says_the_way_out() {
        check("", "error it is empty");
        check(
            "localhost",
            "error a port is missing: localhost:8000, or ./localhost for a unix socket",
        );
        check(
            "::1:8000",
            "error an IPv6 address is written in brackets: [::1]:8000",
        );
        check("[::1:8000", "error '[' has no ']'");
        check("[::1]", "error a port is missing: [::1]:8000");
        check("[zz]:80", "error 'zz' is not an IPv6 address");
        check(":", "error '' is not a port");
        check(":http", "error 'http' is not a port");
        check(":+80", "error '+80' is not a port");
        check(":70000", "error port 70000 is larger than 65535");
        check(
            "99999999999999999999",
            "error port 99999999999999999999 is larger than 65535",
        );
        check("unix:", "error 'unix:' wants a path behind it");
        check(
            "http://127.0.0.1:80",
            "error give ADDRESS:PORT without a scheme in front",
        );
        check(
            "example.org:80",
            "error 'example.org' is not an IP address, and names are not looked up: \
             write 127.0.0.1:80, or :80 for every address",
        );
        check("@", "error '@' wants a name behind it");
        check("fd://x", "error 'x' is not the number of a descriptor");
    }
}
