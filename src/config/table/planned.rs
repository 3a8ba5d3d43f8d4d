//! What uWSGI has and a later version of singlemalt will do. Data only.
//!
//! A row leaves this file for its subject's file when its feature arrives. Until then using it is
//! announced at start; where running without it would be unsafe or useless, it is an error. A
//! family of options shares a row here; its values are all kept, so that each is named at start.

use super::row::{Group, Kind, OptionRow, row};

/// A line for each option: name, other names, kind, what else is known, help.
macro_rules! planned {
    ($group:ident: $(
        $name:literal $(| $alias:literal)* $kind:ident $(. $with:ident ($($given:expr),*))*
        => $help:literal;
    )*) => {
        &[$(
            row(Group::$group, $name, kind!($kind), $help)
                .also(&[$($alias),*]).later() $(. $with ($($given),*))*
        ),*]
    };
}

const LISTENING: &[OptionRow] = planned! { Listening:
};

const HTTP: &[OptionRow] = planned! { Http:
    "collect-header" | "response-header-collect" Text .many().value("HEADER VAR") => "Keep a \
     response header in a request variable, for logs and routes.";
    "pull-header" Text .many().value("HEADER VAR") => "Keep a response header in a request \
     variable and do not send it.";
    "http-raw-body" Flag => "Hand connections over to the application as they are.";
    "http-websockets" Flag => "Let the application take over websocket connections.";
    "http-auto-gzip" Flag => "Compress responses that ask for it by a uWSGI-Encoding header.";
    "http-buffer-size" Bytes => "Bytes of the connection buffer.";
    "websockets-ping-freq" | "websocket-ping-freq" Seconds => "Seconds between the pings of a \
     websocket.";
    "websockets-pong-tolerance" | "websocket-pong-tolerance" Seconds => "Seconds to wait for the \
     answer to a websocket ping.";
    "websockets-max-size" | "websocket-max-size" Number .value("KBYTES") => "Kilobytes of a \
     websocket message.";
    "websockets-continuation-buffer" | "websocket-continuation-buffer" Bytes => "Bytes of a \
     websocket message that arrives in parts.";
    "chunked-input-limit" Bytes => "Bytes of one chunk that uwsgi.chunked_read() takes.";
    "wsgi-manage-chunked-input" Flag => "Let the application read chunked bodies through \
     wsgi.input.";
};

const APPLICATION: &[OptionRow] = planned! { Application:
    "paste-name-as-name" Flag => "Name the application as its PasteDeploy section.";
    "exception-handler" Text .many() => "Hand exceptions of the application to a handler.";
    "upload-progress" Path => "Leave the progress of uploads in JSON files in a directory.";
};

const PYTHON: &[OptionRow] = planned! { Python:
    "pyshell" Text .bare("").essential_later("run python -i yourself") => "Run an interactive \
     Python in the server's environment.";
    "pyshell-oneshot" Text .bare("").essential_later("run python -i yourself") => "Run an \
     interactive Python once in the server's environment.";
    "profiler" Text .value("NAME") => "Profile the application.";
    "python-worker-override" Path .value("FILE") => "Run a script as the worker.";
};

const WORKERS: &[OptionRow] = planned! { Workers:
};

const PROCESS: &[OptionRow] = planned! { Process:
    "never-swap" Flag => "Keep the process in memory.";
    "notify-socket" Path => "Take commands as datagrams.";
    "binsh" Path .many() => "The shell that runs commands.";
};

const RELOAD: &[OptionRow] = planned! { Reload:
    "touch-mules-reload" Path .many() => "Reload the mules when a file changes.";
    "touch-spoolers-reload" Path .many() => "Reload the spoolers when a file changes.";
    "mule-reload-mercy" Seconds => "Seconds that a mule has to finish.";
};

const LOGGING: &[OptionRow] = planned! { Logging:
};

