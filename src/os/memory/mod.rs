//! The memory of the process, its limits by option, and the limits of its cgroup.

#[cfg_attr(target_os = "linux", path = "cgroup_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "cgroup_other.rs")]
pub mod cgroup;
#[cfg_attr(target_os = "linux", path = "process_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "process_other.rs")]
mod process;

pub use process::{IS_KNOWN, anonymous, exceeded, of_this_process, shares, used};
