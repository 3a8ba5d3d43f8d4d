//! How the running server is asked and told: the control socket, the fifo, the stats server. Data
//! only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Process;
const MONITORING: Group = Group::Monitoring;

options! {
    CONTROL = row(GROUP, "control", Kind::Address,
        "Take the commands of `singlemalt reload`, `stop` and `status` here: a unix socket, or \
         a port of this machine only (with --control-token). A server with a pidfile takes them \
         beside it, too; none switches both off.");
    CONTROL_TOKEN = row(GROUP, "control-token", Kind::Path,
        "The file with the secret that --control on a port asks for. The server makes it, for \
         its user only. Otherwise it is app.pid.token beside the pidfile.");
    MASTER_FIFO = row(GROUP, "master-fifo", Kind::Path,
        "Take one-letter commands from a named pipe (unix). May be repeated: 0 to 9 choose the \
         one that is open.")
        .many();
    STATS = row(MONITORING, "stats", Kind::Address,
        "Serve statistics as uWSGI's JSON here, to every client that connects (uwsgitop, \
         exporters).")
        .also(&["stats-server"]);
    STATS_HTTP = row(MONITORING, "stats-http", Kind::Flag,
        "Put an HTTP header in front of the statistics.");
    STATS_MINIFIED = row(MONITORING, "stats-minified", Kind::Flag,
        "Leave spaces out of the statistics.")
        .also(&["stats-min"]);
    STATS_NO_CORES = row(MONITORING, "stats-no-cores", Kind::Flag,
        "Leave threads out of the statistics.");
}
