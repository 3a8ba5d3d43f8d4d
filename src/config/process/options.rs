//! Options of the process as a whole: how it stops. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Process;

options! {
    ONCE = row(GROUP, "once", Kind::Flag,
        "Stop when the first request has been answered.");
    RELOAD_MERCY = row(GROUP, "reload-mercy", Kind::Seconds,
        "Seconds that requests in progress have to finish after a stop or a reload was asked for.")
        .also(&["worker-reload-mercy"]).default("60")
        .at_reload();
    SHUTDOWN_DELAY = row(GROUP, "shutdown-delay", Kind::Seconds,
        "Seconds between a signal to stop and the stop: requests are answered meanwhile, each with \
         Connection: close, and \
         --ready-path says 503, so that load balancers look elsewhere.")
        .also(&["lame-duck"]).default("0")
        .at_reload();
    EXIT_ON_RELOAD = row(Group::Reload, "exit-on-reload", Kind::Flag,
        "Leave with code 0 when a reload is asked for.")
        .at_reload();
    SUPERVISE = row(GROUP, "supervise", Kind::Choice(&["on", "off", "warm"]),
        "Restart the server when it crashes: a small first process keeps the sockets meanwhile, so \
         that no connection is refused. With warm, a second server is loaded already and takes \
         over at once; it needs as much memory as the first.")
        .bare("on")
        .at_start();
    UID = row(GROUP, "uid", Kind::Text,
        "Become this user after the sockets are bound; if that fails, the server does not start.")
        .value("USER")
        .at_start();
    GID = row(GROUP, "gid", Kind::Text,
        "Become this group after the sockets are bound; if that fails, the server does not start.")
        .value("GROUP")
        .at_start();
    ADD_GID = row(GROUP, "add-gid", Kind::Text,
        "Become a member of this group too. May be repeated.")
        .many().value("GROUP")
        .at_start();
    IMMEDIATE_UID = row(GROUP, "immediate-uid", Kind::Text, "Become this user at once.")
        .value("USER")
        .at_start();
    IMMEDIATE_GID = row(GROUP, "immediate-gid", Kind::Text, "Become this group at once.")
        .value("GROUP")
        .at_start();
    NO_INITGROUPS = row(GROUP, "no-initgroups", Kind::Flag,
        "Do not become a member of all of the user's groups.")
        .at_start();
    UMASK = row(GROUP, "umask", Kind::Text,
        "The file mode bits that new files do not get, in octal.")
        .value("MODE");
    DAEMONIZE = row(GROUP, "daemonize", Kind::Text,
        "Detach from the terminal and log to a file, or to a UDP address (unix).")
        .short('d').value("LOGFILE")
        .at_start();
    DAEMONIZE2 = row(GROUP, "daemonize2", Kind::Text,
        "As --daemonize, but the command returns when the application is loaded (unix).")
        .value("LOGFILE")
        .at_start();
    PIDFILE = row(GROUP, "pidfile", Kind::Path, "Write the process id to a file.");
    PIDFILE2 = row(GROUP, "pidfile2", Kind::Path,
        "Write the process id to a file after privileges were dropped.");
    SAFE_PIDFILE = row(GROUP, "safe-pidfile", Kind::Path,
        "Write the process id to a file when the server is ready.");
    SAFE_PIDFILE2 = row(GROUP, "safe-pidfile2", Kind::Path,
        "Write the process id to a file when the server is ready and privileges were dropped.");
    STOP = row(GROUP, "stop", Kind::Path, "Stop the server that a pidfile names.")
        .value("PIDFILE").command();
    RELOAD = row(GROUP, "reload", Kind::Path, "Reload the server that a pidfile names.")
        .value("PIDFILE").command();
    RELOAD_STATUS = row(GROUP, "reload-status", Kind::Path,
        "Say how the last reload went of the server that a pidfile names: exit code 0 if \
         its version serves, 2 if not, 4 while it is under way.")
        .value("PIDFILE").command();
    PAUSE = row(GROUP, "pause", Kind::Path,
        "Pause or resume the server that a pidfile names.")
        .also(&["suspend", "resume"]).value("PIDFILE").command()
        .essential_later("there is no other way yet");
    PROCNAME = row(GROUP, "procname", Kind::Text, "The title of the process, for ps, top and pkill \
        (Linux).")
        .value("TITLE");
    PROCNAME_MASTER = row(GROUP, "procname-master", Kind::Text,
        "The title of the process, if --procname does not name one.")
        .value("TITLE")
        .mapped("there is one process");
    PROCNAME_PREFIX = row(GROUP, "procname-prefix", Kind::Text,
        "What stands in front of the title of the process.");
    PROCNAME_PREFIX_SPACED = row(GROUP, "procname-prefix-spaced", Kind::Text,
        "What stands in front of the title of the process, with a space behind it.");
    PROCNAME_APPEND = row(GROUP, "procname-append", Kind::Text,
        "What stands behind the title of the process.");
    AUTO_PROCNAME = row(GROUP, "auto-procname", Kind::Flag,
        "Call the process \"uWSGI master\".");
    CPU_AFFINITY = row(GROUP, "cpu-affinity", Kind::Number { min: 1, max: 4096 },
        "Cores for each worker thread (Linux).")
        .mapped("cores are given to threads, not to processes")
        .at_reload();
    LIMIT_AS = row(GROUP, "limit-as", Kind::Megabytes,
        "Megabytes of address space of the process for each interpreter (RLIMIT_AS).")
        .mapped("the limit is one worker's: times --processes, it holds for the one process")
        .at_start();
    LIMIT_NPROC = row(GROUP, "limit-nproc", Kind::Number { min: 1, max: u64::MAX },
        "Processes and threads that the user may have (RLIMIT_NPROC).")
        .at_start();
    MAX_FD = row(GROUP, "max-fd", Kind::Number { min: 16, max: u64::MAX },
        "Descriptors that the process may open (RLIMIT_NOFILE).")
        .at_start();
    CHDIR2 = row(GROUP, "chdir2", Kind::Path,
        "Change to this directory after the application was loaded.")
        .at_reload();
    HOOK = row(GROUP, "hook-asap", Kind::Text,
        "Do something at a phase of the process: exec:COMMAND, write:FILE TEXT, print:TEXT, \
         unix_signal:15 gracefully_kill_them_all ... May be repeated.")
        .also(&["hook-pre-jail", "hook-post-jail", "hook-in-jail", "hook-as-root", "hook-as-user",
            "hook-pre-app", "hook-post-app", "hook-master-start", "hook-post-fork",
            "hook-accepting", "hook-accepting1", "hook-accepting-once", "hook-accepting1-once",
            "hook-as-user-atexit", "hook-touch"])
        .many().value("ACTION")
        .mapped("it runs at the nearest phase of the one process");
    EXEC = row(GROUP, "exec-asap", Kind::Text,
        "Run a command at a phase of the process. May be repeated.")
        .also(&["exec-pre-jail", "exec-post-jail", "exec-in-jail", "exec-as-root", "exec-as-user",
            "exec-pre-app", "exec-post-app", "exec", "exec-as-user-atexit"])
        .many().value("COMMAND")
        .mapped("it runs at the nearest phase of the one process");
}
