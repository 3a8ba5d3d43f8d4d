//! Options of interpreters and threads. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Workers;

options! {
    PROCESSES = row(GROUP, "processes", Kind::Number { min: 1, max: 4096 },
        "Interpreters: each loads the application for itself and runs --threads threads.")
        .also(&["workers"]).short('p').default("1")
        .mapped("uWSGI's processes are interpreters of one process, or threads of the main one")
        .at_reload();
    THREADS = row(GROUP, "threads", Kind::Number { min: 1, max: 4096 },
        "Threads of each interpreter: requests that it can work on at once.")
        .default("1")
        .mapped("threads of an interpreter")
        .at_reload();
    ISOLATION = row(GROUP, "isolation", Kind::Choice(&["auto", "own-gil", "shared-gil", "main"]),
        "How interpreters are made: own-gil (subinterpreters that run in parallel), shared-gil \
         (subinterpreters that take turns), main (no subinterpreter; every extension works), auto \
         (own-gil if Python and the application allow it, else main).")
        .default("auto")
        .at_reload();
    ISOLATION_CACHE = row(GROUP, "isolation-cache", Kind::Path,
        "The file that remembers which applications need the main interpreter, so that the next \
         start of one does not try others; off: none. Default: isolation.json in the user's \
         folder for caches.")
        .value("PATH|off");
    EXTENSION_SCAN = row(GROUP, "extension-scan", Kind::Choice(&["on", "off"]),
        "After the start, find out in another process which installed extensions would refuse \
         interpreters with a GIL of their own, and log their packages.")
        .default("on");
    CHEAPER = row(GROUP, "cheaper", Kind::Number { min: 0, max: 4096 },
        "The least number of interpreters that run: others, up to --processes, are started while \
         there is too much \
         work for these, and ended when there is not.")
        .mapped("interpreters are started and ended, beside those that serve")
        .at_reload();
    CHEAPER_INITIAL = row(GROUP, "cheaper-initial", Kind::Number { min: 0, max: 4096 },
        "Interpreters that run at start, with --cheaper; as many as that says if not given.")
        .at_reload();
    CHEAPER_STEP = row(GROUP, "cheaper-step", Kind::Number { min: 1, max: 4096 },
        "Interpreters that are started at once when there is too much work.")
        .default("1")
        .at_reload();
    CHEAPER_OVERLOAD = row(GROUP, "cheaper-overload", Kind::Seconds,
        "Seconds of too much work before more interpreters are started, and of too little before \
         one is ended; for \
         --cheaper-algo backlog the number of requests that may wait.")
        .default("3")
        .at_reload();
    CHEAPER_IDLE = row(GROUP, "cheaper-idle", Kind::Seconds,
        "Seconds of too little work before --cheaper-algo spare2 ends an interpreter.")
        .default("10")
        .at_reload();
    CHEAPER_ALGO = row(GROUP, "cheaper-algo", Kind::Text,
        "How the number of interpreters is chosen: spare (one is kept free), spare2 (as many as \
         --cheaper says are kept \
         free), backlog (by waiting requests), busyness (by time in requests), manual (only by \
         command).")
        .value("WORD").default("spare")
        .at_reload();
    CHEAPER_RSS_LIMIT_SOFT = row(GROUP, "cheaper-rss-limit-soft", Kind::Bytes { min: 0, max: u64::MAX },
        "Bytes of memory of the process from which on --cheaper starts no interpreter.")
        .at_reload();
    CHEAPER_RSS_LIMIT_HARD = row(GROUP, "cheaper-rss-limit-hard", Kind::Bytes { min: 0, max: u64::MAX },
        "Bytes of memory of the process from which on --cheaper ends interpreters, down to one.")
        .at_reload();
    CHEAPER_BUSYNESS_MIN = row(GROUP, "cheaper-busyness-min", Kind::Number { min: 0, max: 100 },
        "Percent of time in requests below which busyness ends an interpreter.")
        .default("25")
        .at_reload();
    CHEAPER_BUSYNESS_MAX = row(GROUP, "cheaper-busyness-max", Kind::Number { min: 0, max: 100 },
        "Percent of time in requests above which busyness starts interpreters.")
        .default("50")
        .at_reload();
    CHEAPER_BUSYNESS_MULTIPLIER = row(GROUP, "cheaper-busyness-multiplier", Kind::Number { min: 0, max: 1_000_000 },
        "Rounds of little work, each of --cheaper-overload seconds, before busyness ends an \
         interpreter.")
        .default("10")
        .at_reload();
    CHEAPER_BUSYNESS_PENALTY = row(GROUP, "cheaper-busyness-penalty", Kind::Number { min: 0, max: 1_000_000 },
        "Rounds that are added when an interpreter was ended too early.")
        .default("2")
        .at_reload();
    CHEAPER_BUSYNESS_VERBOSE = row(GROUP, "cheaper-busyness-verbose", Kind::Flag,
        "Log what the busyness algorithm sees.")
        .default("false")
        .at_reload();
    CHEAPER_BUSYNESS_BACKLOG_ALERT = row(GROUP, "cheaper-busyness-backlog-alert", Kind::Number { min: 0, max: u64::MAX },
        "Waiting requests above which busyness starts interpreters at once.")
        .default("33")
        .mapped("it counts the requests that wait for a worker, not the kernel's connections")
        .at_reload();
    CHEAPER_BUSYNESS_BACKLOG_MULTIPLIER = row(GROUP, "cheaper-busyness-backlog-multiplier", Kind::Number { min: 0, max: 1_000_000 },
        "Rounds of little work before one of those is ended.")
        .default("3")
        .at_reload();
    CHEAPER_BUSYNESS_BACKLOG_STEP = row(GROUP, "cheaper-busyness-backlog-step", Kind::Number { min: 1, max: 4096 },
        "Interpreters that are started at once for waiting requests.")
        .default("1")
        .at_reload();
    CHEAPER_BUSYNESS_BACKLOG_NONZERO = row(GROUP, "cheaper-busyness-backlog-nonzero", Kind::Seconds,
        "Seconds for which any request may wait before busyness starts interpreters.")
        .default("60")
        .at_reload();
    CHEAP = row(GROUP, "cheap", Kind::Flag,
        "Start the interpreters at the first request. The application is loaded once before, to \
         see that it loads.")
        .default("false")
        .mapped("the interpreter that loads the application at start is ended at once");
    IDLE = row(GROUP, "idle", Kind::Seconds,
        "Seconds without a request before all interpreters are ended, until the next request; 0 is \
         never.")
        .default("0")
        .mapped("interpreters are ended as at a reload, not killed")
        .at_reload();
    DIE_ON_IDLE = row(GROUP, "die-on-idle", Kind::Flag,
        "Stop the server, with code 0, when it has been idle for --idle seconds.")
        .default("false")
        .at_reload();
    POLL = row(GROUP, "poll", Kind::Choice(&["auto", "shared", "acceptor"]),
        "Who waits for connections: shared (idle workers), acceptor (one thread, as on systems \
         where a poll cannot be waited on by several), auto.")
        .default("auto").hidden();
}
