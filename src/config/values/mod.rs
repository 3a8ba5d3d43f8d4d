//! What a text of the configuration stands for, whatever option it belongs to: numbers, times and
//! sizes (`value`), addresses (`address`), texts that have parts (`parts`). Pure.

pub(super) mod address;
pub(super) mod parts;
pub(super) mod reader;
pub(super) mod value;
