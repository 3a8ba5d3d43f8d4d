//! What the process is called: `--procname` and its family.
//!
//! Linux keeps a name of 15 bytes for each thread, and that of the main thread is the process's: `ps -o comm`,
//! top and pgrep show it. The arguments that `ps -f` shows are left as they were given, since they can only be
//! changed by writing over memory that is not ours. Main thread.

use crate::config::Config;

/// uWSGI's name for its supervising process.
const AUTOMATIC: &str = "uWSGI master";

/// Bytes that the kernel keeps of a name.
#[cfg(target_os = "linux")]
const NAME_BYTES_MAX: usize = 15;

/// The whole title; `None` leaves the process its own. As in uWSGI, what stands around the title needs a title.
fn wanted(config: &Config) -> Option<String> {
    let title = &config.process.procname;
    let inner = match &title.title {
        Some(inner) => inner.as_str(),
        None if title.automatic => AUTOMATIC,
        None => return None,
    };
    Some(format!("{}{inner}{}", title.prefix, title.append))
}

/// Gives the process its title.
pub fn set(config: &Config) {
    if let Some(title) = wanted(config) {
        name_this_thread(&title);
    }
}

/// Gives the process another title, from any thread (`uwsgi.setprocname`).
#[cfg(target_os = "linux")]
pub fn set_to(title: &str) {
    // The main thread is not the one that is asked; but its name is a file.
    let path = format!("/proc/self/task/{}/comm", std::process::id());
    if let Err(error) = std::fs::write(path, title) {
        tracing::warn!("cannot call the process \"{title}\": {error}");
    }
}

/// Where a process keeps its name.
#[cfg(not(target_os = "linux"))]
pub fn set_to(title: &str) {
    name_this_thread(title);
}

#[cfg(target_os = "linux")]
fn name_this_thread(title: &str) {
    let kept = &title.as_bytes()[..title.len().min(NAME_BYTES_MAX)];
    if kept.len() < title.len() {
        tracing::info!(
            "the title of the process is \"{}\": Linux keeps {NAME_BYTES_MAX} bytes of \"{title}\"",
            String::from_utf8_lossy(kept)
        );
    }
    let result = std::ffi::CString::new(kept)
        .map_err(std::io::Error::other)
        .and_then(|name| Ok(rustix::thread::set_name(&name)?));
    if let Err(error) = result {
        tracing::warn!("cannot call the process \"{title}\": {error}");
    }
}

/// Says that the process keeps its own.
#[cfg(not(target_os = "linux"))]
fn name_this_thread(title: &str) {
    tracing::warn!("this system does not let a process be called \"{title}\"; it keeps its name");
}
