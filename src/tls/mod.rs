//! TLS as far as it is not a socket: certificates and keys from files, which of them a client gets,
//! who a client with a certificate is.
//!
//! Files in, `rustls` configurations out. `net` moves the bytes. A [`Port`] is what a listener with
//! TLS has; what it offers can be exchanged while it serves ([`Port::reload`]): connections that
//! are open keep what they were greeted with, later ones get the new. A file that does not fit
//! changes nothing.
//!
//! Read on the main thread, at start and at a reload; the choice of a certificate happens on
//! whichever thread drives a handshake. No I/O then.

mod choice;
mod identity;
mod material;
mod plan;
mod port;

pub use identity::identity;
pub use plan::{ClientAuthority, Files, Host, Plan};
pub use port::Port;
