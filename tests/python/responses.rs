//! What an app answers: `start_response`, iterables of every kind, files; and clients that are slow or leave.

use singlemalt::python::{InterpreterThread, Served};
use singlemalt::wsgi::RequestBody;

use crate::harness::*;

#[test]
fn start_response_is_what_uwsgi_calls_it() {
    with_source(
        "
def application(environ, start_response):
    write = start_response(status='200 OK', response_headers=[('X-A', 'b')], exc_info=None)
    write(f'{start_response!r} {write!r}'.encode())
    return []
",
        |thread| {
            let exchange = get(thread, "/");
            assert!(
                exchange
                    .body()
                    .contains("<built-in function uwsgi_spit> <built-in function write>")
            );
        },
    );
}

#[test]
fn start_response_refuses_what_pep_3333_forbids() {
    with_source(
        r#"
import sys

class Text(str):
    pass

def twice(start_response):
    start_response('200 OK', [])
    start_response('201 OK', [])

def again(start_response):
    start_response('200 OK', [('X-First', '1')])
    try:
        raise KeyError('broken')
    except KeyError:
        start_response('500 Broken', [('X-Second', '2')], sys.exc_info())

def too_late(start_response):
    start_response('200 OK', [])(b'sent')
    try:
        raise KeyError('broken')
    except KeyError:
        start_response('500 Broken', [], sys.exc_info())

CASES = {
    '/bytes-status': lambda s: s(b'200 OK', []),
    '/short-status': lambda s: s('200', []),
    '/bad-status': lambda s: s('OK', []),
    '/split-status': lambda s: s('200 OK\r\nX: y', []),
    '/wide-status': lambda s: s('200 \u20ac', []),
    '/tuple-headers': lambda s: s('200 OK', ()),
    '/dict-headers': lambda s: s('200 OK', {}.items()),
    '/list-header': lambda s: s('200 OK', [['a', 'b']]),
    '/triple': lambda s: s('200 OK', [('a', 'b', 'c')]),
    '/bytes-name': lambda s: s('200 OK', [(b'a', 'b')]),
    '/number': lambda s: s('200 OK', [('a', 1)]),
    '/split-value': lambda s: s('200 OK', [('a', 'b\r\nc: d')]),
    '/nul': lambda s: s('200 OK', [('a', 'b\0')]),
    '/bad-name': lambda s: s('200 OK', [('a b', 'c')]),
    '/few': lambda s: s('200 OK'),
    '/many': lambda s: s('200 OK', [], None, 1),
    '/keyword': lambda s: s('200 OK', [], colour='red'),
    '/both': lambda s: s('200 OK', [], status='201 OK'),
    '/exc-info': lambda s: s('200 OK', [], 'no'),
    '/twice': twice,
    '/again': again,
    '/too-late': too_late,
    '/subclass': lambda s: s(Text('200 OK'), [(Text('a'), Text('b'))]),
    '/latin-1': lambda s: s('200 \xe4', [('a', '\xe4')]),
}

def application(environ, start_response):
    try:
        CASES[environ['PATH_INFO']](start_response)
    except Exception as error:
        if environ['PATH_INFO'] == '/too-late':
            raise
        start_response('400 Refused', [], sys.exc_info() if 'second time' in str(error) else None)
        return [f'{type(error).__name__}: {error}'.encode()]
    return [b'fine']
"#,
        |thread| {
            let cases = [
                "bytes-status",
                "short-status",
                "bad-status",
                "split-status",
                "wide-status",
                "tuple-headers",
                "dict-headers",
                "list-header",
                "triple",
                "bytes-name",
                "number",
                "split-value",
                "nul",
                "bad-name",
                "few",
                "many",
                "keyword",
                "both",
                "exc-info",
                "twice",
                "again",
                "too-late",
                "subclass",
                "latin-1",
            ];
            let told: Vec<String> = cases
                .iter()
                .map(|case| {
                    let exchange = get(thread, &format!("/{case}"));
                    let second = exchange.text().contains("X-Second: 2\r\n")
                        && !exchange.text().contains("X-First");
                    let aborted = if exchange.summary.aborted {
                        " (aborted)"
                    } else {
                        ""
                    };
                    let replaced = if second { " (replaced)" } else { "" };
                    format!(
                        "{case}: {}{aborted}{replaced} {}",
                        exchange.status(),
                        exchange.body().trim()
                    )
                })
                .collect();
            snapshot("start_response", &told.join("\n"));
        },
    );
}

