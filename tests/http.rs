//! The HTTP parser with its corpus and with random input: its events depend on the bytes and not on
//! how they were split, each limit is exact, and no input makes it panic.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use singlemalt::protocol::http::{
    self, FieldKind, Framing, Limits, RequestHead, RequestReader, Step,
};

#[path = "http/notation.rs"]
mod notation;
#[path = "http/readings.rs"]
mod readings;

use readings::{Event, events, show, whole};

/// A file of the corpus: its name, its text, the bytes it stands for.
struct Case {
    name: String,
    text: String,
    wire: Vec<u8>,
}

/// All cases of a folder, by name.
fn corpus(folder: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/requests")
        .join(folder);
    let mut cases: Vec<Case> = fs::read_dir(&path)
        .expect("the corpus")
        .map(|entry| entry.expect("the corpus").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "http")
        })
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a case is UTF-8 text");
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            Case {
                name,
                wire: notation::bytes(&text),
                text,
            }
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// Where to split: everywhere except in the middle of long cases.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (1..length).filter(move |&cut| {
        cut < 1200 || length - cut < 300 || cut % 1009 == 0 || (32_000..33_000).contains(&cut)
    })
}

/// Reads a case in every way; all must agree. Returns the events.
fn read_every_way(case: &Case, limits: &Limits) -> Vec<Event> {
    let said = whole(&case.wire, limits);
    assert_eq!(
        said,
        events(case.wire.chunks(1), limits),
        "{} byte by byte",
        case.name
    );
    for cut in cuts(case.wire.len()) {
        let (front, back) = case.wire.split_at(cut);
        assert_eq!(
            said,
            events([front, back], limits),
            "{} cut at {cut}",
            case.name
        );
    }
    said
}

/// The events of a case under its name and comment.
fn tell(case: &Case, said: &[Event]) -> String {
    let mut told = format!("=== {}\n", case.name);
    for comment in case.text.lines().take_while(|line| line.starts_with('#')) {
        writeln!(told, "{comment}").expect("a string");
    }
    for event in said {
        match event {
            Event::Head(head) => writeln!(told, "{head}"),
            Event::Data(data) => writeln!(told, "data \"{}\"", data.escape_ascii()),
            Event::End => writeln!(told, "end"),
            Event::Refused(refusal) => writeln!(told, "refused: {refusal}"),
            Event::Idle => Ok(()),
            Event::Waits => writeln!(told, "(waits)"),
        }
        .expect("a string");
    }
    told
}

fn snapshot(name: &str, told: &str) {
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, told) });
}

#[test]
fn valid_requests_are_served_however_they_are_cut() {
    let cases = corpus("valid");
    assert!(cases.len() >= 45, "the corpus was found");
    let mut told = String::new();
    for case in &cases {
        let said = read_every_way(case, &Limits::default());
        assert!(
            !said.iter().any(|event| matches!(event, Event::Refused(_))),
            "{} is valid: {said:?}",
            case.name
        );
        let waits = case.name.starts_with("incomplete") && case.name != "incomplete-lone-cr";
        assert_eq!(
            said.last(),
            Some(if waits { &Event::Waits } else { &Event::Idle }),
            "{}",
            case.name
        );
        told += &tell(case, &said);
        told.push('\n');
    }
    snapshot("http__valid", &told);
}

#[test]
fn invalid_requests_are_refused_however_they_are_cut() {
    let cases = corpus("invalid");
    assert!(cases.len() >= 70, "the corpus was found");
    let mut told = String::new();
    for case in &cases {
        let said = read_every_way(case, &Limits::default());
        assert!(
            matches!(said.last(), Some(Event::Refused(_))),
            "{} is refused: {said:?}",
            case.name
        );
        // After a refused head no part of its request is emitted.
        let heads = said
            .iter()
            .filter(|event| matches!(event, Event::Head(_)))
            .count();
        let ends = said.iter().filter(|event| **event == Event::End).count();
        assert!(heads - ends <= 1, "{}", case.name);
        told += &tell(case, &said);
        told.push('\n');
    }
    snapshot("http__invalid", &told);
}

/// The requests of two valid connections are valid on one connection too.
#[test]
fn requests_pipeline() {
    let cases: Vec<Case> = corpus("valid")
        .into_iter()
        .filter(|case| !case.name.starts_with("incomplete"))
        .collect();
    let limits = Limits::default();
    for first in &cases {
        for second in &cases {
            // Empty lines are counted per request: together they may be too many.
            if first.wire.ends_with(b"\r\n\r\n\r\n") && second.wire.starts_with(b"\r\n") {
                continue;
            }
            let mut expected = whole(&first.wire, &limits);
            assert_eq!(expected.pop(), Some(Event::Idle), "{}", first.name);
            expected.extend(whole(&second.wire, &limits));
            let both = [&first.wire[..], &second.wire].concat();
            assert_eq!(
                whole(&both, &limits),
                expected,
                "{} and {}",
                first.name,
                second.name
            );
        }
    }
}

