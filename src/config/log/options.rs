//! Options of the logs. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Logging;

options! {
    DISABLE_LOGGING = row(GROUP, "disable-logging", Kind::Flag,
        "Do not write a line for each request; errors are still logged.")
        .short('L').default("false")
        .at_reload();
    LOG_TIMES = row(GROUP, "log-times", Kind::Flag,
        "Write request lines in a format of singlemalt's own: with the times that a request was queued, \
        worked on and sent, to a tenth of a millisecond. The default is uWSGI's line.")
        .default("false");
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
