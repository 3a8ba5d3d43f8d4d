//! References to Python objects, in three kinds, and the proof that they may be touched.
//!
//! * [`Token`] is the proof: code that holds one runs on a thread that is attached to an
//!   interpreter. It has no size.
//! * [`Object`] owns one reference and lives no longer than the token; code works with these.
//! * [`Kept`] owns one reference over a detach: the caches of one
//!   [`InterpreterThread`](super::InterpreterThread). It may be dropped only while that thread is
//!   attached.
//!
//! None of them is `Send`, so safe code cannot move an object to another thread, nor to another
//! interpreter: an OS thread has one interpreter for life (docs/internals/interpreters.md, rule 1).
//! Runs on workers, and on the main thread while it starts the runtime.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;

use pyo3_ffi as ffi;

/// Proof that this thread is attached to an interpreter, as long as `'py` lasts.
#[derive(Clone, Copy)]
pub(super) struct Token<'py>(PhantomData<(&'py (), *mut ())>);

/// A Python exception is set in this thread; the caller must return this too, or take the
/// exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raised;

impl Token<'_> {
    /// # Safety
    /// The calling thread must be attached to an interpreter for all of the lifetime that the
    /// caller picks.
    pub(super) unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// Does `work` detached: the GIL is free for others meanwhile. `work` must not touch Python.
pub(super) fn detached<R>(_token: Token<'_>, work: impl FnOnce() -> R) -> R {
    struct Reattach(*mut ffi::PyThreadState);
    impl Drop for Reattach {
        fn drop(&mut self) {
            // SAFETY: the state that this very thread saved below.
            unsafe { ffi::PyEval_RestoreThread(self.0) };
        }
    }
    // SAFETY: attached (token).
    let _reattach = Reattach(unsafe { ffi::PyEval_SaveThread() });
    work()
}

/// An owned reference, released when it is dropped.
pub(super) struct Object<'py> {
    pointer: NonNull<ffi::PyObject>,
    token: Token<'py>,
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        // SAFETY: we own this reference, and the token in `self` proves that the thread is
        // attached.
        unsafe { ffi::Py_DECREF(self.pointer.as_ptr()) }
    }
}

impl<'py> Object<'py> {
    /// Takes over a new reference that CPython returned; null means that an exception is set.
    ///
    /// # Safety
    /// `pointer` must be null, or a reference that the caller owns and gives away here.
    pub(super) unsafe fn from_new(
        token: Token<'py>,
        pointer: *mut ffi::PyObject,
    ) -> Result<Self, Raised> {
        NonNull::new(pointer)
            .map(|pointer| Self { pointer, token })
            .ok_or(Raised)
    }

    /// Makes a second reference to an object that is alive; null means that an exception is set.
    ///
    /// # Safety
    /// `pointer` must be null or point to a live object of the attached interpreter.
    pub(super) unsafe fn from_borrowed(
        token: Token<'py>,
        pointer: *mut ffi::PyObject,
    ) -> Result<Self, Raised> {
        let pointer = NonNull::new(pointer).ok_or(Raised)?;
        // SAFETY: the caller says that the object is alive; the token proves that we are attached.
        unsafe { ffi::Py_INCREF(pointer.as_ptr()) };
        Ok(Self { pointer, token })
    }