/// The status that ends the reading of `wire`, all three ways; `None` where nothing is refused.
fn status(wire: &[u8], limits: &Limits) -> Option<u16> {
    let case = Case {
        name: "limit".to_owned(),
        text: String::new(),
        wire: wire.to_vec(),
    };
    match read_every_way(&case, limits).last() {
        Some(Event::Refused(refusal)) => Some(refusal.status),
        Some(Event::Idle) => None,
        other => panic!("a limit case is complete: {other:?}"),
    }
}

/// Each limit accepts a request exactly at the limit, and refuses one more with its status.
#[test]
fn every_limit_bites() {
    let head = "GET /0123456789 HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let in_chunks = format!("{chunked}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
    let in_one_chunk = format!("{chunked}5\r\nhello\r\n0\r\n\r\n");
    let with_extension = format!("{chunked}1;abcdef\r\nx\r\n0\r\n\r\n");
    let with_trailers = format!("{chunked}0\r\nA: b\r\nC: d\r\n\r\n");
    type Set = fn(&mut Limits, usize);
    let table: [(&str, &str, usize, u16, Set); 8] = [
        ("head_bytes_max", head, head.len(), 431, |limits, at| {
            limits.head_bytes_max = at
        }),
        ("fields_max", head, 3, 431, |limits, at| {
            limits.fields_max = at
        }),
        ("target_bytes_max", head, 11, 414, |limits, at| {
            limits.target_bytes_max = at
        }),
        (
            "body_bytes_max, Content-Length",
            length,
            5,
            413,
            |limits, at| limits.body_bytes_max = at as u64,
        ),
        (
            "body_bytes_max, chunks",
            &in_chunks,
            5,
            413,
            |limits, at| limits.body_bytes_max = at as u64,
        ),
        (
            "body_bytes_max, one chunk",
            &in_one_chunk,
            5,
            413,
            |limits, at| limits.body_bytes_max = at as u64,
        ),
        (
            "chunk_line_bytes_max",
            &with_extension,
            10,
            400,
            |limits, at| limits.chunk_line_bytes_max = at,
        ),
        (
            "trailer_bytes_max",
            &with_trailers,
            14,
            431,
            |limits, at| limits.trailer_bytes_max = at,
        ),
    ];
    for (name, wire, at, refused, set) in table {
        let with = |value| {
            let mut limits = Limits::default();
            set(&mut limits, value);
            status(wire.as_bytes(), &limits)
        };
        assert_eq!(with(at - 1), Some(refused), "{name}: one over is refused");
        assert_eq!(with(at), None, "{name}: exactly at it passes");
    }
    // If the request line does not fit, the target is too long.
    let line = head.find('\n').expect("a line") + 1;
    let with = |head_bytes_max| {
        status(
            head.as_bytes(),
            &Limits {
                head_bytes_max,
                ..Limits::default()
            },
        )
    };
    assert_eq!((with(line - 1), with(line)), (Some(414), Some(431)));
}

/// An incomplete head that fills its limit is refused at once, so a caller with a buffer of that
/// size never waits for a byte that does not fit.
#[test]
fn a_full_buffer_is_an_answer() {
    let limits = Limits::default();
    let mut wire = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    wire.resize(limits.head_bytes_max, b'x');
    assert_eq!(status(&wire, &limits), Some(431));
    assert_eq!(whole(&wire[1..], &limits), [Event::Waits]);
    let mut wire = b"GET /".to_vec();
    wire.resize(limits.head_bytes_max, b'x');
    assert_eq!(status(&wire, &limits), Some(414));
}

#[test]
fn ceilings_hold_whatever_is_set() {
    let limits = Limits {
        fields_max: usize::MAX,
        head_bytes_max: usize::MAX,
        ..Limits::default()
    };
    let head = |fields: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(fields - 1)
        )
    };
    let read = |fields| whole(head(fields).as_bytes(), &limits);
    assert!(matches!(
        read(Limits::FIELDS_CEILING)[..],
        [Event::Head(_), Event::End, Event::Idle]
    ));
    assert!(
        matches!(&read(Limits::FIELDS_CEILING + 1)[..], [Event::Refused(refusal)] if refusal.status == 431)
    );
}

