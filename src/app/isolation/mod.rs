//! Which isolation a generation gets, and the extensions that decide about it.
//!
//! `generation` asks for the choice; the import hooks of interpreters report extensions that
//! refuse. Any thread. Read `choice` first.

pub(super) mod choice;
pub mod refused_extensions;
