//! Every way a stream of records can be wrong, and that what is said does not depend on how the
//! bytes were cut.

use proptest::prelude::*;

use super::*;

fn record_of(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let mut out = record::header(Kind(kind), id, content.len()).to_vec();
    out[6] = padding;
    out.extend(content);
    out.extend(vec![b'P'; usize::from(padding)]);
    out
}

fn begin(id: u16, role: u16, flags: u8) -> Vec<u8> {
    record_of(1, id, &[0, role as u8, flags, 0, 0, 0, 0, 0], 0)
}

fn pairs(variables: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in variables {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(length @ 0..=127) => out.push(length),
                _ => out.extend((text.len() as u32 | 1 << 31).to_be_bytes()),
            }
        }
        out.extend(name.as_bytes());
        out.extend(value.as_bytes());
    }
    out
}

const GET: (&str, &str) = ("REQUEST_METHOD", "GET");

/// A whole request with the id 1.
fn request(flags: u8, variables: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut wire = begin(1, 1, flags);
    wire.extend(record_of(4, 1, &pairs(variables), 3));
    wire.extend(record_of(4, 1, b"", 0));
    if !body.is_empty() {
        wire.extend(record_of(5, 1, body, 0));
    }
    wire.extend(record_of(5, 1, b"", 0));
    wire
}

/// Everything the machine says of these pieces of a connection, with neighbouring data joined.
fn events<'i>(pieces: impl IntoIterator<Item = &'i [u8]>, limits: &Limits) -> Vec<String> {
    let (mut reader, mut variables) = (RecordReader::default(), Variables::default());
    let (mut unread, mut told, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let (consumed, step) = match reader.read(&unread, limits, &mut variables) {
                Ok(said) => said,
                Err(refusal) => {
                    let again = reader.read(&unread, limits, &mut variables);
                    assert_eq!(again, Err(refusal), "a refusal is for ever");
                    told.push(refusal.to_string());
                    return told;
                }
            };
            let is_last = match step {
                Step::NeedMore => true,
                Step::Head => {
                    let shown = variables.iter().map(|one| {
                        let (name, value) = (one.name.escape_ascii(), one.value.escape_ascii());
                        format!("{name}={value}")
                    });
                    told.push(shown.collect::<Vec<_>>().join(" "));
                    false
                }
                Step::Data(piece) => {
                    assert!(!piece.is_empty());
                    data.extend_from_slice(piece);
                    false
                }
                Step::End => {
                    told.push(format!("{} End", data.escape_ascii()));
                    data.clear();
                    false
                }
                Step::Say => {
                    let mut out = Vec::new();
                    let reply = reader.reply(100, &mut out);
                    told.push(format!("{} {reply:?}", out.escape_ascii()));
                    if reply == Reply::Close {
                        return told;
                    }
                    false
                }
            };
            unread.drain(..consumed);
            if is_last {
                break;
            }
        }
    }
    told
}

#[track_caller]
fn check(wire: &[u8], told: &[&str]) {
    let limits = Limits::default();
    assert_eq!(events([wire], &limits), told);
    assert_eq!(events(wire.chunks(1), &limits), told, "byte by byte");
}

#[test]
fn requests_on_one_connection() {
    let variables = [GET, ("CONTENT_LENGTH", "5"), ("EMPTY", "")];
    let head = "REQUEST_METHOD=GET CONTENT_LENGTH=5 EMPTY=";
    let mut wire = request(1, &variables, b"hello");
    wire.extend(request(0, &[GET], b""));
    check(&wire, &[head, "hello End", "REQUEST_METHOD=GET", " End"]);
}

#[test]
fn streams_may_be_cut_into_records_anywhere_and_padded() {
    let long = "v".repeat(300);
    let variables = pairs(&[GET, ("CONTENT_LENGTH", "5"), ("LONG", &long)]);
    for size in [1, 2, 7, 1000] {
        let mut wire = begin(9, 1, 0);
        for (count, piece) in variables.chunks(size).enumerate() {
            wire.extend(record_of(4, 9, piece, (count % 256) as u8));
        }
        wire.extend(record_of(4, 9, b"", 255));
        for piece in b"hello".chunks(size) {
            wire.extend(record_of(5, 9, piece, 7));
        }
        wire.extend(record_of(5, 9, b"", 1));
        let head = format!("REQUEST_METHOD=GET CONTENT_LENGTH=5 LONG={long}");
        check(&wire, &[&head, "hello End"]);
    }
}

#[test]
fn a_body_is_as_long_as_it_says() {
    for (length, body, why) in [
        ("4", "hello", "STDIN is longer than CONTENT_LENGTH says"),
        ("0", "h", "STDIN is longer than CONTENT_LENGTH says"),
    ] {
        let wire = request(0, &[GET, ("CONTENT_LENGTH", length)], body.as_bytes());
        let head = format!("REQUEST_METHOD=GET CONTENT_LENGTH={length}");
        check(&wire, &[&head, &format!("400 Bad Request: {why}")]);
    }
    let wire = request(0, &[GET, ("CONTENT_LENGTH", "6")], b"hello");
    let head = "REQUEST_METHOD=GET CONTENT_LENGTH=6";
    check(
        &wire,
        &[
            head,
            "400 Bad Request: STDIN is shorter than CONTENT_LENGTH says",
        ],
    );
    // Where it does not say, the stream does.
    for empty in [&[GET][..], &[GET, ("CONTENT_LENGTH", "")]] {
        let told = events([&request(0, empty, b"hello")[..]], &Limits::default());
        assert_eq!(told[1], "hello End");
    }
}

