//! Every way a packet can be wrong, and that what is said does not depend on how the bytes were
//! cut.

use proptest::prelude::*;

use super::*;

/// A packet with these bytes behind its header.
fn packet(modifier1: u8, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(body.len()).expect("a packet is under 64 KiB");
    let [low, high] = size.to_le_bytes();
    [&[modifier1, low, high, 0], body].concat()
}

fn pairs(variables: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in variables.iter().flat_map(|(name, value)| [name, value]) {
        out.extend((text.len() as u16).to_le_bytes());
        out.extend(text.as_bytes());
    }
    out
}

const GET: (&str, &str) = ("REQUEST_METHOD", "GET");

/// Everything the machine says of these pieces of a connection, with neighbouring data joined.
fn events<'i>(pieces: impl IntoIterator<Item = &'i [u8]>, limits: &Limits) -> Vec<String> {
    let (mut reader, mut variables) = (PacketReader::default(), Variables::default());
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
                Step::Say => {
                    let mut out = Vec::new();
                    assert_eq!(reader.reply(&mut out), Reply::Close);
                    told.push(format!("says {out:?}"));
                    return told;
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
fn a_request_and_its_body() {
    let variables = pairs(&[GET, ("CONTENT_LENGTH", "5"), ("EMPTY", "")]);
    let mut wire = packet(0, &variables);
    wire.extend(b"hello, and what is not ours");
    let head = "REQUEST_METHOD=GET CONTENT_LENGTH=5 EMPTY=";
    check(&wire, &[head, "hello End"]);
    check(&packet(0, &pairs(&[GET])), &["REQUEST_METHOD=GET", " End"]);
}

#[test]
fn a_value_may_have_any_bytes_and_64_kilobytes() {
    let mut body = pairs(&[GET]);
    body.extend([1, 0, b'A', 3, 0, 0, b'\n', 0xff]);
    check(
        &packet(0, &body),
        &["REQUEST_METHOD=GET A=\\x00\\n\\xff", " End"],
    );
    let long = "x".repeat(65_535 - pairs(&[GET, ("A", "")]).len());
    let limits = Limits {
        head_bytes_max: 65_535,
        ..Limits::default()
    };
    let wire = packet(0, &pairs(&[GET, ("A", &long)]));
    let told = events([&wire[..]], &limits);
    assert_eq!(
        told,
        [format!("REQUEST_METHOD=GET A={long}"), " End".to_owned()]
    );
}

/// A good packet with its variables cut at every place, and the header's size adapted.
#[test]
fn no_variable_reaches_past_its_packet() {
    let whole = pairs(&[GET, ("PATH_INFO", "/a")]);
    let ends = [whole.len(), pairs(&[GET]).len()];
    for length in 1..whole.len() {
        let told = events([&packet(0, &whole[..length])[..]], &Limits::default());
        if ends.contains(&length) {
            assert_eq!(told.len(), 2, "{told:?}");
        } else {
            assert_eq!(told.len(), 1, "{length}: {told:?}");
            assert!(told[0].starts_with("400 Bad Request: a "), "{told:?}");
        }
    }
}

#[test]
fn malformed_packets() {
    let name = "400 Bad Request: a name goes past the packet's end";
    let value = "400 Bad Request: a value goes past the packet's end";
    for (body, told) in [
        (&[0xff, 0xff, b'A'][..], name),
        (&[2, 0, b'A'], name),
        (&[1], name),
        (&[1, 0, b'A'], value),
        (&[1, 0, b'A', 1], value),
        (&[1, 0, b'A', 1, 0], value),
        (&[1, 0, b'A', 0xff, 0xff, b'B'], value),
        (
            &[0, 0, 1, 0, b'B'],
            "400 Bad Request: a variable without a name",
        ),
        (&[0, 0, 0, 0], "400 Bad Request: a variable without a name"),
    ] {
        check(&packet(0, body), &[told]);
        check(
            &packet(0, &[pairs(&[GET]), body.to_vec()].concat()),
            &[told],
        );
    }
    check(&packet(0, b""), &["400 Bad Request: an empty packet"]);
    check(
        &packet(0, &pairs(&[("PATH_INFO", "/")])),
        &["400 Bad Request: no REQUEST_METHOD among the variables"],
    );
    let length = |text| packet(0, &pairs(&[GET, ("CONTENT_LENGTH", text)]));
    let told = "400 Bad Request: Content-Length is not a number in digits";
    check(&length("+5"), &[told]);
    check(&length("5 "), &[told]);
}

#[test]
fn bounds_are_inclusive_and_bite_before_the_bytes_have_come() {
    let body = pairs(&[GET, ("A", "b")]);
    let limits = |bytes| Limits {
        head_bytes_max: bytes,
        ..Limits::default()
    };
    let wire = packet(0, &body);
    assert_eq!(events([&wire[..]], &limits(body.len())).len(), 2);
    let told = "431 Request Header Fields Too Large: the packet is over the bound of heads";
    assert_eq!(events([&wire[..4]], &limits(body.len() - 1)), [told]);
    let limits = Limits {
        body_bytes_max: 4,
        ..Limits::default()
    };
    let wire = packet(0, &pairs(&[GET, ("CONTENT_LENGTH", "5")]));
    let told = "413 Content Too Large: CONTENT_LENGTH is over the bound of bodies";
    assert_eq!(events([&wire[..]], &limits), [told]);
}

#[test]
fn a_ping_is_answered_and_other_modifiers_are_not_served() {
    check(&packet(100, b""), &["says [100, 0, 0, 1]"]);
    for binary in [17, 110, 111, 173, 224, 255] {
        check(&packet(binary, b"whatever"), &["says [255, 0, 0, 0]"]);
    }
    for other in [1, 5, 7, 9, 14, 18, 22, 72, 123, 250] {
        let told = "501 Not Implemented: not enabled on this socket, which serves WSGI";
        check(&packet(other, &pairs(&[GET])), &[told]);
    }
    for modifier in 0..=255 {
        let wire = packet(modifier, &pairs(&[GET]));
        let served = events([&wire[..]], &Limits::default()).len() == 2;
        assert_eq!(served, [0, 30].contains(&modifier), "{modifier}");
    }
}

#[test]
fn a_modifier_says_what_it_is() {
    assert_eq!(
        Modifier(17).to_string(),
        "modifier1 17 (a task for the spooler)"
    );
    assert_eq!(Modifier(22).to_string(), "modifier1 22 (code to run)");
    assert_eq!(
        Modifier(123).to_string(),
        "modifier1 123 (nothing that is known)"
    );
}

#[test]
fn http_on_a_uwsgi_socket_is_told_so() {
    let told = ["400 Bad Request: an HTTP request on a uwsgi socket"];
    for method in ["GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PATC"] {
        check(method.as_bytes(), &told);
    }
}

#[test]
fn modifier_30_takes_the_script_off_the_path() {
    let body = pairs(&[GET, ("SCRIPT_NAME", "/shop"), ("PATH_INFO", "/shop/cart")]);
    for (modifier, path) in [(0, b"/shop/cart".as_slice()), (30, b"/cart")] {
        let (mut reader, mut variables) = (PacketReader::default(), Variables::default());
        let wire = packet(modifier, &body);
        let said = reader.read(&wire, &Limits::default(), &mut variables);
        assert_eq!(said, Ok((4 + body.len(), Step::Head)));
        assert_eq!(variables.path(), Some(path));
    }
}

#[test]
fn it_is_idle_before_the_first_byte_and_behind_the_last() {
    let (mut reader, mut variables) = (PacketReader::default(), Variables::default());
    let limits = Limits::default();
    assert!(reader.is_idle());
    assert_eq!(
        reader.read(b"", &limits, &mut variables),
        Ok((0, Step::NeedMore))
    );
    assert!(reader.is_idle());
    assert_eq!(
        reader.read(b"\0", &limits, &mut variables),
        Ok((0, Step::NeedMore))
    );
    assert!(!reader.is_idle());
}

prop_compose! {
    /// Packets that are nearly right: sizes and lengths off by a little, modifiers of every kind.
    fn nearly()(
        modifier in prop_oneof![4 => Just(0_u8), 1 => Just(30), 1 => any::<u8>()],
        texts in proptest::collection::vec("[A-Z_]{0,6}", 0..12),
        length in prop_oneof![Just(None), (0_u8..20).prop_map(Some)],
        off in -2_i32..=2,
        damage in prop_oneof![3 => Just(None), 1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some)],
        rest in proptest::collection::vec(any::<u8>(), 0..24),
    ) -> Vec<u8> {
        let length = length.map(|length| length.to_string());
        let mut all = vec![GET];
        all.extend(length.as_deref().map(|length| ("CONTENT_LENGTH", length)));
        all.extend(texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())));
        let mut body = pairs(&all);
        if let Some((place, byte)) = damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let mut wire = packet(modifier, &body);
        let size = (body.len() as i32 + off).max(0) as u16;
        wire[1..3].copy_from_slice(&size.to_le_bytes());
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