const MONITORING: &[OptionRow] = planned! { Monitoring:
    "stats-no-metrics" Flag => "Leave metrics out of the statistics.";
    "stats-push" Text .many() => "Send statistics somewhere from time to time.";
    "stats-pusher-default-freq" | "stats-pushers-default-freq" Seconds => "Seconds between two \
     statistics.";
    "carbon" Text .many() => "Send metrics to a Graphite server.";
    "carbon-timeout" Seconds => "Seconds to connect to a Graphite server.";
    "carbon-freq" Seconds => "Seconds between two deliveries to a Graphite server.";
    "carbon-id" Text => "What names this server in metrics.";
    "carbon-max-retry" Number => "Attempts at a delivery to a Graphite server.";
    "carbon-retry-delay" Seconds => "Seconds between two attempts at a delivery.";
    "carbon-root" Text => "What stands in front of the names of metrics.";
    "carbon-hostname-dots" | "carbon-hostname-as" Text => "What stands for the dots of the host's \
     name in names of metrics.";
    "carbon-idle-avg" Text => "The average response time that is sent while there are no requests: \
     last, zero or none.";
    "carbon-use-metrics" Flag => "Send the metrics of the metrics subsystem.";
    "carbon-no-workers" Flag => "Do not send metrics of single workers.";
    "carbon-name-resolve" | "carbon-resolve-names" Flag => "Look up the name of a Graphite server.";
    "enable-metrics" Flag => "Collect metrics.";
    "metric" Text .many() => "Declare a metric.";
    "metric-threshold" Text .many() => "Act when a metric passes a value.";
    "metric-alarm" | "alarm-metric" Text .many() => "Raise an alarm when a metric passes a value.";
    "metrics-dir" | "metric-dir" Path => "Leave metrics in files in a directory.";
    "metrics-dir-restore" | "metric-dir-restore" Flag => "Take metrics up from the files of a \
     directory.";
    "metrics-no-cores" Flag => "Do not collect metrics of threads.";
};

const BACKGROUND: &[OptionRow] = planned! { Background:
    "hook-as-mule" Text .many().value("ACTION") => "Do something when a mule starts.";
    "signal-timer" | "timer" | "signal-rbtimer" | "rbtimer" Text .many().value("'SIGNAL \
     SECONDS'") => "Raise a uwsgi signal again and again.";
    "mule" Text .bare("").many() => "Run a script, or wait for messages, beside the application.";
    "mules" Number => "Mules that wait for messages.";
    "farm" Text .many() => "Give a group of mules a name.";
    "mule-msg-size" Bytes .bare("64K") => "Bytes of a message to a mule.";
    "mule-harakiri" Seconds => "Seconds that a mule may work on a message.";
    "attach-daemon" | "attach-daemon2" | "attach-control-daemon" Text .many().value("COMMAND") =>
        "Run a program beside the server, and again when it ends.";
    "smart-attach-daemon" | "smart-attach-daemon2" Text .many().value("PIDFILE COMMAND") => "Run a \
     program beside the server unless it runs already.";
    "daemons-honour-stdin" Flag => "Leave such programs their standard input.";
    "signal" Text .many().essential_later("there is no other way yet") => "Send a uwsgi signal to \
     a server.";
};

const SHARED: &[OptionRow] = planned! { Shared:
    "cache-store" Path => "Keep the cache in a file.";
    "cache-store-sync" Seconds => "Seconds between two writes of the cache.";
    "cache-report-freed-items" Flag => "Log the removal of old items.";
    "cache-use-last-modified" Flag => "Keep the time of the last change of an item.";
    "load-file-in-cache-gzip" Path .many() => "Put a file into the cache at start, compressed.";
    "check-cache" Text .bare("") => "Answer requests from the cache.";
    "queue" Number => "Items of a queue that all interpreters share.";
    "queue-blocksize" Bytes => "Bytes of an item of the queue.";
    "queue-store" Path => "Keep the queue in a file.";
    "queue-store-sync" Seconds => "Seconds between two writes of the queue.";
    "sharedarea" Text .short('A').many() => "Memory that all interpreters share.";
    "py-sharedarea" Text .many() .value("SIZE") => "Memory that all interpreters share, as a \
     bytearray.";
    "rpc-max" Number => "Functions that can be called by name.";
};

pub(crate) static ROWS: &[&[OptionRow]] = &[
    LISTENING,
    HTTP,
    APPLICATION,
    PYTHON,
    WORKERS,
    PROCESS,
    RELOAD,
    LOGGING,
    MONITORING,
    BACKGROUND,
    SHARED,
];
