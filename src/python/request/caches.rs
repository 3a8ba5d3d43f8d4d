//! Objects that one thread of an interpreter keeps between requests: the apps, the parts of
//! environs, and the objects of the last request that the app did not keep. Owned by its
//! `InterpreterThread`, used and dropped attached (docs/internals/interpreters.md, rule 4).

use super::environ::Environs;
use super::input;
use super::start_response::{self, Functions};
use crate::python::interpreter::Interpreter;
use crate::python::namespace;
use crate::python::object::{Kept, Object, Raised, Token};
use crate::python::uwsgi::constants::UWSGI_VERSION;
use crate::wsgi::RequestBody;
use crate::wsgi::environ::Known;

/// See the file's header.
pub(crate) struct Caches {
    /// By their number; `None` until this thread's first request for the app, or the creator's
    /// until it is loaded.
    apps: Vec<Option<Kept>>,
    /// Whether this thread, a creator, has loaded an app or tried to, so that imports before the
    /// first app are done.
    pub(crate) has_loaded: bool,
    pub(crate) environs: Environs,
    input_type: Kept,
    carrier_type: Kept,
    pub(crate) file_wrapper: Kept,
    pub(crate) sendable: Kept,
    /// The name `close`.
    pub(crate) close: Kept,
    functions: Option<Functions>,
    input: Option<Kept>,
    /// Type and message of the last exception of the app.
    pub(crate) raised: Option<(String, String)>,
}

impl Caches {
    pub(crate) fn new(
        token: Token<'_>,
        interpreter: &Interpreter,
        core: usize,
    ) -> Result<Self, Raised> {
        let namespace = namespace::namespace(token)?;
        let find = |name| namespace::find(&namespace, name);
        let spec = &interpreter.spec;
        let mut constants = vec![
            (Known::Version, find(c"WSGI_VERSION")?),
            (Known::InputTerminated, Object::boolean(token, true)?),
            (Known::Errors, find(c"ErrorStream")?.call([])?),
            (
                Known::Multithread,
                Object::boolean(token, spec.multithread)?,
            ),
            (
                Known::Multiprocess,
                Object::boolean(token, spec.multiprocess)?,
            ),
            (Known::RunOnce, Object::boolean(token, false)?),
            (
                Known::UwsgiVersion,
                Object::bytes(token, UWSGI_VERSION.as_bytes())?,
            ),
            (Known::UwsgiNode, find(c"NODE")?),
            (Known::UwsgiCore, Object::int(token, core as u64)?),
        ];
        if spec.file_wrapper {
            constants.push((Known::FileWrapper, find(c"FileWrapper")?));
        }
        Ok(Self {
            apps: Vec::new(),
            has_loaded: false,
            environs: Environs::new(token, interpreter, &constants)?,
            input_type: find(c"Input")?.keep(),
            carrier_type: find(c"Exchange")?.keep(),
            file_wrapper: find(c"FileWrapper")?.keep(),
            sendable: find(c"sendable")?.keep(),
            close: Object::text(token, "close")?.keep(),
            functions: None,
            input: None,
            raised: None,
        })
    }

    pub(crate) fn set_app(&mut self, at: usize, app: Object<'_>) {
        if self.apps.len() <= at {
            self.apps.resize_with(at + 1, || None);
        }
        self.apps[at] = Some(app.keep());
    }

    /// The app of this number, found once by each thread.
    #[inline]
    pub(crate) fn app<'py>(
        &mut self,
        token: Token<'py>,
        interpreter: &Interpreter,
        at: usize,
    ) -> Result<Option<Object<'py>>, Raised> {
        if let Some(Some(app)) = self.apps.get(at) {
            return Ok(Some(app.get(token)));
        }
        let Some(app) = namespace::app(token, interpreter, at)? else {
            return Ok(None);
        };
        self.set_app(at, app);
        Ok(self.apps[at].as_ref().map(|app| app.get(token)))
    }

    /// `start_response` and `write` for one request: those of the last request, if the app has
    /// released them.
    pub(crate) fn take_functions(&mut self, token: Token<'_>) -> Result<Functions, Raised> {
        match self.functions.take() {
            Some(functions) if functions.are_free(token) => Ok(functions),
            _ => Functions::new(&self.carrier_type.get(token)),
        }
    }

    /// Takes the functions back after their request.
    pub(crate) fn give_functions(&mut self, functions: Functions) {
        self.functions = Some(functions);
    }

    /// `wsgi.input` around `body`: that of the last request, if the app has released it.
    pub(crate) fn take_input(
        &mut self,
        token: Token<'_>,
        body: RequestBody,
    ) -> Result<Kept, Raised> {
        match self.input.take() {
            Some(kept) if kept.has_references(token, 1) => {
                input::renew(&kept, body);
                Ok(kept)
            }
            // SAFETY: `input_type` is the type that the bootstrap of this interpreter made.
            _ => unsafe { input::new(token, self.input_type.as_ptr(), body) }.map(Object::keep),
        }
    }

    /// Takes the input back after its request.
    pub(crate) fn give_input(&mut self, kept: Kept) {
        input::end(&kept);
        self.input = Some(kept);
    }
}

/// The native types of the attached interpreter, by their names in the bootstrap's namespace.
pub(crate) fn types(
    token: Token<'_>,
) -> Result<[(&'static std::ffi::CStr, Object<'_>); 2], Raised> {
    Ok([
        (c"Input", input::input_type(token)?),
        (c"Exchange", start_response::carrier_type(token)?),
    ])
}
