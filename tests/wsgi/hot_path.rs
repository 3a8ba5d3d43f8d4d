//! A usual request, from its bytes to the bytes of its answer, asks the allocator for nothing.

use std::fs::File;
use std::net::SocketAddr;

use singlemalt::protocol::http::{Limits, RequestHead, RequestReader, Step};
use singlemalt::wsgi::environ::{self, Key, Peer};
use singlemalt::wsgi::{ClientGone, RequestBody, Response, Room, Sink};

use crate::wire::{DATE, GET};

/// A sink that keeps nothing.
struct Nowhere(usize);

impl Sink for Nowhere {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        self.0 += first.len() + second.len();
        Ok(Room::Ready)
    }

    fn send_file(&mut self, _: &[u8], _: File, _: u64, _: u64) -> Result<Room, ClientGone> {
        Ok(Room::Ready)
    }

    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }
}

#[test]
fn a_usual_request_allocates_nothing() {
    let wire = b"GET /caf%C3%A9?q HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nCookie: a=1\r\nCookie: b=2\r\nUser-Agent: x\r\n\r\n";
    let (mut reader, mut head) = (RequestReader::default(), RequestHead::default());
    let mut response = Response::default();
    let mut sink = Nowhere(0);
    let mut scratch = Vec::new();
    let mut serve = || {
        head.clear();
        let mut rest = &wire[..];
        loop {
            let (used, step) = reader
                .read(rest, &Limits::default(), &mut head)
                .expect("a request that passes");
            rest = &rest[used..];
            if step == Step::End {
                break;
            }
        }
        let peer = Peer::new(Some(SocketAddr::from(([192, 0, 2, 7], 4711))));
        let mut body = RequestBody::default();
        let mut seen = 0;
        let put = |_: Key<'_>, value: &[u8]| {
            seen += value.len();
            Ok::<(), std::convert::Infallible>(())
        };
        assert!(environ::for_each(&head, &peer, None, &mut scratch, put).is_ok());
        assert!(seen > 50 && body.take_slice(None) == Some(b""));
        response.reset(GET, DATE);
        response.begin(b"200 OK").expect("a good status");
        for (name, value) in [
            ("Content-Type", "text/html"),
            ("Content-Length", "5"),
            ("X-Frame-Options", "DENY"),
        ] {
            response
                .header(name.as_bytes(), value.as_bytes())
                .expect("a good header");
        }
        assert_eq!(response.finish_with(b"hello", &mut sink), Ok(Room::Ready));
        assert!(response.summary().keep_alive);
    };
    serve();
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1, "the counter counts");
    let cost = allocation_counter::measure(|| (0..100).for_each(|_| serve()));
    assert_eq!(cost.count_total, 0, "{cost:?}");
    assert!(sink.0 > 0);
}
