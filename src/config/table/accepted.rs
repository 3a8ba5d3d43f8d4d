//! What uWSGI has and one process does not need: accepted, without effect, each with the reason.
//! Data only. A family of options with one answer shares a row; its values are all kept, so that
//! each is named at start.

use super::row::{Group, Kind, OptionRow, row};

/// A line for each option: name, other names, kind, help, why nothing has to be done.
macro_rules! accepted {
    ($group:ident: $(
        $name:literal $(| $alias:literal)* $kind:ident $(. $with:ident ($($given:expr),*))*
        => $help:literal, $why:literal;
    )*) => {
        &[$(
            row(Group::$group, $name, kind!($kind), $help)
                .also(&[$($alias),*]) $(. $with ($($given),*))* .accepted($why)
        ),*]
    };
}

const APPLICATION: &[OptionRow] = accepted! { Application:
    "vhost" Flag => "Choose the application by SERVER_NAME.", "a mount that names a host is always \
     chosen by it";
    "vhost-host" | "vhosthost" Flag => "Choose the application by the Host header.", "a mount that \
     names a host is always chosen by it";
    "single-interpreter" Flag .short('i') => "Let the mounted applications share an \
     interpreter.", "always so; --isolation main is what puts all requests into one interpreter";
    "max-apps" Number => "Applications that one interpreter may hold.", "it holds as many as are \
     mounted";
};

const PYTHON: &[OptionRow] = accepted! { Python:
    "reload-os-env" Flag => "Read the environment anew for each application that is \
     loaded.", "every interpreter reads it when it is made";
    "wsgi-env-behaviour" | "wsgi-env-behavior" Text .value("NAME") => "How the environ dict is \
     made for each request.", "each request has a dict of its own, which the application may keep";
};

const LISTENING: &[OptionRow] = accepted! { Listening:
    "thunder-lock" Flag => "Let one process at a time accept connections.", "one process accepts";
    "no-defer-accept" Flag => "Accept connections before they sent anything.", "connections are \
     always accepted at once";
    "map-socket" Text .many() => "Give sockets to certain workers.", "every worker serves every \
     listener";
    "shutdown-sockets" Flag => "Shut connections down before they are closed.", "always so where \
     data may still arrive";
    "no-fd-passing" Flag => "Do not take descriptors over sockets.", "none are taken";
    "lock-engine" Text => "The kind of lock between processes.", "there is one process";
    "ftok" Text => "The key of locks between processes.", "there is one process";
    "persistent-ipcsem" Flag => "Leave locks between processes behind.", "there is one process";
    "tcp-fast-open-client" | "tcp-fastopen-client" Flag => "Connect with TCP Fast Open.", "there \
     is no backend to connect to";
};

const HTTP: &[OptionRow] = accepted! { Http:
    "http-auto-chunked" Flag => "Send responses of unknown length in chunks.", "always so on \
     HTTP/1.1";
    "http-chunked-input" Flag => "Take chunked request bodies.", "always so";
    "http-manage-expect" Number .bare("0") => "Answer Expect: 100-continue.", "always so";
    "http-processes" | "http-workers" Number => "Processes of the HTTP router.", "there is no \
     router process";
    "http-events" Number => "Connections that the HTTP router handles at \
     once.", "--max-connections bounds them";
    "http-to" Text .many() => "Where the HTTP router sends requests.", "there is no router in \
     between";
    "http-connect-timeout" Seconds => "Seconds to connect to a backend.", "there is no backend to \
     connect to";
    "http-modifier1" | "http-modifier2" Number .many() => "What the HTTP router tells the \
     backend.", "there is no router in between";
    "http-socket-modifier1" | "http-socket-modifier2" | "https-socket-modifier1"
        | "https-socket-modifier2" Number .many() => "The request plugin for HTTP.",
        "there is one: WSGI";
    "http-quiet" Flag => "Do not log failed connections to backends.", "there is no backend to \
     connect to";
    "http-cheap" Flag => "Do not listen while no backend is there.", "there is no backend to wait \
     for";
    "http-gracetime" Seconds => "Seconds before a backend is tried again.", "there is no backend \
     to wait for";
    "http-server-name-as-http-host" Flag => "Take SERVER_NAME from the Host header.", "frameworks \
     read HTTP_HOST first";
    "http-stats" | "http-stats-server" | "http-ss" Text => "Statistics of the HTTP router.", "they \
     are part of --stats";
    "http-harakiri" Seconds => "Seconds that the HTTP router may hang.", "there is no router \
     process";
    "http-uid" | "http-gid" Text .many() => "The user of the HTTP router.", "there is no router \
     process";
    "disable-sendfile" Flag => "Do not use sendfile.", "what the system cannot do is not used";
    "response-headers-limit" Bytes => "Bytes of the head of a response.", "it is as long as the \
     application makes it";
    "post-buffering-bufsize" Bytes => "Bytes that are read of a body at once.", "the connection's \
     buffer is used";
    "start_response-nodelay" Flag => "Send the head before there is a body.", "the head leaves \
     with the first byte of the body, as PEP 3333 says";
};