    /// The object, still owned by `self`.
    pub(super) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.pointer.as_ptr()
    }

    /// Gives the reference away, usually to C.
    pub(super) fn into_ptr(self) -> *mut ffi::PyObject {
        let pointer = self.pointer.as_ptr();
        std::mem::forget(self);
        pointer
    }

    /// Gives the reference to a cache that outlives the token.
    pub(super) fn keep(self) -> Kept {
        let pointer = self.pointer;
        std::mem::forget(self);
        Kept(pointer)
    }

    pub(super) fn token(&self) -> Token<'py> {
        self.token
    }

    /// `str` from text.
    pub(super) fn text(token: Token<'py>, text: &str) -> Result<Self, Raised> {
        // SAFETY: attached (token); pointer and length describe `text`, which CPython copies.
        unsafe {
            Self::from_new(
                token,
                ffi::PyUnicode_FromStringAndSize(
                    text.as_ptr().cast(),
                    text.len() as ffi::Py_ssize_t,
                ),
            )
        }
    }

    /// `str` with one code point per byte, as PEP 3333 wants every value of the environ.
    pub(super) fn latin1(token: Token<'py>, bytes: &[u8]) -> Result<Self, Raised> {
        // SAFETY: attached (token); pointer and length describe `bytes`, which CPython copies; no
        // error handler is needed.
        unsafe {
            Self::from_new(
                token,
                ffi::PyUnicode_DecodeLatin1(
                    bytes.as_ptr().cast(),
                    bytes.len() as ffi::Py_ssize_t,
                    std::ptr::null(),
                ),
            )
        }
    }

    /// `bytes`, copied.
    pub(super) fn bytes(token: Token<'py>, bytes: &[u8]) -> Result<Self, Raised> {
        // SAFETY: attached (token); pointer and length describe `bytes`, which CPython copies.
        unsafe {
            Self::from_new(
                token,
                ffi::PyBytes_FromStringAndSize(
                    bytes.as_ptr().cast(),
                    bytes.len() as ffi::Py_ssize_t,
                ),
            )
        }
    }

    /// `int`.
    pub(super) fn int(token: Token<'py>, value: u64) -> Result<Self, Raised> {
        // SAFETY: attached (token).
        unsafe { Self::from_new(token, ffi::PyLong_FromUnsignedLongLong(value)) }
    }

    /// `True` or `False`.
    pub(super) fn signed(token: Token<'py>, value: i64) -> Result<Self, Raised> {
        // SAFETY: attached (token).
        unsafe { Self::from_new(token, ffi::PyLong_FromLongLong(value)) }
    }

    pub(super) fn boolean(token: Token<'py>, value: bool) -> Result<Self, Raised> {
        // SAFETY: attached (token).
        unsafe { Self::from_new(token, ffi::PyBool_FromLong(value.into())) }
    }

    /// `None`.
    pub(super) fn none(token: Token<'py>) -> Self {
        // SAFETY: attached (token); `None` is immortal and never null.
        let none = unsafe { ffi::Py_None() };
        // SAFETY: as above; it is not null.
        unsafe {
            ffi::Py_INCREF(none);
            Self {
                pointer: NonNull::new_unchecked(none),
                token,
            }
        }
    }

    /// An empty `dict`.
    pub(super) fn dict(token: Token<'py>) -> Result<Self, Raised> {
        // SAFETY: attached (token).
        unsafe { Self::from_new(token, ffi::PyDict_New()) }
    }

    /// A `list` of `str`.
    pub(super) fn list_of_text<S: AsRef<str>>(
        token: Token<'py>,
        texts: &[S],
    ) -> Result<Self, Raised> {
        // SAFETY: attached (token).
        let list = unsafe { Self::from_new(token, ffi::PyList_New(0))? };
        for text in texts {
            let text = Self::text(token, text.as_ref())?;
            // SAFETY: both objects are alive and ours; PyList_Append takes a reference of its own.
            if unsafe { ffi::PyList_Append(list.as_ptr(), text.as_ptr()) } != 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }

    /// An empty `list`.
    pub(super) fn list(token: Token<'py>) -> Result<Self, Raised> {
        // SAFETY: attached (token).
        unsafe { Self::from_new(token, ffi::PyList_New(0)) }
    }

    /// Puts `item` at the end of `self`, which is a list.
    pub(super) fn push(&self, item: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: both are alive; attached (token). A `self` that is no list raises SystemError.
        match unsafe { ffi::PyList_Append(self.as_ptr(), item.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    }

    /// `self[key] = value` where `self` is a dict.
    pub(super) fn set(&self, key: &Object<'py>, value: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: all three are alive; attached (token). A `self` that is no dict raises
        // SystemError.
        match unsafe { ffi::PyDict_SetItem(self.as_ptr(), key.as_ptr(), value.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    }

    /// `self[key]` where `self` is a dict; `None` if there is none.
    pub(super) fn get(&self, key: &Object<'py>) -> Result<Option<Object<'py>>, Raised> {
        let mut found = std::ptr::null_mut();
        // SAFETY: both are alive; attached (token). The result is a new reference.
        unsafe {
            match ffi::compat::PyDict_GetItemRef(self.as_ptr(), key.as_ptr(), &raw mut found) {
                -1 => Err(Raised),
                0 => Ok(None),
                _ => Self::from_new(self.token, found).map(Some),
            }
        }
    }

    pub(super) fn set_item(&self, key: &CStr, value: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: all three are alive; attached (token). A `self` that is no dict raises
        // SystemError.
        match unsafe { ffi::PyDict_SetItemString(self.as_ptr(), key.as_ptr(), value.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    }

    /// `self[key]` where `self` is a dict; `None` if there is none.
    pub(super) fn item(&self, key: &CStr) -> Result<Option<Object<'py>>, Raised> {
        self.get(&Self::text(self.token, &key.to_string_lossy())?)
    }

    /// `getattr(self, name)`.
    pub(super) fn attribute(&self, name: &CStr) -> Result<Object<'py>, Raised> {
        // SAFETY: `self` is alive; attached (token).
        unsafe {
            Self::from_new(
                self.token,
                ffi::PyObject_GetAttrString(self.as_ptr(), name.as_ptr()),
            )
        }
    }

    /// `getattr(self, name)`; `None` if there is none.
    pub(super) fn attribute_if_any(&self, name: &CStr) -> Result<Option<Object<'py>>, Raised> {
        // SAFETY: `self` is alive; attached (token).
        unsafe {
            let found = ffi::PyObject_GetAttrString(self.as_ptr(), name.as_ptr());
            if found.is_null() && ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) != 0 {
                ffi::PyErr_Clear();
                return Ok(None);
            }
            Self::from_new(self.token, found).map(Some)
        }
    }

    /// `self(*arguments)`.
    pub(super) fn call<const N: usize>(
        &self,
        arguments: [&Object<'py>; N],
    ) -> Result<Object<'py>, Raised> {
        let pointers = arguments.map(Object::as_ptr);
        // SAFETY: callable and arguments are alive for the call, the count is the array's; attached
        // (token).
        unsafe {
            Self::from_new(
                self.token,
                ffi::PyObject_Vectorcall(self.as_ptr(), pointers.as_ptr(), N, std::ptr::null_mut()),
            )
        }
    }

    /// Item `index` of a tuple; raises IndexError or SystemError if there is none.
    pub(super) fn element(&self, index: usize) -> Result<Object<'py>, Raised> {
        // SAFETY: `self` is alive; PyTuple_GetItem checks type and bounds and returns a borrowed
        // reference.
        unsafe {
            Self::from_borrowed(
                self.token,
                ffi::PyTuple_GetItem(self.as_ptr(), index as ffi::Py_ssize_t),
            )
        }
    }

    /// Whether this is `None`.
    pub(super) fn is_none(&self) -> bool {
        // SAFETY: only the address of the immortal `None` is read.
        self.as_ptr() == unsafe { ffi::Py_None() }
    }

    /// The text of a `str`, lone surrogates replaced; anything else gives its `str()`; never
    /// raises.
    pub(super) fn to_text(&self) -> String {
        // SAFETY: `self` is alive; attached (token). Errors are cleared on the spot.
        unsafe {
            let Ok(text) = Self::from_new(self.token, ffi::PyObject_Str(self.as_ptr())) else {
                ffi::PyErr_Clear();
                return String::from("<object whose str() fails>");
            };
            let mut length = 0;
            let data = ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &raw mut length);
            if !data.is_null() {
                let bytes = std::slice::from_raw_parts(data.cast::<u8>(), length as usize);
                return String::from_utf8_lossy(bytes).into_owned();
            }
            ffi::PyErr_Clear();
            let replaced = ffi::PyUnicode_AsEncodedString(
                text.as_ptr(),
                c"utf-8".as_ptr(),
                c"backslashreplace".as_ptr(),
            );
            let Ok(replaced) = Self::from_new(self.token, replaced) else {
                ffi::PyErr_Clear();
                return String::from("<text that cannot be encoded>");
            };
            let data = ffi::PyBytes_AsString(replaced.as_ptr());
            let length = ffi::PyBytes_Size(replaced.as_ptr());
            let bytes = std::slice::from_raw_parts(data.cast::<u8>(), length as usize);
            String::from_utf8_lossy(bytes).into_owned()
        }
    }

    /// The texts of any iterable of `str`; stops at the first error.
    pub(super) fn to_texts(&self) -> Result<Vec<String>, Raised> {
        let mut texts = Vec::new();
        // SAFETY: `self` is alive; attached (token).
        let iterator = unsafe { Self::from_new(self.token, ffi::PyObject_GetIter(self.as_ptr()))? };
        loop {
            // SAFETY: the iterator is alive; attached (token).
            let next = unsafe { Self::from_new(self.token, ffi::PyIter_Next(iterator.as_ptr())) };
            match next {
                Ok(item) => texts.push(item.to_text()),
                // SAFETY: attached (token).
                Err(Raised) if unsafe { ffi::PyErr_Occurred() }.is_null() => return Ok(texts),
                Err(Raised) => return Err(Raised),
            }
        }
    }

    /// The value of a non-negative `int`.
    pub(super) fn to_u64(&self) -> Result<u64, Raised> {
        // SAFETY: `self` is alive; attached (token).
        let value = unsafe { ffi::PyLong_AsUnsignedLongLong(self.as_ptr()) };
        // SAFETY: attached (token).
        if value == u64::MAX && !unsafe { ffi::PyErr_Occurred() }.is_null() {
            return Err(Raised);
        }
        Ok(value)
    }
}

/// An owned reference that outlives a detach; it lives in the caches of one thread.
///
/// Rule 4 of docs/internals/interpreters.md: dropped only on its own thread, attached. The owner
/// ([`InterpreterThread`](super::InterpreterThread)) ensures that, and leaks it where it cannot.
pub(super) struct Kept(NonNull<ffi::PyObject>);

impl Kept {
    /// The object, still owned by `self`.
    pub(super) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    pub(super) fn get<'py>(&self, token: Token<'py>) -> Object<'py> {
        // SAFETY: `self` keeps the object alive, and the token proves that we are attached to its
        // interpreter.
        unsafe { ffi::Py_INCREF(self.as_ptr()) };
        Object {
            pointer: self.0,
            token,
        }
    }
}

