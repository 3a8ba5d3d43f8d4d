//! Background work that belongs to no request. Knows no Python and no sockets.
//!
//! - [`watch`]: tells when files change

pub mod watch;
