//! Limits and deadlines: what a client may send, and how long it may take. Data only.
//!
//! Each one has a name, a unit, a default, and a test that proves it bites. 0 switches a deadline
//! off.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Limits;

/// The largest number of bytes that any buffer may be told to grow to.
const BUFFER_MAX: u64 = 1 << 30;

options! {
    BUFFER_SIZE = row(GROUP, "buffer-size", Kind::Bytes { min: 1024, max: BUFFER_MAX },
        "Bytes of a request's head (request line and fields); a longer one is answered 431.")
        .short('b').default("32K")
        .mapped("it bounds the head of an HTTP request, with an answer instead of a dropped \
            connection")
        .at_reload();
    MAX_TARGET = row(GROUP, "max-target", Kind::Bytes { min: 64, max: BUFFER_MAX },
        "Bytes of a request target (path and query); a longer one is answered 414.")
        .default("16K")
        .at_reload();
    MAX_FIELDS = row(GROUP, "max-fields", Kind::Number { min: 1, max: 65_536 },
        "Header fields of a request; more are answered 431.")
        .default("128")
        .at_reload();
    MAX_CHUNK_LINE = row(GROUP, "max-chunk-line", Kind::Bytes { min: 16, max: BUFFER_MAX },
        "Bytes of the line in front of a chunk of a request body, with its extensions.")
        .default("1K")
        .at_reload();
    MAX_TRAILERS = row(GROUP, "max-trailers", Kind::Bytes { min: 64, max: BUFFER_MAX },
        "Bytes of the trailers behind a chunked request body.")
        .default("8K")
        .at_reload();
    LIMIT_POST = row(GROUP, "limit-post", Kind::Bytes { min: 0, max: u64::MAX },
        "Bytes of a request body; a longer one is answered 413. 0 is no limit.")
        .default("1G")
        .at_reload();
    POST_BUFFERING = row(GROUP, "post-buffering", Kind::Bytes { min: 0, max: BUFFER_MAX },
        "Bytes of a request body that are kept in memory; a longer body goes to a temporary file.")
        .default("1M")
        .mapped("bodies are always read whole before the application is called; this is where \
            memory ends");
    POST_BUFFERING_TOTAL = row(GROUP, "post-buffering-total", Kind::Bytes { min: 0, max: u64::MAX },
        "Bytes that all request bodies in temporary files may have together; a body past that is \
         answered 507. Unless set, as much as one body may have, 1G at least. 0 is no limit.");
    RESPONSE_BUFFERING = row(GROUP, "response-buffering", Kind::Bytes { min: 4096, max: BUFFER_MAX },
        "Bytes of a response that wait in memory for a slow client; past that they wait in a \
         temporary file.")
        .default("1M");
    RESPONSE_MEMORY_TOTAL = row(GROUP, "response-memory-total", Kind::Bytes { min: 0, max: u64::MAX },
        "Bytes of responses past --response-buffering that may wait in memory together because \
         the application gave them in one piece; past that they wait in temporary files.")
        .default("64M");
    RESPONSE_FILES_TOTAL = row(GROUP, "response-files-total", Kind::Bytes { min: 0, max: u64::MAX },
        "Bytes of responses that may wait in temporary files together; past that a worker waits \
         for its client. 0 is no files.")
        .default("1G");
    HEADER_TIMEOUT = row(GROUP, "header-timeout", Kind::Seconds,
        "Seconds from the first byte of a request's head to its last; then 408.")
        .also(&["http-headers-timeout", "http-header-timeout"]).default("20")
        .at_reload();
    BODY_TIMEOUT = row(GROUP, "body-timeout", Kind::Seconds,
        "Seconds of silence that are put up with inside a request body; then 408.")
        .also(&["http-timeout", "chunked-input-timeout"]).default("60")
        .mapped("there is no backend to wait for: it is the client's silence inside a request")
        .at_reload();
    BODY_MIN_RATE = row(GROUP, "body-min-rate", Kind::Number { min: 0, max: 1 << 40 },
        "Bytes per second that a request body must keep up after its first seconds; then 408. 0 \
         is any.")
        .value("BYTES").default("240")
        .at_reload();
    SOCKET_TIMEOUT = row(GROUP, "socket-timeout", Kind::Seconds,
        "Seconds without progress while a response is sent; then the connection is closed.")
        .also(&["so-send-timeout", "socket-send-timeout", "so-write-timeout", "socket-write-timeout"])
        .short('z').default("60")
        .mapped("it bounds the writing of a response; reading has its own three deadlines")
        .at_reload();
    HARAKIRI = row(GROUP, "harakiri", Kind::Seconds,
        "Seconds that the application may work on a request; then the client gets 504 and the \
         request an exception. 0 is any.")
        .short('t').default("0")
        .mapped("the request is ended, not a process: 504, an exception in its thread, a new \
            worker if it does not come back")
        .at_reload();
    HARAKIRI_VERBOSE = row(GROUP, "harakiri-verbose", Kind::Flag,
        "Log the Python stack of a request that took too long.")
        .at_reload();
    HARAKIRI_GRACEFUL_TIMEOUT = row(GROUP, "harakiri-graceful-timeout", Kind::Seconds,
        "Seconds between the exception and giving the worker up for a fresh one.")
        .default("5")
        .at_reload();
    HARAKIRI_QUEUE_THRESHOLD = row(GROUP, "harakiri-queue-threshold", Kind::Number { min: 0, max: 1_000_000 },
        "Waiting requests below which no request is ended for its time.")
        .default("0")
        .at_reload();
    MAX_CONNECTIONS = row(GROUP, "max-connections", Kind::Number { min: 1, max: 4_000_000 },
        "Connections that may be open at once. Then the longest idle one is closed for a new one; \
         without an idle one new ones wait in the backlog.")
        .default("10000")
        .at_reload();
    REQUEST_QUEUE = row(GROUP, "request-queue", Kind::Number { min: 1, max: 1_000_000 },
        "Complete requests that may wait for a worker; further ones are answered 503 with \
         Retry-After.")
        .default("1024");
}
