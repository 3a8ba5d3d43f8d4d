//! Python exceptions as text: other rooms get Rust values, never an exception object. Runs on
//! workers, attached.

use super::namespace;
use super::object::{self, Object, Raised, Token};
use super::runtime::error::RuntimeError;

/// The exception that is set, as the reason why an interpreter could not be prepared.
pub(super) fn start_error(token: Token<'_>) -> RuntimeError {
    let message = match object::take_exception(token) {
        Some(error) => describe(&error),
        None => String::from("an error without an exception"),
    };
    RuntimeError::Start {
        doing: "preparing an interpreter",
        message,
    }
}

/// The traceback without our frames.
pub(super) fn describe(error: &Object<'_>) -> String {
    let token = error.token();
    let told = namespace::namespace(token)
        .and_then(|namespace| namespace::find(&namespace, c"failed_request")?.call([error]))
        .map(|text| text.to_text());
    told.unwrap_or_else(|Raised| {
        // The traceback could not be made (out of memory, or a __str__ that raises).
        drop(object::take_exception(token));
        error.to_text()
    })
}
