//! What uWSGI has and singlemalt will not do, each with the reason or the alternative. Data only.

use crate::config::option::{Group, Kind, OptionRow, row};

/// Families of options: what they are, why not, what else, and their names by what they take.
macro_rules! unsupported {
    ($(
        $help:literal, $why:literal, $instead:expr =>
        $(flags $($flag:literal)+)? $(values $($value:literal)+)? $(optional $($bare:literal)+)? ;
    )*) => {
        &[$(
            &[
                $($( refused($flag, Kind::Flag, $help, $why, $instead), )+)?
                $($( refused($value, Kind::Text, $help, $why, $instead).many(), )+)?
                $($( refused($bare, Kind::Text, $help, $why, $instead).bare(""), )+)?
            ] as &[OptionRow],
        )*]
    };
}

const fn refused(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    why: &'static str,
    instead: Option<&'static str>,
) -> OptionRow {
    let refused = row(Group::Elsewhere, name, kind, help).unsupported(why);
    match instead {
        Some(instead) => refused.essential_later(instead),
        None => refused,
    }
}

/// Where something else is named, running without the option would be unsafe or useless: using it
/// is always an error.
pub(super) static ROWS: &[&[OptionRow]] = unsupported! {
    "The emperor: one server that starts others.",
        "run a server for each application under systemd or another supervisor", Some("run the vassals as services") =>
        values "emperor";
    "The emperor: one server that starts others.",
        "run a server for each application under systemd or another supervisor", None =>
        flags "emperor-nofollow" "emperor-tyrant" "emperor-tyrant-nofollow" "early-emperor" "emperor-magic-exec"
            "imperial-monitor-list" "imperial-monitors-list" "emperor-no-blacklist" "emperor-graceful-shutdown"
            "emperor-force-config-pipe" "emperor-subreaper" "emperor-tyrant-initgroups"
        values "emperor-proxy-socket" "emperor-wrapper" "emperor-procname" "emperor-freq" "emperor-required-heartbeat"
            "emperor-curse-tolerance" "emperor-pidfile" "emperor-stats" "emperor-stats-server" "emperor-broodlord"
            "emperor-throttle" "emperor-max-throttle" "emperor-on-demand-extension" "emperor-on-demand-ext"
            "emperor-on-demand-directory" "emperor-on-demand-dir" "emperor-on-demand-exec" "emperor-extra-extension"
            "emperor-extra-ext" "emperor-use-clone" "emperor-collect-attr" "emperor-collect-attribute" "emperor-cap" "vassals-cap" "vassal-cap"
            "emperor-fork-server-attr" "emperor-wrapper-fallback" "emperor-wrapper-override"
            "vassals-inherit" "vassals-include" "vassals-inherit-before" "vassals-include-before" "vassals-set"
            "vassals-start-hook" "vassals-stop-hook" "vassal-set" "vassal-sos" "vassal-sos-backlog" "heartbeat" "zeus"
            "hook-as-vassal" "hook-as-emperor" "hook-emperor-start" "hook-emperor-stop" "hook-emperor-reload"
            "hook-emperor-lost" "hook-as-on-demand-vassal" "hook-as-on-config-vassal" "exec-as-vassal" "exec-as-emperor" "mount-as-vassal" "mount-as-emperor"
            "umount-as-vassal" "umount-as-emperor" "call-as-vassal" "call-as-vassal1" "call-as-vassal3"
            "call-as-emperor" "call-as-emperor1" "call-as-emperor2" "call-as-emperor4" "unshare2";
    "Zerg mode: servers that share the sockets of another.", "a reload here loses nothing: use that", None =>
        flags "zerg-fallback" values "zerg" "zerg-server" "http-zerg";
    "Legions: servers that elect a leader.", "use the cluster's own election", None =>
        values "legion" "legion-mcast" "legion-node" "legion-freq" "legion-tolerance" "legion-skew-tolerance"
            "legion-death-on-lord-error" "legion-lord" "legion-unlord" "legion-setup" "legion-death" "legion-join" "legion-node-joined"
            "legion-node-left" "legion-quorum" "legion-scroll" "legion-scroll-max-size" "legion-scroll-list-max-size"
            "legion-cron" "cron-legion" "unique-legion-cron" "unique-cron-legion" "legion-attach-daemon"
            "legion-smart-attach-daemon" "legion-smart-attach-daemon2";
    "Subscriptions: servers that announce themselves to a router.", "let nginx, traefik or the cluster find the server", None =>
        flags "subscriptions-use-credentials" "subscription-dotsplit" "unsubscribe-on-graceful-reload" "subscription-mountpoint" "start-unsubscribed"
        values "subscribe-to" "st" "subscribe" "subscribe2" "subscribe-freq" "subscription-tolerance" "subscription-algo"
            "subscriptions-sign-check" "subscriptions-sign-check-tolerance" "subscriptions-sign-skip-uid" "subscriptions-credentials-check" "subscription-notify-socket"
            "subscription-tolerance-inactive" "subscribe-with-modifier1" "http-subscription-server"
            "http-subscription-fallback-key" "http-resubscribe" "weight" "auto-weight";
    "A router to other servers.", "run nginx or traefik for that", Some("run nginx or traefik") =>
        values "fastrouter" "rawrouter" "sslrouter" "sslrouter2" "forkptyrouter" "forkpty-router";
    "A router to other servers.", "run nginx or traefik for that", None =>
        flags "fastrouter-quiet" "fastrouter-cheap" "http-manage-source" "http-manage-rtsp"
        values "fastrouter-to" "fastrouter-processes" "fastrouter-workers" "fastrouter-zerg" "fastrouter-use-cache"
            "fastrouter-use-pattern" "fastrouter-use-base" "fastrouter-fallback" "fastrouter-use-code-string"
            "fastrouter-subscription-server" "fastrouter-timeout" "fastrouter-post-buffering"
            "fastrouter-stats" "fastrouter-stats-server" "fastrouter-ss" "fastrouter-harakiri" "rawrouter-to" "sslrouter-to" "http-fallback"
            "http-use-pattern" "http-use-base" "http-use-code-string" "http-stud-prefix"
        optional "http-use-cache" "http-use-socket" "fastrouter-use-socket";
    "Green threads: requests that share a thread.", "the application's threads are threads here; raise --threads instead", None =>
        flags "ugreen" "greenlet" "stackless" "fiber" "coroae-debug"
            "gevent-monkey-patch" "gevent-early-monkey-patch" "gevent-wait-for-hub"
        values "gevent" "asyncio" "tornado" "coroae" "ugreen-stacksize";
    "Another language or protocol of applications.", "only WSGI applications are served; use that language's server", Some("name a WSGI application") =>
        values "psgi" "rack" "rails" "rb-require" "ruby-require" "gemset" "rvm" "php-app" "php-allowed-docroot"
            "php-docroot" "php-index" "php-ini" "php-set" "lua" "lua-load" "cgi" "jvm-classpath" "jvm-class"
            "jvm-main-class" "jwsgi" "clojure-load" "ring-load" "ring-app" "mono-app" "go-load" "gccgo-load" "v8-load"
            "v8-jsgi" "pypy-wsgi" "pypy-wsgi-file" "pypy-home" "pypy-lib" "pypy-pp" "web3" "pump" "wsgi-lite" "erlang"
            "worker-exec" "worker-exec2" "xslt-docroot" "symcall" "glusterfs-mount" "gridfs-mount" "webdav-mount";
    "Containers and jails.", "use systemd, a container or bubblewrap around the server", Some("put them around the server, or the application runs unconfined") =>
        flags "jailed" "refork" "re-fork" "refork-as-root" "re-fork-as-root" "refork-post-jail" "re-fork-post-jail"
        values "unshare" "namespace" "ns" "namespace-keep-mount" "namespace-net" "ns-net" "cgroup" "cgroup-opt"
            "cgroup-dir-mode" "jail" "jail-ip4" "jail-ip6" "jidfile" "jid-file" "jail2" "libjail" "jail-attach"
            "pivot-root" "pivot_root" "setns" "setns-socket" "setns-socket-skip" "setns-skip" "setns-preopen"
            "tuntap-device" "tuntap-router";
    "Mounts of file systems.", "mount them before the server starts", Some("mount them before the server starts") =>
        values "mount-asap" "mount-pre-jail" "mount-post-jail" "mount-in-jail" "mount-as-root"
            "umount-asap" "umount-pre-jail" "umount-post-jail" "umount-in-jail" "umount-as-root";
    "Calls of C functions of the uWSGI binary.", "there are none; use --hook-* with exec: or a Python module", None =>
        values "after-request-hook" "after-request-call" "call-asap" "call-pre-jail" "call-post-jail" "call-in-jail" "call-as-root" "call-as-user"
            "call-as-user-atexit" "call-pre-app" "call-post-app" "dlopen" "print-sym" "print-symbol"
            "privileged-binary-patch" "unprivileged-binary-patch" "privileged-binary-patch-arg"
            "unprivileged-binary-patch-arg" "fork-server" "fork-socket";
    "Reports about the uWSGI binary.", "there is no uWSGI to report about", Some("leave it out to start the server") =>
        flags "cflags" "dot-h" "plugins-list" "plugin-list" "loggers-list" "logger-list" "clock-list"
            "clocks-list" "loop-list" "loops-list" "command-mode" "build-plugin" "config-py"
        values "connect-and-read" "extract" "binary-append-data" "ping" "ping-timeout";
    "A raw or ZeroMQ socket.", "HTTP is served; a message queue wants a client in the application", Some("serve HTTP: --http-socket") =>
        values "raw-socket" "zeromq" "zmq" "zeromq-socket" "zmq-socket" "udp" "multicast"
            "fastcgi-nph-socket" "scgi-nph-socket" "puwsgi-socket" "suwsgi-socket" "ssl-socket";
    "Print all options and leave.", "--help all prints them", Some("use --help all") =>
        flags "dump-options";
    "Options of OpenSSL.", "another library speaks TLS, and has no such switches", None =>
        values "ssl-option";
    "Old protocols of TLS.", "they are not secure, and the TLS library does not have them", None =>
        flags "ssl-enable3" "ssl-enable-sslv3" "ssl-enable-tlsv1";
    "Text around configuration files.", "--include the files in their order", Some("name the files with --include") =>
        values "inject-before" "inject-after";
    "The address of a name as a placeholder.", "names are not looked up while options are read", Some("write the address, or take it from the environment: $(NAME)") =>
        values "resolve";
    "Modifiers of the uwsgi protocol.", "requests are WSGI; other modifiers are refused", None =>
        values "allowed-modifiers" "remap-modifier" "fastcgi-modifier1" "fastcgi-modifier2" "scgi-modifier1"
            "scgi-modifier2" "raw-modifier1" "raw-modifier2";
    "Caches of other servers.", "use Redis or memcached between servers", None =>
        values "cache-udp-server" "cache-udp-node" "cache-sync" "cache-server" "cache-server-threads"
        optional "ssl-sessions-use-cache" "ssl-session-use-cache";
    "A log that goes to a message queue or database.", "log to a file, syslog or a socket and let a collector send it on", None =>
        values "log-zeromq";
    "Answers to SNMP queries.", "use --stats, or a Prometheus exporter for it", None =>
        values "snmp-community" "rrdtool" "rrdtool-freq" "rrdtool-lib" optional "snmp";
    "Reloads by descriptor, or without mercy.", "use --touch-reload, or send SIGHUP", None =>
        values "reload-on-fd" "brutal-reload-on-fd" "fs-brutal-reload";
    "Lists of options that a file may or may not hold.", "read files of strangers nowhere", Some("leave them out, and read only files that you trust") =>
        flags "end-blacklist" "end-whitelist" values "blacklist" "whitelist";
    "A configuration in a database.", "put it into a file or the environment", Some("put it into the environment") =>
        flags "ldap-schema" "ldap-schema-ldif" values "sqlite" "sqlite3" "ldap";
};
