//! What uWSGI has and singlemalt will not do, each with the reason or the alternative. Data only.

use super::row::{Group, Kind, OptionRow, row};

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
pub(crate) static ROWS: &[&[OptionRow]] = unsupported! {
    "The emperor: one server that starts others.",
        "run a server for each application under systemd or another supervisor", Some("run the \
         vassals as services") =>
        values "emperor";
    "The emperor: one server that starts others.",
        "run a server for each application under systemd or another supervisor", None =>
        flags "emperor-nofollow" "emperor-tyrant" "emperor-tyrant-nofollow" "early-emperor"
            "emperor-magic-exec"
            "imperial-monitor-list" "imperial-monitors-list" "emperor-no-blacklist"
            "emperor-graceful-shutdown"
            "emperor-force-config-pipe" "emperor-subreaper" "emperor-tyrant-initgroups"
        values "emperor-proxy-socket" "emperor-wrapper" "emperor-procname" "emperor-freq"
            "emperor-required-heartbeat"
            "emperor-curse-tolerance" "emperor-pidfile" "emperor-stats" "emperor-stats-server"
            "emperor-broodlord"
            "emperor-throttle" "emperor-max-throttle" "emperor-on-demand-extension"
            "emperor-on-demand-ext"
            "emperor-on-demand-directory" "emperor-on-demand-dir" "emperor-on-demand-exec"
            "emperor-extra-extension"
            "emperor-extra-ext" "emperor-use-clone" "emperor-collect-attr"
            "emperor-collect-attribute" "emperor-cap" "vassals-cap" "vassal-cap"
            "emperor-fork-server-attr" "emperor-wrapper-fallback" "emperor-wrapper-override"
            "vassals-inherit" "vassals-include" "vassals-inherit-before" "vassals-include-before"
            "vassals-set"
            "vassals-start-hook" "vassals-stop-hook" "vassal-set" "vassal-sos" "vassal-sos-backlog"
            "heartbeat" "zeus"
            "hook-as-vassal" "hook-as-emperor" "hook-emperor-start" "hook-emperor-stop"
            "hook-emperor-reload"
            "hook-emperor-lost" "hook-as-on-demand-vassal" "hook-as-on-config-vassal"
            "exec-as-vassal" "exec-as-emperor" "mount-as-vassal" "mount-as-emperor"
            "umount-as-vassal" "umount-as-emperor" "call-as-vassal" "call-as-vassal1"
            "call-as-vassal3"
            "call-as-emperor" "call-as-emperor1" "call-as-emperor2" "call-as-emperor4" "unshare2";
    "Capabilities of the process (Linux).",
        "a service manager gives and takes them before the server starts",
        Some("with systemd: AmbientCapabilities= and CapabilityBoundingSet=; the server would keep \
            all that it has") =>
        values "cap";
    "Change the root directory.",
        "Python, the application and a reload need files of the old root",
        Some("start the server inside: RootDirectory= of systemd, or a container") =>
        values "chroot";
    "Leave when a file system cannot be reached any more.",
        "the service manager knows: BindsTo= and RequiresMountsFor= of systemd stop the server \
         with its mounts", None =>
        values "check-mountpoint" "mountpoint-check" "check-mount" "mount-check";
    "Zerg mode: servers that share the sockets of another.", "a reload here loses nothing: use \
     that", None =>
        flags "zerg-fallback" values "zerg" "zerg-server" "http-zerg" "zergpool" "zerg-pool";
    "Legions: servers that elect a leader.", "use the cluster's own election", None =>
        values "legion" "legion-mcast" "legion-node" "legion-freq" "legion-tolerance"
            "legion-skew-tolerance"
            "legion-death-on-lord-error" "legion-lord" "legion-unlord" "legion-setup" "legion-death"
            "legion-join" "legion-node-joined"
            "legion-node-left" "legion-quorum" "legion-scroll" "legion-scroll-max-size"
            "legion-scroll-list-max-size"
            "legion-cron" "cron-legion" "unique-legion-cron" "unique-cron-legion"
            "legion-attach-daemon"
            "legion-smart-attach-daemon" "legion-smart-attach-daemon2" "legion-curl-cron"
            "legion-cron-curl"
            "curl-cron-legion" "cron-curl-legion";
    "Subscriptions: servers that announce themselves to a router.", "let nginx, traefik or the \
     cluster find the server", None =>
        flags "subscriptions-use-credentials" "subscription-dotsplit"
            "unsubscribe-on-graceful-reload" "subscription-mountpoint" "start-unsubscribed"
        values "subscribe-to" "st" "subscribe" "subscribe2" "subscribe-freq"
            "subscription-tolerance" "subscription-algo"
            "subscriptions-sign-check" "subscriptions-sign-check-tolerance"
            "subscriptions-sign-skip-uid" "subscriptions-credentials-check"
            "subscription-notify-socket"
            "subscription-tolerance-inactive" "subscribe-with-modifier1" "http-subscription-server"
            "http-subscription-fallback-key" "http-resubscribe" "weight" "auto-weight";
    "A router to other servers.", "run nginx or traefik for that", Some("run nginx or traefik") =>
        values "fastrouter" "rawrouter" "sslrouter" "sslrouter2" "forkptyrouter" "forkpty-router";
    "A router to other servers.", "run nginx or traefik for that", None =>
        flags "fastrouter-quiet" "fastrouter-cheap" "http-manage-source" "http-manage-rtsp"
        values "fastrouter-to" "fastrouter-processes" "fastrouter-workers" "fastrouter-zerg"
            "fastrouter-use-pattern" "fastrouter-use-base" "fastrouter-fallback"
            "fastrouter-use-code-string"
            "fastrouter-subscription-server" "fastrouter-timeout" "fastrouter-post-buffering"
            "fastrouter-stats" "fastrouter-stats-server" "fastrouter-ss" "fastrouter-harakiri"
            "rawrouter-to" "sslrouter-to" "http-fallback"
            "http-use-pattern" "http-use-base" "http-use-code-string" "http-stud-prefix"
        optional "http-use-cache" "http-use-socket" "fastrouter-use-cache" "fastrouter-use-socket";
    "A router to other servers.", "run nginx or traefik for that", None =>
        flags "fastrouter-fallback-on-no-key" "rawrouter-cheap" "rawrouter-xclient"
            "sslrouter-cheap" "sslrouter-sni"
            "forkptyrouter-cheap"
        values "fastrouter-gracetime" "fastrouter-events" "fastrouter-subscription-slot"
            "fastrouter-post-buffering-dir" "fastrouter-uid" "fastrouter-gid"
            "fastrouter-resubscribe"
            "fastrouter-resubscribe-bind" "fastrouter-buffer-size"
            "fastrouter-subscription-fallback-key"
            "rawrouter-processes" "rawrouter-workers" "rawrouter-zerg" "rawrouter-use-pattern"
            "rawrouter-use-base"
            "rawrouter-fallback" "rawrouter-use-code-string" "rawrouter-gracetime"
            "rawrouter-events"
            "rawrouter-max-retries" "rawrouter-quiet" "rawrouter-subscription-server"
            "rawrouter-subscription-slot"
            "rawrouter-timeout" "rawrouter-stats" "rawrouter-stats-server" "rawrouter-ss"
            "rawrouter-harakiri"
            "rawrouter-buffer-size" "sslrouter-session-context" "sslrouter-processes"
            "sslrouter-workers"
            "sslrouter-zerg" "sslrouter-use-pattern" "sslrouter-use-base" "sslrouter-fallback"
            "sslrouter-use-code-string" "sslrouter-gracetime" "sslrouter-events"
            "sslrouter-max-retries"
            "sslrouter-quiet" "sslrouter-subscription-server" "sslrouter-timeout" "sslrouter-stats"
            "sslrouter-stats-server" "sslrouter-ss" "sslrouter-harakiri" "sslrouter-buffer-size"
            "forkptyurouter"
            "forkpty-urouter" "forkptyrouter-command" "forkpty-router-command" "forkptyrouter-cmd"
            "forkpty-router-cmd" "forkptyrouter-rows" "forkptyrouter-cols" "forkptyrouter-processes"
            "forkptyrouter-workers" "forkptyrouter-zerg" "forkptyrouter-fallback"
            "forkptyrouter-events"
            "forkptyrouter-timeout" "forkptyrouter-stats" "forkptyrouter-stats-server"
            "forkptyrouter-ss"
            "forkptyrouter-harakiri"
        optional "rawrouter-use-cache" "rawrouter-use-socket" "sslrouter-use-cache"
            "sslrouter-use-socket";
    "Green threads: requests that share a thread.", "the application's threads are threads here; \
     raise --threads instead", None =>
        flags "ugreen" "greenlet" "stackless" "fiber" "coroae-debug"
            "gevent-monkey-patch" "gevent-early-monkey-patch" "gevent-wait-for-hub"
        values "gevent" "asyncio" "tornado" "coroae" "ugreen-stacksize";
    "Another language or protocol of applications.", "only WSGI applications are served; use that \
     language's server", Some("name a WSGI application") =>
        values "psgi" "rack" "rails" "rb-require" "ruby-require" "gemset" "rvm" "php-app"
            "php-allowed-docroot"
            "php-docroot" "php-index" "php-ini" "php-set" "lua" "lua-load" "cgi" "jvm-classpath"
            "jvm-class"
            "jvm-main-class" "jwsgi" "clojure-load" "ring-load" "ring-app" "mono-app" "go-load"
            "gccgo-load" "v8-load"
            "v8-jsgi" "pypy-wsgi" "pypy-wsgi-file" "pypy-home" "pypy-lib" "pypy-pp" "web3" "pump"
            "wsgi-lite" "erlang"
            "worker-exec" "worker-exec2" "xslt-docroot" "symcall" "glusterfs-mount" "gridfs-mount"
            "webdav-mount";
    "Containers and jails.", "use systemd, a container or bubblewrap around the server", Some("put \
     them around the server, or the application runs unconfined") =>
        flags "jailed" "refork" "re-fork" "refork-as-root" "re-fork-as-root" "refork-post-jail"
            "re-fork-post-jail" "setns-preopen"
        values "unshare" "namespace" "ns" "namespace-keep-mount" "namespace-net" "ns-net" "cgroup"
            "cgroup-opt"
            "cgroup-dir-mode" "jail" "jail-ip4" "jail-ip6" "jidfile" "jid-file" "jail2" "libjail"
            "jail-attach"
            "pivot-root" "pivot_root" "setns" "setns-socket" "setns-socket-skip" "setns-skip"
            "tuntap-device" "tuntap-router";
    "Mounts of file systems.", "mount them before the server starts", Some("mount them before the \
     server starts") =>
        values "mount-asap" "mount-pre-jail" "mount-post-jail" "mount-in-jail" "mount-as-root"
            "umount-asap" "umount-pre-jail" "umount-post-jail" "umount-in-jail" "umount-as-root";
    "Calls of C functions of the uWSGI binary.", "there are none; use --hook-* with exec: or a \
     Python module", None =>
        flags "symcall-use-next"
        values "after-request-hook" "after-request-call" "call-asap" "call-pre-jail"
            "call-post-jail" "call-in-jail" "call-as-root" "call-as-user"
            "call-as-user-atexit" "call-pre-app" "call-post-app" "dlopen" "print-sym" "print-symbol"
            "privileged-binary-patch" "unprivileged-binary-patch" "privileged-binary-patch-arg"
            "unprivileged-binary-patch-arg" "fork-server" "fork-socket" "symcall-register-rpc"
            "symcall-post-fork";
    "Reports about the uWSGI binary.", "there is no uWSGI to report about", Some("leave it out to \
     start the server") =>
        flags "cflags" "dot-h" "loggers-list" "logger-list" "clock-list"
            "clocks-list" "loop-list" "loops-list" "command-mode" "config-py"
        values "build-plugin" "connect-and-read" "extract" "binary-append-data" "ping"
            "ping-timeout";
    "Static files of a folder that the front end names.", "name the folder with --check-static: \
     what is served is for the server to say", Some("use --check-static DIR") =>
        flags "check-static-docroot";
    "A raw or ZeroMQ socket.", "HTTP is served; a message queue wants a client in the \
     application", Some("serve HTTP: --http-socket") =>
        values "raw-socket" "zeromq" "zmq" "zeromq-socket" "zmq-socket" "udp" "multicast"
            "puwsgi-socket" "suwsgi-socket" "ssl-socket" "mongrel2";
    "Print all options and leave.", "--help all prints them", Some("use --help all") =>
        flags "dump-options";
    "Data with a connection's first packet (TCP Fast Open).", "the kernel does it for every \
     listener on demand: sysctl net.ipv4.tcp_fastopen=0x602", None =>
        values "tcp-fast-open" "tcp-fastopen";
    "Options of OpenSSL.", "another library speaks TLS, and has no such switches", None =>
        values "ssl-option";
    "Old protocols of TLS.", "they are not secure, and the TLS library does not have them", None =>
        flags "ssl-enable3" "ssl-enable-sslv3" "ssl-enable-tlsv1";
    "Text around configuration files.", "--include the files in their order", Some("name the files \
     with --include") =>
        values "inject-before" "inject-after";
    "The address of a name as a placeholder.", "names are not looked up while options are \
     read", Some("write the address, or take it from the environment: $(NAME)") =>
        values "resolve";
    "Modifiers of the uwsgi protocol.", "requests are WSGI; other modifiers are refused", None =>
        values "allowed-modifiers" "remap-modifier" "fastcgi-modifier1" "fastcgi-modifier2"
            "scgi-modifier1"
            "scgi-modifier2" "raw-modifier1" "raw-modifier2";
    "Caches of other servers.", "use Redis or memcached between servers", None =>
        values "cache-udp-server" "cache-udp-node" "cache-sync" "cache-server"
            "cache-server-threads"
        optional "ssl-sessions-use-cache" "ssl-session-use-cache";
    "A log that goes to a message queue or database.", "log to a file, syslog or a socket and let \
     a collector send it on", None =>
        values "log-zeromq";
    "Answers to SNMP queries.", "use --stats, or a Prometheus exporter for it", None =>
        values "snmp-community" "rrdtool" "rrdtool-freq" "rrdtool-lib" optional "snmp";
    "Reloads by descriptor, or without mercy.", "use --touch-reload, or send SIGHUP", None =>
        values "reload-on-fd" "brutal-reload-on-fd" "fs-brutal-reload";
    "Lists of options that a file may or may not hold.", "read files of strangers \
     nowhere", Some("leave them out, and read only files that you trust") =>
        flags "end-blacklist" "end-whitelist" values "blacklist" "whitelist";
    "A configuration in a database.", "put it into a file or the environment", Some("put it into \
     the environment") =>
        flags "ldap-schema" "ldap-schema-ldif" values "sqlite" "sqlite3" "ldap";
    "Another language or protocol of applications.", "only WSGI applications are served; use that \
     language's server", None =>
        flags "cgi-from-docroot" "cgi-optimize" "cgi-optimized" "cgi-path-info"
            "cgi-do-not-kill-on-error"
            "cgi-async-max-attempts" "cgi-close-stdin-on-eof" "lua-shell" "luashell" "lua-gc-freq"
            "php-dump-config"
            "psgi-enable-psgix-io" "perl-no-die-catch" "perl-version" "plshell-oneshot"
            "perl-no-plack"
            "rbshell-oneshot" "rbthreads" "rb-threads" "rbthread" "rb-thread"
        values "cgi-map-helper" "cgi-helper" "cgi-buffer-size" "cgi-timeout" "cgi-index"
            "cgi-allowed-ext" "cgi-unset"
            "cgi-loadlib" "cgi-safe" "go-args" "gccgo-args" "goroutines" "jvm-opt" "mono-gc-freq"
            "mono-key"
            "mono-version" "mono-config" "mono-assembly" "mono-exec" "mono-index" "php-config"
            "php-ini-append"
            "php-config-append" "php-allowed-ext" "php-allowed-script" "php-server-software"
            "php-app-qs"
            "php-fallback" "php-fallback2" "php-fallback-qs" "php-app-bypass" "php-var"
            "php-constant"
            "php-exec-before" "php-exec-begin" "php-exec-after" "php-exec-end" "php-sapi-name"
            "perl-local-lib"
            "perl-args" "perl-arg" "perl-exec" "perl-exec-post-fork" "perl-auto-reload"
            "perl-auto-reload-ignore"
            "pypy-setup" "pypy-ini-paste" "pypy-paste" "pypy-eval" "pypy-eval-post-fork" "pypy-exec"
            "pypy-exec-post-fork" "pypy-python-path" "pypy-pythonpath" "ruby-gc-freq" "rb-gc-freq"
            "rb-lib" "ruby-lib"
            "rbrequire" "rubyrequire" "require" "shared-rb-require" "shared-ruby-require"
            "shared-rbrequire"
            "shared-rubyrequire" "shared-require" "rvm-path"
        optional "plshell" "rbshell";
    "An application of raw requests.", "only WSGI applications are served", Some("name a WSGI \
     application") =>
        values "python-raw";
    "A Pecan configuration.", "name a module that calls pecan.deploy.deploy", Some("use --module: \
     its callable is what pecan.deploy.deploy(FILE) returns") =>
        values "pecan";
    "Files over WebDAV, XSLT, GlusterFS or RADOS.", "nginx and the file systems' own drivers do \
     that", None =>
        values "glusterfs-timeout" "rados-mount" "rados-timeout" "webdav-css" "webdav-javascript"
            "webdav-js"
            "webdav-class-directory" "webdav-div" "webdav-lock-cache" "webdav-principal-base"
            "webdav-add-option"
            "webdav-add-prop" "webdav-add-collection-prop" "webdav-add-object-prop"
            "webdav-add-prop-href"
            "webdav-add-collection-prop-href" "webdav-add-object-prop-href" "webdav-add-prop-comp"
            "webdav-add-collection-prop-comp" "webdav-add-object-prop-comp" "webdav-add-rtype-prop"
            "webdav-add-rtype-collection-prop" "webdav-add-rtype-object-prop" "webdav-skip-prop"
            "xslt-ext" "xslt-var"
            "xslt-stylesheet" "xslt-content-type";
    "Terminals of workers.", "use a debugger, or --py-tracebacker", None =>
        flags "pty-log" "pty-input" "pty-no-isig"
        values "pty-socket" "pty-connect" "pty-uconnect" "pty-exec";
    "Virtual networks.", "use systemd, a container or bubblewrap around the server", None =>
        values "tuntap-router-firewall-in" "tuntap-router-firewall-out" "tuntap-router-route"
            "tuntap-router-stats"
            "tuntap-device-rule"
        optional "tuntap-use-credentials";
    "The country of a client's address.", "let the proxy in front look it up, or a library in the \
     application", None =>
        flags "geoip-use-disk"
        values "geoip-country" "geoip-city";
    "A session of PAM.", "start the server through systemd (PAMName=) or su", Some("start the \
     server through systemd (PAMName=) or su") =>
        values "pam" "pam-user";
    "Reports to monitoring systems.", "use --stats, or an exporter for it", None =>
        flags "nagios" optional "zabbix-template";
    "Log requests for plugins that are not there.", "requests are WSGI; other modifiers are \
     refused", None =>
        flags "notfound-log";
    "URLs that are fetched at certain times.", "use --cron with curl", None =>
        values "curl-cron" "cron-curl";
    "A loop around a script.", "use --mule, --attach-daemon or a thread of the application", None =>
        values "dumbloop-modifier1" "dumbloop-code" "dumbloop-function";
};
