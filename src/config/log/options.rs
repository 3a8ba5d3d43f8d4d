//! Options of the logs. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Logging;

options! {
    DISABLE_LOGGING = row(GROUP, "disable-logging", Kind::Flag,
        "Do not write a line for each request; errors are still logged. --log-4xx, --log-5xx, \
        --log-slow, --log-big, --log-zero, --log-sendfile and --log-ioerror name requests that \
        have a line all the same.")
        .short('L').default("false")
        .at_reload();
    LOG_FORMAT = row(GROUP, "log-format", Kind::Text,
        "The format of request lines, such as '%(addr) %(method) %(uri) %(status) %(msecs)'. \
        docs/log.md lists the variables.")
        .also(&["logformat"]).value("FORMAT");
    LOG_FORMAT_STRFTIME = row(GROUP, "log-format-strftime", Kind::Flag,
        "Write %(ftime) in the format of --log-date.")
        .also(&["logformat-strftime"]);
    LOG_TIMES = row(GROUP, "log-times", Kind::Flag,
        "Write request lines in a format of singlemalt's own: with the times that a request was queued, \
        worked on and sent, to a tenth of a millisecond. The default is uWSGI's line.")
        .default("false");
    LOG_MICROS = row(GROUP, "log-micros", Kind::Flag,
        "Write the response time in uWSGI's request line in microseconds.");
    MEMORY_REPORT = row(GROUP, "memory-report", Kind::Text,
        "Write the memory of the process into uWSGI's request line: 1: resident, and address \
        space; 2: also unshared memory, and its proportional share.")
        .short('m').bare("1").value("LEVEL")
        .mapped("the memory is that of the process, which all workers share, and is read once a \
            second at most");
    LOG_ZERO = row(GROUP, "log-zero", Kind::Flag,
        "With --disable-logging, log responses without a body.");
    LOG_SLOW = row(GROUP, "log-slow", Kind::Number { min: 0, max: u32::MAX as u64 },
        "With --disable-logging, log requests that took at least so many milliseconds; 0: none.")
        .value("MSECS");
    LOG_4XX = row(GROUP, "log-4xx", Kind::Flag,
        "With --disable-logging, log requests that were answered 4xx.");
    LOG_5XX = row(GROUP, "log-5xx", Kind::Flag,
        "With --disable-logging, log requests that were answered 5xx.");
    LOG_BIG = row(GROUP, "log-big", Kind::Bytes { min: 0, max: u64::MAX },
        "With --disable-logging, log responses with at least so many bytes of a body; 0: none.");
    LOG_SENDFILE = row(GROUP, "log-sendfile", Kind::Flag,
        "With --disable-logging, log requests that were answered with a file.");
    LOG_IOERROR = row(GROUP, "log-ioerror", Kind::Flag,
        "With --disable-logging, log requests when the client has gone away before the end of \
        the response.");
    LOG_DATE = row(GROUP, "log-date", Kind::Text,
        "Begin each message with the time, in this format of strftime or, without one, in that of \
        ctime. Messages in a file have the time anyway.")
        .also(&["logdate", "log-prefix"]).bare("true").value("FORMAT");
    LOGTO = row(GROUP, "logto", Kind::Text,
        "Log to a file, or to a UDP address (udp:127.0.0.1:514), instead of standard error.")
        .value("FILE")
        .at_reload();
    LOGTO2 = row(GROUP, "logto2", Kind::Text,
        "As --logto, but opened after privileges were dropped.")
        .value("FILE")
        .at_reload();
    TOUCH_LOGREOPEN = row(GROUP, "touch-logreopen", Kind::Path,
        "Open the log anew when a file is touched. May be repeated.")
        .many();
}
