//! Complete answers that a worker has kept to send them with others, while application code still runs: `close()`, the end of
//! an iterator, a hook. Such code may take its time, and the client is not to wait for it; so each lies here with a handle of
//! its own to the client's socket, and any thread can send it.
//!
//! The worker puts one in and takes back what is left of it when the request has ended. In between the acceptor sends what it
//! finds at two of its looks.

use parking_lot::Mutex;
use socket2::Socket;

use super::stream::Stream;

/// What its worker asks for an answer by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

struct Aside {
    ticket: Ticket,
    socket: Socket,
    /// What has not been sent.
    bytes: Vec<u8>,
}

/// All of them, of all workers: a handful.
#[derive(Default)]
pub(super) struct Asides(Mutex<(u64, Vec<Aside>)>);

impl Asides {
    /// Puts an answer here. `None`: nobody but the worker could send it (TLS, or no descriptor is free).
    pub(super) fn put(&self, stream: &Stream, bytes: &[u8]) -> Option<Ticket> {
        if matches!(stream, Stream::Tls(_)) {
            return None;
        }
        let socket = stream.second_handle().ok()?;
        let (last, asides) = &mut *self.0.lock();
        *last += 1;
        let ticket = Ticket(*last);
        asides.push(Aside {
            ticket,
            socket,
            bytes: bytes.to_vec(),
        });
        Some(ticket)
    }

    /// Takes back what nobody has sent meanwhile.
    pub(super) fn reclaim(&self, ticket: Ticket) -> Vec<u8> {
        let (_, asides) = &mut *self.0.lock();
        let at = asides.iter().position(|aside| aside.ticket == ticket);
        at.map_or_else(Vec::new, |at| asides.swap_remove(at).bytes)
    }

    /// Sends what the clients take of those that lay here at the last look, without waiting; returns how many have left.
    /// `seen` is the caller's memory of that look. What the clients do not take is left to the workers, and so is a broken connection.
    pub(super) fn send(&self, seen: &mut Option<Ticket>) -> usize {
        let (last, asides) = &mut *self.0.lock();
        let seen = seen.replace(Ticket(*last));
        let before = asides.len();
        asides.retain_mut(|aside| {
            if Some(aside.ticket) > seen {
                return true;
            }
            let sent = aside.socket.send(&aside.bytes).unwrap_or(0);
            aside.bytes.drain(..sent);
            !aside.bytes.is_empty()
        });
        before - asides.len()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Stream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("nonblocking");
        (Stream::Unix(mio::net::UnixStream::from_std(ours)), theirs)
    }

    #[test]
    fn whoever_comes_first_has_it() {
        let asides = Asides::default();
        let (stream, mut client) = pair();
        let first = asides.put(&stream, b"first").expect("a ticket");
        let second = asides.put(&stream, b"second").expect("a ticket");
        assert_eq!(asides.reclaim(second), b"second");
        let mut seen = None;
        assert_eq!(
            asides.send(&mut seen),
            0,
            "it may be taken back in a moment"
        );
        assert_eq!(asides.send(&mut seen), 1);
        assert_eq!(asides.reclaim(first), b"");
        let mut received = [0; 5];
        client.read_exact(&mut received).expect("it was sent");
        assert_eq!(&received, b"first");
    }

    #[test]
    fn a_client_that_takes_no_more_leaves_the_rest() {
        let asides = Asides::default();
        let (stream, mut client) = pair();
        let long = vec![b'x'; 8 << 20];
        let ticket = asides.put(&stream, &long).expect("a ticket");
        assert_eq!(asides.send(&mut Some(ticket)), 0);
        let rest = asides.reclaim(ticket);
        assert!(!rest.is_empty() && rest.len() < long.len());
        let mut received = vec![0; long.len() - rest.len()];
        client
            .read_exact(&mut received)
            .expect("the part that was sent");
    }

    #[test]
    fn a_client_that_has_gone_is_the_workers_business() {
        let asides = Asides::default();
        let (stream, client) = pair();
        drop(client);
        let ticket = asides.put(&stream, b"answer").expect("a ticket");
        assert_eq!(asides.send(&mut Some(ticket)), 0);
        assert_eq!(asides.reclaim(ticket), b"answer");
        let Stream::Unix(mut ours) = stream else {
            unreachable!("made above")
        };
        assert!(ours.write(b"answer").is_err());
    }
}
