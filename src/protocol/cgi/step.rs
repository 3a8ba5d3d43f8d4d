//! The results of a codec. Pure data.

/// The event at the front of the input: as [`http::Step`](crate::protocol::http::Step), and one
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'i> {
    /// Nothing yet. Call again with the same bytes (less what was consumed) and more behind them.
    NeedMore,
    /// A head is complete and checked.
    Head,
    /// A piece of the body. Never empty.
    Data(&'i [u8]),
    /// The request is complete; the next call begins the next one, where the protocol has one.
    End,
    /// The protocol requires a reply: get it from the codec, send it, and go on or close.
    Say,
}

/// What happens after the codec's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection goes on.
    GoOn,
    /// The request under way is taken back: forget it. The connection goes on.
    Forget,
    /// It closes behind the reply.
    Close,
}
