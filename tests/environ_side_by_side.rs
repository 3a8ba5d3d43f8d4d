//! The same request over HTTP, uwsgi, FastCGI and SCGI: the environ of each, side by side, as the
//! real binary makes it. Common values have one line, different values one for each protocol, so
//! that a review sees every difference.

use std::collections::BTreeMap;
use std::path::Path;

mod running;

use running::{Running, exchange, folder_with};

const PROTOCOLS: [&str; 4] = ["http", "uwsgi", "fastcgi", "scgi"];

/// Values that differ from run to run.
const REDACTED: &[(&str, &str)] = &[(r" at 0x[0-9a-fA-F]+", " at [address]")];

/// A request as a client sends it to a front end.
struct Request {
    name: &'static str,
    method: &'static str,
    target: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    /// Variables that nginx sends in addition to those of its parameter files.
    more: &'static [(&'static str, &'static str)],
}

const REQUESTS: [Request; 7] = [
    Request {
        name: "get",
        method: "GET",
        target: "/caf%C3%A9/a%2Fb;c?x=%20&y=+",
        fields: &[
            ("Accept", "*/*"),
            ("Cookie", "a=1; b=2"),
            ("X-Word", "h\u{e9}llo"),
        ],
        body: "",
        more: &[],
    },
    Request {
        name: "post",
        method: "POST",
        target: "/form",
        fields: &[("Content-Type", "text/plain"), ("Content-Length", "5")],
        body: "hello",
        more: &[],
    },
    Request {
        name: "head",
        method: "HEAD",
        target: "/",
        fields: &[],
        body: "",
        more: &[],
    },
    Request {
        name: "https",
        method: "GET",
        target: "/secure",
        fields: &[("X-Forwarded-Proto", "https")],
        body: "",
        more: &[
            ("HTTPS", "on"),
            ("REQUEST_SCHEME", "https"),
            ("SERVER_PORT", "443"),
        ],
    },
    Request {
        name: "user",
        method: "GET",
        target: "/private",
        fields: &[("Authorization", "Basic YTpi")],
        body: "",
        more: &[("REMOTE_USER", "a"), ("AUTH_TYPE", "Basic")],
    },
    Request {
        name: "script",
        method: "GET",
        target: "/shop/cart?x=1",
        fields: &[],
        body: "",
        more: &[("SCRIPT_NAME", "/shop"), ("PATH_INFO", "/cart")],
    },
    Request {
        name: "posing",
        method: "GET",
        target: "/posing",
        fields: &[
            ("Proxy", "http://evil"),
            ("wsgi.input", "x"),
            ("Script-Name", "/evil"),
        ],
        body: "",
        more: &[
            ("wsgi.input", "x"),
            ("wsgi.url_scheme", "ftp"),
            ("uwsgi.version", "x"),
            ("UWSGI_FILE", "/tmp/evil.py"),
            ("UWSGI_SETENV", "EVIL=1"),
        ],
    },
];

