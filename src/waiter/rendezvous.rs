//! How two processes of one server connect where no descriptor can be inherited: one listens on a
//! port of the loopback interface, and the other one knows a secret.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::os::secret::{Secret, random};

/// The time that a connection has to send the secret.
const SECRET_TIMEOUT: Duration = Duration::from_secs(5);

/// The listening side.
#[derive(Debug)]
pub struct Rendezvous {
    listener: TcpListener,
    port: u16,
    secret: String,
}

impl Rendezvous {
    /// Listens on a port that the system chooses, with a new secret. Accepting does not block.
    ///
    /// # Errors
    /// No port is free, or there is no randomness.
    pub fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            port: listener.local_addr()?.port(),
            listener,
            secret: random()?,
        })
    }

    /// The port and the secret, for the other process alone.
    pub fn invitation(&self) -> String {
        format!("{} {}", self.port, self.secret)
    }

    /// The next connection; `None` if it does not know the secret.
    ///
    /// # Errors
    /// The system's; `WouldBlock` if no connection waits.
    pub fn accept(&self) -> io::Result<Option<TcpStream>> {
        let (socket, _) = self.listener.accept()?;
        Ok(self
            .knows_secret(&socket)
            .unwrap_or(false)
            .then_some(socket))
    }

    fn knows_secret(&self, mut socket: &TcpStream) -> io::Result<bool> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(SECRET_TIMEOUT))?;
        let mut said = vec![0; self.secret.len()];
        socket.read_exact(&mut said)?;
        socket.set_read_timeout(None)?;
        Ok(Secret::new(&self.secret).is(&said))
    }
}

/// Connects to the process that made the invitation.
///
/// # Errors
/// It is not an invitation, or nothing listens.
pub fn connect(invitation: &str) -> io::Result<TcpStream> {
    let (port, secret) = invitation.trim().split_once(' ').unwrap_or_default();
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.write_all(secret.as_bytes())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(rendezvous: &Rendezvous) -> Option<TcpStream> {
        loop {
            match rendezvous.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                }
                accepted => return accepted.expect("a connection"),
            }
        }
    }

    #[test]
    fn only_a_connection_with_the_secret_is_accepted() {
        let rendezvous = Rendezvous::open().expect("a port");
        let invitation = rendezvous.invitation();
        let (port, secret) = invitation.split_once(' ').expect("two words");
        let other = if secret.starts_with('0') { "1" } else { "0" };
        let wrong = format!("{port} {other}{}", secret.get(1..).expect("digits"));
        let _stranger = connect(&wrong).expect("a listener");
        assert!(accept(&rendezvous).is_none());
        let mut guest = connect(&invitation).expect("a listener");
        let mut host = accept(&rendezvous).expect("with the secret");
        guest.write_all(b"hello").expect("room");
        let mut said = [0; 5];
        host.read_exact(&mut said).expect("five bytes");
        assert_eq!(&said, b"hello");
        assert!(connect("nonsense").is_err());
    }

    #[test]
    fn a_connection_that_sends_nothing_is_not_accepted() {
        let rendezvous = Rendezvous::open().expect("a port");
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, rendezvous.port)).expect("a listener"));
        assert!(accept(&rendezvous).is_none());
    }
}
