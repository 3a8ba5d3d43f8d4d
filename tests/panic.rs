//! A panic inside a worker: the request it happened in is answered with 500, the worker is
//! replaced, and other requests are not affected. Debug builds panic on request
//! (`SINGLEMALT_PANIC_AT`); there is no other way to get one.
#![cfg(all(unix, debug_assertions))]

mod running;

use running::{Running, exchange, folder_with};

const APP: &str = "
def application(environ, start_response):
    start_response('200 OK', [('Content-Length', '5')])
    return [b'hello']
";

fn status(server: &Running, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let addresses = server.addresses();
    let address = addresses.first().expect("a listener");
    let answer = String::from_utf8(exchange(address, request.as_bytes())).expect("ASCII");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_panic_costs_one_request() {
    for isolation in [
        &["--isolation", "main", "--threads", "3"][..],
        &["--processes", "2"],
        &["--processes", "1", "--threads", "2"],
    ] {
        let folder = folder_with(&[("app.py", APP)]);
        let mut arguments = vec!["app.py", "--http-socket", "127.0.0.1:0"];
        arguments.extend(isolation);
        let mut server = Running::start_with(
            folder.path(),
            &arguments,
            &[("SINGLEMALT_PANIC_AT", "/panic")],
        );
        server.wait_until_ready();
        // More often than there are workers: each of them is replaced at least once.
        for _ in 0..5 {
            assert_eq!(
                status(&server, "/panic"),
                "HTTP/1.1 500 Internal Server Error"
            );
            assert_eq!(status(&server, "/"), "HTTP/1.1 200 OK");
        }
        let (code, log) = server.stop();
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(
            log.matches("replacing a worker that panicked").count(),
            5,
            "{log}"
        );
    }
}
