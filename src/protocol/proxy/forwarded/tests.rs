//! Fields as proxies, and those who pose as one, send them.

use super::*;
use crate::protocol::http::{Limits, RequestReader};
use crate::protocol::proxy::trusted::Network;
use proptest::prelude::*;

const ALL: TrustedFields = TrustedFields {
    x_for: true,
    x_proto: true,
    x_host: true,
    forwarded: true,
};

fn head(fields: &str) -> RequestHead {
    let raw = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
        fields.replace('\n', "\r\n")
    );
    let mut head = RequestHead::default();
    let read = RequestReader::default().read(raw.as_bytes(), &Limits::default(), &mut head);
    assert!(read.is_ok(), "{raw}");
    head
}

/// 10.0.0.0/8 and fd00::/8 are proxies.
fn proxies() -> Trusted {
    Trusted {
        networks: vec![
            Network::new(IpAddr::from([10, 0, 0, 0]), 8),
            Network::new("fd00::".parse().expect("an address"), 8),
        ],
        ..Trusted::default()
    }
}

#[track_caller]
fn check(fields: &str, expected: &str) {
    let claims = read(&head(fields), &proxies(), ALL);
    let client = claims
        .client
        .map_or("-".to_owned(), |(address, port)| match port {
            Some(port) => format!("{address} port {port}"),
            None => address.to_string(),
        });
    let scheme = claims
        .is_https
        .map_or("-", |is_https| if is_https { "https" } else { "http" });
    let host = claims
        .host
        .map_or("-".to_owned(), |host| host.escape_ascii().to_string());
    assert_eq!(format!("{client} {scheme} {host}"), expected, "{fields}");
}

#[test]
fn the_client_is_the_last_that_is_no_proxy() {
    check("X-Forwarded-For: 192.0.2.1", "192.0.2.1 - -");
    check("X-Forwarded-For: 6.6.6.6, 192.0.2.1", "192.0.2.1 - -");
    check(
        "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1",
        "192.0.2.1 - -",
    );
    check(
        "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 192.0.2.1,10.0.0.1 , 10.0.0.2",
        "192.0.2.1 - -",
    );
    check("X-Forwarded-For: 10.0.0.3, 10.0.0.1", "10.0.0.3 - -");
    check("X-Forwarded-For: 2001:db8::1, fd00::7", "2001:db8::1 - -");
    check(
        "X-Forwarded-For: ::ffff:192.0.2.1, ::ffff:10.0.0.1",
        "::ffff:192.0.2.1 - -",
    );
}

#[test]
fn addresses_may_have_ports() {
    check("X-Forwarded-For: 192.0.2.1:5000", "192.0.2.1 port 5000 - -");
    check(
        "X-Forwarded-For: [2001:db8::1]:5000",
        "2001:db8::1 port 5000 - -",
    );
    check("X-Forwarded-For: [2001:db8::1]", "2001:db8::1 - -");
}

#[test]
fn what_is_no_address_ends_the_walk() {
    check("X-Forwarded-For: unknown", "- - -");
    check("X-Forwarded-For:", "- - -");
    check(
        "X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1",
        "10.0.0.1 - -",
    );
    check("X-Forwarded-For: 192.0.2.1, , 10.0.0.1", "10.0.0.1 - -");
    check("X-Forwarded-For: 192.0.2.1, 10.0.0.01", "- - -");
    check("X-Forwarded-For: ' OR 1=1", "- - -");
}

#[test]
fn scheme_and_host() {
    check(
        "X-Forwarded-Proto: https\nX-Forwarded-Host: example.org",
        "- https example.org",
    );
    check(
        "X-Forwarded-Proto: HTTP\nX-Forwarded-Host: [::1]:8443",
        "- http [::1]:8443",
    );
    check("X-Forwarded-Proto: wss", "- https -");
    check("X-Forwarded-Proto: gopher\nX-Forwarded-Host: a b", "- - -");
    check("X-Forwarded-Host: example.org/path", "- - -");
    check("X-Forwarded-Host: user@example.org", "- - -");
    check("X-Forwarded-Host: example.org:port", "- - -");
    check("X-Forwarded-Host: [::1", "- - -");
    check("X-Forwarded-Host:", "- - -");
    // What the client itself claims stands on the left.
    check(
        "X-Forwarded-Proto: https, http\nX-Forwarded-Host: evil, good",
        "- http good",
    );
    check(
        "X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: https, http",
        "192.0.2.1 https -",
    );
    check(
        "X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: https",
        "192.0.2.1 https -",
    );
}

