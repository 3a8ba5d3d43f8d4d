//! What the process is called: `--procname` and its family. Main thread.

use crate::config::Config;

use super::process_name;

/// uWSGI's name for its supervising process.
const AUTOMATIC: &str = "uWSGI master";

/// The whole title; `None` leaves the process its own. As in uWSGI, what stands around the title
/// needs a title.
pub fn wanted(config: &Config) -> Option<String> {
    let title = &config.process.procname;
    let inner = match &title.title {
        Some(inner) => inner.as_str(),
        None if title.automatic => AUTOMATIC,
        None => return None,
    };
    Some(format!("{}{inner}{}", title.prefix, title.append))
}

/// The title is too long for the room that the arguments left: it will stand in the environment's
/// too, so variables have to be kept elsewhere.
pub fn wants_the_environments_room(config: &Config) -> bool {
    wanted(config).is_some_and(|title| !process_name::fits_in_arguments(&title))
}

/// Gives the process another short name, from any thread (`uwsgi.setprocname`); the long one is the
/// main thread's to write.
pub fn set_to(title: &str) {
    if let Err(error) = process_name::set_short(title) {
        tracing::warn!("cannot call the process \"{title}\": {error}");
    }
}

/// Gives the process its title. `may_spill`: variables are no longer kept where the process got
/// them.
pub fn set(config: &Config, may_spill: bool) {
    let Some(title) = wanted(config) else {
        return;
    };
    match process_name::set(&title, may_spill) {
        Ok(shown) if shown == title => {}
        Ok(shown) => tracing::info!(
            "the title of the process is \"{shown}\": there is no room for \"{title}\""
        ),
        Err(error) => tracing::warn!("cannot call the process \"{title}\": {error}"),
    }
}
