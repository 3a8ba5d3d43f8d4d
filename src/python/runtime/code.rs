//! The embedded Python sources as code, and the `compile` that importlib calls in our interpreters.
//!
//! build.rs compiles the sources with the CPython that the program is linked with, and every
//! interpreter makes its own code objects of those bytes. Compiling them at the start instead costs
//! 7 ms and leaves 1.5 MB behind in the main interpreter, 0.6 of which no allocator gives back; so
//! it is done only where another CPython runs, or none was there for the build. Runs on the main
//! thread and on workers, attached.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

use pyo3_ffi as ffi;

use crate::python::object::{self, Object, Raised, Token};
use crate::python::trampoline::{self, Method};

mod built {
    include!(concat!(env!("OUT_DIR"), "/python_code.rs"));
}

/// The sources that every interpreter executes, in this order. Tracebacks show the names, and our
/// frames are told from the app's by them.
const SOURCES: [(&CStr, &str); 10] = [
    (c"<singlemalt bootstrap>", include_str!("../bootstrap.py")),
    (c"<singlemalt extensions>", include_str!("../extensions.py")),
    (c"<singlemalt load>", include_str!("../load.py")),
    (c"<singlemalt shims>", include_str!("../shims.py")),
    (c"<singlemalt quiesce>", include_str!("../quiesce.py")),
    (c"<singlemalt waits>", include_str!("../waits.py")),
    (c"<singlemalt embedded>", include_str!("../embedded.py")),
    (c"<singlemalt harakiri>", include_str!("../harakiri.py")),
    (c"<singlemalt stacks>", include_str!("../stacks.py")),
    (c"<singlemalt fork>", include_str!("../fork.py")),
];

/// Modules that apps may import; embedded.py finds them.
const MODULES: [(&CStr, &str); 1] = [(
    c"<singlemalt uwsgidecorators>",
    include_str!("../uwsgidecorators.py"),
)];

/// The sources and the modules, marshalled.
static CODE: OnceLock<Vec<Cow<'static, [u8]>>> = OnceLock::new();

/// See [`compile_module`].
pub(crate) static COMPILE: Method = Method::keywords(c"compile", compile_module);

/// Finds the code of all sources, once, in the main interpreter.
pub(crate) fn prepare(token: Token<'_>) -> Result<(), Raised> {
    let is_readable = built::MAGIC == magic(token);
    let code = SOURCES.into_iter().chain(MODULES).map(|(name, source)| {
        match built::CODE.iter().find(|(file, _)| is_named(name, file)) {
            Some((_, code)) if is_readable => Ok(Cow::Borrowed(*code)),
            _ => marshalled(token, name, source).map(Cow::Owned),
        }
    });
    let code = code.collect::<Result<_, _>>()?;
    CODE.get_or_init(|| code);
    Ok(())
}

/// The number of CPython's bytecode format, with which every .pyc begins.
fn magic(token: Token<'_>) -> std::ffi::c_long {
    // SAFETY: attached (token).
    let magic = unsafe { ffi::PyImport_GetMagicNumber() };
    if magic == -1 {
        drop(object::take_exception(token));
    }
    magic
}

/// Whether `<singlemalt load>` is made of the file `load`.
fn is_named(name: &CStr, file: &str) -> bool {
    let name = name.to_bytes().strip_prefix(b"<singlemalt ");
    name.and_then(|name| name.strip_suffix(b">")) == Some(file.as_bytes())
}

/// Compiles a source into bytes that any interpreter can read.
fn marshalled(token: Token<'_>, name: &CStr, source: &str) -> Result<Vec<u8>, Raised> {
    let source = CString::new(source).map_err(|_| {
        let text = "an embedded source contains a NUL";
        trampoline::raise(token, trampoline::Exception::Value, text)
    })?;
    // SAFETY: attached (token); both strings are NUL-terminated and no flags are given. 2: without
    // docstrings.
    let code = unsafe {
        let start = ffi::Py_file_input;
        let flags = std::ptr::null_mut();
        let code = ffi::Py_CompileStringExFlags(source.as_ptr(), name.as_ptr(), start, flags, 2);
        Object::from_new(token, code)?
    };
    // SAFETY: `code` is alive; attached (token). A bytes object holds as many bytes as its size
    // says.
    unsafe {
        let bytes = ffi::PyMarshal_WriteObjectToString(code.as_ptr(), ffi::Py_MARSHAL_VERSION);
        let bytes = Object::from_new(token, bytes)?;
        let length = ffi::PyBytes_Size(bytes.as_ptr()) as usize;
        let data = ffi::PyBytes_AsString(bytes.as_ptr()).cast::<u8>();
        Ok(std::slice::from_raw_parts(data, length).to_vec())
    }
}

/// The code objects that every interpreter executes.
pub(crate) fn sources<'py>(token: Token<'py>) -> impl Iterator<Item = Result<Object<'py>, Raised>> {
    let code = CODE.get().into_iter().flatten().take(SOURCES.len());
    code.map(move |code| unmarshalled(token, code))
}