/// An app whose iterable notes what was done with it, in a list that the next request reads.
const ITERABLES: &str = r#"
log = []

class Pieces:
    def __init__(self, *pieces):
        self.pieces = list(pieces)
        log.append('made')
    def __iter__(self):
        return self
    def __next__(self):
        if not self.pieces:
            raise StopIteration
        piece = self.pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        log.append('next')
        return piece
    def close(self):
        log.append('closed')

class BadClose(Pieces):
    def close(self):
        log.append('closed')
        raise OSError('close failed')

def generator(start_response):
    try:
        start_response('200 OK', [])
        yield b'one'
        yield b''
        yield b'two'
    finally:
        log.append('finally')

def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/log':
        start_response('200 OK', [])
        said, log[:] = ' '.join(log), []
        return [said.encode()]
    if path == '/generator':
        return generator(start_response)
    if path != '/no-start':
        start_response('200 OK', [('Content-Length', '6')] if path == '/short' else [])
    return {
        '/pieces': lambda: Pieces(b'a', b'', b'bc'),
        '/nothing': lambda: Pieces(),
        '/no-start': lambda: Pieces(b'a'),
        '/raises-first': lambda: Pieces(ValueError('at once')),
        '/raises-later': lambda: Pieces(b'a', ValueError('later')),
        '/exits': lambda: Pieces(SystemExit(3)),
        '/interrupts': lambda: Pieces(b'a', KeyboardInterrupt()),
        '/bad-close': lambda: BadClose(b'a'),
        '/number': lambda: Pieces(1),
        '/short': lambda: Pieces(b'abc'),
        '/tuple': lambda: (b'a', b'b'),
        '/empty-list': lambda: [],
        '/list-of-number': lambda: [b'a', 1],
        '/large-list': lambda: [b'a' * 10000, b'b' * 10000],
        '/bytes': lambda: b'whole',
        '/str': lambda: 'wh\u00f6le',
        '/str-list': lambda: ['Hello', 'World\u20ac'],
        '/surrogate': lambda: ['\udc80'],
        '/none': lambda: None,
        '/int': lambda: 7,
        '/set': lambda: {b'x'},
    }[path]()
"#;

#[test]
fn every_iterable_is_sent_and_closed() {
    with_source(ITERABLES, |thread| {
        let cases = [
            "pieces",
            "nothing",
            "no-start",
            "raises-first",
            "raises-later",
            "exits",
            "interrupts",
            "bad-close",
            "number",
            "short",
            "generator",
            "tuple",
            "empty-list",
            "list-of-number",
            "bytes",
            "str",
            "str-list",
            "surrogate",
            "none",
            "int",
            "set",
        ];
        let mut told = Vec::new();
        for case in cases {
            let exchange = get(thread, &format!("/{case}"));
            let aborted = if exchange.summary.aborted {
                " aborted"
            } else {
                ""
            };
            let body = exchange.body().escape_debug().to_string();
            let log = get(thread, "/log").body();
            told.push(format!(
                "{case}: {:?} {}{aborted} {body:?} [{log}]",
                exchange.served,
                exchange.status()
            ));
        }
        snapshot("iterables", &told.join("\n"));
        let large = get(thread, "/large-list");
        assert_eq!(large.summary.body_bytes, 20_000);
    });
}

#[test]
fn head_requests_are_iterated_and_closed_without_a_body() {
    with_source(ITERABLES, |thread| {
        let exchange = request_with(
            thread,
            "HEAD /pieces HTTP/1.1\nHost: a",
            RequestBody::default(),
            Client::default(),
        );
        assert_eq!(
            (exchange.served, exchange.body().as_str()),
            (Served::Answered, "")
        );
        assert_eq!(get(thread, "/log").body(), "made next next next closed");
    });
}

