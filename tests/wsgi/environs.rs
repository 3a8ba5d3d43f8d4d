//! What an application sees of a request: one table, one snapshot.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use singlemalt::protocol::http::{FieldKind, Limits, RequestHead, RequestReader, Step};
use singlemalt::wsgi::environ::{self, Key, Peer, ServerFacts};
use singlemalt::wsgi::{BodyMemory, Mounts, Place, RequestBody, Rules};

/// Reads one whole request as a connection does.
fn read_request(wire: &[u8]) -> (RequestHead, RequestBody) {
    let (mut reader, mut head, mut body) = (
        RequestReader::default(),
        RequestHead::default(),
        RequestBody::default(),
    );
    let memory = Arc::new(BodyMemory::new(1 << 20));
    let mut rest = wire;
    loop {
        let (used, step) = reader
            .read(rest, &Limits::default(), &mut head)
            .expect("a request that passes");
        rest = &rest[used..];
        match step {
            Step::Head => {}
            Step::Data(data) => body.push(data, &memory).expect("memory"),
            Step::End => return (head, body),
            Step::NeedMore => panic!("the request is not complete"),
        }
    }
}

fn environ_of(wire: &[u8], mounts: &Mounts, peer: &Peer) -> Vec<(String, Vec<u8>)> {
    let (head, body) = read_request(wire);
    let mut all = Vec::new();
    let put = |key: Key<'_>, value: &[u8]| {
        let mut name = Vec::new();
        match key {
            Key::Known(known) => name.extend_from_slice(known.name().as_bytes()),
            Key::Field { name: field, .. } => environ::environ_key(field, &mut name),
            Key::Variable { name: key, .. } => name.extend_from_slice(key),
        }
        all.push((
            String::from_utf8(name).expect("an ASCII key"),
            value.to_vec(),
        ));
        Ok::<(), std::convert::Infallible>(())
    };
    let host = head.value_of(FieldKind::Host).unwrap_or_default();
    let chosen = mounts.choose(host, head.path()).expect("an application");
    let length = Some(body.len());
    match environ::for_each_under(
        chosen.prefix_bytes,
        &head,
        peer,
        length,
        &mut Vec::new(),
        put,
    ) {
        Ok(()) => all,
        Err(never) => match never {},
    }
}