/// The code object of the module of this name; `None` if we bring no such module.
pub(crate) fn module<'py>(token: Token<'py>, name: &str) -> Option<Result<Object<'py>, Raised>> {
    let at = MODULES
        .iter()
        .position(|(module, _)| is_named(module, name))?;
    let code = CODE.get()?.get(SOURCES.len() + at)?;
    Some(unmarshalled(token, code))
}

fn unmarshalled<'py>(token: Token<'py>, code: &[u8]) -> Result<Object<'py>, Raised> {
    // SAFETY: attached (token); `code` was marshalled by a CPython that writes code as this one
    // does, and is copied.
    unsafe {
        let length = code.len() as ffi::Py_ssize_t;
        Object::from_new(
            token,
            ffi::PyMarshal_ReadObjectFromString(code.as_ptr().cast(), length),
        )
    }
}

/// `compile` as importlib calls it for a module without usable bytecode. The built-in one, which is
/// `this`, makes the 120 types of syntax trees in each interpreter before it looks at what it got:
/// 0.27 MB, for a check whether that is a tree. Every other call is passed on to it.
unsafe extern "C" fn compile_module(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with `count` live arguments, those of the keywords behind them, and
    // the built-in function.
    unsafe {
        trampoline::object(|token| match Module::of(token, arguments, count, names)? {
            Some(module) => module.compile(token),
            None => Object::from_new(
                token,
                ffi::PyObject_Vectorcall(this, arguments, count as usize, names),
            ),
        })
    }
}

/// The source of a module, as importlib gives it.
struct Module<'py> {
    source: Object<'py>,
    path: Object<'py>,
    optimize: std::ffi::c_int,
}

impl<'py> Module<'py> {
    /// `None` if this is another call than importlib's `compile(data, path, 'exec',
    /// dont_inherit=True, optimize=_optimize)`.
    ///
    /// # Safety
    /// The arguments of a FASTCALL | KEYWORDS call.
    unsafe fn of(
        token: Token<'py>,
        arguments: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Result<Option<Self>, Raised> {
        // SAFETY: `names` is null or a tuple of str, and as many values lie behind the positional
        // ones; all are live.
        unsafe {
            if count != 3 || names.is_null() || ffi::PyTuple_Size(names) != 2 {
                return Ok(None);
            }
            let text = |object| Object::from_borrowed(token, object).map(|object| object.to_text());
            let argument = |at: usize| *arguments.add(at);
            let (source, path, mode, optimize) =
                (argument(0), argument(1), argument(2), argument(4));
            if text(ffi::PyTuple_GetItem(names, 0))? != "dont_inherit"
                || text(ffi::PyTuple_GetItem(names, 1))? != "optimize"
                || argument(3) != ffi::Py_True()
                || text(mode)? != "exec"
                || ffi::PyUnicode_CheckExact(path) == 0
                || ffi::PyBytes_CheckExact(source) == 0
                || ffi::PyLong_CheckExact(optimize) == 0
            {
                return Ok(None);
            }
            let length = ffi::PyBytes_Size(source) as usize;
            let bytes = std::slice::from_raw_parts(ffi::PyBytes_AsString(source).cast(), length);
            let level = ffi::PyLong_AsLong(optimize);
            // The built-in function refuses a source with a NUL and an unknown level, with its own
            // messages.
            if memchr::memchr(0, bytes).is_some() || !(-1..=2).contains(&level) {
                drop(object::take_exception(token));
                return Ok(None);
            }
            Ok(Some(Self {
                source: Object::from_borrowed(token, source)?,
                path: Object::from_borrowed(token, path)?,
                optimize: level as std::ffi::c_int,
            }))
        }
    }

    /// Compiles it as the built-in function does.
    fn compile(&self, token: Token<'py>) -> Result<Object<'py>, Raised> {
        // SAFETY: attached (token); both objects are alive, and a bytes object ends with a NUL.
        unsafe {
            let code = ffi::Py_CompileStringObject(
                ffi::PyBytes_AsString(self.source.as_ptr()),
                self.path.as_ptr(),
                ffi::Py_file_input,
                std::ptr::null_mut(),
                self.optimize,
            );
            Object::from_new(token, code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::Runtime;

    #[test]
    fn what_was_built_is_what_would_be_compiled_here() {
        Runtime::of_unit_tests();
        // SAFETY: Python runs; this thread has no thread state.
        let state = unsafe { ffi::PyGILState_Ensure() };
        // SAFETY: attached since the line above, and until the last one of this test.
        let token = unsafe { Token::assume() };
        assert_eq!(built::MAGIC, magic(token));
        for (name, source) in SOURCES.into_iter().chain(MODULES) {
            let mut built = built::CODE.iter();
            let (_, built) = built
                .find(|(file, _)| is_named(name, file))
                .expect("a file");
            let here = marshalled(token, name, source).expect("it compiles");
            let [built, here] = [built, &here[..]].map(|code| unmarshalled(token, code).ok());
            let (built, here) = (built.expect("code"), here.expect("code"));
            // SAFETY: both are alive; attached (token).
            let equal =
                unsafe { ffi::PyObject_RichCompareBool(built.as_ptr(), here.as_ptr(), ffi::Py_EQ) };
            assert_eq!(equal, 1, "{name:?}");
        }
        // SAFETY: the state that this thread got above.
        unsafe { ffi::PyGILState_Release(state) };
    }
}
