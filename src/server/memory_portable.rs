//! Where nothing but Linux's /proc is asked, a process does not know how much memory it has.

/// Zeros.
pub fn of_this_process() -> (u64, u64) {
    (0, 0)
}
