//! When and how the application is loaded anew, and when an interpreter is. Data only.

use crate::config::option::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Reload;

options! {
    RELOAD_TIMEOUT = row(GROUP, "reload-timeout", Kind::Seconds,
        "Seconds that the application may take to load at a reload; then the old version serves \
         on. 0 is any time.")
        .default("300");
}
