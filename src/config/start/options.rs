//! Options of what must hold before the server starts: locks, and things to wait for. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Process;

options! {
    FORCE_CWD = row(GROUP, "force-cwd", Kind::Path,
        "Change to this directory before anything else, relative paths of --chdir included.")
        .at_reload();
    PRIO = row(GROUP, "prio", Kind::Text,
        "The nice value of the process, from -20 to 19 (unix).")
        .value("N")
        .at_start();
    FLOCK = row(GROUP, "flock", Kind::Path,
        "Lock a file that exists, or leave if another process holds the lock (unix).");
    FLOCK_WAIT = row(GROUP, "flock-wait", Kind::Path,
        "Lock a file that exists, and wait until the lock is free (unix).");
    FLOCK2 = row(GROUP, "flock2", Kind::Path,
        "As --flock, but after the log is open and the server has detached.");
    FLOCK_WAIT2 = row(GROUP, "flock-wait2", Kind::Path,
        "As --flock-wait, but after the log is open and the server has detached.");
    FILE_WRITE = row(GROUP, "file-write", Kind::Pair,
        "Write a text to a file before privileges are dropped. May be repeated.")
        .many().value("FILE=TEXT");
    WAIT_FOR_FS = row(GROUP, "wait-for-fs", Kind::Path,
        "Wait until a path is there before privileges are dropped. May be repeated.")
        .many()
        .at_start();
    WAIT_FOR_FILE = row(GROUP, "wait-for-file", Kind::Path,
        "Wait until a file is there. May be repeated.")
        .many()
        .at_start();
    WAIT_FOR_DIR = row(GROUP, "wait-for-dir", Kind::Path,
        "Wait until a directory is there. May be repeated.")
        .many()
        .at_start();
    WAIT_FOR_MOUNTPOINT = row(GROUP, "wait-for-mountpoint", Kind::Path,
        "Wait until a file system is mounted on a directory (unix). May be repeated.")
        .many()
        .at_start();
    WAIT_FOR_FS_TIMEOUT = row(GROUP, "wait-for-fs-timeout", Kind::Seconds,
        "Seconds to wait for a path, a file, a directory or a mount.")
        .default("60")
        .at_start();
    WAIT_FOR_INTERFACE = row(GROUP, "wait-for-interface", Kind::Text,
        "Wait until there is a network interface of this name (Linux). May be repeated.")
        .also(&["wait-interface", "wait-for-iface", "wait-iface"]).many().value("NAME")
        .at_start();
    WAIT_FOR_INTERFACE_TIMEOUT = row(GROUP, "wait-for-interface-timeout", Kind::Seconds,
        "Seconds to wait for a network interface.")
        .also(&["wait-interface-timeout", "wait-for-iface-timeout", "wait-iface-timeout"]).default("60")
        .at_start();
    WAIT_FOR_SOCKET = row(GROUP, "wait-for-socket", Kind::Text,
        "Wait until HOST:PORT, or a unix socket, accepts connections before the application is \
         loaded. May be \
         repeated.")
        .many().value("ADDRESS")
        .at_start();
    WAIT_FOR_SOCKET_TIMEOUT = row(GROUP, "wait-for-socket-timeout", Kind::Seconds,
        "Seconds to wait for a socket.")
        .default("60")
        .at_start();
    FALLBACK_CONFIG = row(Group::Configuration, "fallback-config", Kind::Path,
        "Start anew with this file when the server leaves with code 1, which is how a failed start \
         ends.")
        .at_start();
}
