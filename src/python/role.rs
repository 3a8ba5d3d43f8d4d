//! Kinds of interpreters. A plain value.

/// What runs in an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Requests and signals.
    Worker,
    /// Tasks; counted from 1.
    Spooler(usize),
}
