//! How two processes of one server come to talk through a port of this machine: one waits there,
//! and the other one knows a secret.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::os::secret::{Secret, random};

/// The time that a connection has to send the secret.
const SECRET_TIMEOUT: Duration = Duration::from_secs(5);

/// Where one waits for the other.
#[derive(Debug)]
pub struct Meeting {
    listener: TcpListener,
    port: u16,
    secret: String,
}

impl Meeting {
    /// At a port that the system chooses, with a secret of its own.
    ///
    /// # Errors
    /// There is no port to be had, or no randomness.
    pub fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            port: listener.local_addr()?.port(),
            listener,
            secret: random()?,
        })
    }

    /// What the other one has to be told, unheard by others.
    pub fn invitation(&self) -> String {
        format!("{} {}", self.port, self.secret)
    }

    /// Stops waiting for connections.
    ///
    /// # Errors
    /// The system refuses.
    #[cfg(windows)]
    pub fn without_waiting(self) -> io::Result<Self> {
        self.listener.set_nonblocking(true)?;
        Ok(self)
    }

    /// The next one who knows the secret; `None` is one who does not.
    ///
    /// # Errors
    /// The system's; no connection is there, when this is not to wait.
    pub fn accept(&self) -> io::Result<Option<TcpStream>> {
        let (socket, _) = self.listener.accept()?;
        Ok(self.knows(&socket).unwrap_or(false).then_some(socket))
    }

    fn knows(&self, mut socket: &TcpStream) -> io::Result<bool> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(SECRET_TIMEOUT))?;
        let mut said = vec![0; self.secret.len()];
        socket.read_exact(&mut said)?;
        socket.set_read_timeout(None)?;
        Ok(Secret::new(&self.secret).is(&said))
    }
}

/// Goes where the invitation says.
///
/// # Errors
/// It is none, or there is no listener.
pub fn attend(invitation: &str) -> io::Result<TcpStream> {
    let (port, secret) = invitation.trim().split_once(' ').unwrap_or_default();
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.write_all(secret.as_bytes())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_invited_is_let_in_and_nobody_else() {
        let meeting = Meeting::open().expect("a port");
        let invitation = meeting.invitation();
        let (port, secret) = invitation.split_once(' ').expect("two words");
        let other = if secret.starts_with('0') { "1" } else { "0" };
        let wrong = format!("{port} {other}{}", secret.get(1..).expect("digits"));
        let _stranger = attend(&wrong).expect("a listener");
        assert!(meeting.accept().expect("one came").is_none());
        let mut guest = attend(&invitation).expect("a listener");
        let mut host = meeting
            .accept()
            .expect("one came")
            .expect("with the secret");
        guest.write_all(b"hello").expect("room");
        let mut said = [0; 5];
        host.read_exact(&mut said).expect("five bytes");
        assert_eq!(&said, b"hello");
        assert!(attend("nonsense").is_err());
    }

    #[test]
    fn who_leaves_without_a_word_is_not_let_in() {
        let meeting = Meeting::open().expect("a port");
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, meeting.port)).expect("a listener"));
        assert!(meeting.accept().expect("one came").is_none());
    }
}
