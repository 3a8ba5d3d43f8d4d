//! Where options are written: the command line, the environment, files in five formats, and what
//! these name. Each reader gives entries with their places; `layers` stacks them. What an option
//! means is not known here.
//!
//! Read `command_line` first, then `language::loader`. `contents` and `fetch` are the only places
//! that read files as a whole, run commands or open connections. Runs on the main thread before
//! anything starts.

pub(super) mod command_line;
pub(super) mod contents;
pub(super) mod environment;
mod fetch;
pub(super) mod formats;
pub(super) mod language;
pub(super) mod layers;
pub(super) mod options;
pub(super) mod system_facts;