impl Kept {
    /// Whether exactly `count` references to the object exist, so that a caller who holds all of
    /// them may use it anew.
    #[cfg(not(Py_GIL_DISABLED))]
    #[expect(clippy::disallowed_methods, reason = "the one place: there is a GIL")]
    pub(super) fn has_references(&self, _token: Token<'_>, count: isize) -> bool {
        // SAFETY: the object is alive; attached (token).
        unsafe { ffi::Py_REFCNT(self.as_ptr()) == count }
    }

    /// Whether exactly `count` references to the object exist, all of them this thread's, so that a
    /// caller who holds all of them may use it anew. `false` if another thread may have one.
    ///
    /// Without a GIL an object counts the references of its owner, the thread that made it, apart
    /// from all others. `self` is one of the owner's or one of the others; so if there are none of
    /// the others, this thread is the owner. A weak reference counts as one of the others.
    #[cfg(Py_GIL_DISABLED)]
    pub(super) fn has_references(&self, _token: Token<'_>, count: isize) -> bool {
        use std::sync::atomic::Ordering;
        // SAFETY: the object is alive; its counts are atomics.
        let object = unsafe { self.0.as_ref() };
        object.ob_ref_shared.load(Ordering::Acquire) == 0
            && object.ob_ref_local.load(Ordering::Relaxed) as isize == count
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: we own this reference; rule 4 says that this thread is attached to the object's
        // interpreter.
        unsafe { ffi::Py_DECREF(self.0.as_ptr()) }
    }
}

/// The exception that is set in this thread, taken; `None` if there is none.
pub(super) fn take_exception(token: Token<'_>) -> Option<Object<'_>> {
    // SAFETY: attached (token); the call gives a new reference or null.
    unsafe { Object::from_new(token, ffi::PyErr_GetRaisedException()).ok() }
}
