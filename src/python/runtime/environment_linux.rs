//! `setenv`, `putenv`, `unsetenv` and `clearenv` of this process, in the place of the C library's.
//!
//! glibc moves and frees the array of variables when one is added, while `getenv` and everything
//! built on it (`localtime`, `tzset`, `getaddrinfo`, a new interpreter's `os.environ`) reads it
//! without a lock. Interpreters with their own GILs do both at the same time, which ends in a
//! crash. Here one lock orders the writers, and readers need none:
//!
//! - A string, once it is in the array, is never freed or changed. Equal strings are kept once.
//! - An array is never freed. It ends where it ended when it was made, and has room at its front:
//!   a new variable goes in front of the first one. When there is no room, a larger copy is made.
//! - Removing a variable moves those in front of it towards the end, the last one first. A reader,
//!   which walks in that direction, may see one twice, but misses none.
//!
//! The dynamic linker binds libpython and extension modules to these functions, because those of
//! the program come first. Where we are an extension module ourselves it does not: there
//! `os.putenv` and `os.unsetenv` of every interpreter call [`assign`] (`bootstrap.py`), and our own code calls [`set_variable`]. Any thread calls them, attached or not.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use parking_lot::Mutex;

/// Room at the front of the first array.
const ROOM_AT_FIRST: usize = 64;

type Entry = *mut c_char;

unsafe extern "C" {
    static mut environ: *mut Entry;
}

/// The array that was made last. Addresses are numbers here, so that it can be a static.
struct Variables {
    /// The address of the first place of the array; 0: there is none yet.
    start: usize,
    /// How many places it has, the one of the null at its end included.
    places: usize,
    /// The first place that is used.
    first: usize,
    /// Every string that was ever set.
    strings: Option<HashSet<&'static CStr>>,
}

static VARIABLES: Mutex<Variables> = Mutex::new(Variables {
    start: 0,
    places: 0,
    first: 0,
    strings: None,
});

/// The C library's pointer to the first variable.
fn published() -> &'static AtomicPtr<Entry> {
    // SAFETY: `environ` is a static of the C library, of this type, aligned, and there for ever.
    // Writers store to it under the lock; C code reads it as a plain pointer, which the machine
    // loads in one piece.
    unsafe { AtomicPtr::from_ptr(&raw mut environ) }
}

