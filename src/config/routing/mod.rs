//! Internal routing: the rules, read and in their order.

pub(super) mod options;
pub(super) mod resolve;