#[test]
fn empty_lines_are_bounded_for_each_request() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let with = |lines: usize| format!("{request}{}{request}", "\r\n".repeat(lines));
    let most = usize::from(Limits::EMPTY_LINES_MAX);
    assert_eq!(
        status(with(most).repeat(3).as_bytes(), &Limits::default()),
        None
    );
    assert_eq!(
        status(with(most + 1).as_bytes(), &Limits::default()),
        Some(400)
    );
}

#[test]
fn chunk_overhead_is_bounded() {
    let body = |chunks: usize, extension: usize| {
        let chunk = format!("1;{}\r\nx\r\n", "a".repeat(extension));
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(chunks)
        )
    };
    // A line of 4 + 18 - 4 = 18 bytes is what one byte of data justifies: never too much, however
    // many.
    let many = whole(body(100_000, 14).as_bytes(), &Limits::default());
    assert!(
        matches!(&many[..], [Event::Head(_), Event::Data(data), Event::End, Event::Idle] if data.len() == 100_000)
    );
    // 130 bytes a line spend 112 each: the bound of 16384 holds for 146 chunks; the last one gives
    // 13 back.
    let status = |chunks| {
        whole(body(chunks, 126).as_bytes(), &Limits::default())
            .into_iter()
            .find_map(|event| match event {
                Event::Refused(refusal) => Some(refusal.status),
                _ => None,
            })
    };
    assert_eq!(status(146), None);
    assert_eq!(status(147), Some(400));
}

/// A body limit of `u64::MAX` is no limit, and no sum of chunk sizes overflows it.
#[test]
fn no_bound_is_still_64_bits() {
    let limits = Limits {
        body_bytes_max: u64::MAX,
        ..Limits::default()
    };
    let head = "POST / HTTP/1.1\r\nHost: a\r\n";
    let read = |rest: &str| whole(format!("{head}{rest}").as_bytes(), &limits);
    assert!(matches!(
        read("Content-Length: 18446744073709551615\r\n\r\n")[..],
        [Event::Head(_), Event::Waits]
    ));
    let wraps = read("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nffffffffffffffff\r\n");
    assert!(
        matches!(&wraps[..], [Event::Head(_), Event::Data(_), Event::Refused(refusal)] if refusal.status == 413)
    );
}

