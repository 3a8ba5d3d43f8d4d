//! Options of alarms. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Monitoring;

options! {
    ALARM = row(GROUP, "alarm", Kind::Text,
        "Declare an alarm: cmd:COMMAND (which gets the message on its standard input), \
         signal:NUMBER (a uwsgi signal) or \
         log:TEXT. May be repeated.")
        .many().value("'NAME KIND:ARGUMENT'");
    ALARM_FREQ = row(GROUP, "alarm-freq", Kind::Seconds,
        "Seconds in which an alarm is not raised again with the message that it had last.")
        .default("3");
    ALARM_FD = row(GROUP, "alarm-fd", Kind::Text,
        "Raise an alarm each time an inherited descriptor gives so many bytes, 1 without a number \
         (unix). May be repeated.")
        .many().value("'NAME FD[:BYTES] TEXT'");
    ALARM_LOG = row(GROUP, "alarm-log", Kind::Text,
        "Raise alarms for log lines that match, with the line as the message. May be repeated.")
        .also(&["log-alarm"]).many().value("'NAME[,NAME] REGEX'");
    NOT_ALARM_LOG = row(GROUP, "not-alarm-log", Kind::Text,
        "Log lines that match raise no alarm by the --alarm-log options behind this one. May be \
         repeated.")
        .also(&["not-log-alarm"]).many().value("'NAME[,NAME] REGEX'");
    ALARM_BACKLOG = row(GROUP, "alarm-backlog", Kind::Text,
        "Raise an alarm when requests were answered 503 because the queue was full. May be \
         repeated.")
        .also(&["backlog-alarm", "lq-alarm", "alarm-lq", "alarm-listen-queue", "listen-queue-alarm"])
        .many().value("NAME")
        .mapped("what is full is the queue of requests, not the kernel's backlog");
    ALARM_MSG_SIZE = row(GROUP, "alarm-msg-size", Kind::Bytes { min: 16, max: 1 << 20 },
        "Bytes of an alarm's message.")
        .default("8192")
        .mapped("a longer message is cut, not dropped");
    ALARM_LIST = row(GROUP, "alarm-list", Kind::Flag,
        "Print the kinds of alarms and leave.")
        .also(&["alarms-list"]).command();
}
