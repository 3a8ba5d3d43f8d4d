//! What one request costs without a socket: parse, environ, call, iterate, serialise. `cargo bench --bench request`.
//!
//! Prints the best of several rounds in nanoseconds, for the request that wrk sends and for one as a browser sends it; the
//! best, because the rest is what other processes took.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark reports on its standard output"
)]

use singlemalt::http::response::Form;
use std::fs::File;
use std::hint::black_box;
use std::time::Instant;

use singlemalt::http::{Limits, RequestReader, Step};
use singlemalt::python::{
    AppTarget, Call, InterpreterSpec, InterpreterThread, Isolation, Runtime, RuntimeOptions,
    STACK_BYTES_MIN, Served, TargetKind,
};
use singlemalt::wsgi::environ::{Peer, ServerFacts};
use singlemalt::wsgi::{Chosen, ClientGone, Head, RequestBody, RequestFacts, Response, Room, Sink};

const ROUNDS: usize = 15;
const REQUESTS: usize = 50_000;

const APPS: [(&str, &str); 4] = [
    (
        "hello",
        "def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
         return [b'Hello World']\n",
    ),
    (
        "hello, with its length",
        "def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain'), \
         ('Content-Length', '11')])\n    return [b'Hello World']\n",
    ),
    (
        "reads five keys",
        "def application(environ, start_response):\n    environ['PATH_INFO'], environ['QUERY_STRING'], environ['HTTP_HOST'], \
         environ['REQUEST_METHOD'], environ.get('HTTP_COOKIE')\n    \
         start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'Hello World']\n",
    ),
    (
        "generator",
        "def application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '11')])\n    \
         yield b'Hello World'\n",
    ),
];

const REQUEST_KINDS: [(&str, &str); 2] = [
    ("wrk", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"),
    (
        "browser",
        "GET /articles/2026/11?page=2&order=newest HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n\
         Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,\
         application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n\
         Referer: https://www.example.org/articles\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: \
         en-GB,en;q=0.9,de;q=0.8\r\nCookie: sessionid=0123456789abcdef; csrftoken=fedcba9876543210\r\n\r\n",
    ),
];

/// Takes everything and keeps nothing.
struct Drain {
    bytes: usize,
}

impl Sink for Drain {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        self.bytes += black_box(first).len() + black_box(second).len();
        Ok(Room::Ready)
    }

    fn send_file(&mut self, _: &[u8], _: File, _: u64, _: u64) -> Result<Room, ClientGone> {
        Err(ClientGone)
    }

    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::start(&RuntimeOptions::default())?;
    let isolation = if runtime.supports_own_gil() {
        Isolation::OwnGil
    } else {
        Isolation::Main
    };
    println!(
        "Python {}, {}; ns per request, best of {ROUNDS} x {REQUESTS}",
        runtime.version(),
        isolation.word()
    );
    let worker = std::thread::Builder::new()
        .stack_size(STACK_BYTES_MIN)
        .spawn(move || {
            for (name, source) in APPS {
                let mut thread = interpreter(runtime, isolation, source);
                for (kind, raw) in REQUEST_KINDS {
                    println!(
                        "{name:24} {kind:8} {:6.0}",
                        best_of(&mut thread, raw.as_bytes())
                    );
                }
                thread.end(std::time::Duration::from_secs(1));
            }
        })?;
    worker.join().map_err(|_| "the worker panicked")?;
    Ok(())
}

fn interpreter(runtime: &Runtime, isolation: Isolation, source: &str) -> InterpreterThread {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.py");
    std::fs::write(&path, source).expect("a file");
    let spec = InterpreterSpec {
        isolation,
        worker_id: 1,
        python_path: Vec::new(),
        listeners: vec![ServerFacts {
            name: "localhost".into(),
            port: "8000".into(),
            scheme: "http",
            takes_variables: false,
        }],
        multithread: false,
        multiprocess: true,
        strict: false,
        accept_buffer: false,
        quiet_writes: false,
        file_wrapper: true,
        imports: Vec::new(),
        catch_exceptions: false,
    };
    let mut thread = InterpreterThread::create(runtime, spec).expect("an interpreter");
    let target = AppTarget {
        kind: TargetKind::File(path),
        callable: None,
    };
    thread.load(&target).expect("an app");
    thread
}

fn best_of(thread: &mut InterpreterThread, raw: &[u8]) -> f64 {
    let mut best = f64::INFINITY;
    let (mut head, mut response) = (Head::default(), Response::default());
    let mut sink = Drain { bytes: 0 };
    let peer = Peer::new(Some(([127, 0, 0, 1], 40_000).into()));
    let limits = Limits::default();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        thread.attached(|attached| {
            for _ in 0..REQUESTS {
                let mut reader = RequestReader::default();
                let Head::Http(http) = &mut head else {
                    unreachable!("nobody changes its kind");
                };
                http.clear();
                let read = reader.read(black_box(raw), &limits, http);
                assert!(matches!(read, Ok((_, Step::Head))));
                let facts = RequestFacts {
                    form: Form::Http,
                    version: http.version(),
                    is_head: false,
                    keep_alive: http.keep_alive(),
                };
                response.reset(facts, b"Sun, 06 Nov 1994 08:49:37 GMT");
                let served = attached.serve(Call {
                    listener: 0,
                    head: &head,
                    peer: &peer,
                    chosen: Chosen::FIRST,
                    body: RequestBody::default(),
                    response: &mut response,
                    sink: &mut sink,
                });
                assert_eq!(served, Served::Answered);
            }
        });
        best = best.min(started.elapsed().as_nanos() as f64 / REQUESTS as f64);
    }
    best
}
