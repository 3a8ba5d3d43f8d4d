//! Linux: closes the backlog of a listener to new connections, while those that wait in it can
//! still be accepted.
//!
//! Closing the listener would reset them. So a server that stops closes the backlog first and then
//! accepts the rest.

use std::io;
use std::net::Shutdown;

use socket2::{SockFilter, SockRef};

/// Loads the byte at this offset of the packet, which a TCP socket's filter sees from the TCP
/// header on (`BPF_LD | BPF_B | BPF_ABS`).
const LOAD_BYTE: u16 = 0x30;
/// `BPF_ALU | BPF_AND | BPF_K`
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`: accepts so many bytes of the packet.
const RETURN: u16 = 0x06;

/// The offset of the flags in the TCP header (RFC 9293, 3.1), and two of them.
const FLAGS_AT: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// Drops packets that open a connection. Their clients try again a second later and are refused, or
/// reach the next server.
const DROP_SYN: [SockFilter; 5] = [
    SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
    SockFilter::new(AND, 0, 0, SYN | ACK),
    SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
    SockFilter::new(RETURN, 0, 0, 0),
    SockFilter::new(RETURN, 0, 0, u32::MAX),
];

pub(crate) fn close_tcp(listener: SockRef<'_>) -> io::Result<()> {
    listener.attach_filter(&DROP_SYN)
}

/// Closes the backlog of a unix socket: further clients are refused (unix_stream_connect() checks
/// the flag).
pub(crate) fn close_unix(listener: SockRef<'_>) -> io::Result<()> {
    listener.shutdown(Shutdown::Read)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn waiting_connections_are_accepted_and_new_ones_are_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut waiting = TcpStream::connect(address).expect("the backlog has room");
        close_tcp(SockRef::from(&listener)).expect("a filter");
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        assert_eq!(
            late.map_err(|error| error.kind()).err(),
            Some(ErrorKind::TimedOut)
        );
        let (mut accepted, _) = listener.accept().expect("it waited");
        drop(listener);
        waiting.write_all(b"?").expect("nothing was reset");
        let mut byte = [0];
        accepted.read_exact(&mut byte).expect("what was sent");
        accepted.write_all(b"!").expect("an answer");
        waiting.read_exact(&mut byte).expect("the answer");
        assert_eq!(&byte, b"!");
    }

    #[test]
    fn the_same_with_unix_sockets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        listener.set_nonblocking(true).expect("nonblocking");
        let mut waiting = UnixStream::connect(&path).expect("the backlog has room");
        close_unix(SockRef::from(&listener)).expect("shut down");
        let late = UnixStream::connect(&path).map_err(|error| error.kind());
        assert_eq!(late.err(), Some(ErrorKind::ConnectionRefused));
        let (mut accepted, _) = listener.accept().expect("it waited");
        assert!(listener.accept().is_err());
        drop(listener);
        waiting.write_all(b"?").expect("it is open");
        accepted.read_exact(&mut [0]).expect("what was sent");
    }
}