impl Variables {
    /// A place of the array.
    fn place(&self, at: usize) -> &'static AtomicPtr<c_char> {
        debug_assert!(at < self.places);
        // SAFETY: the array has `places` places, is never freed, and its places are only written
        // through these atomics; `at` is one of them.
        unsafe { AtomicPtr::from_ptr((self.start as *mut Entry).add(at)) }
    }

    /// The array becomes the one that C reads.
    fn publish(&self) {
        let first = (self.start as *mut Entry).wrapping_add(self.first);
        published().store(first, Ordering::Release);
    }

    /// Takes up what C reads, if that is not our array: at first, and when a program has assigned
    /// to `environ`.
    fn adopt(&mut self) {
        let now = published().load(Ordering::Acquire);
        let ours = (self.start as *mut Entry).wrapping_add(self.first);
        if self.start != 0 && now == ours {
            return;
        }
        let mut entries = Vec::new();
        if !now.is_null() {
            // SAFETY: `environ` points to an array that a null ends; the other writers are kept
            // out by the lock. A program that replaces it at this moment would race with every
            // reader, too.
            unsafe {
                let mut at = now;
                while !(*at).is_null() {
                    entries.push(*at);
                    at = at.add(1);
                }
            }
        }
        self.copy(&entries);
    }

    /// Makes a larger array with these entries.
    fn copy(&mut self, entries: &[Entry]) {
        let room = ROOM_AT_FIRST.max(entries.len());
        let mut array = vec![null_mut(); room];
        array.extend_from_slice(entries);
        array.push(null_mut());
        let array: &'static mut [Entry] = array.leak();
        self.start = array.as_mut_ptr() as usize;
        self.places = array.len();
        self.first = room;
        self.publish();
    }

    fn entries(&self) -> Vec<Entry> {
        let used = self.first..self.places - 1;
        used.map(|at| self.place(at).load(Ordering::Relaxed))
            .collect()
    }

    /// The place of the variable of this name.
    fn find(&self, name: &[u8]) -> Option<usize> {
        (self.first..self.places - 1).find(|at| {
            let entry = self.place(*at).load(Ordering::Relaxed);
            // SAFETY: every entry is a string that a NUL ends; ours are never freed, and those
            // that were adopted were the system's or belong to a program that must keep them.
            let entry = unsafe { CStr::from_ptr(entry) }.to_bytes();
            entry
                .strip_prefix(name)
                .is_some_and(|rest| rest.first() == Some(&b'='))
        })
    }

    fn set(&mut self, name: &[u8], value: &[u8], overwrites: bool) {
        self.adopt();
        let found = self.find(name);
        if found.is_some() && !overwrites {
            return;
        }
        let entry = self.string(name, value);
        if let Some(at) = found {
            self.place(at).store(entry, Ordering::Release);
            return;
        }
        if self.first == 0 {
            let entries = self.entries();
            self.copy(&entries);
        }
        self.first -= 1;
        self.place(self.first).store(entry, Ordering::Release);
        self.publish();
    }

    fn remove(&mut self, name: &[u8]) {
        self.adopt();
        // A program may have put one in twice.
        while let Some(found) = self.find(name) {
            for at in (self.first..found).rev() {
                let entry = self.place(at).load(Ordering::Relaxed);
                self.place(at + 1).store(entry, Ordering::Release);
            }
            self.first += 1;
            self.publish();
        }
    }

    /// `NAME=VALUE`, for ever.
    fn string(&mut self, name: &[u8], value: &[u8]) -> Entry {
        let text: Vec<u8> = [name, b"=", value].concat();
        let strings = self.strings.get_or_insert_default();
        // Neither name nor value has a NUL: both came from C strings.
        let text = CString::new(text).unwrap_or_default();
        let kept = match strings.get(text.as_c_str()) {
            Some(kept) => kept,
            None => {
                let kept: &'static CStr = Box::leak(text.into_boxed_c_str());
                strings.insert(kept);
                kept
            }
        };
        kept.as_ptr().cast_mut()
    }
}

/// Whether C may use it as a name.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'=')
}

fn refuse() -> c_int {
    // SAFETY: errno is this thread's own.
    unsafe { *libc::__errno_location() = libc::EINVAL };
    -1
}

/// Sets a variable; the name and value are such that C can use them.
pub(super) fn set_variable(name: &OsStr, value: &OsStr) {
    let mut variables = VARIABLES.lock();
    variables.set(name.as_bytes(), value.as_bytes(), true);
}

/// Removes a variable.
pub(super) fn remove_variable(name: &OsStr) {
    VARIABLES.lock().remove(name.as_bytes());
}

/// `NAME=VALUE` sets, `NAME` removes. Without a NUL.
pub(crate) fn assign(text: &[u8]) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => VARIABLES.lock().set(&text[..at], &text[at + 1..], true),
        None => VARIABLES.lock().remove(text),
    }
}

/// setenv(3).
///
/// # Safety
/// The arguments are null or strings that a NUL ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setenv(
    name: *const c_char,
    value: *const c_char,
    overwrites: c_int,
) -> c_int {
    if name.is_null() || value.is_null() {
        return refuse();
    }
    // SAFETY: the caller's promise.
    let (name, value) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(value)) };
    if !is_name(name.to_bytes()) {
        return refuse();
    }
    let mut variables = VARIABLES.lock();
    variables.set(name.to_bytes(), value.to_bytes(), overwrites != 0);
    0
}

/// unsetenv(3).
///
/// # Safety
/// The argument is null or a string that a NUL ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unsetenv(name: *const c_char) -> c_int {
    if name.is_null() {
        return refuse();
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    if !is_name(name) {
        return refuse();
    }
    VARIABLES.lock().remove(name);
    0
}

