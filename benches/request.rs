//! Cost of one request without a socket: parse, environ, call, iterate, serialise.
//!
//!     cargo bench --bench request                      nanoseconds
//!     cargo bench --bench request -- count CASE N      N requests of a case without output, to be counted by valgrind
//!     cargo bench --bench request -- cases             the names of the cases
//!
//! Nanoseconds are the best of several rounds, because the others include time of other processes.
//! The number of instructions is exact, and CI compares it with a baseline (tools/instructions).

#![allow(
    clippy::print_stdout,
    reason = "a benchmark reports on its standard output"
)]

use singlemalt::protocol::http::response::Form;
use std::fs::File;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use singlemalt::protocol::http::{Limits, RequestHead, RequestReader, Step};
use singlemalt::python::{
    AppTarget, Call, InterpreterSpec, InterpreterThread, Isolation, Role, Runtime, RuntimeOptions,
    STACK_BYTES_MIN, Served, TargetKind, environment_now,
};
use singlemalt::wsgi::environ::{self, Link, Peer, ServerFacts};
use singlemalt::wsgi::{
    BodyMemory, Chosen, ClientGone, Head, HttpDate, RequestBody, RequestFacts, Response, Room, Sink,
};

const ROUNDS: usize = 15;
const REQUESTS: usize = 50_000;
const DATE: &HttpDate = b"Sun, 06 Nov 1994 08:49:37 GMT";

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

/// `(name, app, requests in turn)` of each case. Without an app no Python runs: `machine` is the
/// parser alone, `rust` all of our code, with the environ's data and a response but no interpreter.
/// Two requests in turn come from two clients; one request comes again and again from the same,
/// except in `machine` and `rust`.
const CASES: [(&str, Option<&str>, &[Sent]); 11] = [
    ("machine-1", None, &[Sent::Wrk]),
    ("machine-12", None, &[Sent::Browser]),
    ("machine-again-12", None, &[Sent::Browser]),
    ("rust-1", None, &[Sent::Wrk]),
    ("rust-12", None, &[Sent::Browser]),
    ("rust-post-1k", None, &[Sent::Post]),
    ("hello-1", Some(APPS[1].1), &[Sent::Wrk]),
    ("hello-12", Some(APPS[1].1), &[Sent::Browser]),
    (
        "hello-12-others",
        Some(APPS[1].1),
        &[Sent::Browser, Sent::OtherBrowser],
    ),
    ("post-1k", Some(READS_ITS_BODY), &[Sent::Post]),
    ("body-10k", Some(TEN_KILOBYTES), &[Sent::Wrk]),
];

const OTHER_BROWSER: &str = "GET /articles/2026/12?page=3&order=oldest HTTP/1.1\r\nHost: example.org\r\nConnection: \
     Keep-Alive\r\nCache-Control: no-cache\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X \
     10.15; rv:132.0) Gecko/20100101 Firefox/132.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
     Sec-Fetch-Site: none\r\nSec-Fetch-Mode: no-cors\r\nReferer: https://example.org/\r\nAccept-Encoding: gzip\r\n\
     Accept-Language: fr,en;q=0.5\r\nCookie: sessionid=fedcba9876543210; csrftoken=0123456789abcdef\r\n\r\n";

const READS_ITS_BODY: &str = "def application(environ, start_response):\n    \
     body = environ['wsgi.input'].read(int(environ['CONTENT_LENGTH']))\n    \
     start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '6')])\n    return [b'Hello\\n']\n";

const TEN_KILOBYTES: &str = "BODY = b'0123456789abcde\\n' * 640\n\ndef application(environ, start_response):\n    \
     start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '10240')])\n    return [BODY]\n";

/// The request of a case.
#[derive(Clone, Copy)]
enum Sent {
    /// One header field.
    Wrk,
    /// Twelve.
    Browser,
    /// As many of the same names, nearly all with other values.
    OtherBrowser,
    /// A body of a kilobyte.
    Post,
}

