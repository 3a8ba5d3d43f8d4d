//! What an app is given: the environ, the input, and what becomes of both.

use std::sync::Arc;

use singlemalt::python::{InterpreterThread, Served};
use singlemalt::wsgi::{BodyMemory, RequestBody};

use crate::harness::*;

#[test]
fn hello_in_every_isolation() {
    for isolation in isolations() {
        on_worker(move || {
            let app = App::new(
                "
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello, ', environ['PATH_INFO'].encode()]
",
            );
            with_app(spec(isolation), &app, |thread| {
                for _ in 0..3 {
                    let exchange = get(thread, "/world");
                    assert_eq!(exchange.served, Served::Answered);
                    assert_eq!(exchange.body(), "hello, /world");
                    let text = exchange.text();
                    assert!(text.contains("Content-Length: 13\r\n"), "{text}");
                    assert_eq!(exchange.client.sends, 1);
                }
            });
        });
    }
}

#[test]
fn the_environ_is_complete_and_fresh_for_each_request() {
    with_source(
        "
def application(environ, start_response):
    if environ['PATH_INFO'] == '/spoil':
        environ.clear()
    lines = []
    for key in sorted(environ):
        value = environ[key]
        if key in ('wsgi.input', 'wsgi.errors', 'wsgi.file_wrapper', 'uwsgi.node'):
            value = type(value).__name__
        lines.append(f'{key} = {value!r}')
    assert type(environ) is dict
    start_response('200 OK', [])
    return ['\\n'.join(lines).encode()]
",
        |thread| {
            let lines = "POST /a%20b/%C3%A4?x=1&y=%20 HTTP/1.1\nHost: example.org\nX-Odd-Name: one\nx-odd-name: two\n\
                         Cookie: a=1\nCookie: b=2\nContent-Type: text/plain\nContent-Length: 2\nUser-Agent: \u{e4}";
            let mut body = RequestBody::default();
            body.push(b"hi", &Arc::new(BodyMemory::new(100))).unwrap();
            let exchange = request_with(thread, lines, body, Client::default());
            snapshot("environ", &exchange.body());
            let first = get(thread, "/again").body();
            assert_eq!(get(thread, "/spoil").body(), "");
            assert_eq!(get(thread, "/again").body(), first);
        },
    );
}

#[test]
fn the_input_reads_as_bytesio_does() {
    with_source(
        r#"
import io

def attempt(work, stream):
    try:
        return work(stream)
    except Exception as error:
        return type(error).__name__

WORKS = {
    "read": lambda s: s.read(),
    "read None": lambda s: (s.read(None), s.read()),
    "read sizes": lambda s: (s.read(0), s.read(1), s.read(5), s.read(-1), s.read(3)),
    "read bool": lambda s: s.read(True),
    "read index": lambda s: s.read(type('I', (), {'__index__': lambda self: 4})()),
    "read text": lambda s: s.read('4'),
    "read float": lambda s: s.read(1.5),
    "read huge": lambda s: s.read(1 << 70),
    "read many": lambda s: s.read(1, 2),
    "readline": lambda s: [s.readline() for _ in range(6)],
    "readline sizes": lambda s: [s.readline(size) for size in (0, 1, 2, 100, None, -1)],
    "readlines": lambda s: (s.readlines(), s.readlines()),
    "readlines hint": lambda s: (s.readlines(1), s.tell(), s.readlines(6), s.tell(), s.readlines(0)),
    "readlines None": lambda s: s.readlines(None),
    "readlines negative": lambda s: s.readlines(-5),
    "iterate": lambda s: list(s),
    "next": lambda s: (next(s), next(iter(s)), s.read(1), list(s), next(s, 'end')),
    "is its iterator": lambda s: iter(s) is s,
    "seek": lambda s: (s.seek(3), s.read(2), s.tell(), s.seek(0), s.read(1)),
    "seek end": lambda s: (s.seek(-2, 2), s.read(), s.seek(-100, 2), s.seek(2, 1), s.read(1)),
    "seek past": lambda s: (s.seek(1000), s.read(), s.readline(), s.readlines(), s.tell()),
    "seek negative": lambda s: s.seek(-1),
    "seek whence": lambda s: s.seek(0, 7),
    "seek none": lambda s: s.seek(),
    "seek huge": lambda s: s.seek(1 << 70),
    "readinto": lambda s: (lambda b: (s.readinto(b), bytes(b), s.tell()))(bytearray(7)),
    "readinto view": lambda s: (lambda b: (s.readinto(memoryview(b)[2:5]), bytes(b)))(bytearray(7)),
    "readinto long": lambda s: (lambda b: (s.readinto(b), len(b)))(bytearray(1 << 20)),
    "readinto bytes": lambda s: s.readinto(b'abc'),
    "readinto empty": lambda s: s.readinto(bytearray()),
    "read1": lambda s: (s.read1(2), s.read1(-1)),
    "able": lambda s: (s.readable(), s.seekable(), s.closed, s.isatty()),
    "text wrapper": lambda s: io.TextIOWrapper(s, 'latin-1').read().upper(),
    "buffered": lambda s: io.BufferedReader(s).read(4),
}

def application(environ, start_response):
    start_response('200 OK', [])
    stream = environ['wsgi.input']
    data = stream.read()
    wrong = []
    for name, work in WORKS.items():
        stream.seek(0)
        mine, his = attempt(work, stream), attempt(work, io.BytesIO(data))
        if mine != his:
            wrong.append(f'{name}: {mine!r:.200} instead of {his!r:.200}')
    return ['\n'.join(wrong).encode()]
"#,
        |thread| {
            let mut large = b"one\ntwo\n\nlast".repeat(20_000);
            large.push(b'x');
            for memory in [usize::MAX, 0] {
                for data in [
                    &b""[..],
                    b"one\n\ntwo\nthree",
                    b"\n",
                    b"no end of line",
                    &large,
                ] {
                    let exchange = post(thread, "/", data, memory);
                    assert_eq!(exchange.served, Served::Answered);
                    assert_eq!(
                        exchange.body(),
                        "",
                        "{} bytes, {memory} in memory",
                        data.len()
                    );
                }
            }
        },
    );
}