const STATIC: &[OptionRow] = accepted! { Static:
    "honour-range" Flag => "Answer requests for parts of a file.", "always so";
    "static-cache-paths" Seconds => "Seconds that a file's place is remembered.", "finding a file \
     is one system call: there is nothing to remember";
    "static-cache-paths-name" Text => "The cache that remembers the places of files.", "places of \
     files are not remembered";
};

const WORKERS: &[OptionRow] = accepted! { Workers:
    "master" Flag .short('M') => "Run a supervising process.", "always on: a thread supervises";
    "enable-threads" Flag .short('T') => "Let the application have threads.", "always so";
    "lazy-apps" Flag => "Load the application in each worker.", "always so: each interpreter loads \
     it";
    "lazy" Flag => "Load the application in each worker.", "always so: each interpreter loads it";
    "async" Number => "Requests that one worker handles at once.", "use --threads for that";
    "no-threads-wait" Flag => "Do not wait for threads at a stop.", "--reload-mercy bounds the \
     wait";
    "auto-snapshot" Number .bare("1") => "Keep the old workers at a reload.", "the old generation \
     serves until the new one does";
    "no-harakiri-after-req-hook" | "harakiri-no-arh" | "no-harakiri-arh" Flag => "No deadline for \
     after-request hooks.", "the deadline ends with the response";
    "py-call-osafterfork" | "py-callos-afterfork" Flag => "Tell Python about forks.", "nothing \
     forks";
    "py-call-uwsgi-fork-hooks" Flag => "Run fork hooks in Python.", "nothing forks";
    "early-python" Flag => "Start Python early.", "it starts before the application is loaded";
    "skip-atexit" | "skip-atexit-teardown" Flag .many() => "Do not end Python at a stop.", "the \
     process leaves without it";
    "drop-after-init" | "drop-after-apps" Flag .many() => "When privileges are dropped.", "they \
     are dropped after the sockets are bound";
    "ksm" Number .bare("10") => "Let the kernel merge equal memory.", "interpreters share a \
     process already";
    "force-gateway" Flag => "Start a router process without a supervisor.", "there is no router \
     process";
    "mem-collector-freq" Seconds => "Seconds between two looks at memory.", "it is looked at when \
     a limit is set";
    "check-interval" Seconds => "Seconds between the supervisor's checks.", "it acts on events";
    "forkbomb-delay" Seconds => "Seconds to wait when workers keep dying.", "nothing forks";
    "hook-as-gateway" Text .many().value("ACTION") => "Do something when a router process \
     starts.", "there is no router process";
    "reaper" Flag .short('r') => "Collect ended child processes after each request.", "children \
     belong to who started them";
    "no-orphans" Flag => "End workers when the supervisor dies.", "they are one process";
    "master-as-root" Flag => "Let the supervisor keep its privileges.", "there is one process, and \
     it drops them";
    "cheaper-algo-list" | "cheaper-algos-list" | "cheaper-list" Flag => "Print the cheaper \
     algorithms.", "they are spare, spare2, backlog, busyness and manual";
    "propagate-touch" Flag => "Pass touches on to workers by hand.", "they are one process";
    "loop" Text => "The kind of event loop.", "there is one";
    "clock" Text => "The kind of clock.", "the system's monotonic clock is used";
};