#[test]
fn a_client_that_leaves_ends_the_iteration_but_not_the_close() {
    with_source(ITERABLES, |thread| {
        let client = Client {
            gone_after: Some(1),
            ..Client::default()
        };
        let lines = "GET /pieces HTTP/1.1\nHost: a";
        let exchange = request_with(thread, lines, RequestBody::default(), client);
        assert_eq!(exchange.served, Served::ClientGone);
        assert_eq!(get(thread, "/log").body(), "made next next next closed");
        let client = Client {
            gone_after: Some(0),
            ..Client::default()
        };
        let exchange = request_with(thread, lines, RequestBody::default(), client);
        assert_eq!(exchange.served, Served::ClientGone);
        assert_eq!(get(thread, "/log").body(), "made next closed");
    });
}

#[test]
fn strict_means_bytes_only() {
    on_worker(|| {
        let mut strict = spec(strongest());
        strict.strict = true;
        with_app(strict, &App::new(ITERABLES), |thread| {
            for path in ["/str", "/str-list"] {
                let exchange = get(thread, path);
                assert_eq!(
                    (exchange.served, exchange.status()),
                    (Served::Failed, 500),
                    "{path}"
                );
            }
            assert_eq!(get(thread, "/tuple").body(), "ab");
        });
    });
}

#[test]
fn a_slow_client_is_waited_for_without_the_gil() {
    for isolation in isolations() {
        on_worker(move || {
            let app = App::new(
                "
def application(environ, start_response):
    start_response('200 OK', [])
    yield from (b'a', b'b', b'c')
",
            );
            with_app(spec(isolation), &app, |thread| {
                let handle = thread.handle();
                // Whoever waits for room holds no GIL: another thread of the interpreter gets all the way through meanwhile.
                let client = Client {
                    on_wait: Some(Box::new(move || {
                        let handle = handle.clone();
                        let sibling = std::thread::spawn(move || {
                            let sibling = InterpreterThread::join(&handle, 1).expect("joined");
                            sibling.end(GRACE)
                        });
                        sibling.join().expect("a sibling came and went");
                    })),
                    ..Client::default()
                };
                let lines = "GET / HTTP/1.1\nHost: a";
                let exchange = request_with(thread, lines, RequestBody::default(), client);
                assert_eq!(exchange.served, Served::Answered);
                assert_eq!(exchange.client.waits, 3);
            });
        });
    }
}

#[test]
fn files_are_sent_from_where_they_stand() {
    with_source(
        r#"
import gzip, io, os, tempfile

path = os.path.join(os.path.dirname(__file__), 'data')
with open(path, 'wb') as file:
    file.write(b'0123456789')
with gzip.open(path + '.gz', 'wb') as file:
    file.write(b'unzipped')
closed = []

class Holder:
    """Like Django's File: hands out what it holds."""
    def __init__(self, file):
        self.file = file
    read = property(lambda self: self.file.read)
    close = property(lambda self: self.file.close)

class Shouting(Holder):
    def read(self, size=-1):
        return self.file.read(size).decode().replace('5', 'five').encode()

class Closing:
    def __init__(self, file):
        self.file = file
    def read(self, size):
        return self.file.read(size)
    def close(self):
        closed.append(self.file.name)
        self.file.close()

def part(at):
    file = open(path, 'rb')
    file.read(at)
    return file

def unlinked():
    file = tempfile.NamedTemporaryFile()
    file.write(b'temporary')
    file.seek(4)
    return file

def application(environ, start_response):
    wrapper = environ['wsgi.file_wrapper']
    name = environ['PATH_INFO']
    headers = [('Content-Length', '3')] if name == '/length' else []
    start_response('200 OK', headers)
    if name == '/closed':
        return [','.join(closed).encode()]
    return wrapper({
        '/whole': lambda: part(0),
        '/offset': lambda: part(4),
        '/end': lambda: part(10),
        '/length': lambda: part(2),
        '/raw': lambda: open(path, 'rb', buffering=0),
        '/update': lambda: open(path, 'r+b'),
        '/memory': lambda: io.BytesIO(b'in memory'),
        '/gzip': lambda: gzip.open(path + '.gz'),
        '/temporary': unlinked,
        '/holder': lambda: Holder(part(3)),
        '/shouting': lambda: Shouting(part(3)),
        '/closing': lambda: Closing(part(8)),
        '/text': lambda: open(path),
    }[name](), 4)
"#,
        |thread| {
            let expected = [
                ("whole", "0123456789"),
                ("offset", "456789"),
                ("end", ""),
                ("length", "234"),
                ("raw", "0123456789"),
                ("update", "0123456789"),
                ("temporary", "orary"),
                ("holder", "3456789"),
            ];
            for (name, body) in expected {
                let exchange = get(thread, &format!("/{name}"));
                assert_eq!(
                    (exchange.served, exchange.body().as_str()),
                    (Served::Answered, body),
                    "{name}"
                );
                assert!(
                    exchange.text().contains("Content-Length: "),
                    "{name} was not sent as a file"
                );
                // Once more: nothing was closed too early, no offset moved.
                assert_eq!(get(thread, &format!("/{name}")).body(), body);
            }
            for (name, inside) in [
                ("memory", "in memory"),
                ("gzip", "unzipped"),
                ("text", "0123"),
            ] {
                let body = get(thread, &format!("/{name}")).body().replace("\r\n", "");
                let plain: String = body
                    .chars()
                    .filter(|c| c.is_alphabetic() || *c == ' ')
                    .collect();
                let wanted: String = inside
                    .chars()
                    .filter(|c| c.is_alphabetic() || *c == ' ')
                    .collect();
                assert_eq!(plain, wanted, "{name}");
            }
            assert!(get(thread, "/shouting").body().contains("five"));
            get(thread, "/closing");
            assert!(get(thread, "/closed").body().ends_with("data"));
        },
    );
}

