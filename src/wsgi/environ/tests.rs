//! The environ's small parts. Whole environs of whole requests are snapshots: tests/wsgi.rs.

use proptest::prelude::*;

use super::*;

fn decoded(path: &[u8]) -> Vec<u8> {
    path_info(path, &mut b"left over".to_vec()).to_vec()
}

#[test]
fn paths_are_decoded_once_and_only_where_they_are_encoded() {
    assert_eq!(decoded(b"/plain+path"), b"/plain+path");
    assert_eq!(decoded(b"/%41%7a%C3%a9"), b"/Az\xc3\xa9");
    assert_eq!(decoded(b"/%2f%00%25"), b"/\x2f\0%");
    assert_eq!(decoded(b"/%2541"), b"/%41");
    assert_eq!(decoded(b"/%"), b"/%");
    assert_eq!(decoded(b"/%4"), b"/%4");
    assert_eq!(decoded(b"/%4g%41"), b"/%4gA");
    assert_eq!(decoded(b"/%%41"), b"/%A");
    assert_eq!(decoded(b"*"), b"");
}

#[test]
fn a_path_without_escapes_is_not_copied() {
    let path = b"/a/b/c";
    let mut scratch = Vec::new();
    assert_eq!(path_info(path, &mut scratch).as_ptr(), path.as_ptr());
    assert_eq!(scratch.capacity(), 0);
}

/// The decoder, as plainly as it can be said.
fn model(path: &[u8]) -> Vec<u8> {
    match path {
        [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let digits = [*high, *low];
            let byte = std::str::from_utf8(&digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            byte.into_iter().chain(model(rest)).collect()
        }
        [byte, rest @ ..] => std::iter::once(*byte).chain(model(rest)).collect(),
        [] => Vec::new(),
    }
}

proptest! {
    #[test]
    fn decoding_agrees_with_the_model(path in prop::collection::vec(
        prop_oneof![3 => Just(b'%'), 3 => prop::sample::select(b"0123456789abcdefABCDEFgG".to_vec()), 1 => any::<u8>()], 0..40,
    )) {
        let path = [b"/", &path[..]].concat();
        prop_assert_eq!(decoded(&path), model(&path));
    }
}

#[test]
fn peers_as_text() {
    let text = |address: &str| {
        let peer = Peer::new(Some(address.parse().expect("an address")));
        (
            String::from_utf8(peer.address().to_vec()).expect("ASCII"),
            String::from_utf8(peer.port().to_vec()).expect("ASCII"),
        )
    };
    assert_eq!(text("127.0.0.1:1"), ("127.0.0.1".into(), "1".into()));
    assert_eq!(text("[::1]:65535"), ("::1".into(), "65535".into()));
    assert_eq!(
        text("[::ffff:10.1.2.3]:80"),
        ("10.1.2.3".into(), "80".into())
    );
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(
        text(&format!("[{longest}]:65535")),
        (longest.into(), "65535".into())
    );
    assert_eq!(
        (Peer::default().address(), Peer::default().port()),
        (&b""[..], &b""[..])
    );
}

#[test]
fn keys_of_fields() {
    let mut key = Vec::new();
    environ_key(b"X-Forwarded-For", &mut key);
    assert_eq!(key, b"HTTP_X_FORWARDED_FOR");
    key.clear();
    environ_key(b"dnt", &mut key);
    assert_eq!(key, b"HTTP_DNT");
}

#[test]
fn every_key_is_there_once_and_at_its_index() {
    let mut names: Vec<&str> = Known::ALL.iter().map(|known| known.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Known::COUNT);
    for (index, known) in Known::ALL.into_iter().enumerate() {
        assert_eq!(known.index(), index);
    }
}

#[test]
fn the_listener_gives_the_keys_that_are_its_own() {
    let facts = ServerFacts::new(None, "host", "https");
    let mut given = Vec::new();
    let told = for_each_of_listener(&facts, |known, _| {
        given.push(known);
        Ok::<(), std::convert::Infallible>(())
    });
    assert!(told.is_ok());
    let own: Vec<Known> = Known::ALL
        .into_iter()
        .filter(|known| known.source() == Source::Listener)
        .collect();
    assert_eq!(given, own);
}

#[test]
fn an_error_of_put_stops_and_is_given_back() {
    let mut calls = 0;
    let told = for_each(
        &RequestHead::default(),
        &Peer::default(),
        None,
        &mut Vec::new(),
        |_, _| {
            calls += 1;
            if calls == 3 { Err("full") } else { Ok(()) }
        },
    );
    assert_eq!((told, calls), (Err("full"), 3));
}