const PROCESS: &[OptionRow] = accepted! { Process:
    "die-on-term" Flag => "Stop on SIGTERM instead of reloading.", "always so: SIGTERM stops the \
     server";
    "honour-stdin" Flag => "Leave standard input open.", "it is left alone";
    "close-on-exec" | "close-on-exec2" Flag => "Do not hand descriptors to programs.", "none are \
     handed on";
    "skip-zero" Flag => "Do not look at descriptor 0.", "it is left alone";
    "safe-fd" | "fd-safe" Number .many() => "Do not close a descriptor.", "none that singlemalt \
     did not open are closed";
    "plugins-dir" | "plugin-dir" Path .many() => "Where plugins lie.", "there are no plugins to \
     load";
    "autoload" Flag => "Load plugins by option.", "there are no plugins to load";
    "binary-path" Path => "Where the program lies.", "the system knows";
    "signal-bufsize" | "signals-bufsize" Bytes => "Bytes of the signal queue.", "it grows and is \
     bounded";
    "cgi-mode" Flag .short('c') => "Act as CGI where a plugin can.", "there is one plugin: WSGI";
    "no-server" Flag => "Do not serve.", "without an address nothing but 127.0.0.1:8000 is served";
    "use-abort" Flag => "Dump core at a crash.", "the system's settings decide";
    "backtrace-depth" Number => "Lines of a C backtrace.", "Python's stack is logged instead";
    "pcre-jit" Flag => "Compile regular expressions.", "always so";
    "max-vars" Number .short('v') => "Variables of a request.", "--max-fields bounds them, with an \
     answer";
    "mode" Text => "A name that the application can ask for.", "set an environment variable with \
     --env instead";
    "multicast-ttl" | "multicast-loop" Number .many() => "How far multicasts go.", "there are none";
};

const LIMITS: &[OptionRow] = accepted! { Limits:
    "body-read-warning" Megabytes => "Megabytes of a request body in memory that are worth a \
     warning.", "a body past --post-buffering is in a file";
    "harakiri-graceful-signal" Text => "The signal that a process gets before it is \
     killed.", "there is no process to signal: uwsgi.Harakiri is raised in the request first";
};

const TLS: &[OptionRow] = accepted! { Tls:
    "https-session-context" Text => "The name of the TLS session context.", "sessions belong to \
     the address that they were begun on";
    "sni-dir-ciphers" Text => "The ciphers of --sni-dir.", "the ciphers are the library's, and all \
     of them are safe";
    "ssl-verify-depth" Number .bare("1") => "The longest chain of a client's \
     certificate.", "chains are verified whole, and their length is bounded";
    "ssl-sessions-timeout" | "ssl-session-timeout" Seconds => "Seconds that a TLS session can be \
     resumed.", "sessions are tickets, whose keys change every few hours";
};

const LOGGING: &[OptionRow] = accepted! { Logging:
    "ignore-sigpipe" Flag => "Do not report clients that went away.", "they are counted, not \
     reported";
    "ignore-write-errors" Flag => "Do not report failed writes.", "they are counted, not reported";
    "write-errors-tolerance" Number => "Failed writes that are tolerated.", "a client that goes \
     away does not disturb the others";
    "write-errors-exception-only" Flag => "Raise on a failed write, and do not report \
     it.", "always so: write() raises, and nothing is reported";
    "log-reopen" Flag => "Open the log file anew at a reload.", "always so";
    "log-master" Flag => "Let the supervisor write the logs.", "one process writes them";
    "log-master-bufsize" Bytes => "Bytes of the supervisor's log buffer.", "one process writes the \
     logs";
    "log-master-stream" | "log-master-req-stream" Flag .many() => "How workers send logs to the \
     supervisor.", "one process writes the logs";
    "threaded-logger" Flag => "Write logs in a thread.", "always so";
    "alarm-cheap" Flag => "Send alarms from one thread.", "always so";
    "ssl-tmp-dir" Path => "Where TLS leaves temporary files.", "it leaves none";
    "alarm-segfault" | "segfault-alarm" Text .many() => "Raise an alarm at a crash.", "a crash \
     ends the process; let its supervisor raise it";
};

const BACKGROUND: &[OptionRow] = accepted! { Background:
    "spooler-ordered" Flag => "Run tasks in order.", "tasks always start in the order in which they \
     came, those with a priority first";
};

pub(crate) static ROWS: &[&[OptionRow]] = &[
    APPLICATION,
    PYTHON,
    LISTENING,
    HTTP,
    STATIC,
    WORKERS,
    PROCESS,
    LIMITS,
    TLS,
    LOGGING,
    BACKGROUND,
];
