//! What leaves for each rule of a response: one table, one snapshot.

use singlemalt::protocol::http::response::Form;
use std::fmt::Write as _;

use singlemalt::wsgi::{AddedFields, RequestFacts, Response, UNREAD, canned};

use crate::wire::Act::{self, Begin, Fail, Finish, FinishWith, Header, SendFile, Withdraw, Write};
use crate::wire::{DATE, GET, GET_CLOSE, HEAD, OLD, OLD_KEPT, Wire, check_counts, run};

fn section(
    title: &str,
    facts: RequestFacts,
    sends_left: Option<usize>,
    acts: &[Act<'_>],
) -> String {
    let mut response = Response::default();
    response.reset(facts, DATE);
    let mut wire = Wire {
        sends_left,
        ..Wire::default()
    };
    run(&mut response, acts, &mut wire);
    let summary = response.summary();
    let fate = match (summary.keep_alive, summary.aborted) {
        (true, false) => "stays",
        (false, false) => "closes",
        (_, true) => "is aborted",
    };
    if !wire.bytes.is_empty() {
        check_counts(&wire.bytes, summary.header_bytes, summary.header_count);
    }
    format!(
        "# {title}\n{}    status {}, head {} bytes in {} headers, body {} bytes, dropped {} bytes, connection {fate}\n\n",
        wire.told,
        summary.status,
        summary.header_bytes,
        summary.header_count,
        summary.body_bytes,
        summary.dropped_bytes,
    )
}

#[test]
fn responses_on_the_wire() {
    const OK: Act<'_> = Begin(b"200 OK");
    const TEXT: Act<'_> = Header(b"Content-Type", b"text/plain");
    let kib16 = vec![b'x'; 16 << 10];
    let kib65 = vec![b'y'; 65 << 10];
    let cases: &[(&str, RequestFacts, &[Act<'_>])] = &[
        // One piece.
        ("one piece", GET, &[OK, TEXT, FinishWith(b"hello")]),
        (
            "one piece, its length given",
            GET,
            &[
                OK,
                TEXT,
                Header(b"content-length", b" 5 "),
                FinishWith(b"hello"),
            ],
        ),
        (
            "one piece, the client wants to close",
            GET_CLOSE,
            &[OK, FinishWith(b"hello")],
        ),
        (
            "one piece, the application wants to close",
            GET,
            &[
                OK,
                Header(b"connection", b"foo, Close"),
                FinishWith(b"hello"),
            ],
        ),
        ("one piece, HTTP/1.0", OLD, &[OK, FinishWith(b"hello")]),
        (
            "one piece, HTTP/1.0 kept",
            OLD_KEPT,
            &[OK, FinishWith(b"hello")],
        ),
        ("one empty piece", GET, &[OK, FinishWith(b"")]),
        ("no piece", GET, &[OK, Finish, Finish]),
        ("no piece, HTTP/1.0 kept", OLD_KEPT, &[OK, Finish]),
        (
            "one large piece goes beside the head",
            GET,
            &[OK, FinishWith(&kib16)],
        ),
        // Headers.
        (
            "own Date and Server",
            GET,
            &[
                OK,
                Header(b"DATE", b"Mon, 01 Jan 2001 00:00:00 GMT"),
                Header(b"server", b"mine/1.0"),
                FinishWith(b"x"),
            ],
        ),
        (
            "repeated and odd headers keep order and bytes",
            GET,
            &[
                OK,
                Header(b"Set-Cookie", b"a=1"),
                Header(b"set-cookie", b"b=2"),
                Header(b"X-Empty", b""),
                Header(b"X-Tab", b"a\tb"),
                Header(b"X-Latin", b"caf\xe9"),
                Header(b"!#$%&'*+-.^_`|~0", b"token"),
                FinishWith(b"x"),
            ],
        ),
        (
            "hop-by-hop headers are the server's",
            GET,
            &[
                OK,
                Header(b"Transfer-Encoding", b"chunked"),
                Header(b"Connection", b"keep-alive, X-Secret"),
                Header(b"Keep-Alive", b"timeout=5"),
                Header(b"Upgrade", b"websocket"),
                Header(b"TE", b"trailers"),
                Header(b"Trailer", b"X"),
                Header(b"Trailers", b"X"),
                Header(b"Proxy-Authenticate", b"Basic"),
                Header(b"Proxy-Authorization", b"Basic"),
                Header(b"Proxy-Connection", b"close"),
                Header(b"X-Kept", b"yes"),
                FinishWith(b"x"),
            ],
        ),
        (
            "a status without a reason",
            GET,
            &[Begin(b"404"), FinishWith(b"x")],
        ),
        (
            "a status with an empty reason",
            GET,
            &[Begin(b"404 "), FinishWith(b"x")],
        ),
        (
            "a status of one's own",
            GET,
            &[Begin(b"299 \xc3\x9cberraschend: gut"), FinishWith(b"x")],
        ),
        (
            "Content-Length twice, the same",
            GET,
            &[
                OK,
                Header(b"Content-Length", b"1"),
                Header(b"Content-Length", b"01"),
                FinishWith(b"x"),
            ],
        ),
        (
            "a second begin replaces the first",
            GET,
            &[
                OK,
                Header(b"Content-Length", b"99"),
                Header(b"Date", b"never"),
                Header(b"Connection", b"close"),
                Begin(b"418 I'm a teapot"),
                TEXT,
                FinishWith(b"short and stout"),
            ],
        ),
        (
            "a begin that was withdrawn",
            GET,
            &[
                OK,
                TEXT,
                Withdraw,
                FinishWith(b"x"),
                Begin(b"202 Accepted"),
                FinishWith(b"y"),
            ],
        ),
        // Streams.
        (
            "pieces, length unknown",
            GET,
            &[
                OK,
                TEXT,
                Write(b""),
                Write(b"hello "),
                Write(b""),
                Write(b"wor\r\n0\r\nld"),
                Finish,
            ],
        ),
        (
            "pieces, length unknown, the client wants to close",
            GET_CLOSE,
            &[OK, Write(b"hello"), Finish],
        ),
        (
            "pieces, length unknown, HTTP/1.0",
            OLD,
            &[OK, Write(b"hello "), Write(b"world"), Finish],
        ),
        (
            "pieces, length unknown, HTTP/1.0 cannot be kept",
            OLD_KEPT,
            &[OK, Write(b"hello "), Finish],
        ),
        (
            "pieces, length given",
            GET,
            &[
                OK,
                Header(b"Content-Length", b"11"),
                Write(b"hello "),
                Write(b"world"),
                Finish,
            ],
        ),
        (
            "write() and then one piece",
            GET,
            &[OK, Write(b"first"), FinishWith(b"last")],
        ),
        (
            "write() and then no piece",
            GET,
            &[OK, Write(b"first"), FinishWith(b"")],
        ),
        (
            "a large first chunk and a large second",
            GET,
            &[OK, Write(&kib65), Write(&kib16), Finish],
        ),
        // Lengths that lie.
        (
            "more than its Content-Length",
            GET,
            &[
                OK,
                Header(b"Content-Length", b"4"),
                Write(b"hel"),
                Write(b"lo "),
                Write(b"world"),
                Finish,
            ],
        ),
        (
            "more than its Content-Length, one piece",
            GET,
            &[OK, Header(b"Content-Length", b"4"), FinishWith(b"hello")],
        ),
        (
            "less than its Content-Length",
            GET,
            &[OK, Header(b"Content-Length", b"9"), Write(b"hello"), Finish],
        ),
        (
            "less than its Content-Length, one piece",
            GET,
            &[OK, Header(b"Content-Length", b"9"), FinishWith(b"hello")],
        ),
        (
            "nothing of its Content-Length",
            GET,
            &[OK, Header(b"Content-Length", b"9"), Finish],
        ),
        (
            "Content-Length: 0 and a body",
            GET,
            &[OK, Header(b"Content-Length", b"0"), Write(b"hello"), Finish],
        ),
        // No body.
        ("HEAD, one piece", HEAD, &[OK, TEXT, FinishWith(b"hello")]),
        (
            "HEAD, its length given and no piece",
            HEAD,
            &[OK, Header(b"Content-Length", b"5000"), Finish],
        ),
        ("HEAD, one empty piece", HEAD, &[OK, FinishWith(b"")]),
        (
            "HEAD, pieces",
            HEAD,
            &[OK, Write(b"hello "), Write(b"world"), Finish],
        ),
        (
            "HEAD, HTTP/1.0 kept",
            RequestFacts {
                form: Form::Http,
                is_head: true,
                ..OLD_KEPT
            },
            &[OK, Write(b"hello"), Finish],
        ),
        (
            "204",
            GET,
            &[
                Begin(b"204 No Content"),
                Header(b"Content-Length", b"0"),
                Finish,
            ],
        ),
        (
            "204 with a body",
            GET,
            &[Begin(b"204 No Content"), FinishWith(b"hello")],
        ),
        (
            "304",
            GET,
            &[
                Begin(b"304 Not Modified"),
                Header(b"ETag", b"\"1\""),
                FinishWith(b""),
            ],
        ),
        (
            "304 with the length of the 200",
            GET,
            &[
                Begin(b"304 Not Modified"),
                Header(b"Content-Length", b"5000"),
                Finish,
            ],
        ),
        (
            "1xx is no answer: the connection closes",
            GET,
            &[
                Begin(b"103 Early Hints"),
                Header(b"Content-Length", b"5"),
                FinishWith(b"hello"),
            ],
        ),
        // Files.
        ("a file", GET, &[OK, SendFile(0, 26), Finish]),
        ("a part of a file", GET, &[OK, SendFile(23, 2), Finish]),
        (
            "a file longer than its Content-Length",
            GET,
            &[OK, Header(b"Content-Length", b"3"), SendFile(0, 26), Finish],
        ),
        (
            "a file shorter than its Content-Length",
            GET,
            &[
                OK,
                Header(b"Content-Length", b"30"),
                SendFile(0, 26),
                Finish,
            ],
        ),
        ("an empty file", GET, &[OK, SendFile(26, 0), Finish]),
        (
            "a file after write()",
            GET,
            &[
                OK,
                Write(b"first "),
                SendFile(0, 26),
                SendFile(26, 0),
                Finish,
            ],
        ),
        (
            "a file in answer to HEAD",
            HEAD,
            &[OK, SendFile(0, 26), Finish],
        ),
        (
            "a file under 304",
            GET,
            &[Begin(b"304 Not Modified"), SendFile(0, 26), Finish],
        ),
        ("a file, HTTP/1.0", OLD, &[OK, SendFile(0, 26), Finish]),
        // Failure.
        ("failed before start_response", GET, &[Fail(500)]),
        (
            "failed before the first byte",
            GET,
            &[
                OK,
                Header(b"X-Half", b"done"),
                Header(b"Content-Length", b"3"),
                Fail(500),
            ],
        ),
        ("failed before the first byte, HEAD", HEAD, &[OK, Fail(500)]),
        (
            "failed before the first byte, client wants to close",
            GET_CLOSE,
            &[OK, Fail(504)],
        ),
        (
            "failed in the middle of chunks",
            GET,
            &[OK, Write(b"hello"), Fail(500), Finish, Write(b"more")],
        ),
        (
            "failed in the middle of a length",
            GET,
            &[
                OK,
                Header(b"Content-Length", b"9"),
                Write(b"hello"),
                Fail(500),
            ],
        ),
        (
            "failed behind the end",
            GET,
            &[OK, FinishWith(b"hello"), Fail(500)],
        ),
        (
            "written behind the end",
            GET,
            &[OK, FinishWith(b"hello"), Write(b"more"), Finish],
        ),
        (
            "begun behind the head",
            GET,
            &[
                OK,
                Write(b"hello"),
                Begin(b"500 Oh"),
                Header(b"X", b"y"),
                Finish,
            ],
        ),
        (
            "a body without start_response",
            GET,
            &[
                Write(b"hello"),
                FinishWith(b"hello"),
                Finish,
                Header(b"X", b"y"),
                Fail(500),
            ],
        ),
        (
            "a body after a refused header",
            GET,
            &[
                OK,
                Header(b"X-A", b"abc\r\nSet-Cookie: b"),
                Header(b"X-B", b"c"),
                FinishWith(b"hello"),
                Fail(500),
            ],
        ),
        (
            "a new start after a refused header",
            GET,
            &[
                OK,
                Header(b"X-A", b"abc\r\nSet-Cookie: b"),
                Begin(b"503 Later"),
                FinishWith(b"hello"),
            ],
        ),
    ];
    let mut text = String::new();
    for (title, facts, acts) in cases {
        text += &section(title, *facts, None, acts);
    }
    let pieces = [OK, Write(b"hello"), Write(b"world"), Write(b""), Finish];
    text += &section("the client goes before the head", GET, Some(0), &pieces);
    text += &section(
        "the client goes behind the first piece",
        GET,
        Some(1),
        &pieces,
    );
    text += &section(
        "the client goes before the last chunk",
        GET,
        Some(2),
        &pieces,
    );
    text += &section(
        "the client goes before the failure page",
        GET,
        Some(0),
        &[Fail(500), Finish],
    );
    snap!("wsgi__responses", text.trim_end());
}

#[test]
fn refused_heads() {
    let statuses: &[&[u8]] = &[
        b"", b"OK", b"2", b"20", b"2000 OK", b"200OK", b"200\tOK", b" 200 OK", b"+20 OK", b"099 Low", b"000 None", b"2x0 OK",
        b"\xb2\xb2\xb2 OK", b"200 OK\r\nX: y", b"200 OK\n", b"200 \0", b"200 \x7f", b"200 a\tb\x1b[2J",
        b"200 a status so long that a log line should not have all of it, although it is perfectly\x01legal",
    ];
    let headers: &[(&[u8], &[u8])] = &[
        (b"", b"x"),
        (b"X A", b"x"),
        (b"X:", b"x"),
        (b"X-A ", b"x"),
        (b"X\r\nY", b"x"),
        (b"X\xe9", b"x"),
        (b"X\0", b"x"),
        (b"(X)", b"x"),
        (b"X-A", b"abc\r\nSet-Cookie: b"),
        (b"X-A", b"abc\n"),
        (b"X-A", b"abc\r"),
        (b"X-A", b"\0"),
        (b"X-A", b"\x7f"),
        (b"X-A", b"\x0b"),
        (b"X-A", b"a\r\n folded"),
        (b"Date", b"\n"),
        (b"Connection", b"close\r\nX: y"),
        (b"Transfer-Encoding", b"chunked\r\n\r\n"),
        (b"Content-Length", b""),
        (b"Content-Length", b"-1"),
        (b"Content-Length", b"+1"),
        (b"Content-Length", b"1_0"),
        (b"Content-Length", b"0x5"),
        (b"Content-Length", b"5, 5"),
        (b"Content-Length", b"5 5"),
        (b"Content-Length", b"18446744073709551616"),
        (b"Content-Length", b"five"),
        (b"Content-Length", b"\xb2"),
        (b"Content-Length", b"5\n"),
    ];
    let mut text = String::new();
    let mut response = Response::default();
    let mut wire = Wire::default();
    for status in statuses {
        response.reset(GET, DATE);
        let error = response.begin(status).expect_err("a bad status");
        assert!(!response.is_started());
        run(&mut response, &[FinishWith(b"x")], &mut wire);
        let _infallible = writeln!(text, "{error}");
    }
    for (name, value) in headers {
        response.reset(GET, DATE);
        response.begin(b"200 OK").expect("a good status");
        let error = response.header(name, value).expect_err("a bad header");
        assert!(!response.is_started());
        run(&mut response, &[FinishWith(b"x")], &mut wire);
        let _infallible = writeln!(text, "{error}");
    }
    response.reset(GET, DATE);
    response.begin(b"200 OK").expect("a good status");
    response
        .header(b"Content-Length", b"5")
        .expect("a good header");
    let _infallible = writeln!(
        text,
        "{}",
        response
            .header(b"content-length", b"6")
            .expect_err("another")
    );
    assert_eq!(wire.bytes, b"", "nothing leaves");
    snap!("wsgi__refused_heads", text.trim_end());
}

#[test]
fn canned_answers() {
    let mut text = String::new();
    let mut tell = |title: &str, answer: &[u8]| {
        let mut wire = Wire::default();
        wire.tell("send", answer);
        let _infallible = writeln!(text, "# {title}\n{}", wire.told);
    };
    for status in [400, 408, 413, 414, 431, 500, 501, 504, 505] {
        tell(
            &status.to_string(),
            &canned(status, UNREAD, None, DATE, &AddedFields::default()),
        );
    }
    tell(
        "503 with Retry-After",
        &canned(503, UNREAD, Some(2), DATE, &AddedFields::default()),
    );
    tell(
        "503 to HEAD",
        &canned(
            503,
            RequestFacts {
                form: Form::Http,
                is_head: true,
                ..UNREAD
            },
            Some(2),
            DATE,
            &AddedFields::default(),
        ),
    );
    tell(
        "500, kept",
        &canned(500, GET, None, DATE, &AddedFields::default()),
    );
    tell(
        "500, HTTP/1.0 kept",
        &canned(500, OLD_KEPT, None, DATE, &AddedFields::default()),
    );
    tell(
        "a status without a name",
        &canned(599, UNREAD, None, DATE, &AddedFields::default()),
    );
    snap!("wsgi__canned", text.trim_end());
}
