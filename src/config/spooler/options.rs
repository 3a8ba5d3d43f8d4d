//! Options of the spooler. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Background;

options! {
    SPOOLER = row(GROUP, "spooler", Kind::Path,
        "Run the tasks that lie in a directory; it is made if it is missing. May be repeated.")
        .short('Q').many().value("DIR");
    SPOOLER_EXTERNAL = row(GROUP, "spooler-external", Kind::Path,
        "Put tasks into a directory that another server works on. May be repeated.")
        .many().value("DIR");
    SPOOLER_PROCESSES = row(GROUP, "spooler-processes", Kind::Number { min: 1, max: 1024 },
        "Tasks of each directory that run at once.")
        .default("1")
        .mapped("each has an interpreter of its own, or a thread with --isolation main");
    SPOOLER_IMPORT = row(Group::Python, "spooler-import", Kind::Text,
        "Import a module, or run a file, in the spooler's interpreters. May be repeated.")
        .also(&["spooler-pyimport", "spooler-py-import", "spooler-python-import"])
        .many().value("MODULE")
        .mapped("with --isolation main there is one interpreter, so the workers have it too");
    SPOOLER_FREQUENCY = row(GROUP, "spooler-frequency", Kind::Seconds,
        "Seconds between two looks at a directory. New tasks start at once; a task that is to be \
         tried again, or that another machine has written, waits for the next look.")
        .also(&["spooler-freq"]).default("30");
    SPOOLER_MAX_TASKS = row(GROUP, "spooler-max-tasks", Kind::Number { min: 0, max: u64::MAX },
        "Tasks after which the spooler's interpreter is renewed; 0 is no limit.")
        .default("0")
        .mapped("without effect with --isolation main, where the interpreter is the workers'");
    SPOOLER_HARAKIRI = row(GROUP, "spooler-harakiri", Kind::Seconds,
        "Seconds that a task may take before uwsgi.Harakiri is raised in it; it is tried again. 0 \
         is no limit.")
        .default("0")
        .mapped("the task is ended, not the process");
    SPOOLER_CHDIR = row(GROUP, "spooler-chdir", Kind::Path,
        "The working directory of tasks.")
        .value("DIR")
        .mapped("of the spooler's threads; Linux only");
    SPOOLER_QUIET = row(GROUP, "spooler-quiet", Kind::Flag,
        "Do not log the begin and end of tasks.");
    SPOOLER_CHEAP = row(GROUP, "spooler-cheap", Kind::Flag,
        "Make the spooler's interpreters at the first task, and end them when there was none for \
         --spooler-frequency seconds.");
    SPOOLER_SIGNAL_AS_TASK = row(GROUP, "spooler-signal-as-task", Kind::Flag,
        "Count a uwsgi signal as a task of --spooler-max-tasks.");
    SPOOLER_RETRY_DELAY = row(GROUP, "spooler-retry-delay", Kind::Seconds,
        "Seconds before a task is tried again; the pause doubles with each try, up to an hour. \
         Without it a task is tried again at the next look.");
    SPOOLER_RETRY_MAX = row(GROUP, "spooler-retry-max", Kind::Number { min: 1, max: 1_000_000 },
        "Tries after which a task is kept in failed/ below its directory. Without it a task is \
         tried until it is done.");
    SPOOLER_NICE = row(GROUP, "spooler-nice", Kind::Number { min: 0, max: 19 },
        "By how much the spooler's threads yield to others (nice); 19, as in uWSGI, unless they \
         share a GIL with workers (Linux).");
    SPOOLER_NO_SYNC = row(GROUP, "spooler-no-sync", Kind::Flag,
        "Do not wait until a task is on the disk: faster, and tasks are lost if the machine \
         crashes.");
}