impl Sent {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Wrk => REQUEST_KINDS[0].1.into(),
            Self::Browser => REQUEST_KINDS[1].1.into(),
            Self::OtherBrowser => OTHER_BROWSER.into(),
            Self::Post => {
                let mut raw = b"POST /post HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: text/plain\r\nContent-Length: \
                                1024\r\n\r\n"
                    .to_vec();
                raw.resize(raw.len() + 1024, b'x');
                raw
            }
        }
    }
}

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
    // `--bench` is cargo's own word.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => in_worker(nanoseconds),
        ["cases"] => {
            for (name, ..) in CASES {
                println!("{name}");
            }
            Ok(())
        }
        ["count", case, requests] => {
            let requests = requests.parse()?;
            let (name, app, sent) = CASES
                .iter()
                .find(|(name, ..)| *name == case)
                .ok_or("no such case: see `cases`")?;
            let sent: Vec<_> = sent.iter().map(|sent| sent.bytes()).collect();
            match *app {
                None if name.starts_with("machine") => {
                    machine(&sent[0], requests, name.contains("again"));
                }
                None => rust_alone(&sent[0], requests),
                Some(app) => {
                    return in_worker(move |runtime, isolation| {
                        let mut thread = interpreter(runtime, isolation, app);
                        let mut path = Path::default();
                        path.serve(&mut thread, &sent, requests);
                        // It is not ended: that would be counted too.
                        std::mem::forget(thread);
                    });
                }
            }
            Ok(())
        }
        _ => Err("either no arguments, `cases`, or `count CASE N`".into()),
    }
}

/// Runs `work` where a worker of the server would run it.
fn in_worker(
    work: impl FnOnce(&'static Runtime, Isolation) + Send + 'static,
) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::start(&RuntimeOptions::default())?;
    let isolation = if runtime.supports_own_gil() {
        Isolation::OwnGil
    } else {
        Isolation::Main
    };
    std::thread::Builder::new()
        .stack_size(STACK_BYTES_MIN)
        .spawn(move || work(runtime, isolation))?
        .join()
        .map_err(|_| "the worker panicked")?;
    Ok(())
}

fn nanoseconds(runtime: &'static Runtime, isolation: Isolation) {
    println!(
        "Python {}, {}; ns per request, best of {ROUNDS} x {REQUESTS}",
        runtime.version(),
        isolation.word()
    );
    for (name, source) in APPS {
        let mut thread = interpreter(runtime, isolation, source);
        for (kind, raw) in REQUEST_KINDS {
            let mut path = Path::default();
            let best = (0..ROUNDS)
                .map(|_| {
                    let started = Instant::now();
                    path.serve(&mut thread, &[raw.into()], REQUESTS);
                    started.elapsed().as_nanos() as f64 / REQUESTS as f64
                })
                .fold(f64::INFINITY, f64::min);
            println!("{name:24} {kind:8} {best:6.0}");
        }
        thread.end(std::time::Duration::from_secs(1));
    }
}

/// The HTTP parser alone.
fn machine(raw: &[u8], requests: usize, is_same_client: bool) {
    let (mut head, limits) = (RequestHead::default(), Limits::default());
    let memory = Arc::new(BodyMemory::new(1 << 20));
    for _ in 0..requests {
        forget(&mut head, is_same_client);
        let mut body = RequestBody::default();
        read(black_box(raw), (&limits, &memory), &mut head, &mut body);
    }
}

fn forget(head: &mut RequestHead, is_same_client: bool) {
    if is_same_client {
        head.clear_for_same_client();
    } else {
        head.clear();
    }
}

