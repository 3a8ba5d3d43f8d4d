//! An attached worker thread, through which every job runs. Runs on workers.

use super::interpreter::Interpreter;
use super::interruption::Interruption;
use super::object::Token;
use super::request::caches::Caches;

/// Proof that this thread is attached to its interpreter. Every job runs through it.
pub struct Attached<'a> {
    pub(super) token: Token<'a>,
    pub(super) interpreter: &'a Interpreter,
    pub(super) interruption: &'a Interruption,
    pub(super) caches: &'a mut Caches,
}
