//! The major and minor version of a Python, and the build that we are linked with.

use std::ffi::CStr;
use std::fmt;

use pyo3_ffi as ffi;

/// Shown as `3.13`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u8,
    minor: u8,
}

impl Release {
    /// Python `major.minor`.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }

    /// The release of a version such as `3.13.0.final.0`.
    pub(crate) fn of(version: &str) -> Option<Self> {
        let mut numbers = version.split('.').map(str::parse);
        Some(Self::new(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// The version text of the CPython that we are linked with; it is valid before Python is started.
pub(crate) fn full_version() -> &'static str {
    // SAFETY: Py_GetVersion returns a static, NUL-terminated ASCII string and may be called at any
    // time.
    unsafe { CStr::from_ptr(ffi::Py_GetVersion()) }
        .to_str()
        .unwrap_or("0.0.0")
}

/// The free-threaded builds say so in their version text: "experimental free-threading build", or
/// without the first word.
pub(crate) fn is_free_threaded_build() -> bool {
    full_version().contains("free-threading build")
}

/// The name of the folder with the standard library, and of the program: `python3.13`, or
/// `python3.14t` for a free-threaded build.
pub(crate) fn python_name(release: Release) -> String {
    let build = if is_free_threaded_build() { "t" } else { "" };
    format!("python{release}{build}")
}