#[test]
fn malformed_streams() {
    let head = "REQUEST_METHOD=GET";
    let past = "400 Bad Request: a name or value goes past the end of PARAMS";
    for content in [
        &[5][..],
        &[1, 1],
        &[1, 1, b'A'],
        &[1, 0x80, 0, 0],
        &[0x80, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'A'],
    ] {
        let all = [pairs(&[GET]), content.to_vec()].concat();
        let wire = [
            begin(1, 1, 0),
            record_of(4, 1, &all, 0),
            record_of(4, 1, b"", 0),
        ]
        .concat();
        check(&wire, &[past]);
    }
    check(
        &request(0, &[("", "x")], b""),
        &["400 Bad Request: a variable without a name"],
    );
    check(
        &request(0, &[], b""),
        &["400 Bad Request: no REQUEST_METHOD among the variables"],
    );
    for (first, why) in [
        (
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            "an HTTP request on a FastCGI socket",
        ),
        (
            b"\x00\x01\x00\x01\x00\x08\x00\x00",
            "not FastCGI, version 1",
        ),
        (
            b"\x02\x01\x00\x01\x00\x08\x00\x00",
            "not FastCGI, version 1",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01",
            "not FastCGI, version 1",
        ),
    ] {
        check(first, &[&format!("400 Bad Request: {why}")]);
    }
    let begun = begin(1, 1, 0);
    for (then, why) in [
        (begin(1, 1, 0), "a request that begins twice"),
        (
            record_of(1, 2, b"\0\x01\0\0\0\0\0", 0),
            "a BEGIN_REQUEST that is not 8 bytes long",
        ),
        (
            record_of(1, 2, b"\0\x01\0\0\0\0\0\0\0", 0),
            "a BEGIN_REQUEST that is not 8 bytes long",
        ),
        (record_of(5, 1, b"x", 0), "STDIN before the end of PARAMS"),
        (record_of(5, 1, b"", 0), "STDIN before the end of PARAMS"),
    ] {
        check(
            &[begun.clone(), then].concat(),
            &[&format!("400 Bad Request: {why}")],
        );
    }
    let params = [record_of(4, 1, &pairs(&[GET]), 0), record_of(4, 1, b"", 0)].concat();
    for content in [&b"x"[..], b""] {
        let wire = [begun.clone(), params.clone(), record_of(4, 1, content, 0)].concat();
        check(&wire, &[head, "400 Bad Request: PARAMS behind their end"]);
    }
}

#[test]
fn what_is_not_for_us_is_answered_or_ignored() {
    // Another request while one is under way, and all that belongs to it.
    let mut wire = begin(1, 1, 1);
    wire.extend(begin(2, 1, 1));
    wire.extend(record_of(4, 2, b"whatever", 3));
    wire.extend(record_of(5, 2, b"whatever", 0));
    wire.extend(record_of(2, 2, b"", 0));
    wire.extend(&request(0, &[GET], b"")[16..]);
    let cannot = r"\x01\x03\x00\x02\x00\x08\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00 GoOn";
    check(&wire, &[cannot, "REQUEST_METHOD=GET", " End"]);
    // A role that is not served: the connection goes on if the front end wants it.
    let unknown = r"\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00";
    let mut wire = begin(1, 2, 1);
    wire.extend(record_of(4, 1, b"whatever", 0));
    wire.extend(request(0, &[GET], b""));
    check(
        &wire,
        &[&format!("{unknown} GoOn"), "REQUEST_METHOD=GET", " End"],
    );
    check(&begin(1, 3, 0), &[&format!("{unknown} Close")]);
    // Unknown types, and those that only a server sends.
    let mut wire = begin(1, 1, 0);
    for kind in [3, 6, 7, 8, 11, 12, 200] {
        wire.extend(record_of(kind, 1, b"whatever", 1));
    }
    wire.extend(&request(0, &[GET], b"")[16..]);
    check(&wire, &["REQUEST_METHOD=GET", " End"]);
    let type_unknown = r"\x01\x0b\x00\x00\x00\x08\x00\x00\xc8\x00\x00\x00\x00\x00\x00\x00 GoOn";
    check(&record_of(200, 0, b"whatever", 1), &[type_unknown]);
}