/// The data for the environ: kinds of fields, repeated fields, values, and reused memory.
#[test]
fn a_head_can_be_asked() {
    let wire = b"POST /a?b=c HTTP/1.1\r\nhost: x\r\nX-A: 1\r\nCOOKIE: a\r\nContent-type: t\r\ncontent-length: 2\r\nx-a: 2\r\n\r\n";
    let mut reader = RequestReader::default();
    let mut head = RequestHead::default();
    let told = reader.read(wire, &Limits::default(), &mut head);
    assert_eq!(told, Ok((wire.len(), Step::Head)));
    assert_eq!(
        (head.method(), head.path(), head.query()),
        (&b"POST"[..], &b"/a"[..], Some(&b"b=c"[..]))
    );
    assert_eq!(head.framing(), Framing::Length(2));
    assert_eq!(head.received_bytes(), wire.len());
    assert_eq!(head.values(b"X-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.value_of(FieldKind::ContentType), Some(&b"t"[..]));
    assert_eq!(head.value_of(FieldKind::Expect), None);
    for field in head.fields() {
        assert_eq!(
            field.name_hash,
            http::name_hash(&field.name.to_ascii_uppercase())
        );
    }
    let kinds: Vec<FieldKind> = head.fields().map(|field| field.kind).collect();
    use FieldKind::{ContentLength, ContentType, Cookie, Host, Other};
    assert_eq!(
        kinds,
        [Host, Other, Cookie, ContentType, ContentLength, Other]
    );
    head.clear();
    assert_eq!(
        (head.fields().len(), head.target(), head.framing()),
        (0, &b""[..], Framing::Empty)
    );
}

/// The reader reports its state correctly during a request: deadlines depend on it.
#[test]
fn idle_is_before_the_first_byte_and_after_the_end() {
    let mut reader = RequestReader::default();
    let mut head = RequestHead::default();
    let limits = Limits::default();
    let wire = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    assert!(reader.is_idle());
    assert_eq!(
        reader.read(&wire[..2], &limits, &mut head),
        Ok((2, Step::NeedMore))
    );
    assert!(reader.is_idle(), "an empty line is no request");
    assert_eq!(
        reader.read(&wire[2..3], &limits, &mut head),
        Ok((0, Step::NeedMore))
    );
    assert!(!reader.is_idle());
    assert_eq!(
        reader.read(&wire[2..], &limits, &mut head),
        Ok((wire.len() - 3, Step::Head))
    );
    assert!(!reader.is_idle());
    assert_eq!(
        reader.read(b"x", &limits, &mut head),
        Ok((1, Step::Data(b"x")))
    );
    assert!(!reader.is_idle());
    assert_eq!(reader.read(b"", &limits, &mut head), Ok((0, Step::End)));
    assert!(reader.is_idle());
    assert_eq!(
        reader.read(b"", &limits, &mut head),
        Ok((0, Step::NeedMore))
    );
}

/// A reused head contains nothing of the previous request.
#[test]
fn a_reused_head_forgets() {
    let limits = Limits::default();
    let complete: Vec<Case> = corpus("valid")
        .into_iter()
        .filter(|case| !case.name.starts_with("incomplete"))
        .collect();
    let mut used = RequestHead::default();
    for case in complete.iter().chain(complete.iter().rev()) {
        let mut fresh = RequestHead::default();
        let mut told = [Ok((0, Step::End)); 2];
        for (head, told) in [&mut used, &mut fresh].into_iter().zip(&mut told) {
            *told = RequestReader::default().read(&case.wire, &limits, head);
        }
        assert_eq!(told[0], told[1], "{}", case.name);
        assert_eq!(show(&used), show(&fresh), "{}", case.name);
    }
}

/// Bytes that look like requests, broken here and there: corpus cases cut, joined and spoiled.
fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let wires: Vec<Vec<u8>> = ["valid", "invalid"]
        .into_iter()
        .flat_map(corpus)
        .map(|case| case.wire)
        .filter(|wire| wire.len() < 2000)
        .collect();
    let spoil = prop_oneof![
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\0".to_vec()),
        Just(b":".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
    ];
    let edit = (
        any::<prop::sample::Index>(),
        0..4usize,
        prop::option::of(spoil),
    );
    (
        prop::collection::vec(prop::sample::select(wires), 1..3),
        prop::collection::vec(edit, 0..4),
    )
        .prop_map(|(wires, edits)| {
            let mut wire = wires.concat();
            for (at, removed, added) in edits {
                let at = at.index(wire.len() + 1);
                let end = (at + removed).min(wire.len());
                wire.splice(at..end, added.unwrap_or_default());
            }
            wire
        })
}

/// Cuts `wire` at the given places.
fn pieces<'w>(wire: &'w [u8], at: &[prop::sample::Index]) -> Vec<&'w [u8]> {
    let mut cuts: Vec<usize> = at
        .iter()
        .map(|at| at.index(wire.len() + 1))
        .chain([0, wire.len()])
        .collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &wire[cut[0]..cut[1]]).collect()
}

fn agree(wire: &[u8], at: &[prop::sample::Index]) -> Result<(), TestCaseError> {
    let small = Limits {
        head_bytes_max: 300,
        fields_max: 8,
        target_bytes_max: 40,
        body_bytes_max: 64,
        chunk_line_bytes_max: 24,
        trailer_bytes_max: 48,
    };
    for limits in [Limits::default(), small] {
        let said = whole(wire, &limits);
        prop_assert_eq!(&said, &events(wire.chunks(1), &limits), "byte by byte");
        prop_assert_eq!(&said, &events(pieces(wire, at), &limits), "in pieces");
    }
    Ok(())
}

proptest! {
    #[test]
    fn readings_agree_on_spoiled_requests(wire in spoiled(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        agree(&wire, &at)?;
    }

    #[test]
    fn readings_agree_on_any_bytes(wire in prop::collection::vec(any::<u8>(), 0..400), at in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        agree(&wire, &at)?;
    }

    #[test]
    fn readings_agree_on_any_bytes_in_a_chunked_body(
        body in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), Just(b';'), Just(b'a'), Just(b':'), any::<u8>()], 0..200),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let wire = [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &body[..]].concat();
        agree(&wire, &at)?;
    }

    /// A body that is split into chunks is read unchanged.
    #[test]
    fn chunks_are_undone(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..100), 0..20)) {
        let mut wire = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            http::response::chunk_prefix(chunk.len(), &mut wire);
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(http::response::CHUNK_END);
        }
        wire.extend_from_slice(http::response::LAST_CHUNK);
        let said = whole(&wire, &Limits::default());
        let data: Vec<u8> = said.iter().flat_map(|event| match event { Event::Data(data) => data.clone(), _ => Vec::new() }).collect();
        prop_assert_eq!(data, chunks.concat());
        prop_assert_eq!(&said[said.len() - 2..], [Event::End, Event::Idle]);
    }
}
