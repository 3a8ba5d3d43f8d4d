//! Whatever an application says, it cannot make two responses of one.

use proptest::prelude::*;
use singlemalt::protocol::http::Version;
use singlemalt::protocol::http::response::Form;
use singlemalt::wsgi::{RequestFacts, Response};

use crate::wire::Act::{Finish, FinishWith, Write};
use crate::wire::{DATE, Wire, check_counts, run};

/// A client of our own: reads exactly one response and what is left behind it.
struct Read {
    status: Vec<u8>,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// The body's end was seen: by length, last chunk, or because there is none.
    complete: bool,
    rest: Vec<u8>,
}

fn read_response(wire: &[u8], is_head: bool) -> Read {
    let end = wire
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a complete head")
        + 4;
    let (head, mut rest) = wire.split_at(end);
    let mut lines = head[..end - 4]
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    assert!(
        !head[..end - 2]
            .windows(2)
            .any(|two| two[1] == b'\n' && two[0] != b'\r'),
        "no bare LF"
    );
    assert!(
        !head[..end - 2]
            .windows(2)
            .any(|two| two[0] == b'\r' && two[1] != b'\n'),
        "no bare CR"
    );
    let status = lines
        .next()
        .expect("a status line")
        .strip_prefix(b"HTTP/1.1 ")
        .expect("our version")
        .to_vec();
    let fields: Vec<(String, Vec<u8>)> = lines
        .map(|line| {
            let colon = line
                .iter()
                .position(|byte| *byte == b':')
                .expect("a colon in every field line");
            let value = line[colon + 1..]
                .strip_prefix(b" ")
                .expect("a space behind it");
            (
                String::from_utf8(line[..colon].to_vec()).expect("a name"),
                value.to_vec(),
            )
        })
        .collect();
    let value = |name: &str| {
        let mut values = fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let first = values.next();
        assert!(values.next().is_none(), "one {name} at most");
        first
    };
    let code = &status[..3];
    let length = value("content-length").map(|digits| {
        String::from_utf8(digits.clone())
            .expect("digits")
            .parse::<usize>()
            .expect("a number")
    });
    let mut body = Vec::new();
    let mut complete = false;
    if is_head || code[0] == b'1' || code == b"204" || code == b"304" {
        complete = true;
        assert_eq!(value("transfer-encoding"), None);
    } else if value("transfer-encoding").is_some() {
        assert_eq!(length, None, "one framing");
        while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).expect("hex"), 16)
                .expect("hex");
            let chunk = &rest[at + 2..][..size];
            body.extend_from_slice(chunk);
            rest = rest[at + 2 + size..]
                .strip_prefix(b"\r\n")
                .expect("the end of a chunk");
            if size == 0 {
                complete = true;
                break;
            }
        }
    } else {
        let size = length.unwrap_or(rest.len()).min(rest.len());
        body.extend_from_slice(&rest[..size]);
        complete = length == Some(size);
        rest = &rest[size..];
    }
    Read {
        status,
        fields,
        body,
        complete,
        rest: rest.to_vec(),
    }
}

/// Text with everything in it that ends a line, a header or a head somewhere.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let bit = prop_oneof![
        6 => "[a-z0-9]{1,4}".prop_map(String::into_bytes),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b": ".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec(bit, 0..4).prop_map(|bits| bits.concat())
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[A-Za-z][A-Za-z0-9-]{0,9}".prop_map(String::into_bytes),
        1 => prop::sample::select(vec![
            "Content-Length", "content-length", "Transfer-Encoding", "Connection", "Date", "Server", "Upgrade", "Trailer", "Set-Cookie",
        ]).prop_map(|name| name.as_bytes().to_vec()),
        1 => nasty(),
    ]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[ -~]{0,12}".prop_map(String::into_bytes),
        2 => (0_u8..30).prop_map(|number| number.to_string().into_bytes()),
        1 => nasty(),
        1 => Just(b"close".to_vec()),
    ]
}

fn statuses() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => Just(b"200 OK".to_vec()),
        1 => prop::sample::select(vec!["204 No Content", "304 Not Modified", "100 Continue", "404", "500 "]).prop_map(|status| status.as_bytes().to_vec()),
        1 => nasty().prop_map(|text| [b"200 ".to_vec(), text].concat()),
        1 => nasty(),
    ]
}

fn facts() -> impl Strategy<Value = RequestFacts> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(old, is_head, keep_alive)| {
        RequestFacts {
            form: Form::Http,
            version: if old {
                Version::Http10
            } else {
                Version::Http11
            },
            is_head,
            keep_alive,
        }
    })
}

const OURS: [&str; 5] = [
    "Server",
    "Date",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
];
const TAKEN: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "trailers",
    "upgrade",
    "proxy-connection",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever an application says, what leaves is nothing or exactly one response, whose head has exactly the headers
    /// that were accepted and whose body is exactly the bytes that were admitted.
    #[test]
    fn no_response_is_split(
        facts in facts(),
        status in statuses(),
        headers in prop::collection::vec((names(), values()), 0..6),
        pieces in prop::collection::vec(nasty(), 0..4),
        as_one in any::<bool>(),
    ) {
        let mut response = Response::default();
        response.reset(facts, DATE);
        let mut wire = Wire::default();
        let accepted = response.begin(&status).is_ok()
            && headers.iter().all(|(name, value)| response.header(name, value).is_ok());
        let whole = pieces.concat();
        if as_one {
            run(&mut response, &[FinishWith(&whole)], &mut wire);
        } else {
            for piece in &pieces {
                run(&mut response, &[Write(piece)], &mut wire);
            }
            run(&mut response, &[Finish], &mut wire);
        }
        if !accepted {
            prop_assert!(!response.is_started());
            prop_assert_eq!(&wire.bytes, b"");
            return Ok(());
        }
        let summary = response.summary();
        let read = read_response(&wire.bytes, facts.is_head);
        prop_assert_eq!(&read.status[..3], &status[..3]);
        prop_assert_eq!(read.status.get(4..).unwrap_or_default(), status.get(4..).unwrap_or_default());
        prop_assert_eq!(&read.rest, b"", "nothing behind it that a client would take for another response");
        let said = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        let mut left = read.fields.clone();
        for (name, value) in &headers {
            let name = String::from_utf8_lossy(name).into_owned();
            if !TAKEN.contains(&name.to_ascii_lowercase().as_str()) {
                let at = left.iter().position(|field| field.0 == name && &field.1 == value);
                prop_assert!(at.is_some(), "{name} was accepted and is missing");
                left.remove(at.unwrap_or_default());
            }
        }
        for (name, _) in &left {
            prop_assert!(OURS.contains(&name.as_str()), "{} was never said", name);
            prop_assert!(!(said(name) && ["Date", "Server"].contains(&name.as_str())), "the application's wins");
        }
        prop_assert!(whole.starts_with(&read.body));
        prop_assert_eq!(summary.body_bytes, read.body.len() as u64);
        prop_assert_eq!(summary.body_bytes + summary.dropped_bytes, whole.len() as u64);
        prop_assert_eq!(summary.status.to_string().into_bytes(), &status[..3]);
        check_counts(&wire.bytes, summary.header_bytes, summary.header_count);
        let closes = read.fields.iter().any(|field| field.0 == "Connection" && field.1 == b"close");
        prop_assert!(!summary.keep_alive || (read.complete && !closes), "kept only when the client knows the end");
        prop_assert!(summary.keep_alive || closes || summary.aborted, "a close is announced or an abort");
        prop_assert!(!summary.aborted || !read.complete, "aborted means the client can tell");
    }
}
