//! When and how the application is loaded anew, and when an interpreter is. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Reload;

const ANY: Kind = Kind::Number {
    min: 0,
    max: u64::MAX,
};

options! {
    RELOAD_MODE = row(GROUP, "reload-mode", Kind::Choice(&["swap", "rolling", "exec"]),
        "How a reload goes: swap loads the new version in all interpreters beside the old ones and \
         switches at once; rolling replaces one interpreter after the other, which takes less \
         memory, and versions mix meanwhile; exec starts another process that loads the new \
         version and takes the server over. Applications that live in the main interpreter are \
         always reloaded so.")
        .default("swap")
        .at_reload();
    TOUCH_RELOAD = row(GROUP, "touch-reload", Kind::Path,
        "Reload when a file is touched. May be repeated.")
        .many();
    TOUCH_CHAIN_RELOAD = row(GROUP, "touch-chain-reload", Kind::Path,
        "Replace one interpreter after the other when a file is touched. May be repeated.")
        .also(&["touch-workers-reload"]).many();
    FS_RELOAD = row(GROUP, "fs-reload", Kind::Path,
        "Reload when a file changes, or a file below a directory. May be repeated.")
        .many();
    PY_AUTORELOAD = row(GROUP, "py-autoreload", Kind::Seconds,
        "Reload when a module of the application is saved, and show clients on this machine the \
         traceback of a \
         version that does not load (for development). 0 is off.")
        .also(&["py-auto-reload", "python-auto-reload", "python-autoreload"])
        .mapped("the system tells of saves, so the seconds only switch it on");
    PY_AUTORELOAD_IGNORE = row(GROUP, "py-auto-reload-ignore", Kind::Text,
        "Do not reload when this module or package is saved. May be repeated.")
        .also(&["py-autoreload-ignore"]).many().value("MODULE");
    RELOAD_TIMEOUT = row(GROUP, "reload-timeout", Kind::Seconds,
        "Seconds that the application may take to load at a reload; then the old version serves \
         on. 0 is any time.")
        .default("300")
        .at_reload();
    RELOAD_PROBE = row(GROUP, "reload-probe", Kind::Text,
        "A path, or a URL that names the host, that each interpreter of a new version has to \
         answer \
         with 2xx or 3xx, or with the status named, before it serves. An answer that is wrong is a \
         reload that failed.")
        .value("PATH[,STATUS]")
        .at_reload();
    RELOAD_PROBE_TIMEOUT = row(GROUP, "reload-probe-timeout", Kind::Seconds,
        "Seconds that such an answer may take. 0 is any time.")
        .default("10")
        .at_reload();
    RELOAD_CANARY = row(GROUP, "reload-canary", Kind::Text,
        "After a reload (swap) give this share of the requests to the new version for this time, \
         and \
         go back to the old one if clearly more of them fail; then give it all of them. Further \
         shares and times may follow.")
        .value("5%,60s[,...]")
        .at_reload();
    KEEP_PREVIOUS = row(GROUP, "keep-previous", Kind::Seconds,
        "Seconds that the old version is kept in memory after a reload (swap), so that it can be \
         put \
         back at once. 0 is off.")
        .at_reload();
    TOUCH_ROLLBACK = row(GROUP, "touch-rollback", Kind::Path,
        "Put the version before back when a file is touched: end a canary, or go back to what \
         --keep-previous keeps. May be repeated.")
        .many();
    MAX_REQUESTS = row(GROUP, "max-requests", ANY,
        "Requests after which an interpreter is replaced by a fresh one. 0 is no limit.")
        .short('R')
        .mapped("a fresh interpreter is ready before the old one leaves, and never two are \
            replaced at once")
        .at_reload();
    MAX_REQUESTS_DELTA = row(GROUP, "max-requests-delta", ANY,
        "How many more requests each interpreter answers than the one before it.")
        .at_reload();
    MIN_WORKER_LIFETIME = row(GROUP, "min-worker-lifetime", Kind::Seconds,
        "Seconds that an interpreter lives at least before --max-requests and its like replace it.")
        .default("60")
        .at_reload();
    MAX_WORKER_LIFETIME = row(GROUP, "max-worker-lifetime", Kind::Seconds,
        "Seconds after which an interpreter is replaced by a fresh one. 0 is no limit.")
        .mapped("a fresh interpreter is ready before the old one leaves, and never two are \
            replaced at once")
        .at_reload();
    MAX_WORKER_LIFETIME_DELTA = row(GROUP, "max-worker-lifetime-delta", Kind::Seconds,
        "How many more seconds each interpreter lives than the one before it.")
        .at_reload();
    RELOAD_ON_EXCEPTION = row(GROUP, "reload-on-exception", Kind::Flag,
        "Replace an interpreter when the application raises in it.")
        .at_reload();
    RELOAD_ON_EXCEPTION_TYPE = row(GROUP, "reload-on-exception-type", Kind::Text,
        "Replace an interpreter when the application raises an exception of this type. May be \
         repeated.")
        .many().value("TYPE")
        .at_reload();
    RELOAD_ON_EXCEPTION_VALUE = row(GROUP, "reload-on-exception-value", Kind::Text,
        "Replace an interpreter when the application raises with this message. May be repeated.")
        .many().value("MESSAGE")
        .at_reload();
    RELOAD_ON_EXCEPTION_REPR = row(GROUP, "reload-on-exception-repr", Kind::Text,
        "Replace an interpreter when the application raises this type with this message. May be \
         repeated.")
        .many().value("'TYPE: MESSAGE'")
        .at_reload();
    RELOAD_ON_RSS = row(GROUP, "reload-on-rss", Kind::Megabytes,
        "Megabytes of resident memory per interpreter after which the oldest one is replaced \
         (Linux).")
        .also(&["evil-reload-on-rss"])
        .mapped("the limit is one worker's: times --processes, it is compared with the one \
            process")
        .at_reload();
    RELOAD_ON_AS = row(GROUP, "reload-on-as", Kind::Megabytes,
        "Megabytes of address space per interpreter after which the oldest one is replaced \
         (Linux).")
        .also(&["evil-reload-on-as"])
        .mapped("the limit is one worker's: times --processes, it is compared with the one \
            process")
        .at_reload();
    RELOAD_ON_USS = row(GROUP, "reload-on-uss", Kind::Megabytes,
        "Megabytes of memory of its own per interpreter after which the oldest one is replaced \
         (Linux).")
        .mapped("the limit is one worker's: times --processes, it is compared with the one \
            process")
        .at_reload();
    RELOAD_ON_PSS = row(GROUP, "reload-on-pss", Kind::Megabytes,
        "Megabytes of proportional memory per interpreter after which the oldest one is replaced \
         (Linux).")
        .mapped("the limit is one worker's: times --processes, it is compared with the one \
            process")
        .at_reload();
    RELOAD_ON_CGROUP = row(GROUP, "reload-on-cgroup", Kind::Number { min: 0, max: 100 },
        "Percent of the memory limit of the container (cgroup) at which the oldest interpreter is \
         replaced, if the process has grown. 0 is off; without such a limit nothing happens \
         (Linux).")
        .default("90").value("PERCENT")
        .at_reload();
    MAX_PARKED_INTERPRETERS = row(GROUP, "max-parked-interpreters", ANY,
        "How many interpreters that cannot be ended (parked) the process keeps, before a successor \
         takes its place, which frees them. 0 is no limit.")
        .default("4")
        .at_reload();
    MAX_PARKED_MEMORY = row(GROUP, "max-parked-memory", Kind::Megabytes,
        "Megabytes that such interpreters may hold before a successor takes the place of the \
         process; an estimate (Linux). 0 is no limit.")
        .default("256")
        .at_reload();
}
