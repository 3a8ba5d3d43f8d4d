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
    LOG_JSON = row(GROUP, "log-json", Kind::Flag,
        "Write messages, request lines and what the application prints as JSON objects, one in each \
        line, with the names of the Elastic Common Schema. docs/logging.md has an example.");
    LOGGER = row(GROUP, "logger", Kind::Text,
        "Send the log, and what the application prints, to a logger: file:PATH, \
        file:logfile=PATH,maxsize=BYTES,backupname=PATH, stdio, fd:NUMBER, syslog:IDENT,FACILITY, \
        rsyslog:HOST:PORT,TAG, socket:HOST:PORT, socket:PATH, pipe:COMMAND, journald or null. With a \
        name in front it gets only what a --log-route sends there. May be repeated.")
        .value("'[NAME ]KIND[:ARGUMENT]'").many();
    REQ_LOGGER = row(GROUP, "req-logger", Kind::Text,
        "As --logger, for request lines alone, which then do not go to --logger. May be repeated.")
        .also(&["logger-req"]).value("'[NAME ]KIND[:ARGUMENT]'").many();
    LOG_SYSLOG = row(GROUP, "log-syslog", Kind::Text,
        "The same as --logger syslog:IDENT,FACILITY.")
        .bare("").value("IDENT,FACILITY").many();
    LOG_SOCKET = row(GROUP, "log-socket", Kind::Text,
        "The same as --logger socket:ADDRESS.")
        .value("ADDRESS").many();
    RSYSLOG_PACKET_SIZE = row(GROUP, "rsyslog-packet-size", Kind::Bytes { min: 64, max: 65000 },
        "Bytes of a message to a syslog server.")
        .default("1024");
    RSYSLOG_SPLIT_MESSAGES = row(GROUP, "rsyslog-split-messages", Kind::Flag,
        "Send long lines to a syslog server in parts, instead of cutting them.");
    LOG_ROUTE = row(GROUP, "log-route", Kind::Text,
        "Send lines that match a regular expression to the loggers of a name, and not to the others. \
        May be repeated.")
        .value("'NAME REGEX'").many();
    LOG_REQ_ROUTE = row(GROUP, "log-req-route", Kind::Text,
        "As --log-route, for request lines that have loggers of their own. May be repeated.")
        .value("'NAME REGEX'").many();
    LOG_DRAIN = row(GROUP, "log-drain", Kind::Text,
        "Leave out lines that match a regular expression. Request lines of --req-logger stay. May be \
        repeated.")
        .value("REGEX").many();
    LOG_FILTER = row(GROUP, "log-filter", Kind::Text,
        "Leave out lines that match none of these regular expressions. Request lines of \
        --req-logger stay. May be repeated.")
        .value("REGEX").many();
    LOG_ENCODER = row(GROUP, "log-encoder", Kind::Text,
        "Change each line, one encoder after the other: prefix TEXT, suffix TEXT, nl, format TEXT, \
        json TEXT, gzip, compress. The texts of format and json have ${msg}, ${msgnl}, ${unix}, \
        ${micros}, ${millis} and ${strftime:FORMAT}; json:NAME is for the logger of that name alone. \
        May be repeated.")
        .value("'ENCODER[:NAME] [TEXT]'").many();
    LOG_REQ_ENCODER = row(GROUP, "log-req-encoder", Kind::Text,
        "As --log-encoder, for request lines alone. May be repeated.")
        .value("'ENCODER[:NAME] [TEXT]'").many();
    LOGTO = row(GROUP, "logto", Kind::Text,
        "Log to a file, or to a UDP address (udp:127.0.0.1:514), instead of standard error.")
        .value("FILE")
        .at_reload();
    LOGTO2 = row(GROUP, "logto2", Kind::Text,
        "As --logto, but opened after privileges were dropped.")
        .value("FILE")
        .at_reload();
    LOG_MAXSIZE = row(GROUP, "log-maxsize", Kind::Bytes { min: 0, max: u64::MAX },
        "Rotate the file of --logto past so many bytes; 0: never.");
    LOG_BACKUPNAME = row(GROUP, "log-backupname", Kind::Path,
        "The name of a rotated file. Without it, the name has the time behind it.");
    LOG_TRUNCATE = row(GROUP, "log-truncate", Kind::Flag,
        "Empty the file of --logto at start.");
    LOGFILE_CHOWN = row(GROUP, "logfile-chown", Kind::Flag,
        "Give the file of --logto to the user and group that the server becomes (unix).");
    LOGFILE_CHMOD = row(GROUP, "logfile-chmod", Kind::Mode,
        "The mode of the file of --logto (unix).");
    TOUCH_LOGROTATE = row(GROUP, "touch-logrotate", Kind::Path,
        "Rotate the log files when a file is touched. May be repeated.")
        .many();
    TOUCH_LOGREOPEN = row(GROUP, "touch-logreopen", Kind::Path,
        "Open the log anew when a file is touched. May be repeated.")
        .many();
}