#[test]
fn start_response_belongs_to_its_thread() {
    with_source(
        "
import threading
def application(environ, start_response):
    said = []
    def elsewhere():
        try:
            start_response('200 OK', [])
        except RuntimeError as error:
            said.append(str(error))
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    start_response('200 OK', [])
    return [said[0].encode()]
",
        |thread| {
            assert_eq!(
                get(thread, "/").body(),
                "start_response was called from a thread that does not serve its request"
            );
        },
    );
}

#[test]
fn what_goes_wrong_is_logged_with_its_traceback() {
    with_source(
        "
def deep(text):
    raise ValueError(text)

def application(environ, start_response):
    if environ['PATH_INFO'] == '/raise':
        deep('marker-of-raise')
    start_response('200 OK', [])
    return ['marker-of-str']
",
        |thread| {
            assert_eq!(get(thread, "/raise?a%0Ab").status(), 500);
            let [line] = &logged("marker-of-raise")[..] else {
                panic!("{:?}", logged("marker-of-raise"))
            };
            assert!(
                line.starts_with(
                    "ERROR app GET /raise?a%0Ab\nTraceback (most recent call last):\n"
                ),
                "{line}"
            );
            assert!(
                line.contains("app.py\", line 7, in application\n")
                    && line.contains("line 3, in deep\n"),
                "{line}"
            );
            assert!(line.ends_with("ValueError: marker-of-raise"), "{line}");
            let before = logged("the app answers with str").len();
            for _ in 0..3 {
                assert_eq!(get(thread, "/").body(), "marker-of-str");
            }
            // Other tests answer with str as well, each interpreter once; this one, not three times.
            assert!(logged("the app answers with str").len() > before);
        },
    );
}

#[test]
fn a_bug_of_ours_is_a_500_and_the_thread_serves_on() {
    with_source(ITERABLES, |thread| {
        std::panic::set_hook(Box::new({
            let hook = std::panic::take_hook();
            move |about| {
                if !about.to_string().contains("on purpose") {
                    hook(about);
                }
            }
        }));
        for path in ["/pieces", "/generator"] {
            // Inside a call from C (write and the iteration go through it), and in our own frames.
            let client = Client {
                on_wait: Some(Box::new(|| panic!("on purpose"))),
                ..Client::default()
            };
            let lines = format!("GET {path} HTTP/1.1\nHost: a");
            let exchange = request_with(thread, &lines, RequestBody::default(), client);
            assert_eq!(exchange.served, Served::Failed, "{path}");
            assert!(exchange.summary.aborted);
            let log = get(thread, "/log").body();
            assert!(log.ends_with("closed") || log.ends_with("finally"), "{log}");
            assert_eq!(get(thread, "/tuple").body(), "ab");
        }
    });
}
