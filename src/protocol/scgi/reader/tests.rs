//! Every way a netstring can be wrong, and that what is said does not depend on how the bytes were
//! cut.

use proptest::prelude::*;

use super::*;

fn headers(variables: &[(&str, &str)]) -> String {
    let all = variables
        .iter()
        .map(|(name, value)| format!("{name}\0{value}\0"));
    all.collect()
}

fn netstring_of(text: &str) -> Vec<u8> {
    format!("{}:{text},", text.len()).into_bytes()
}

fn request(length: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![
        ("CONTENT_LENGTH", length),
        ("SCGI", "1"),
        ("REQUEST_METHOD", "GET"),
    ];
    all.extend(more);
    netstring_of(&headers(&all))
}

/// Everything the machine says of these pieces of a connection, with neighbouring data joined.
fn events<'i>(pieces: impl IntoIterator<Item = &'i [u8]>, limits: &Limits) -> Vec<String> {
    let (mut reader, mut variables) = (HeaderReader::default(), Variables::default());
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
                    assert!(reader.is_idle());
                    false
                }
                Step::Say => unreachable!("the protocol has nothing to say"),
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

/// The example of the specification, with a method.
#[test]
fn a_request_and_its_body() {
    let mut wire = b"70:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0\
                     REQUEST_URI\0/deepthought\0,"
        .to_vec();
    wire.extend(b"What is the answer to life?, and what is not ours");
    check(
        &wire,
        &[
            "CONTENT_LENGTH=27 SCGI=1 REQUEST_METHOD=POST REQUEST_URI=/deepthought",
            "What is the answer to life? End",
        ],
    );
    let head = "CONTENT_LENGTH=0 SCGI=1 REQUEST_METHOD=GET EMPTY= A=\\n,:\\xff";
    let mut text = headers(&[
        ("CONTENT_LENGTH", "0"),
        ("SCGI", "1"),
        ("REQUEST_METHOD", "GET"),
        ("EMPTY", ""),
    ]);
    text.push_str("A\0\n,:@\0");
    let mut wire = netstring_of(&text);
    for byte in &mut wire {
        *byte = if *byte == b'@' { 0xff } else { *byte };
    }
    check(&wire, &[head, " End"]);
}

#[test]
fn malformed_netstrings() {
    for (wire, why) in [
        (&b":"[..], "no netstring: a length and a colon come first"),
        (b"x", "no netstring: a length and a colon come first"),
        (b"-1:", "no netstring: a length and a colon come first"),
        (b"+1:", "no netstring: a length and a colon come first"),
        (b" 1:", "no netstring: a length and a colon come first"),
        (b"1 :", "no netstring: a length and a colon come first"),
        (b"00:", "the length of the netstring begins with 0"),
        (b"07:", "the length of the netstring begins with 0"),
        (b"0:,", "CONTENT_LENGTH is not the first header"),
        (b"3:a\0b;", "the netstring does not end in a comma"),
        (b"GET / HTTP/1.1\r\n", "an HTTP request on an SCGI socket"),
    ] {
        check(wire, &[&format!("400 Bad Request: {why}")]);
    }
    let first = "CONTENT_LENGTH\x000\0";
    for (text, why) in [
        (
            "SCGI\x001\0CONTENT_LENGTH\x000\0",
            "CONTENT_LENGTH is not the first header",
        ),
        ("CONTENT_LENGTH", "CONTENT_LENGTH is not the first header"),
        ("CONTENT_LENGTH\0", "a value has no end"),
        ("CONTENT_LENGTH\x000", "a value has no end"),
        (
            "CONTENT_LENGTH\0\0SCGI\x001\0REQUEST_METHOD\0GET\0",
            "CONTENT_LENGTH is empty",
        ),
        (&format!("{first}SCGI"), "a name has no end"),
        (&format!("{first}SCGI\0"), "a value has no end"),
        (&format!("{first}SCGI\x001"), "a value has no end"),
        (&format!("{first}\0x\0"), "a variable without a name"),
        (
            &format!("{first}SCGI\x002\0REQUEST_METHOD\0GET\0"),
            "SCGI does not say 1",
        ),
        (
            &format!("{first}REQUEST_METHOD\0GET\0"),
            "SCGI does not say 1",
        ),
        (
            &format!("{first}SCGI\x001\0"),
            "no REQUEST_METHOD among the variables",
        ),
    ] {
        check(&netstring_of(text), &[&format!("400 Bad Request: {why}")]);
    }
    for length in ["+5", "-1", "5 ", "0x5", "1_0", "18446744073709551616"] {
        let told = events([&request(length, &[])[..]], &Limits::default());
        assert_eq!(told.len(), 1, "{length}");
        assert!(told[0].starts_with("400 "), "{told:?}");
    }
}

