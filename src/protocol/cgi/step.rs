//! What a codec says. Pure data.

/// What the front of the input turned out to be: as [`http::Step`](crate::protocol::http::Step), and one
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
    /// The protocol itself has something to say: ask the codec what, send it, and go on or close.
    Say,
}

/// What follows when a codec has had its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection goes on.
    GoOn,
    /// The request under way is taken back: forget it. The connection goes on.
    Forget,
    /// It closes behind the reply.
    Close,
}
