//! Memory of finished requests, kept for the next ones: an idle connection holds none. Each thread that takes turns has its own.

use crate::cgi::Variables;
use crate::http::RequestHead;
use crate::wsgi::Head;

use super::reader::Protocol;

/// Heads kept of each kind: as many as one turn can read (the poll's events) before the first of them is answered. Where fewer
/// were kept, every other request of 32 connections allocated its head anew.
const HEADS_MAX: usize = super::poll::EVENTS_PER_TURN;
/// A head with more memory than this is not kept: one client with a huge head must not cost it for ever.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Cleared heads.
#[derive(Default)]
pub(super) struct SpareHeads {
    http: Vec<RequestHead>,
    variables: Vec<Variables>,
}

impl SpareHeads {
    /// One for a request of this protocol, if there is one.
    #[inline]
    pub(super) fn take(&mut self, protocol: Protocol) -> Option<Head> {
        if protocol.takes_variables() {
            self.variables.pop().map(Head::Variables)
        } else {
            self.http.pop().map(Head::Http)
        }
    }

    /// Takes one back.
    #[inline]
    pub(super) fn give(&mut self, head: Head) {
        match head {
            Head::Http(mut head) => {
                if self.http.len() < HEADS_MAX && head.memory_bytes() <= HEAD_BYTES_MAX {
                    head.clear();
                    self.http.push(head);
                }
            }
            Head::Variables(mut variables) => {
                if self.variables.len() < HEADS_MAX && variables.memory_bytes() <= HEAD_BYTES_MAX {
                    variables.clear();
                    self.variables.push(variables);
                }
            }
        }
    }
}