impl Request {
    /// Over HTTP.
    fn http(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: example.com\r\n",
            self.method, self.target
        );
        for (name, value) in self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        [head.as_bytes(), self.body.as_bytes()].concat()
    }

    /// The variables of nginx's parameter files (and `PATH_INFO` for FastCGI and SCGI, as
    /// docs/deploy/nginx.md has it).
    fn variables(&self) -> Vec<(String, String)> {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let length = if self.body.is_empty() {
            String::new()
        } else {
            self.body.len().to_string()
        };
        let content_type = self.fields.iter().find(|(name, _)| *name == "Content-Type");
        let path = path.replace("%C3%A9", "\u{e9}").replace("%2F", "/");
        let mut all: Vec<(String, String)> = [
            ("QUERY_STRING", query),
            ("REQUEST_METHOD", self.method),
            ("CONTENT_TYPE", content_type.map_or("", |(_, value)| value)),
            ("CONTENT_LENGTH", &length),
            ("REQUEST_URI", self.target),
            ("PATH_INFO", &path),
            ("DOCUMENT_ROOT", "/srv/www"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REQUEST_SCHEME", "http"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("REMOTE_PORT", "5000"),
            ("SERVER_PORT", "80"),
            ("SERVER_NAME", "example.com"),
            ("HTTP_HOST", "example.com"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in self
            .fields
            .iter()
            .filter(|(name, _)| !name.starts_with("Content-"))
        {
            let key = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
            all.push((key, (*value).to_owned()));
        }
        for (name, value) in self.more {
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        all
    }

    fn uwsgi(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        for text in self
            .variables()
            .iter()
            .flat_map(|(name, value)| [name, value])
        {
            packet.extend((text.len() as u16).to_le_bytes());
            packet.extend(text.as_bytes());
        }
        let [low, high] = (packet.len() as u16).to_le_bytes();
        [&[0, low, high, 0], &packet[..], self.body.as_bytes()].concat()
    }

    fn fastcgi(&self) -> Vec<u8> {
        let mut params = Vec::new();
        for (name, value) in self.variables() {
            // All are shorter than 128 bytes.
            params.extend([name.len() as u8, value.len() as u8]);
            params.extend(name.as_bytes());
            params.extend(value.as_bytes());
        }
        let record = |kind: u8, content: &[u8]| {
            let [high, low] = (content.len() as u16).to_be_bytes();
            [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
        };
        let mut wire = record(1, &[0, 1, 0, 0, 0, 0, 0, 0]);
        for (kind, stream) in [(4, &params[..]), (5, self.body.as_bytes())] {
            if !stream.is_empty() {
                wire.extend(record(kind, stream));
            }
            wire.extend(record(kind, b""));
        }
        wire
    }

    fn scgi(&self) -> Vec<u8> {
        let mut text = format!("CONTENT_LENGTH\0{}\0SCGI\x001\0", self.body.len());
        for (name, value) in self.variables() {
            if name != "CONTENT_LENGTH" {
                text.push_str(&format!("{name}\0{value}\0"));
            }
        }
        format!("{}:{text},{}", text.len(), self.body).into_bytes()
    }
}

/// The content of FastCGI's `STDOUT` records.
fn unwrapped(mut records: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [1, kind, _, _, high, low, padding, _, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 6 {
            out.extend(&rest[..length]);
        }
        records = &rest[length + usize::from(*padding)..];
    }
    out
}

/// The lines of the debug application, by key.
fn environ(answer: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let mut all = BTreeMap::new();
    let first = head.lines().next().unwrap_or_default().to_owned();
    all.insert("(answer)".to_owned(), first);
    for line in body.lines() {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        all.insert(key.to_owned(), value.to_owned());
    }
    all
}

#[test]
fn the_same_request_over_every_protocol() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let app = root.join("python-tests/apps/environ.py");
    let folder = folder_with(&[]);
    let mut arguments = vec![app.to_str().expect("UTF-8")];
    for option in [
        "--http-socket",
        "--uwsgi-socket",
        "--fastcgi-socket",
        "--scgi-socket",
    ] {
        arguments.extend([option, "127.0.0.1:0"]);
    }
    let mut server = Running::start(folder.path(), &arguments);
    server.wait_until_ready();
    let addresses = server.addresses();
    for request in &REQUESTS {
        let wires = [
            request.http(),
            request.uwsgi(),
            request.fastcgi(),
            request.scgi(),
        ];
        let mut environs: Vec<BTreeMap<String, String>> = Vec::new();
        for ((protocol, wire), address) in PROTOCOLS.iter().zip(wires).zip(&addresses) {
            let mut answer = exchange(address, &wire);
            if *protocol == "fastcgi" {
                answer = unwrapped(&answer);
            }
            environs.push(environ(&answer));
        }
        insta::with_settings!({
            snapshot_path => root.join("snapshots"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
            filters => REDACTED.iter().copied(),
        }, {
            insta::assert_snapshot!(
                format!("environ_side_by_side__{}", request.name),
                side_by_side(&environs)
            );
        });
    }
}

fn side_by_side(environs: &[BTreeMap<String, String>]) -> String {
    let mut keys: Vec<&String> = environs.iter().flat_map(BTreeMap::keys).collect();
    keys.sort();
    keys.dedup();
    let mut out = String::new();
    for key in keys {
        let values: Vec<&str> = environs
            .iter()
            .map(|environ| environ.get(key).map_or("-", String::as_str))
            .collect();
        if values.iter().all(|value| value == &values[0]) {
            out.push_str(&format!("{key}  {}\n", told(key, values[0])));
            continue;
        }
        out.push_str(&format!("{key}\n"));
        for (protocol, value) in PROTOCOLS.iter().zip(values) {
            out.push_str(&format!("    {protocol:<8} {}\n", told(key, value)));
        }
    }
    out
}

/// Without values that differ between machines and runs.
fn told(key: &str, value: &str) -> String {
    let is_ephemeral = matches!(key, "REMOTE_PORT" | "SERVER_PORT")
        && value
            .trim_matches(|letter: char| !letter.is_ascii_digit())
            .len()
            > 4;
    match (key, value) {
        ("uwsgi.node", _) => "bytes b'[this machine]'".to_owned(),
        ("SERVER_NAME", "str 'example.com'") | (_, "-") => value.to_owned(),
        ("SERVER_NAME", _) => "str '[this machine]'".to_owned(),
        _ if is_ephemeral => "str '[port]'".to_owned(),
        _ => value.to_owned(),
    }
}
