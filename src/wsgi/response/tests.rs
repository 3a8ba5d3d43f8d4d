//! What cannot be seen from outside the room: how bytes are handed over. The rules themselves are a
//! table in tests/wsgi.rs, with a snapshot.

use super::*;
use crate::protocol::http::Version;
use std::fs::File;

const DATE: HttpDate = *b"Sun, 06 Nov 1994 08:49:37 GMT";
const GET: RequestFacts = RequestFacts {
    form: Form::Http,
    version: Version::Http11,
    is_head: false,
    keep_alive: true,
};

/// Sizes of the two slices of every send.
#[derive(Default)]
struct Sizes {
    sends: Vec<(usize, usize)>,
    full: bool,
}

impl Sink for Sizes {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        self.sends.push((first.len(), second.len()));
        Ok(if self.full { Room::Full } else { Room::Ready })
    }

    fn send_file(&mut self, head: &[u8], _: File, _: u64, length: u64) -> Result<Room, ClientGone> {
        self.send(head, &vec![0; length as usize])
    }

    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }
}

fn begun() -> Response {
    let mut response = Response::default();
    response.reset(GET, &DATE);
    response.begin(b"200 OK").expect("a good status");
    response
}

#[test]
fn head_and_body_are_copied_together_up_to_the_bound() {
    let mut sizes = Sizes::default();
    assert_eq!(begun().finish_with(b"x", &mut sizes), Ok(Room::Ready));
    let head = sizes.sends[0].0 - 1;
    // The length of the length matters: both bodies below have five digits.
    let head = head + 4;
    for (body, want) in [
        (COALESCED_BYTES_MAX - head, (COALESCED_BYTES_MAX, 0)),
        (
            COALESCED_BYTES_MAX - head + 1,
            (head, COALESCED_BYTES_MAX - head + 1),
        ),
    ] {
        let mut sizes = Sizes::default();
        assert_eq!(
            begun().finish_with(&vec![0; body], &mut sizes),
            Ok(Room::Ready)
        );
        assert_eq!(sizes.sends, [want]);
    }
}

#[test]
fn chunks_are_copied_up_to_their_bound() {
    let mut sizes = Sizes::default();
    let mut response = begun();
    let large = COPIED_CHUNK_BYTES_MAX + 1;
    for size in [1, COPIED_CHUNK_BYTES_MAX, large] {
        assert_eq!(response.write(&vec![0; size], &mut sizes), Ok(Room::Ready));
    }
    assert_eq!(
        response.finish_with(&vec![0; large], &mut sizes),
        Ok(Room::Ready)
    );
    let head = response.summary().header_bytes;
    assert_eq!(
        sizes.sends,
        [
            (head + "1\r\n".len() + 1 + 2, 0),
            ("10000\r\n".len() + COPIED_CHUNK_BYTES_MAX + 2, 0),
            ("10001\r\n".len(), COPIED_CHUNK_BYTES_MAX + 1),
            ("\r\n".len(), 0),
            ("10001\r\n".len(), COPIED_CHUNK_BYTES_MAX + 1),
            ("\r\n0\r\n\r\n".len(), 0),
        ]
    );
}

#[test]
fn a_full_sink_is_told_by_every_call_that_sent() {
    let mut sizes = Sizes {
        full: true,
        ..Sizes::default()
    };
    let mut response = begun();
    assert_eq!(
        response.write(b"", &mut sizes),
        Ok(Room::Ready),
        "nothing was sent"
    );
    assert_eq!(response.write(b"x", &mut sizes), Ok(Room::Full));
    assert_eq!(
        response.write(&vec![0; COPIED_CHUNK_BYTES_MAX + 1], &mut sizes),
        Ok(Room::Full)
    );
    assert_eq!(response.finish(&mut sizes), Ok(Room::Full));
    assert_eq!(
        response.finish(&mut sizes),
        Ok(Room::Ready),
        "nothing was sent again"
    );
    assert_eq!(begun().finish_with(b"x", &mut sizes), Ok(Room::Full));
}

#[test]
fn a_response_keeps_its_buffer_but_not_an_unusual_one() {
    let mut response = begun();
    let mut sizes = Sizes::default();
    assert_eq!(response.finish_with(b"x", &mut sizes), Ok(Room::Ready));
    let usual = response.buffer.capacity();
    response.reset(GET, &DATE);
    assert_eq!(response.buffer.capacity(), usual);

    response.begin(b"200 OK").expect("a good status");
    response
        .header(b"X-Huge", &vec![b'x'; 4 * KEPT_BYTES_MAX])
        .expect("a legal header");
    response.reset(GET, &DATE);
    assert!(response.buffer.capacity() <= KEPT_BYTES_MAX);
}

#[test]
fn a_reset_response_remembers_nothing() {
    let mut response = begun();
    let mut sizes = Sizes::default();
    response
        .header(b"Connection", b"close")
        .expect("a legal header");
    response
        .header(b"Content-Length", b"9")
        .expect("a legal header");
    assert_eq!(response.finish_with(b"short", &mut sizes), Ok(Room::Ready));
    assert!(response.summary().aborted);
    response.reset(GET, &DATE);
    let fresh = Response::default().summary();
    assert_eq!(response.summary(), fresh);
    assert!(!response.is_started() && !response.is_head_sent());
}

#[test]
fn a_response_crosses_threads() {
    const fn crosses<T: Send + 'static>() {}
    const { crosses::<Response>() };
}
