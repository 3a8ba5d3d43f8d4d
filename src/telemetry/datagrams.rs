//! Loggers that send a datagram for each line: sockets, syslog, a syslog server, systemd's journal.
//! Sending never waits; a line that cannot be sent is lost and counted.

use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::SystemTime;

use super::local_time::append_time;
use crate::config::{Datagrams, SyslogPackets, SyslogServer};

/// What is around a line.
pub(super) enum Frame {
    /// A text in front.
    Prefix(Vec<u8>),
    /// `<PRIORITY>TIME TAG: ` in front, without the line end, as RFC 3164 has it.
    Syslog {
        priority: u32,
        tag: String,
        packets: Option<SyslogPackets>,
    },
    /// Fields of systemd's journal.
    Journald,
}

/// Where datagrams go.
enum Socket {
    Udp {
        socket: UdpSocket,
        address: SocketAddr,
    },
    /// Connected at each loss: the other end may start later, and again.
    #[cfg(unix)]
    Unix { socket: UnixDatagram, path: PathBuf },
}

pub struct DatagramTarget {
    socket: Socket,
    frame: Frame,
    buffer: Vec<u8>,
}

/// The system's log.
#[cfg(target_os = "macos")]
const SYSLOG_SOCKET: &str = "/var/run/syslog";
#[cfg(not(target_os = "macos"))]
const SYSLOG_SOCKET: &str = "/dev/log";
const JOURNALD_SOCKET: &str = "/run/systemd/journal/socket";
/// LOG_INFO.
const INFO: u32 = 6;

impl DatagramTarget {
    /// `socket:ADDRESS,PREFIX`
    pub fn plain(address: &Datagrams, prefix: &[u8]) -> io::Result<Self> {
        Self::new(address, Frame::Prefix(prefix.to_vec()))
    }

    /// The system's log.
    pub fn syslog(ident: &str, facility: u8) -> io::Result<Self> {
        let frame = Frame::Syslog {
            priority: u32::from(facility) * 8 + INFO,
            tag: ident.to_owned(),
            packets: None,
        };
        Self::new(&system_socket("_SINGLEMALT_SYSLOG", SYSLOG_SOCKET), frame)
    }

    /// A syslog server.
    pub fn syslog_server(
        server: &SyslogServer,
        hostname: &str,
        packets: SyslogPackets,
    ) -> io::Result<Self> {
        let tag = server.tag.clone();
        let frame = Frame::Syslog {
            priority: server.priority,
            tag: tag.unwrap_or_else(|| format!("{hostname} uwsgi")),
            packets: Some(packets),
        };
        Self::new(&server.address, frame)
    }

    /// systemd's journal, by its own protocol.
    pub fn journald() -> io::Result<Self> {
        let socket = system_socket("_SINGLEMALT_JOURNAL", JOURNALD_SOCKET);
        Self::new(&socket, Frame::Journald)
    }

    fn new(address: &Datagrams, frame: Frame) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::open(address)?,
            frame,
            buffer: Vec::new(),
        })
    }

    /// Sends a line; `false`: it is lost.
    pub(super) fn send(&mut self, line: &[u8]) -> bool {
        let without_end = line.strip_suffix(b"\n").unwrap_or(line);
        self.buffer.clear();
        match &self.frame {
            Frame::Prefix(prefix) => {
                self.buffer.extend_from_slice(prefix);
                self.buffer.extend_from_slice(line);
            }
            Frame::Journald => journald_entry(without_end, &mut self.buffer),
            Frame::Syslog {
                priority,
                tag,
                packets,
            } => {
                syslog_head(*priority, tag, &mut self.buffer);
                if let Some(packets) = packets {
                    return send_parts(&mut self.socket, &self.buffer, without_end, *packets);
                }
                self.buffer.extend_from_slice(without_end);
            }
        }
        self.socket.send(&self.buffer)
    }
}

/// In a build for tests a variable of the environment names another socket.
fn system_socket(variable: &str, path: &str) -> Datagrams {
    #[cfg(debug_assertions)]
    if let Some(path) = std::env::var_os(variable) {
        return Datagrams::Unix(path.into());
    }
    #[cfg(not(debug_assertions))]
    let _for_tests = variable;
    Datagrams::Unix(path.into())
}

/// `<30>Nov 30 10:45:39 tag: `
fn syslog_head(priority: u32, tag: &str, out: &mut Vec<u8>) {
    let mut time = Vec::new();
    append_time(SystemTime::now(), &mut time);
    // `Mon Nov 30 10:45:39 2026` without the day of the week and the year.
    let time = time.get(4..19).unwrap_or_default();
    // A Vec takes everything.
    let _infallible = write!(out, "<{priority}>");
    out.extend_from_slice(time);
    let _infallible = write!(out, " {tag}: ");
}

/// uWSGI's parts of a long line: thirty bytes less than a packet; a packet that is too long is cut.
fn send_parts(socket: &mut Socket, head: &[u8], line: &[u8], packets: SyslogPackets) -> bool {
    let mut packet = Vec::new();
    let part_bytes = packets.bytes_max.saturating_sub(30).max(1);
    for part in line.chunks(part_bytes) {
        packet.clear();
        packet.extend_from_slice(head);
        packet.extend_from_slice(part);
        packet.truncate(packets.bytes_max);
        if !socket.send(&packet) {
            return false;
        }
        if !packets.splits {
            break;
        }
    }
    true
}

/// Fields as `NAME=value`; a value with a line end has its length in front.
fn journald_entry(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"PRIORITY=6\nSYSLOG_IDENTIFIER=singlemalt\n");
    if line.contains(&b'\n') {
        out.extend_from_slice(b"MESSAGE\n");
        out.extend_from_slice(&(line.len() as u64).to_le_bytes());
    } else {
        out.extend_from_slice(b"MESSAGE=");
    }
    out.extend_from_slice(line);
    out.push(b'\n');
}

impl Socket {
    fn open(address: &Datagrams) -> io::Result<Self> {
        match address {
            Datagrams::Udp(address) => {
                let found = address.to_socket_addrs()?.next();
                let address = found.ok_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
                })?;
                let local: SocketAddr = match address {
                    SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                    SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
                };
                let socket = UdpSocket::bind(local)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp { socket, address })
            }
            #[cfg(unix)]
            Datagrams::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                // If there is nothing yet, the first line tries again.
                let _later = socket.connect(path);
                let path = path.clone();
                Ok(Self::Unix { socket, path })
            }
            #[cfg(not(unix))]
            Datagrams::Unix(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system has no such sockets",
            )),
        }
    }

    fn send(&mut self, packet: &[u8]) -> bool {
        match self {
            Self::Udp { socket, address } => socket.send_to(packet, *address).is_ok(),
            #[cfg(unix)]
            Self::Unix { socket, path } => match socket.send(packet) {
                Ok(_) => true,
                // The reader does not keep up.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                Err(_) => socket.connect(path).is_ok() && socket.send(packet).is_ok(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_has_its_length_in_front() {
        let mut out = Vec::new();
        journald_entry(b"a\nb", &mut out);
        assert!(
            out.ends_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"),
            "{out:?}"
        );
        out.clear();
        journald_entry(b"a=b", &mut out);
        assert!(out.ends_with(b"\nMESSAGE=a=b\n"));
    }
}
