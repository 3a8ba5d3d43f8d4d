//! Options of interpreters and threads. Data only.

use crate::config::option::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Workers;

options! {
    PROCESSES = row(GROUP, "processes", Kind::Number { min: 1, max: 4096 },
        "Interpreters: each loads the application for itself and runs --threads threads.")
        .also(&["workers"]).short('p').default("1")
        .mapped("uWSGI's processes are interpreters of one process, or threads of the main one");
    THREADS = row(GROUP, "threads", Kind::Number { min: 1, max: 4096 },
        "Threads of each interpreter: requests that it can work on at once.")
        .default("1")
        .mapped("threads of an interpreter");
    ISOLATION = row(GROUP, "isolation", Kind::Choice(&["auto", "own-gil", "shared-gil", "main"]),
        "How interpreters are made: own-gil (subinterpreters that run in parallel), shared-gil \
         (subinterpreters that take turns), main (no subinterpreter; every extension works), auto \
         (own-gil if Python and the application allow it, else main).")
        .default("auto");
    SINGLE_INTERPRETER = row(GROUP, "single-interpreter", Kind::Flag,
        "The same as --isolation main.")
        .short('i').default("false")
        .mapped("the main interpreter serves, with processes x threads threads");
    POLL = row(GROUP, "poll", Kind::Choice(&["auto", "shared", "acceptor"]),
        "Who waits for connections: shared (idle workers), acceptor (one thread, as on systems \
         where a poll cannot be waited on by several), auto.")
        .default("auto").hidden();
}
