//! What an application sees: the environ of `python-tests/apps/environ.py` for every request in
//! `tests/requests-environ/`, as the real binary makes it, one snapshot each.
//!
//! The notation of the requests is that of `tests/requests/README.md`; a comment `# listener: ipv6`
//! or `# listener: unix` says where a request is sent, otherwise it is 127.0.0.1.

use std::fs;
use std::path::Path;

#[path = "http/notation.rs"]
mod notation;
mod running;

use running::{Running, exchange, folder_with};

/// Values that differ from run to run.
const REDACTED: &[(&str, &str)] = &[
    (
        r"(?m)^(REMOTE|SERVER)_PORT: str '\d{2,}'",
        "${1}_PORT: str '[port]'",
    ),
    (r" at 0x[0-9a-fA-F]+", " at [address]"),
    (r"'/\S*app\.sock'", "'[folder]/app.sock'"),
];

#[test]
fn every_environ() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let app = root.join("python-tests/apps/environ.py");
    let folder = folder_with(&[]);
    let socket = folder.path().join("app.sock");
    let mut arguments = vec![
        app.to_str().expect("UTF-8"),
        "--http-socket",
        "127.0.0.1:0",
        "--http-socket",
        "[::1]:0",
    ];
    if cfg!(unix) {
        arguments.extend(["--http-socket", socket.to_str().expect("UTF-8")]);
    }
    let mut server = Running::start(folder.path(), &arguments);
    server.wait_until_ready();
    let addresses = server.addresses();

    let mut count = 0;
    insta::glob!("requests-environ/*.http", |path| {
        let text = fs::read_to_string(path).expect("a case is UTF-8 text");
        let listener = match text
            .lines()
            .find_map(|line| line.strip_prefix("# listener: "))
        {
            None => 0,
            Some("ipv6") => 1,
            Some("unix") => 2,
            Some(other) => panic!("{other} is no listener"),
        };
        let Some(address) = addresses.get(listener) else {
            // Windows has no unix sockets here.
            return;
        };
        let answer = exchange(address, &notation::bytes(&text));
        let name = path.file_stem().expect("a name").to_string_lossy();
        insta::with_settings!({
            snapshot_path => root.join("snapshots"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
            snapshot_suffix => "",
            description => text,
            filters => REDACTED.iter().copied(),
        }, { insta::assert_snapshot!(format!("environ__{name}"), told(&answer)) });
        count += 1;
    });
    assert!(count >= 45, "only {count} requests");
}

/// The same application, mounted at a prefix.
#[test]
fn under_a_mount() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mount = format!(
        "/shop={}",
        root.join("python-tests/apps/environ.py").display()
    );
    let folder = folder_with(&[]);
    let of_host = format!(
        "shop.example/caf\u{e9}={}",
        root.join("python-tests/apps/environ.py").display()
    );
    let arguments = [
        "--mount",
        &mount,
        "--mount",
        &of_host,
        "--manage-script-name",
        "--http-socket",
        "127.0.0.1:0",
    ];
    let mut server = Running::start(folder.path(), &arguments);
    server.wait_until_ready();
    let addresses = server.addresses();
    let address = addresses.first().expect("a listener");
    for (name, host, target) in [
        ("mount-itself", "example.com", "/shop"),
        ("mount-slash", "example.com", "/shop/"),
        (
            "mount-below",
            "example.com",
            "/shop/caf%C3%A9/a%2Fb?x=1&y=%20",
        ),
        ("mount-encoded", "example.com", "/sh%6Fp%2Fcart"),
        ("mount-beside", "example.com", "/shopping/cart"),
        ("mount-of-host", "Shop.Example:8080", "/caf%C3%A9/cart?x=1"),
        ("mount-of-host-not-below", "shop.example", "/shop/cart"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = exchange(address, request.as_bytes());
        insta::with_settings!({
            snapshot_path => root.join("snapshots"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
            description => request,
            filters => REDACTED.iter().copied(),
        }, { insta::assert_snapshot!(format!("environ__{name}"), told(&answer)) });
    }
}

/// The status line and the body of each response, without the fields.
fn told(answer: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(answer).into_owned();
    let mut out = String::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        out.push_str(lines.next().unwrap_or_default());
        out.push('\n');
        let length = lines
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().expect("a length"));
        // To HEAD there is no body.
        let (body, next) = rest.split_at(rest.len().min(length));
        out.push_str(body);
        text = next.to_owned();
    }
    without_host_name(out)
}

/// The name of this machine, the value of `uwsgi.node`.
fn without_host_name(text: String) -> String {
    let node = text.lines().find_map(|line| {
        line.strip_prefix("uwsgi.node: bytes b'")?
            .strip_suffix('\'')
    });
    match node {
        Some(node) => text.replace(&format!("'{node}'"), "'[this machine]'"),
        None => text,
    }
}
