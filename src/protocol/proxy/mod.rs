//! What a proxy in front tells about its client, and whether to believe it. Pure: bytes and
//! addresses in, answers out.
//!
//! - [`trusted`]: whose word counts
//! - [`protocol`]: the PROXY protocol, in front of a connection
//! - [`forwarded`]: `X-Forwarded-*` and `Forwarded`, in each request
//!
//! The rules, in one place. Nobody is believed who was not named (`--trusted-proxies`). From
//! everybody else the fields are taken out of the request once proxies are named: they can only be
//! forged. Of a chain of proxies the last one that is not trusted is the client: what stands to the
//! left of it is its own claim.

pub mod forwarded;
pub mod protocol;
pub mod trusted;

pub use forwarded::{Believed, Told};
pub use trusted::Trusted;
