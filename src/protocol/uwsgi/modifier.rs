//! The first byte of a packet: what it is about. Pure data, from uWSGI's page "The uwsgi Protocol"
//! and its plugins' sources.

use std::fmt;

/// A `modifier1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifier(pub u8);

impl Modifier {
    /// A WSGI request.
    pub const WSGI: Self = Self(0);
    /// The same, but `PATH_INFO` still has `SCRIPT_NAME` in front (Cherokee, lighttpd and old
    /// Apache modules).
    pub const WSGI_WITH_SCRIPT: Self = Self(30);
    /// "Are you there?"
    pub const PING: Self = Self(100);
    /// An answer. With `modifier2` 0 it is a no.
    pub const RESPONSE: Self = Self(255);

    /// The answer to a ping: the same modifier, no message of warning, and `modifier2` 1 (uWSGI's
    /// `ping_plugin.c`).
    pub const PONG: [u8; 4] = [Self::PING.0, 0, 0, 1];
    /// No, in the form that those expect who do not speak HTTP.
    pub const NO: [u8; 4] = [Self::RESPONSE.0, 0, 0, 0];

    /// Who sends it is no web server, and would not understand an HTTP answer: spooler, signals,
    /// cache, remote calls.
    pub fn is_binary(self) -> bool {
        matches!(
            self.0,
            10 | 17 | 27 | 31..=33 | 48 | 73 | 74 | 95..=99 | 101 | 109..=111 | 173 | 200 | 224 | 255
        )
    }

    fn meaning(self) -> &'static str {
        match self.0 {
            0 | 30 => "a WSGI request",
            1..=3 => "reserved in uWSGI",
            5 => "a Perl (PSGI) request",
            6 => "a Lua request",
            7 => "a Ruby (Rack) request",
            8 => "a JVM request",
            9 => "a CGI script",
            10 => "a request to the management interface",
            14 => "a PHP request",
            15 => "a Mono request",
            17 => "a task for the spooler",
            18 => "a call of a C symbol",
            22 => "code to run",
            23 => "an XSLT request",
            24 => "a V8 request",
            25 => "a file of GridFS",
            26 => "a file of GlusterFS",
            27 => "a fast function",
            31..=33 => "a message to the application",
            48 => "an SNMP request",
            73 | 74 | 95 => "a message of a cluster",
            96 => "a line for the log",
            97 | 98 => "a request to reload",
            99 => "a request for the configuration",
            100 => "a ping",
            101 => "an echo",
            109 => "a message of a legion",
            110 => "a uwsgi signal",
            111 => "an operation on the cache",
            173 => "a remote procedure call",
            200 => "the end of a persistent connection",
            224 => "a subscription",
            255 => "a response",
            _ => "nothing that is known",
        }
    }
}

impl fmt::Display for Modifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "modifier1 {} ({})", self.0, self.meaning())
    }
}
