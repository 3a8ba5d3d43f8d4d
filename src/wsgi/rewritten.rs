//! A request with variables that rules have changed: the head as it was received, which frames body and
//! connection, and the variables that the application gets.

use crate::protocol::cgi::Variables;
use crate::protocol::http::RequestHead;

/// An HTTP request with other variables than its head says.
#[derive(Debug)]
pub struct Rewritten {
    pub(super) received: RequestHead,
    pub(super) variables: Variables,
    /// Variables that rules have added or changed.
    pub(super) added: usize,
}

impl Rewritten {
    /// The head as the client sent it.
    pub fn received(&self) -> &RequestHead {
        &self.received
    }

    /// Gives the head back, for its memory.
    pub fn into_received(self) -> RequestHead {
        self.received
    }

    /// The variables that the application gets.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }
}
