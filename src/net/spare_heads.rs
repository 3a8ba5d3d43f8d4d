//! Memory of finished requests, reused by the next ones: an idle connection holds none. Each thread
//! that polls has its own.

use crate::protocol::cgi::Variables;
use crate::protocol::http::RequestHead;
use crate::wsgi::Head;

use super::slots::SlotId;
use crate::protocol::listen::Protocol;

/// Cleared heads of each kind: as many as one turn can read (the poll's events) before the first of
/// them is answered. With fewer, every other request of 32 connections allocated its head anew.
const HEADS_MAX: usize = super::poll::EVENTS_PER_TURN;
/// Heads of connections that may send another request. A head has half a kilobyte to one; with more
/// connections than this the oldest are dropped.
const PLACES_MAX: usize = 256;
/// A head with more memory than this is freed, so that one huge request does not occupy it for
/// ever.
const HEAD_BYTES_MAX: usize = 8 * 1024;

#[derive(Default)]
pub(super) struct SpareHeads {
    /// Heads of connections that have a slot, each at the slot's place, so that the connection gets
    /// its own again: most clients send the same fields with each request, and the head remembers
    /// them.
    own: Vec<Option<(SlotId, RequestHead)>>,
    cleared: Vec<RequestHead>,
    variables: Vec<Variables>,
}

impl SpareHeads {
    #[inline]
    pub(super) fn take(&mut self, protocol: Protocol, slot: Option<SlotId>) -> Option<Head> {
        if protocol.takes_variables() {
            return self.variables.pop().map(Head::Variables);
        }
        let place = slot.and_then(|slot| self.own.get_mut(place_of(slot)));
        let kept = place.and_then(Option::take);
        let head = match kept {
            Some((owner, head)) if Some(owner) == slot => head,
            Some((_, mut head)) => {
                head.clear();
                head
            }
            None => self.cleared.pop()?,
        };
        Some(Head::Http(head))
    }

    /// Takes one back from the connection in this slot.
    #[inline]
    pub(super) fn give(&mut self, head: Head, slot: Option<SlotId>) {
        match head {
            Head::Rewritten(rewritten) => {
                self.give(Head::Http(rewritten.into_received()), slot);
            }
            Head::Http(mut head) => {
                if head.memory_bytes() > HEAD_BYTES_MAX {
                    return;
                }
                // Without a slot, or with more connections than places, any connection may have it.
                let shared = match slot.and_then(|slot| Some((slot, self.place_for(slot)?))) {
                    Some((slot, place)) => {
                        head.clear_for_same_client();
                        place.replace((slot, head)).map(|(_, head)| head)
                    }
                    None => Some(head),
                };
                if let Some(mut head) = shared
                    && self.cleared.len() < HEADS_MAX
                {
                    head.clear();
                    self.cleared.push(head);
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

    /// The place of this slot's head. There are as many as the highest slot that was seen needs, up
    /// to the bound.
    fn place_for(&mut self, slot: SlotId) -> Option<&mut Option<(SlotId, RequestHead)>> {
        let place = place_of(slot);
        if place >= self.own.len() {
            let places = (place + 1).next_power_of_two().min(PLACES_MAX);
            self.own.resize_with(places, || None);
        }
        self.own.get_mut(place)
    }
}

/// The place of a slot's head. Slots are given out from the lowest number on, so few connections
/// share none.
fn place_of(slot: SlotId) -> usize {
    slot.index() % PLACES_MAX
}