#[test]
fn what_an_app_keeps_is_dead_after_its_request() {
    with_source(
        "
kept = []

def application(environ, start_response):
    if environ['PATH_INFO'] == '/keep':
        kept[:] = [environ['wsgi.input'], start_response, start_response('200 OK', [])]
        return [b'kept']
    said = []
    for attempt in (kept[0].read, lambda: kept[1]('500 X', []), lambda: kept[2](b'late'), lambda: list(kept[0])):
        try:
            attempt()
        except (ValueError, RuntimeError) as error:
            said.append(str(error))
    assert kept[1] is not start_response and kept[0] is not environ['wsgi.input']
    start_response('200 OK', [])
    return ['\\n'.join(said).encode()]
",
        |thread| {
            assert_eq!(post(thread, "/keep", b"data", 100).body(), "kept");
            assert_eq!(
                get(thread, "/use").body(),
                "wsgi.input was read after its request had ended\n\
                 start_response was called after its request had ended\n\
                 write was called after its request had ended\n\
                 wsgi.input was read after its request had ended"
            );
        },
    );
}

#[test]
fn objects_serve_again_only_when_the_app_let_go_of_them() {
    with_source(
        "
seen = set()
def application(environ, start_response):
    seen.update((id(start_response), id(environ['wsgi.input'])))
    start_response('200 OK', [])
    return [str(len(seen)).encode()]
",
        |thread| {
            for _ in 0..5 {
                let expected = if runtime().is_free_threaded() {
                    ""
                } else {
                    "2"
                };
                let body = get(thread, "/").body();
                assert!(expected.is_empty() || body == expected, "{body}");
            }
        },
    );
}

#[test]
fn the_validator_is_content() {
    with_source(
        "
from wsgiref.validate import validator

@validator
def application(environ, start_response):
    data = environ['wsgi.input'].read(100)
    environ['wsgi.input'].readline(5)
    environ['wsgi.errors'].write('a line, and ')
    environ['wsgi.errors'].writelines(['its end\\n'])
    environ['wsgi.errors'].flush()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'valid ', data]
",
        |thread| {
            let exchange = post(thread, "/", b"data", 100);
            assert_eq!(
                (exchange.served, exchange.status()),
                (Served::Answered, 200)
            );
            assert!(exchange.body().contains("valid ") && exchange.body().contains("data"));
            let exchange = request_with(
                thread,
                "OPTIONS * HTTP/1.1\nHost: a",
                RequestBody::default(),
                Client::default(),
            );
            assert_eq!(exchange.served, Served::Answered);
        },
    );
}

#[test]
fn without_an_app_there_is_a_500() {
    on_worker(|| {
        let mut thread = InterpreterThread::create(runtime(), spec(strongest())).expect("created");
        let exchange = get(&mut thread, "/");
        assert_eq!((exchange.served, exchange.status()), (Served::NoApp, 500));
        thread.end(GRACE);
    });
}

#[test]
fn siblings_serve_the_creators_app() {
    for isolation in isolations() {
        on_worker(move || {
            let app = App::new(
                "
import threading
seen = []
def application(environ, start_response):
    seen.append(environ['uwsgi.core'])
    start_response('200 OK', [])
    thread = threading.current_thread()
    return [f\"{environ['uwsgi.core']} {thread.name} {thread.daemon} {len(seen)}\".encode()]
",
            );
            with_app(spec(isolation), &app, |thread| {
                assert_eq!(get(thread, "/").body(), "0 uWSGIWorker1Core0 False 1");
                for core in 1..4 {
                    let handle = thread.handle();
                    let body = on_worker(move || {
                        let mut sibling = InterpreterThread::join(&handle, core).expect("joined");
                        let body = get(&mut sibling, "/").body();
                        sibling.end(GRACE);
                        body
                    });
                    assert_eq!(
                        body,
                        format!("{core} uWSGIWorker1Core{core} False {}", core + 1)
                    );
                }
            });
        });
    }
}
