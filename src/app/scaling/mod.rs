//! How many interpreters a generation has at a time: uWSGI's cheaper and its algorithms.

pub mod busyness;
pub mod cheaper;
pub mod idle;
