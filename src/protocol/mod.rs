//! The protocols that requests arrive in, as pure machines: bytes in, events out.
//!
//! Called by `net`, which owns the sockets, and by `wsgi`, which turns a request into an environ.
//! Runs on the thread that calls; there is no I/O, no clock and no Python here. Read [`http`]
//! first: the others follow its shape.
//!
//! - [`http`]: HTTP/1.1, RFC 9110 and RFC 9112
//! - [`cgi`]: a request that a front end passes on as variables: what the next three share
//! - [`uwsgi`], [`fastcgi`], [`scgi`]: the protocols of front ends
//! - [`listen`]: plain values about listeners
//! - [`proxy`]: the PROXY protocol, forwarded fields, trusted proxies

pub mod cgi;
pub mod fastcgi;
pub mod http;
pub mod listen;
pub mod proxy;
pub mod scgi;
pub mod uwsgi;
