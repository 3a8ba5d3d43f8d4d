//! `wsgi.file_wrapper`: sends a real file without reading it through Python. Runs on workers,
//! attached.

use std::fs::File;

use crate::python::object::{Object, Raised};

/// A piece of a real file, open apart from the app's own file object.
pub(crate) struct Sendable {
    pub(crate) file: File,
    /// Where the app's file object stands.
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The regular file behind a file wrapper, if the app would read its bytes unchanged; `sendable` is
/// the bootstrap's function that decides this.
#[cfg(unix)]
pub(crate) fn behind(
    wrapper: &Object<'_>,
    sendable: &Object<'_>,
) -> Result<Option<Sendable>, Raised> {
    use std::os::fd::BorrowedFd;

    let found = sendable.call([&wrapper.attribute(c"filelike")?])?;
    if found.is_none() {
        return Ok(None);
    }
    let (descriptor, offset) = (found.element(0)?.to_u64()?, found.element(1)?.to_u64()?);
    let Ok(descriptor) = i32::try_from(descriptor) else {
        return Ok(None);
    };
    if descriptor < 0 {
        return Ok(None);
    }
    // SAFETY: the descriptor belongs to an open FileIO that the wrapper keeps alive; it is
    // duplicated at once.
    let Ok(file) = (unsafe { BorrowedFd::borrow_raw(descriptor) })
        .try_clone_to_owned()
        .map(File::from)
    else {
        return Ok(None);
    };
    match file.metadata() {
        Ok(about) if about.is_file() => Ok(Some(Sendable {
            file,
            offset,
            length: about.len().saturating_sub(offset),
        })),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// On other systems Python reads the file: a descriptor of the C runtime is not one of the system.
#[cfg(not(unix))]
pub(crate) fn behind(
    _wrapper: &Object<'_>,
    _sendable: &Object<'_>,
) -> Result<Option<Sendable>, Raised> {
    Ok(None)
}
