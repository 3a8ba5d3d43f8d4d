//! A body of known length, as bytes of a connection. Pure; runs on net's thread.

/// How much of a body is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownBody {
    left: u64,
}

impl KnownBody {
    /// One of `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { left: length }
    }

    /// All of it has come.
    pub fn is_complete(self) -> bool {
        self.left == 0
    }

    /// What is still to come, in bytes.
    pub fn left(self) -> u64 {
        self.left
    }

    /// So many bytes of it, at most what is left, have come another way.
    pub fn came(&mut self, count: u64) {
        self.left = self.left.saturating_sub(count);
    }

    /// Takes what is the body's from the front of `input`; what is behind it is not.
    pub fn take<'i>(&mut self, input: &'i [u8]) -> &'i [u8] {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX);
        let piece = input.get(..length).unwrap_or(input);
        self.left -= piece.len() as u64;
        piece
    }
}