#[test]
fn bounds_are_inclusive_and_bite_before_the_bytes_have_come() {
    let text = headers(&[
        ("CONTENT_LENGTH", "5"),
        ("SCGI", "1"),
        ("REQUEST_METHOD", "GET"),
    ]);
    let wire = netstring_of(&text);
    let limits = |head, body| Limits {
        head_bytes_max: head,
        body_bytes_max: body,
        ..Limits::default()
    };
    assert_eq!(events([&wire[..]], &limits(text.len(), 5)).len(), 1);
    let told = "431 Request Header Fields Too Large: the netstring is over the bound of heads";
    assert_eq!(events([&wire[..3]], &limits(text.len() - 1, 5)), [told]);
    for wire in [&b"100000000"[..], b"100000000:", b"000000000"] {
        assert_eq!(events(wire.chunks(1), &limits(usize::MAX, 5)), [told]);
    }
    let told = "413 Content Too Large: CONTENT_LENGTH is over the bound of bodies";
    assert_eq!(events([&wire[..]], &limits(text.len(), 4)), [told]);
}

#[test]
fn it_is_idle_before_the_first_byte_and_behind_the_last() {
    let (mut reader, mut variables) = (HeaderReader::default(), Variables::default());
    let limits = Limits::default();
    assert_eq!(
        reader.read(b"", &limits, &mut variables),
        Ok((0, Step::NeedMore))
    );
    assert!(reader.is_idle());
    assert_eq!(
        reader.read(b"1", &limits, &mut variables),
        Ok((0, Step::NeedMore))
    );
    assert!(!reader.is_idle());
}

prop_compose! {
    /// Requests that are nearly right: lengths off by a little, bytes changed.
    fn nearly()(
        length in prop_oneof![4 => (0_u8..20).prop_map(|length| length.to_string()), 1 => "[0-9+ -]{0,3}"],
        texts in proptest::collection::vec("[A-Z_]{0,6}", 0..12),
        off in -2_i32..=2,
        damage in prop_oneof![3 => Just(None), 1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some)],
        rest in proptest::collection::vec(any::<u8>(), 0..24),
    ) -> Vec<u8> {
        let mut all = vec![("CONTENT_LENGTH", length.as_str()), ("SCGI", "1"), ("REQUEST_METHOD", "GET")];
        all.extend(texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())));
        let text = headers(&all);
        let mut wire = format!("{}:{text},", text.len() as i32 + off).into_bytes();
        if let Some((place, byte)) = damage {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        wire.extend(rest);
        wire
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        wire in prop_oneof![nearly(), proptest::collection::vec(any::<u8>(), 0..64)],
        cut in any::<prop::sample::Index>(),
    ) {
        let limits = Limits { head_bytes_max: 200, fields_max: 4, body_bytes_max: 12, ..Limits::default() };
        let whole = events([&wire[..]], &limits);
        let (front, back) = wire.split_at(cut.index(wire.len() + 1));
        prop_assert_eq!(&whole, &events([front, back], &limits));
        prop_assert_eq!(&whole, &events(wire.chunks(1), &limits));
    }
}
