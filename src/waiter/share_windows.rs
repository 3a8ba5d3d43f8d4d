//! Windows: shares a socket with another process (WSADuplicateSocket). The system makes a duplicate
//! in that process and describes it in bytes, from which the other process makes a socket.
//!
//! One of the two places of `unsafe`: we know no safe interface to these two calls. Inheriting the
//! handle instead is no safer: the other process would own a number, and every process that is
//! started at that moment would inherit the handle too.
//!
//! Both processes may poll it. An open socket can belong to one completion port only, but in mio,
//! as in libuv, the poll's port belongs to a device that reports on sockets (AFD).

use std::io;
use std::os::windows::io::{AsRawSocket as _, FromRawSocket as _, OwnedSocket};

use windows_sys::Win32::Networking::WinSock::{
    FROM_PROTOCOL_INFO, INVALID_SOCKET, WSA_FLAG_NO_HANDLE_INHERIT, WSA_FLAG_OVERLAPPED,
    WSADuplicateSocketW, WSAPROTOCOL_INFOW, WSASocketW,
};

/// The length of the description of a duplicate.
pub const SHARED_BYTES: usize = size_of::<WSAPROTOCOL_INFOW>();

/// Aligned as the system requires.
#[repr(C, align(8))]
struct Description([u8; SHARED_BYTES]);

/// Makes a duplicate in the process with this id, which may use the description once. This socket
/// may be closed afterwards.
#[allow(unsafe_code, reason = "see the top of this file")]
pub fn with(process: u32, socket: &OwnedSocket) -> io::Result<[u8; SHARED_BYTES]> {
    let raw = usize::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    let mut description = Description([0; SHARED_BYTES]);
    // SAFETY: `raw` is open as long as `socket` is borrowed. The last argument points to memory of
    // the structure's size and alignment, which this function owns; any bytes are valid there.
    let failed = unsafe { WSADuplicateSocketW(raw, process, description.0.as_mut_ptr().cast()) };
    match failed {
        0 => Ok(description.0),
        // WSAGetLastError is GetLastError.
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the socket that is described. Sockets have been used in this process before.
#[allow(unsafe_code, reason = "see the top of this file")]
pub fn take(description: &[u8; SHARED_BYTES]) -> io::Result<OwnedSocket> {
    let description = Description(*description);
    // SAFETY: the fourth argument points to memory of the structure's size and alignment, which
    // outlives the call and is only read; the structure has no pointers, so any bytes are valid.
    // With FROM_PROTOCOL_INFO the first three are taken from there.
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
    // SAFETY: the call has just made it, and no other code has the handle.
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
        let mut client = TcpStream::connect(address).expect("a listener");
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
