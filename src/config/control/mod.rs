//! The control socket, the fifos, the stats server; and the subcommands that ask a running server.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod subcommand;
pub(super) mod types;
