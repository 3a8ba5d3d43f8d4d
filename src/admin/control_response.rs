//! Responses of the control socket: JSON in HTTP, one for each connection. The server writes them;
//! `singlemalt status` and its like read them. Pure.

use serde::Serialize;

use crate::protocol::http::response::reason;

/// A client reads no longer response: a status of some thousand threads is far smaller.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The body of the response to a command that changes something.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CommandReply {
    pub message: String,
    /// The number under which `GET /reload/N` tells how it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<super::status::Reload>,
    pub pid: u32,
}

/// The body of the response to `GET /stacks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StacksReply {
    /// The text for people, line by line.
    pub stacks: Vec<String>,
    pub pid: u32,
}

/// JSON as people can read it.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    // Nothing here has a map with keys that are no strings, which is what could fail.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

pub fn whole(status: u16, body: &[u8]) -> Vec<u8> {
    let allow = if status == 401 {
        "WWW-Authenticate: Bearer\r\n"
    } else {
        ""
    };
    let mut bytes = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\n{allow}Connection: close\r\n\r\n",
        reason(status),
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlResponse {
    /// HTTP's.
    pub status: u16,
    pub body: Vec<u8>,
}

/// Reads what has arrived so far; `None` wants more.
pub fn read(arrived: &[u8]) -> Result<Option<ControlResponse>, &'static str> {
    const STRANGE: &str = "what listens there is not singlemalt";
    let Some(end) = memchr::memmem::find(arrived, b"\r\n\r\n") else {
        return if arrived.len() > 8 << 10
            || !b"HTTP/1.1 ".starts_with(&arrived[..arrived.len().min(9)])
        {
            Err(STRANGE)
        } else {
            Ok(None)
        };
    };
    let head = std::str::from_utf8(&arrived[..end]).map_err(|_| STRANGE)?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3)?.parse().ok())
        .ok_or(STRANGE)?;
    let length: usize = lines
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|length| length.parse().ok())
        .filter(|length| *length <= ANSWER_BYTES_MAX)
        .ok_or(STRANGE)?;
    let body = &arrived[end + 4..];
    Ok(body.get(..length).map(|body| ControlResponse {
        status,
        body: body.to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let told = CommandReply {
            message: "reloading".to_owned(),
            reload: Some(3),
            outcome: None,
            pid: 1,
        };
        let body = json(&told);
        let bytes = whole(202, &body);
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), Ok(None), "{length}");
        }
        let answer = ControlResponse { status: 202, body };
        assert_eq!(read(&bytes), Ok(Some(answer)));
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 202 Accepted\r\n"), "{text}");
        assert!(
            text.contains("\"reload\": 3") && !text.contains("outcome"),
            "{text}"
        );
    }

    #[test]
    fn strangers_are_noticed() {
        assert!(read(b"SSH-2.0-OpenSSH").is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").is_err());
        assert_eq!(read(b"HTTP/1."), Ok(None));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = read(&bytes);
            let mut behind = b"HTTP/1.1 200 OK\r\nContent-Length: ".to_vec();
            behind.extend(bytes);
            let _read = read(&behind);
        }
    }
}