/// putenv(3), with a copy of the string: the caller may free its own while another thread reads.
///
/// # Safety
/// The argument is null or a string that a NUL ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn putenv(string: *mut c_char) -> c_int {
    if string.is_null() {
        return refuse();
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(string) }.to_bytes();
    let equals = text.iter().position(|byte| *byte == b'=');
    match equals.map(|at| text.split_at(at)) {
        Some(([], _)) => return refuse(),
        Some((name, value)) => VARIABLES.lock().set(name, &value[1..], true),
        None => VARIABLES.lock().remove(text),
    }
    0
}

/// clearenv(3).
#[unsafe(no_mangle)]
pub extern "C" fn clearenv() -> c_int {
    VARIABLES.lock().copy(&[]);
    0
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn the_standard_library_is_bound_to_these_functions() {
        let name = "SINGLEMALT_TEST_BOUND";
        // SAFETY: no other test reads this variable, and readers need no lock here.
        unsafe { std::env::set_var(name, "a") };
        let is_ours = || {
            let now = published().load(Ordering::Acquire) as usize;
            let variables = VARIABLES.lock();
            now == variables.start + variables.first * size_of::<Entry>()
        };
        assert!(is_ours());
        assert_eq!(std::env::var(name).as_deref(), Ok("a"));
        // SAFETY: as above.
        unsafe { std::env::remove_var(name) };
        assert!(is_ours() && std::env::var(name).is_err());
    }

    #[test]
    fn what_c_says_about_each_function_holds() {
        let get = |name: &str| std::env::var(name).ok();
        // SAFETY: all strings are C strings that outlive the calls.
        unsafe {
            assert_eq!(setenv(c"SMT_A".as_ptr(), c"1".as_ptr(), 0), 0);
            assert_eq!(setenv(c"SMT_A".as_ptr(), c"2".as_ptr(), 0), 0);
            assert_eq!(get("SMT_A").as_deref(), Some("1"));
            assert_eq!(setenv(c"SMT_A".as_ptr(), c"3=4".as_ptr(), 1), 0);
            assert_eq!(get("SMT_A").as_deref(), Some("3=4"));
            for bad in [c"", c"A=B"] {
                assert_eq!(setenv(bad.as_ptr(), c"1".as_ptr(), 1), -1);
                assert_eq!(unsetenv(bad.as_ptr()), -1);
            }
            assert_eq!(setenv(std::ptr::null(), c"1".as_ptr(), 1), -1);
            assert_eq!(putenv(c"SMT_B=x".as_ptr().cast_mut()), 0);
            assert_eq!(get("SMT_B").as_deref(), Some("x"));
            assert_eq!(putenv(c"SMT_B".as_ptr().cast_mut()), 0);
            assert_eq!(get("SMT_B"), None);
            assert_eq!(unsetenv(c"SMT_A".as_ptr()), 0);
            assert_eq!(unsetenv(c"SMT_A".as_ptr()), 0);
        }
        assert_eq!(get("SMT_A"), None);
    }

    #[test]
    fn readers_miss_nothing_while_others_write() {
        // SAFETY: C strings that outlive the call.
        unsafe { setenv(c"SMT_STAYS".as_ptr(), c"here".as_ptr(), 1) };
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        // SAFETY: C's own getenv, as extension modules call it.
                        let found = unsafe { libc::getenv(c"SMT_STAYS".as_ptr()) };
                        assert!(!found.is_null());
                        // SAFETY: a string of the environment.
                        assert_eq!(unsafe { CStr::from_ptr(found) }, c"here");
                    }
                });
            }
            for round in 0..300 {
                for number in 0..100 {
                    let name = CString::new(format!("SMT_{number}")).expect("no NUL");
                    let value = CString::new(round.to_string()).expect("no NUL");
                    // SAFETY: C strings that outlive the calls.
                    unsafe {
                        setenv(name.as_ptr(), value.as_ptr(), 1);
                        if (number + round) % 3 == 0 {
                            unsetenv(name.as_ptr());
                        }
                    }
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
