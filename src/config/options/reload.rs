//! When and how the application is loaded anew, and when an interpreter is. Data only.

use crate::config::option::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Reload;

const ANY: Kind = Kind::Number {
    min: 0,
    max: u64::MAX,
};

options! {
    RELOAD_MODE = row(GROUP, "reload-mode", Kind::Choice(&["swap", "rolling"]),
        "How a reload goes: swap loads the new version in all interpreters beside the old ones and \
         switches at once; rolling replaces one interpreter after the other, which takes less \
         memory, and versions mix meanwhile.")
        .default("swap");
    RELOAD_TIMEOUT = row(GROUP, "reload-timeout", Kind::Seconds,
        "Seconds that the application may take to load at a reload; then the old version serves \
         on. 0 is any time.")
        .default("300");
    MAX_REQUESTS = row(GROUP, "max-requests", ANY,
        "Requests after which an interpreter is replaced by a fresh one. 0 is no limit.")
        .short('R')
        .mapped("a fresh interpreter is ready before the old one leaves, and never two are replaced at once");
    MAX_REQUESTS_DELTA = row(GROUP, "max-requests-delta", ANY,
        "How many more requests each interpreter answers than the one before it.");
    MIN_WORKER_LIFETIME = row(GROUP, "min-worker-lifetime", Kind::Seconds,
        "Seconds that an interpreter lives at least before --max-requests and its like replace it.")
        .default("60");
    MAX_WORKER_LIFETIME = row(GROUP, "max-worker-lifetime", Kind::Seconds,
        "Seconds after which an interpreter is replaced by a fresh one. 0 is no limit.")
        .mapped("a fresh interpreter is ready before the old one leaves, and never two are replaced at once");
    MAX_WORKER_LIFETIME_DELTA = row(GROUP, "max-worker-lifetime-delta", Kind::Seconds,
        "How many more seconds each interpreter lives than the one before it.");
    RELOAD_ON_RSS = row(GROUP, "reload-on-rss", Kind::Megabytes,
        "Megabytes of resident memory per interpreter after which the oldest one is replaced \
         (Linux).")
        .also(&["evil-reload-on-rss"])
        .mapped("the limit is one worker's: times --processes, it is compared with the one process");
    RELOAD_ON_AS = row(GROUP, "reload-on-as", Kind::Megabytes,
        "Megabytes of address space per interpreter after which the oldest one is replaced \
         (Linux).")
        .also(&["evil-reload-on-as"])
        .mapped("the limit is one worker's: times --processes, it is compared with the one process");
    RELOAD_ON_USS = row(GROUP, "reload-on-uss", Kind::Megabytes,
        "Megabytes of memory of its own per interpreter after which the oldest one is replaced \
         (Linux).")
        .mapped("the limit is one worker's: times --processes, it is compared with the one process");
    RELOAD_ON_PSS = row(GROUP, "reload-on-pss", Kind::Megabytes,
        "Megabytes of proportional memory per interpreter after which the oldest one is replaced \
         (Linux).")
        .mapped("the limit is one worker's: times --processes, it is compared with the one process");
}