#[test]
fn only_trusted_fields_are_read() {
    let fields = "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: h\nForwarded: for=192.0.2.2;host=i";
    let claims = |trusted| read(&head(fields), &proxies(), trusted);
    assert_eq!(claims(TrustedFields::default()), ProxyClaims::default());
    let x_for = claims(TrustedFields {
        x_for: true,
        ..TrustedFields::default()
    });
    assert_eq!(
        (x_for.client.is_some(), x_for.is_https, x_for.host),
        (true, None, None)
    );
    let forwarded = claims(TrustedFields {
        forwarded: true,
        ..TrustedFields::default()
    });
    assert_eq!(forwarded.host.as_deref(), Some(&b"i"[..]));
}

#[test]
fn forwarded_says_it_all() {
    check(
        "Forwarded: for=192.0.2.1;proto=https;host=example.org",
        "192.0.2.1 https example.org",
    );
    check(
        "Forwarded: For=\"[2001:db8::1]:80\" ; PROTO=http;by=10.0.0.1",
        "2001:db8::1 port 80 http -",
    );
    check(
        "Forwarded: for=6.6.6.6;proto=http, for=192.0.2.1;proto=https, for=10.0.0.1;proto=http",
        "192.0.2.1 https -",
    );
    check(
        "Forwarded: for=192.0.2.1;host=\"exa\\mple.org\"",
        "192.0.2.1 - example.org",
    );
    check(
        "Forwarded: for=192.0.2.1\nForwarded: for=10.0.0.1",
        "192.0.2.1 - -",
    );
    check("Forwarded: for=_hidden", "- - -");
    check(
        "Forwarded: for=192.0.2.1, for=unknown, for=10.0.0.1",
        "10.0.0.1 - -",
    );
    check("Forwarded: proto=https", "- https -");
    check(
        "Forwarded: for=\"192.0.2.1;proto=https\";proto=http",
        "- http -",
    );
}

#[test]
fn a_broken_forwarded_says_nothing() {
    for broken in [
        "for=192.0.2.1;for=192.0.2.2",
        "for=\"192.0.2.1",
        "for=\"192.0.2.1\\",
        "for=\"192.0.2.1\"x;proto=https",
        "for",
        "for;proto=https",
        "for=192.0.2.1, proto",
    ] {
        check(&format!("Forwarded: {broken}"), "- - -");
        check(
            &format!("Forwarded: {broken}\nForwarded: for=192.0.2.9"),
            "- - -",
        );
    }
    check("Forwarded:", "- - -");
    check("Forwarded: for=", "- - -");
}

#[test]
fn fields_about_the_client_are_known() {
    for name in [
        "X-Forwarded-For",
        "x-forwarded-anything",
        "FORWARDED",
        "X-Real-IP",
        "x-client-ip",
    ] {
        assert!(is_about_the_client(name.as_bytes()), "{name}");
    }
    for name in ["X-Forwarded", "Forward", "X-Real", "Host", "X-Forwarde", ""] {
        assert!(!is_about_the_client(name.as_bytes()), "{name}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(value in "[ -~\u{80}-\u{ff}]{0,80}") {
        let _read = elements(value.as_bytes());
        let _read = address(value.as_bytes());
        let _read = is_host(value.as_bytes());
    }

    /// Whatever a client sends ahead, it is the address that our own proxy added that counts.
    #[test]
    fn a_client_cannot_choose_its_address(claims in "[ -+\\--~]{0,60}(, ?[ -+\\--~]{0,20}){0,3}") {
        let claims = read(&head(&format!("X-Forwarded-For: {claims}, 192.0.2.1")), &proxies(), ALL);
        prop_assert_eq!(claims.client, Some((IpAddr::from([192, 0, 2, 1]), None)));
    }
}
