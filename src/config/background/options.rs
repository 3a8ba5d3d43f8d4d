//! Options of work beside requests, and of what interpreters share. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Background;

options! {
    CRON = row(GROUP, "cron", Kind::Text,
        "Run a command at certain times: minute, hour, day of the month, month, weekday (0 and 7 \
         are \
         Sunday); -1 is any, -n every n-th. May be repeated.")
        .many().value("'M H D M W COMMAND'")
        .at_reload();
    UNIQUE_CRON = row(GROUP, "unique-cron", Kind::Text,
        "As --cron, but not while the last run still goes on. May be repeated.")
        .many().value("'M H D M W COMMAND'")
        .at_reload();
    CRON2 = row(GROUP, "cron2", Kind::Text,
        "Run a command at certain times: \
         minute=,hour=,day=,month=,week=,unique=1,harakiri=SECONDS; \
         what is left out is any. May be repeated.")
        .many().value("'KEY=N,... COMMAND'")
        .at_reload();
    CRON_HARAKIRI = row(GROUP, "cron-harakiri", Kind::Seconds,
        "Seconds that such a command may take before it is killed; 0 is no limit.")
        .default("0")
        .at_reload();
    TOUCH_EXEC = row(GROUP, "touch-exec", Kind::Text,
        "Run a command, without waiting for it, when a file is touched. May be repeated.")
        .many().value("'FILE COMMAND'");
    TOUCH_SIGNAL = row(GROUP, "touch-signal", Kind::Text,
        "Raise a uwsgi signal when a file is touched. May be repeated.")
        .many().value("'FILE SIGNAL'");
    FS_SIGNAL = row(GROUP, "fs-signal", Kind::Text,
        "Raise a uwsgi signal when something below a directory, or a file, changes. May be \
         repeated.")
        .many().value("'PATH SIGNAL'");
    LOCKS = row(Group::Shared, "locks", Kind::Number { min: 0, max: 1024 },
        "Locks for uwsgi.lock(N), beside lock 0, which is always there.")
        .default("0");
}
