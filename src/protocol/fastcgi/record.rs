//! The bytes of records. Pure; used by the reader, and by the sender of a response.

/// Bytes of a record's header.
pub const HEADER_BYTES: usize = 8;
/// The most content that we put into a record: as much as fits and needs no padding to stay aligned
/// to eight bytes.
pub const CONTENT_BYTES_MAX: usize = 0xfff8;
pub(super) const VERSION: u8 = 1;

/// What a record is (section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// A request begins.
    pub const BEGIN_REQUEST: Self = Self(1);
    /// The front end's client has gone.
    pub const ABORT_REQUEST: Self = Self(2);
    /// A response is complete.
    pub const END_REQUEST: Self = Self(3);
    /// Names and values.
    pub const PARAMS: Self = Self(4);
    /// The request's body.
    pub const STDIN: Self = Self(5);
    /// The response.
    pub const STDOUT: Self = Self(6);
    /// A question about this server.
    pub const GET_VALUES: Self = Self(9);
    /// Its answer.
    pub const GET_VALUES_RESULT: Self = Self(10);
    /// The answer to a management record of any other type.
    pub const UNKNOWN_TYPE: Self = Self(11);
}

/// How a request has ended (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ended {
    /// As it should.
    Complete = 0,
    /// Not begun: another is under way on this connection.
    CantMultiplex = 1,
    /// Not begun: the role is not one of ours.
    UnknownRole = 3,
}

/// The header of a record with `length` bytes of content, which must fit, and no padding.
pub fn header(kind: Kind, id: u16, length: usize) -> [u8; HEADER_BYTES] {
    debug_assert!(length <= 0xffff, "a record's content is under 64 KiB");
    let [id_high, id_low] = id.to_be_bytes();
    let [length_high, length_low] = (length as u16).to_be_bytes();
    [
        VERSION,
        kind.0,
        id_high,
        id_low,
        length_high,
        length_low,
        0,
        0,
    ]
}

/// Appends the end of a response's stream and of its request.
pub fn end_response(id: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(Kind::STDOUT, id, 0));
    end_request(id, Ended::Complete, out);
}

/// Breaks off a response on a socket that cannot be reset. nginx takes the end of a connection for
/// the end of a response without a length, and so do nginx and Apache with any `END_REQUEST`; both
/// break off at a management record that they did not ask for.
pub fn cut() -> [u8; 2 * HEADER_BYTES] {
    let mut record = [0; 2 * HEADER_BYTES];
    let (head, _content) = record.split_at_mut(HEADER_BYTES);
    head.copy_from_slice(&header(Kind::UNKNOWN_TYPE, 0, HEADER_BYTES));
    record
}

/// Appends an `END_REQUEST`.
pub fn end_request(id: u16, ended: Ended, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(Kind::END_REQUEST, id, 8));
    out.extend_from_slice(&[0, 0, 0, 0, ended as u8, 0, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_specified() {
        assert_eq!(
            header(Kind::STDOUT, 0x0102, 0x0304),
            [1, 6, 1, 2, 3, 4, 0, 0]
        );
        let mut out = Vec::new();
        end_response(1, &mut out);
        let stream_end = [1, 6, 0, 1, 0, 0, 0, 0];
        let request_end = [1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(out, [&stream_end[..], &request_end].concat());
        out.clear();
        end_request(7, Ended::UnknownRole, &mut out);
        assert_eq!(out[8..], [0, 0, 0, 0, 3, 0, 0, 0]);
    }
}