/// All of our code: the parser, the data of the environ, a response of two header fields.
fn rust_alone(raw: &[u8], requests: usize) {
    let mut path = Path::default();
    let (mut head, mut scratch, mut values) = (RequestHead::default(), Vec::new(), 0);
    for _ in 0..requests {
        head.clear();
        let mut body = RequestBody::default();
        read(
            black_box(raw),
            (&path.limits, &path.memory),
            &mut head,
            &mut body,
        );
        let put = environ::for_each(&head, &path.peer, None, &mut scratch, |key, value| {
            black_box(&key);
            values += black_box(value).len();
            Ok::<(), ()>(())
        });
        assert!(put.is_ok());
        path.response.reset(facts_of(&head), DATE);
        let answered = path.response.begin(b"200 OK").is_ok()
            && path.response.header(b"Content-Type", b"text/plain").is_ok()
            && path.response.header(b"Content-Length", b"11").is_ok()
            && path
                .response
                .finish_with(b"Hello World", &mut path.sink)
                .is_ok();
        assert!(answered);
    }
    black_box(values);
}

/// Parses one request; its body, if it has one, goes to `body`.
fn read(
    raw: &[u8],
    (limits, memory): (&Limits, &Arc<BodyMemory>),
    head: &mut RequestHead,
    body: &mut RequestBody,
) {
    let (mut reader, mut input) = (RequestReader::default(), raw);
    loop {
        let Ok((used, step)) = reader.read(input, limits, head) else {
            unreachable!("these requests are good");
        };
        input = &input[used..];
        match step {
            Step::Head => {}
            Step::Data(data) => assert!(body.push(data, memory).is_ok()),
            Step::End => break,
            Step::NeedMore => unreachable!("these requests are whole"),
        }
    }
}

fn facts_of(head: &RequestHead) -> RequestFacts {
    RequestFacts {
        form: Form::Http,
        version: head.version(),
        is_head: false,
        keep_alive: head.keep_alive(),
    }
}

fn interpreter(runtime: &Runtime, isolation: Isolation, source: &str) -> InterpreterThread {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.py");
    std::fs::write(&path, source).expect("a file");
    let spec = InterpreterSpec {
        isolation,
        role: Role::Worker,
        worker_id: 1,
        python_path: Vec::new(),
        listeners: vec![ServerFacts {
            name: "localhost".into(),
            port: "8000".into(),
            scheme: "http",
            takes_variables: false,
            added: Default::default(),
        }],
        multithread: false,
        multiprocess: true,
        strict: false,
        accept_buffer: false,
        quiet_writes: false,
        file_wrapper: true,
        plugins: Vec::new(),
        imports: Vec::new(),
        catch_exceptions: false,
        has_uwsgi_module: true,
        sys_executable: None,
        environment: environment_now(),
        backend: Default::default(),
    };
    let mut thread = InterpreterThread::create(runtime, spec).expect("an interpreter");
    let target = AppTarget {
        kind: TargetKind::File(path),
        callable: None,
    };
    thread.load(&target).expect("an app");
    thread
}

/// State of a connection and a worker between requests.
struct Path {
    head: Head,
    response: Response,
    sink: Drain,
    peer: Peer,
    limits: Limits,
    memory: Arc<BodyMemory>,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            head: Head::default(),
            response: Response::default(),
            sink: Drain { bytes: 0 },
            peer: Peer::new(Some(([127, 0, 0, 1], 40_000).into())),
            limits: Limits::default(),
            memory: Arc::new(BodyMemory::new(1 << 20)),
        }
    }
}

impl Path {
    /// Runs so many requests, from the bytes of the request to those of the response.
    fn serve(&mut self, thread: &mut InterpreterThread, sent: &[Vec<u8>], requests: usize) {
        thread.attached(|attached| {
            for raw in sent.iter().cycle().take(requests) {
                let Head::Http(http) = &mut self.head else {
                    unreachable!("nobody changes its kind");
                };
                forget(http, sent.len() == 1);
                let mut body = RequestBody::default();
                read(
                    black_box(raw.as_slice()),
                    (&self.limits, &self.memory),
                    http,
                    &mut body,
                );
                self.response.reset(facts_of(http), DATE);
                let served = attached.serve(Call {
                    listener: 0,
                    head: &self.head,
                    peer: &self.peer,
                    link: Link::default(),
                    chosen: Chosen::FIRST,
                    body,
                    response: &mut self.response,
                    sink: &mut self.sink,
                });
                assert_eq!(served, Served::Answered);
            }
        });
    }
}
