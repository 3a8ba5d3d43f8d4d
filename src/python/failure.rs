//! Python exceptions as text: other rooms get Rust values, never an exception object. Runs on
//! workers, attached.

use super::namespace;
use super::object::{self, Object, Raised, Token};
use super::runtime::error::RuntimeError;

/// The exception that is set, as the reason why an interpreter could not be prepared.
pub(super) fn start_error(token: Token<'_>) -> RuntimeError {
    let message = match object::take_exception(token) {
        Some(error) => describe(&error, false).0,
        None => String::from("an error without an exception"),
    };
    RuntimeError::Start {
        doing: "preparing an interpreter",
        message,
    }
}

/// An extension module that refused, as the explanation of a failed request.
pub(super) struct Refusal {
    pub(super) module: String,
    pub(super) importer: String,
}

/// Traceback without our frames, and which refused extension is behind it, if one is.
pub(super) fn describe(error: &Object<'_>, isolated: bool) -> (String, Option<Refusal>) {
    let token = error.token();
    let told = (|| {
        let isolated = Object::boolean(token, isolated)?;
        let answer = namespace::find(&namespace::namespace(token)?, c"failed_request")?
            .call([error, &isolated])?;
        let why = answer.element(1)?;
        let refusal = if why.is_none() {
            None
        } else {
            let mut why = why.to_texts()?.into_iter();
            Some(Refusal {
                module: why.next().unwrap_or_default(),
                importer: why.next().unwrap_or_default(),
            })
        };
        Ok::<_, Raised>((answer.element(0)?.to_text(), refusal))
    })();
    told.unwrap_or_else(|Raised| {
        // The traceback could not be made (out of memory, or a __str__ that raises).
        drop(object::take_exception(token));
        (error.to_text(), None)
    })
}
