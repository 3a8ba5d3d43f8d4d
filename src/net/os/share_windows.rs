//! Windows: a socket becomes another process's too (WSADuplicateSocket): the system makes a duplicate in that process, and describes it in
//! some bytes, of which the other process makes a socket.
//!
//! One of the two places of `unsafe`: no safe interface to these two calls is known to us. That a handle could be inherited instead would
//! help nothing: to own what is but a number is no safer, and every process that is started in that moment would inherit it, too.
//!
//! Both processes may poll it. The poll's completion port is not associated with the socket but with a device that is asked about it
//! (AFD), in mio as in libuv; an open socket can be associated with one port only.

use std::io;
use std::os::windows::io::{AsRawSocket as _, FromRawSocket as _, OwnedSocket};

use windows_sys::Win32::Networking::WinSock::{
    FROM_PROTOCOL_INFO, INVALID_SOCKET, WSA_FLAG_NO_HANDLE_INHERIT, WSA_FLAG_OVERLAPPED,
    WSADuplicateSocketW, WSAPROTOCOL_INFOW, WSASocketW,
};

/// What describes a duplicate, in bytes.
pub const SHARED_BYTES: usize = size_of::<WSAPROTOCOL_INFOW>();

/// As the system wants it: aligned.
#[repr(C, align(8))]
struct Description([u8; SHARED_BYTES]);

/// Makes a duplicate in the process with this id. Whoever gets the description there has it, once. This socket may be closed then.
///
/// # Errors
/// There is no such process, or it is another user's.
#[allow(unsafe_code, reason = "see the top of this file")]
pub fn with(process: u32, socket: &OwnedSocket) -> io::Result<[u8; SHARED_BYTES]> {
    let raw = usize::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    let mut description = Description([0; SHARED_BYTES]);
    // SAFETY: `raw` is open as long as `socket` is borrowed. The last argument points to memory of the structure's size and alignment,
    // which is ours alone during the call; whatever is written there is valid as bytes.
    let failed = unsafe { WSADuplicateSocketW(raw, process, description.0.as_mut_ptr().cast()) };
    match failed {
        0 => Ok(description.0),
        // WSAGetLastError is GetLastError.
        _ => Err(io::Error::last_os_error()),
    }
}

/// The socket that is described. Sockets have been used in this process before.
///
/// # Errors
/// It is none of this process.
#[allow(unsafe_code, reason = "see the top of this file")]
pub fn take(description: &[u8; SHARED_BYTES]) -> io::Result<OwnedSocket> {
    let description = Description(*description);
    // SAFETY: the fourth argument points to memory of the structure's size and alignment, which outlives the call and is only read; the
    // structure has no pointers, so any bytes are valid. With FROM_PROTOCOL_INFO the first three are taken from there.
    let raw = unsafe {
        WSASocketW(
            FROM_PROTOCOL_INFO,
            FROM_PROTOCOL_INFO,
            FROM_PROTOCOL_INFO,
            description.0.as_ptr().cast(),
            0,
            WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT,
        )
    };
    if raw == INVALID_SOCKET {
        return Err(io::Error::last_os_error());
    }
    let raw = u64::try_from(raw).map_err(io::Error::other)?;
    // SAFETY: the call has just made it, and nobody else knows it.
    Ok(unsafe { OwnedSocket::from_raw_socket(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_duplicate_is_the_same_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let described = with(std::process::id(), &OwnedSocket::from(listener)).expect("ours");
        // The first handle is closed by now.
        let duplicate = TcpListener::from(take(&described).expect("a socket"));
        assert_eq!(duplicate.local_addr().expect("bound"), address);
        let mut client = TcpStream::connect(address).expect("somebody listens");
        let (mut socket, _) = duplicate.accept().expect("one came");
        client.write_all(b"hello").expect("room");
        let mut said = [0; 5];
        socket.read_exact(&mut said).expect("five bytes");
        assert_eq!(&said, b"hello");
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(take(&[0x55; SHARED_BYTES]).is_err());
    }
}
