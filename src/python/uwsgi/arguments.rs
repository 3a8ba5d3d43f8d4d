//! The arguments of a call. Texts are `str` or `bytes`.

use pyo3_ffi as ffi;

use crate::python::interpreter::Interpreter;
use crate::python::object::{Object, Raised, Token};
use crate::python::trampoline::{Exception, raise};

pub(super) struct Called<'py> {
    pub(super) token: Token<'py>,
    pub(super) interpreter: &'py Interpreter,
    pub(super) arguments: Arguments<'py>,
}

pub(super) struct Arguments<'py> {
    token: Token<'py>,
    function: &'static str,
    given: &'py [*mut ffi::PyObject],
}

impl<'py> Arguments<'py> {
    /// # Safety
    /// `arguments` holds `count` pointers to objects that live as long as the call; nothing that
    /// outlives it keeps the result.
    pub(super) unsafe fn new(
        token: Token<'py>,
        function: &'static str,
        arguments: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
    ) -> Self {
        let count = usize::try_from(count).unwrap_or(0);
        let given = if count == 0 {
            &[]
        } else {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts(arguments, count) }
        };
        Self {
            token,
            function,
            given,
        }
    }

    /// Raises a TypeError unless there are so many.
    pub(super) fn count(&self, least: usize, most: usize) -> Result<(), Raised> {
        let given = self.given.len();
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let wanted = if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        };
        let text = format!(
            "uwsgi.{}() takes {wanted} arguments ({given} given)",
            self.function
        );
        Err(raise(self.token, Exception::Type, &text))
    }

    /// Argument `index` (from 0); `None` if it was left out.
    pub(super) fn get(&self, index: usize) -> Option<Object<'py>> {
        let pointer = *self.given.get(index)?;
        // SAFETY: a live argument of the call; attached (token).
        unsafe { Object::from_borrowed(self.token, pointer).ok() }
    }

    /// Argument `index`, which must be there.
    pub(super) fn object(&self, index: usize) -> Result<Object<'py>, Raised> {
        self.get(index).ok_or_else(|| {
            let text = format!("uwsgi.{}() wants argument {}", self.function, index + 1);
            raise(self.token, Exception::Type, &text)
        })
    }

    pub(super) fn int(&self, index: usize) -> Result<i64, Raised> {
        let object = self.object(index)?;
        // SAFETY: the object is alive; attached (token).
        let value = unsafe { ffi::PyLong_AsLongLong(object.as_ptr()) };
        // SAFETY: attached (token).
        if value == -1 && !unsafe { ffi::PyErr_Occurred() }.is_null() {
            return Err(Raised);
        }
        Ok(value)
    }

    pub(super) fn signal(&self, index: usize) -> Result<u8, Raised> {
        u8::try_from(self.int(index)?)
            .map_err(|_| self.value_error("a signal is a number from 0 to 255"))
    }

    /// A number of seconds, whole or not.
    pub(super) fn seconds(&self, index: usize) -> Result<f64, Raised> {
        let object = self.object(index)?;
        // SAFETY: the object is alive; attached (token).
        let value = unsafe { ffi::PyFloat_AsDouble(object.as_ptr()) };
        // SAFETY: attached (token).
        if value == -1.0 && !unsafe { ffi::PyErr_Occurred() }.is_null() {
            return Err(Raised);
        }
        Ok(value)
    }

    /// The bytes of a `str` (as UTF-8) or of `bytes`, where they are. Raises as uWSGI does for a
    /// `str` that UTF-8 cannot hold.
    pub(super) fn borrowed(&self, index: usize) -> Result<&'py [u8], Raised> {
        let object = self.object(index)?;
        let (mut data, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the object is alive; attached (token). CPython says TypeError if it is neither.
        unsafe {
            if ffi::PyUnicode_Check(object.as_ptr()) != 0 {
                data = ffi::PyUnicode_AsUTF8AndSize(object.as_ptr(), &raw mut length).cast_mut();
                if data.is_null() {
                    return Err(Raised);
                }
            } else if ffi::PyBytes_AsStringAndSize(object.as_ptr(), &raw mut data, &raw mut length)
                != 0
            {
                return Err(Raised);
            }
        }
        let length = usize::try_from(length).unwrap_or(0);
        // SAFETY: the memory belongs to an argument, which the caller keeps for the call ('py), and
        // which is immutable: bytes, or the UTF-8 form that a str keeps as long as it lives.
        Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>().cast_const(), length) })
    }

    /// The bytes of a `str` (as UTF-8, names of files as the system has them) or of `bytes`.
    pub(super) fn bytes(&self, index: usize) -> Result<Vec<u8>, Raised> {
        let object = self.object(index)?;
        // SAFETY: the object is alive; attached (token).
        let is_text = unsafe { ffi::PyUnicode_Check(object.as_ptr()) } != 0;
        let encoded = if is_text {
            let handler = c"surrogateescape".as_ptr();
            // SAFETY: the object is alive and a str; attached (token).
            unsafe {
                let bytes =
                    ffi::PyUnicode_AsEncodedString(object.as_ptr(), c"utf-8".as_ptr(), handler);
                Object::from_new(self.token, bytes)?
            }
        } else {
            object
        };
        let (mut data, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the object is alive; it says TypeError if it is no bytes; the bytes are copied
        // before anything else runs.
        unsafe {
            if ffi::PyBytes_AsStringAndSize(encoded.as_ptr(), &raw mut data, &raw mut length) != 0 {
                return Err(Raised);
            }
            let length = usize::try_from(length).unwrap_or(0);
            Ok(std::slice::from_raw_parts(data.cast::<u8>(), length).to_vec())
        }
    }

    /// The same as text; what is no UTF-8 is replaced.
    pub(super) fn text(&self, index: usize) -> Result<String, Raised> {
        self.bytes(index)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn value_error(&self, text: &str) -> Raised {
        raise(self.token, Exception::Value, text)
    }
}
