//! What `http://` in a configuration stands for: one GET over plain TCP, as uWSGI's.
//!
//! Blocking, on the main thread before anything starts, and only with `--allow-config-exec`.
//! Bounded in time and bytes. No TLS, no redirects, no proxy: curl has those.
//!
//! By hand on `httparse`, which the server has anyway: of a client such as ureq or minreq most
//! would have to be switched off again (redirects, proxies of the environment, chunked bodies).

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// From the first look-up to the last byte.
const TIME_MAX: Duration = Duration::from_secs(10);
const HEAD_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 128;

/// The parts of `HOST[:PORT][/PATH]`, which is what follows the scheme.
#[derive(Debug, PartialEq, Eq)]
struct Url<'u> {
    /// As it goes into the Host field.
    authority: &'u str,
    host: &'u str,
    port: u16,
    /// With its slash; what follows a `#` is left out.
    path: String,
}

impl<'u> Url<'u> {
    fn read(rest: &'u str) -> Result<Url<'u>, String> {
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(
                "has a space or a control character in its path: write it as %XX".to_owned(),
            );
        }
        if authority.contains('@') {
            return Err("names a user, which is not supported".to_owned());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => match port.parse() {
                Ok(port) => (host, port),
                Err(_) => return Err(format!("has a port that is no number: {port}")),
            },
            _ => (authority, 80),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() || host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("names no host".to_owned());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Url {
            authority,
            host,
            port,
            path: format!("{slash}{path}"),
        })
    }
}

/// The body of the answer to a GET of `http://` and this, at most `bytes_max` long.
///
/// # Errors
/// The end of the sentence "URL ...".
pub(crate) fn http(rest: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let url = Url::read(rest)?;
    let until = Instant::now() + TIME_MAX;
    let unreachable = |error: std::io::Error| match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => too_slow(),
        _ => format!("cannot be fetched: {error}"),
    };
    let mut stream = connect(&url, until).map_err(unreachable)?;
    stream
        .set_write_timeout(Some(left(until)))
        .and_then(|()| {
            write!(
                stream,
                "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: singlemalt/{}\r\nAccept: */*\r\n\r\n",
                url.path,
                url.authority,
                env!("CARGO_PKG_VERSION")
            )
        })
        .map_err(unreachable)?;
    let mut answer = Vec::new();
    let answer_max = HEAD_MAX as u64 + bytes_max;
    let mut piece = [0; 8192];
    loop {
        let read = stream
            .set_read_timeout(Some(left(until)))
            .and_then(|()| stream.read(&mut piece));
        match read {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreachable(error)),
        }
        if answer.len() as u64 > answer_max {
            return Err(too_long(bytes_max));
        }
        if Instant::now() >= until {
            return Err(too_slow());
        }
    }
    body(&answer, bytes_max)
}

fn too_slow() -> String {
    format!(
        "cannot be fetched: no answer in {} seconds",
        TIME_MAX.as_secs()
    )
}

fn too_long(bytes_max: u64) -> String {
    format!("cannot be read: it is longer than {bytes_max} bytes")
}

/// What is left of the time; never zero, which would mean "for ever".
fn left(until: Instant) -> Duration {
    until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// To the first address of the host that answers.
fn connect(url: &Url<'_>, until: Instant) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("its host has no address");
    for address in (url.host, url.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(until)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn body(answer: &[u8], bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let start = match head.parse(answer) {
        Ok(httparse::Status::Complete(start)) => start,
        Ok(httparse::Status::Partial) => {
            return Err("cannot be fetched: its server hung up in the middle".to_owned());
        }
        Err(error) => {
            return Err(format!(
                "cannot be fetched: its server speaks no HTTP ({error})"
            ));
        }
    };
    let field = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).trim().to_owned())
    };
    let code = head.code.unwrap_or_default();
    if !(200..300).contains(&code) {
        let to = field("location").filter(|_| (300..400).contains(&code));
        let to = to.map_or(String::new(), |to| format!(", which leads to {to}"));
        return Err(format!("cannot be fetched: its server answers {code}{to}"));
    }
    if field("transfer-encoding").is_some() {
        return Err("cannot be fetched: its server answers HTTP/1.0 in chunks".to_owned());
    }
    let body = answer.get(start..).unwrap_or_default();
    if body.len() as u64 > bytes_max {
        return Err(too_long(bytes_max));
    }
    match field("content-length").map(|length| length.parse::<u64>()) {
        None => Ok(body.to_vec()),
        Some(Ok(length)) if length == body.len() as u64 => Ok(body.to_vec()),
        Some(_) => Err("cannot be fetched: its server hung up in the middle".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    #[test]
    fn urls() {
        let read = |text| {
            let url = Url::read(text)?;
            Ok::<_, String>((url.host.to_owned(), url.port, url.path))
        };
        let url = |host: &str, port, path: &str| Ok((host.to_owned(), port, path.to_owned()));
        assert_eq!(read("box/a?b#c"), url("box", 80, "/a?b"));
        assert_eq!(read("box:8080"), url("box", 8080, "/"));
        assert_eq!(read("box?x"), url("box", 80, "/?x"));
        assert_eq!(read("[::1]:81/a:b"), url("::1", 81, "/a:b"));
        assert_eq!(read("[::1]/"), url("::1", 80, "/"));
        for bad in [
            "",
            "/a",
            ":80/",
            "box:x/",
            "box:99999/",
            "me@box/",
            "box/a b",
            "b\nox/",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers() {
        let read = |text: &str| body(text.as_bytes(), 9);
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\nhello"), Ok(b"hello".to_vec()));
        assert_eq!(
            read("HTTP/1.1 206 X\r\ncontent-length: 2\r\n\r\nhi"),
            Ok(b"hi".to_vec())
        );
        let failures = [
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nhello",
                "in the middle",
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\nhello",
                "in the middle",
            ),
            ("HTTP/1.0 200 OK\r\nhel", "in the middle"),
            ("", "in the middle"),
            ("SSH-2.0\r\n", "speaks no HTTP"),
            ("HTTP/1.0 404 No\r\n\r\nhello", "answers 404"),
            (
                "HTTP/1.0 302 X\r\nLocation: /b\r\n\r\n",
                "answers 302, which leads to /b",
            ),
            (
                "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "in chunks",
            ),
            ("HTTP/1.0 200 OK\r\n\r\nten bytes!", "longer than 9 bytes"),
        ];
        for (answer, why) in failures {
            let error = read(answer).unwrap_err();
            assert!(error.contains(why), "{answer}: {error}");
        }
    }

    #[test]
    fn one_request_over_a_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream
                .write_all(b"HTTP/1.0 200 OK\r\n\r\n[uwsgi]\n")
                .unwrap();
            String::from_utf8(request).unwrap()
        });
        let read = http(&format!("{address}/site.ini"), 100);
        assert_eq!(read, Ok(b"[uwsgi]\n".to_vec()));
        let request = server.join().unwrap();
        assert!(
            request.starts_with("GET /site.ini HTTP/1.0\r\n"),
            "{request}"
        );
        assert!(
            request.contains(&format!("Host: {address}\r\n")),
            "{request}"
        );
        let error = http(&format!("{address}/"), 100).unwrap_err();
        assert!(error.starts_with("cannot be fetched: "), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            answer in proptest::collection::vec(any::<u8>(), 0..200),
            text in "(HTTP/1.[01] [0-9]{1,4} |\r\n|Content-Length: |[0-9:]|\\PC){0,20}",
        ) {
            drop(body(&answer, 50));
            drop(body(text.as_bytes(), 50));
            drop(Url::read(&text));
        }
    }
}
