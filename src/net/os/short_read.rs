//! What a read says about the next one. The poll reports new bytes once, after the socket was
//! empty: on Linux and macOS a read that returns less than it has room for has emptied it. On
//! Windows mio reports nothing more until a read has returned `WouldBlock`.

/// Whether a read of `count` bytes into this much `room` has emptied the socket, so that the poll
/// reports the next ones.
pub fn has_emptied(count: usize, room: usize) -> bool {
    count < room && cfg!(unix)
}
