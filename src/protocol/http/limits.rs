//! How much of a request a client may make the server hold, each bound with its name.
//!
//! Plain numbers, nothing else: no clock (deadlines are `net`'s), no configuration reading. Any
//! thread. Every bound is inclusive: exactly at it passes, one over is refused (`tests/http.rs`
//! proves both).

/// The bounds of one request. `Copy`: a connection copies them when it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, from the first byte of the request line to the empty line that ends it,
    /// both included. One over: 431, or 414 when not even the request line fits. Default 32 KiB: no
    /// head that passes uWSGI's `buffer-size` (4 KiB unless set, 64 KiB at most) in practice is
    /// refused here, and it is four times Apache's line.
    pub head_bytes_max: usize,
    /// Field lines of a head, dropped ones included. One over: 431. Default 128 (Apache and
    /// gunicorn: 100). Never more than [`Limits::FIELDS_CEILING`], whatever is set.
    pub fields_max: usize,
    /// Bytes of the request target. One over: 414. Default 16 KiB (RFC 9112, 3 asks for 8000 octets
    /// at least).
    pub target_bytes_max: usize,
    /// Bytes of a body after its transfer coding is undone. One over: 413. Default 1 GiB;
    /// `u64::MAX` is no bound.
    pub body_bytes_max: u64,
    /// Bytes of a chunk's size line, extension and line end included. One over: 400. Default 1 KiB
    /// (hyper bounds extensions at 16 KiB in all; we know of no client that sends one).
    pub chunk_line_bytes_max: usize,
    /// Bytes of a trailer section, its final empty line included. One over: 431. Default 8 KiB.
    pub trailer_bytes_max: usize,
}

impl Limits {
    /// The most field lines any setting allows: they are parsed into an array on the stack.
    pub const FIELDS_CEILING: usize = 512;
    /// The most head bytes any setting allows: spans are 32 bits wide, and real heads are far
    /// smaller.
    pub const HEAD_BYTES_CEILING: usize = 16 << 20;
    /// Empty lines that may precede a request line (RFC 9112, 2.2: at least one). One over: 400.
    pub const EMPTY_LINES_MAX: u8 = 4;
    /// Bytes of chunk size lines that a body may have beyond what its data justifies (16 per chunk
    /// and twice the data). One over: 400. A body that is mostly framing costs the server more than
    /// the client (Go's `net/http` has the same bound).
    pub const CHUNK_OVERHEAD_BYTES_MAX: u32 = 16 << 10;

    /// The head bound that is in force: the setting under its ceiling.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes_max.min(Self::HEAD_BYTES_CEILING)
    }

    /// The field bound that is in force: the setting under its ceiling.
    pub(super) fn fields(&self) -> usize {
        self.fields_max.min(Self::FIELDS_CEILING)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 << 10,
            fields_max: 128,
            target_bytes_max: 16 << 10,
            body_bytes_max: 1 << 30,
            chunk_line_bytes_max: 1 << 10,
            trailer_bytes_max: 8 << 10,
        }
    }
}
