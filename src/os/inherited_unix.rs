//! Descriptors that the parent process left open (`fd://3`).
//!
//! Owning a descriptor by its number takes `unsafe`. So it is sent through a socket pair to this
//! very process: the received duplicate is owned without. The number stays open too, as in uWSGI.
//! Main thread, at start.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A descriptor of our own for what `number` refers to, closed on exec.
pub fn take(number: u32) -> io::Result<OwnedFd> {
    let number = i32::try_from(number)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "there is no such number"))?;
    let (ours, theirs) = UnixDatagram::pair()?;
    let message = [IoSlice::new(b"x")];
    sendmsg::<()>(
        ours.as_raw_fd(),
        &message,
        &[ControlMessage::ScmRights(&[number])],
        MsgFlags::empty(),
        None,
    )
    .map_err(io::Error::from)?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    recvmsg(
        theirs.as_fd(),
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::other("the system did not hand it over"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_is_taken_is_the_same_open_file() {
        let (mut reader, mut writer) = io::pipe().expect("a pipe");
        let number = u32::try_from(writer.as_raw_fd()).expect("a number");
        let taken = take(number).expect("it is open");
        assert_ne!(taken.as_raw_fd(), writer.as_raw_fd());
        writer.write_all(b"a").expect("room");
        drop(writer);
        std::fs::File::from(taken).write_all(b"b").expect("room");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("both ends closed");
        assert_eq!(text, "ab");
    }

    #[test]
    fn what_is_not_open_is_an_error() {
        assert!(take(999_999).is_err());
        assert!(take(u32::MAX).is_err());
    }
}
