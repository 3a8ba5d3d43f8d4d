//! The whole process is renewed while another one serves: for apps that live in the main
//! interpreter.

pub mod drain;
#[cfg_attr(unix, path = "in_place_unix.rs")]
#[cfg_attr(windows, path = "in_place_windows.rs")]
pub mod in_place;
pub mod successor;
pub mod waiter;
