//! When and how the application, or an interpreter, is renewed.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