#[test]
fn environs_of_requests() {
    let v4 = Peer::new(Some(SocketAddr::from(([192, 0, 2, 7], 4711))));
    let v6 = Peer::new(Some("[2001:db8::7]:4711".parse().expect("an address")));
    let mapped = Peer::new(Some("[::ffff:192.0.2.7]:4711".parse().expect("an address")));
    let unix = Peer::new(None);
    let root = &Mounts::one();
    let managed = Rules {
        manages_script_name: true,
        ..Rules::default()
    };
    let shop = &Mounts::new(vec![Place::new(None, "/shop/")], managed);
    let cases: &[(&str, &Mounts, &Peer, &[u8])] = &[
        ("the least", root, &v4, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        ("an IPv6 client", root, &v6, b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8000\r\n\r\n"),
        ("an IPv4 client of an IPv6 listener", root, &mapped, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a unix socket", root, &unix, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("HTTP/1.0 without Host", root, &v4, b"GET /old HTTP/1.0\r\n\r\n"),
        ("HTTP/1.0 kept", root, &v4, b"GET /old HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
        ("a method of one's own, case kept", root, &v4, b"PropFind / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("HEAD", root, &v4, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a query", root, &v4, b"GET /p?a=1&b=%20+x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an empty query", root, &v4, b"GET /p? HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a query with question marks", root, &v4, b"GET /p?a?b=?c HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an escaped question mark is of the path", root, &v4, b"GET /p%3Fa?b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("UTF-8, escaped", root, &v4, b"GET /caf%C3%A9/%e2%82%AC HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("UTF-8, raw", root, &v4, b"GET /caf\xc3\xa9?\xe2\x82\xac HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("latin-1, escaped and raw", root, &v4, b"GET /caf%E9/\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a plus, a space, a slash, a percent sign, a NUL", root, &v4, b"GET /a+b%20c%2Fd%25e%00f HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("decoded once only", root, &v4, b"GET /%2541 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("escapes that are none", root, &v4, b"GET /%/%4/%zz/%%41/%4g/% HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("dots and double slashes stay", root, &v4, b"GET //a/../b/./%2e%2e/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a semicolon and a colon", root, &v4, b"GET /a;v=1:2@3 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an absolute target", root, &v4, b"GET http://other.example:81/p%20q?r HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        ("an absolute target without a path", root, &v4, b"GET http://other.example?r HTTP/1.1\r\nHost: other.example\r\n\r\n"),
        ("an absolute target of HTTP/1.0 without Host", root, &v4, b"GET http://other.example/p HTTP/1.0\r\n\r\n"),
        ("an asterisk", root, &v4, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("OPTIONS of a whole server, absolute", root, &v4, b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a body", root, &v4, b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b"),
        ("an empty body with a length", root, &v4, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        ("no body and no length", root, &v4, b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an empty content type", root, &v4, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type:\r\nContent-Length: 1\r\n\r\nx"),
        ("a chunked body", root, &v4, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"),
        ("a chunked body with trailers", root, &v4, b"POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"),
        ("an empty chunked body", root, &v4, b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
        ("Expect", root, &v4, b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"),
        ("repeated fields", root, &v4, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-b: 2\r\nx-a: 3, 4\r\nX-B:\r\nX-A: 5\r\n\r\n"),
        ("repeated cookies", root, &v4, b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nAccept: */*\r\ncookie: b=2; c=3\r\n\r\n"),
        ("forwarded twice", root, &v4, b"GET / HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1\r\nHost: a\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n"),
        ("odd names and values", root, &v4, b"GET / HTTP/1.1\r\nHost: a\r\nX.Y!~: z\r\nx-tab:\t a\tb \t\r\nX-Latin: caf\xe9\r\nX-Utf8: caf\xc3\xa9\r\nX-Colon: a: b\r\n1: 2\r\n\r\n"),
        ("names that would shadow others", root, &v4, b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nX_Forwarded_For: x\r\nREMOTE_USER: admin\r\nProxy: http://evil\r\nScript-Name: /x\r\nPath-Info: /y\r\nContent-Length: 1\r\n\r\nx"),
        ("a browser", root, &v4, b"GET /index.html HTTP/1.1\r\nHost: a.example:8000\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: http://a.example:8000/\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\nIf-None-Match: \"1\"\r\n\r\n"),
        ("under a mount", shop, &v4, b"GET /shop/cart?x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("under a mount, escaped", shop, &v4, b"GET /%73hop/c%C3%A4rt HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("under a mount, its root", shop, &v4, b"GET /shop HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("under a mount, its root with a slash", shop, &v4, b"GET /shop/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("beside a mount", shop, &v4, b"GET /shopping HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("above a mount", shop, &v4, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an asterisk beside a mount", shop, &v4, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    let mut text = String::new();
    for (title, mounts, peer, wire) in cases {
        let line = wire.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let _infallible = writeln!(text, "# {title}: {}", line.escape_ascii());
        let environ = environ_of(wire, mounts, peer);
        for (key, value) in &environ {
            let _infallible = writeln!(text, "    {key} = '{}'", value.escape_ascii());
        }
        let mut keys: Vec<_> = environ.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), environ.len(), "{title}: each key once");
        text.push('\n');
    }
    snap!("wsgi__environs", text.trim_end());
}

#[test]
fn environs_of_listeners() {
    let tcp: SocketAddr = "[::1]:8000".parse().expect("an address");
    let mut text = String::new();
    for (title, facts) in [
        ("tcp", ServerFacts::new(Some(tcp), "host.example", "http")),
        ("tls", ServerFacts::new(Some(tcp), "host.example", "https")),
        (
            "unix socket on a machine without a name",
            ServerFacts::new(None, "", "http"),
        ),
        (
            "unix socket with tls",
            ServerFacts::new(None, "host", "https"),
        ),
    ] {
        let _infallible = writeln!(text, "# {title}");
        let told = environ::for_each_of_listener(&facts, |known, value| {
            writeln!(text, "    {} = '{}'", known.name(), value.escape_ascii())
        });
        assert!(told.is_ok());
    }
    snap!("wsgi__listeners", text.trim_end());
}