#[test]
fn an_aborted_request_is_taken_back() {
    let ended = r"\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let mut wire = begin(1, 1, 1);
    wire.extend(record_of(4, 1, &pairs(&[GET]), 0));
    wire.extend(record_of(2, 1, b"", 0));
    wire.extend(request(0, &[GET], b""));
    let next = ["REQUEST_METHOD=GET", " End"];
    check(&wire, &[&format!("{ended} Forget"), next[0], next[1]]);
    let whole = request(0, &[GET], b"");
    let in_the_body = [&whole[..whole.len() - 8], &record_of(2, 1, b"", 0)].concat();
    check(&in_the_body, &[next[0], &format!("{ended} Close")]);
    // Too late: it is over.
    let wire = [request(1, &[GET], b""), record_of(2, 1, b"", 0)].concat();
    check(&wire, &next);
}

#[test]
fn questions_are_answered() {
    let names = [
        ("FCGI_MAX_CONNS", ""),
        ("FCGI_MPXS_CONNS", ""),
        ("FCGI_WHATEVER", ""),
    ];
    let told = r"\x01\n\x00\x00\x00%\x00\x00\x0e\x03FCGI_MAX_CONNS100\x0f\x01FCGI_MPXS_CONNS0 GoOn";
    check(&record_of(9, 0, &pairs(&names), 5), &[told]);
    check(
        &record_of(9, 0, b"", 0),
        &[r"\x01\n\x00\x00\x00\x00\x00\x00 GoOn"],
    );
    check(
        &record_of(9, 0, &[5], 0),
        &["400 Bad Request: a malformed GET_VALUES"],
    );
    let long = vec![0; QUESTION_BYTES_MAX + 1];
    let told = events([&record_of(9, 0, &long, 0)[..8]], &Limits::default());
    assert_eq!(told, ["400 Bad Request: a GET_VALUES that asks too much"]);
    // In the middle of a request, too.
    let mut wire = begin(1, 1, 0);
    wire.extend(record_of(9, 0, b"", 0));
    wire.extend(&request(0, &[GET], b"")[16..]);
    assert_eq!(events([&wire[..]], &Limits::default()).len(), 3);
}

#[test]
fn bounds_are_inclusive() {
    let variables = pairs(&[GET, ("A", "b")]);
    let wire = request(0, &[GET, ("A", "b")], b"hello");
    let limits = |head, body| Limits {
        head_bytes_max: head,
        body_bytes_max: body,
        ..Limits::default()
    };
    let last = |limits| events([&wire[..]], &limits).pop();
    assert_eq!(
        last(limits(variables.len(), 5)).as_deref(),
        Some("hello End")
    );
    let told = "431 Request Header Fields Too Large: the variables are over the bound of heads";
    assert_eq!(last(limits(variables.len() - 1, 5)).as_deref(), Some(told));
    let told = "413 Content Too Large: STDIN is over the bound of bodies";
    assert_eq!(last(limits(variables.len(), 4)).as_deref(), Some(told));
}

#[test]
fn it_is_idle_between_requests() {
    let (mut reader, mut variables) = (RecordReader::default(), Variables::default());
    let limits = Limits::default();
    assert!(reader.is_idle() && reader.request_id().is_none());
    let wire = request(1, &[GET], b"");
    let (mut at, mut idle) = (0, Vec::new());
    loop {
        let (consumed, step) = reader
            .read(&wire[at..], &limits, &mut variables)
            .expect("a good request");
        at += consumed;
        idle.push(reader.is_idle());
        if step == Step::End {
            break;
        }
    }
    assert_eq!(idle, [false, true], "Head, End");
    assert_eq!(reader.request_id(), Some(1), "the answer is still to come");
    assert!(reader.keeps_connection());
    assert_eq!(
        reader.read(b"\x01", &limits, &mut variables),
        Ok((0, Step::NeedMore))
    );
    assert!(!reader.is_idle());
}

prop_compose! {
    /// Streams of records that are nearly right.
    fn nearly()(
        records in proptest::collection::vec(
            (prop_oneof![Just(1_u8), Just(2), Just(4), Just(5), Just(9), any::<u8>()], 0_u16..3,
             prop_oneof![
                Just(Vec::new()),
                Just(vec![0, 1, 1, 0, 0, 0, 0, 0]),
                Just(pairs(&[GET, ("CONTENT_LENGTH", "3")])),
                proptest::collection::vec(any::<u8>(), 0..20),
             ], 0_u8..9),
            0..12,
        ),
        damage in prop_oneof![3 => Just(None), 1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some)],
    ) -> Vec<u8> {
        let mut wire: Vec<u8> = records
            .iter()
            .flat_map(|(kind, id, content, padding)| record_of(*kind, *id, content, *padding))
            .collect();
        if let Some((place, byte)) = damage && !wire.is_empty() {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        wire
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        wire in prop_oneof![nearly(), proptest::collection::vec(any::<u8>(), 0..64)],
        cut in any::<prop::sample::Index>(),
    ) {
        let limits = Limits { head_bytes_max: 60, fields_max: 4, body_bytes_max: 12, ..Limits::default() };
        let whole = events([&wire[..]], &limits);
        let (front, back) = wire.split_at(cut.index(wire.len() + 1));
        prop_assert_eq!(&whole, &events([front, back], &limits));
        prop_assert_eq!(&whole, &events(wire.chunks(1), &limits));
    }
}
