//! Golden tests of what `@(SCHEME://...)` stands for, allowed and not. They run commands of the
//! system and listen on a port of this machine.

use super::{Site, check};

#[test]
fn schemes_that_run_something_are_refused() {
    check(
        "logto = @(exec://date +%%Y)",
        "error: exec://date +%Y would run a command, which is not allowed in a configuration \
         (a.ini line 2)\n  \
         give --allow-config-exec on the command line if no other user can write the file",
    );
    check(
        "a = @(http://box/name)",
        "error: http://box/name would fetch something, which is not allowed in a configuration \
         (a.ini line 2)\n  \
         give --allow-config-exec on the command line if no other user can write the file",
    );
    let no_function = "names a C function of uWSGI's binary, and there is none";
    let no_binary = "names a part of uWSGI's binary, and there is none";
    let no_emperor = "names something that uWSGI's emperor hands out, and there is none";
    let with_curl = "fetch it with a command: @(exec://curl -fsS URL), and --allow-config-exec on \
        the command line";
    let with_command =
        "run a command instead: @(exec://COMMAND), with --allow-config-exec on the command line";
    let with_file = "put the text into a file";
    for (scheme, why, instead) in [
        ("call", no_function, with_command),
        ("callint", no_function, with_command),
        ("sym", no_function, with_command),
        ("data", no_binary, with_file),
        ("section", no_binary, with_file),
        ("emperor", no_emperor, with_file),
        (
            "https",
            "cannot be fetched: there is no TLS here",
            with_curl,
        ),
    ] {
        // With the option and without it: there is nothing that it could allow.
        let site = Site::new(&[("a.ini", &format!("[uwsgi]\na = @({scheme}://x)\n"))]);
        let expected = format!("error: {scheme}://x {why} (a.ini line 2)\n  {instead}");
        assert_eq!(site.shown("{}/a.ini"), expected);
        assert_eq!(site.shown("{}/a.ini --allow-config-exec"), expected);
    }
}

#[cfg(unix)]
#[test]
fn schemes_that_are_allowed() {
    let shown = |lines: &str| {
        let site = Site::new(&[("a.ini", &format!("[uwsgi]\n{lines}\n"))]);
        site.shown("{}/a.ini --allow-config-exec")
    };
    // The end of the last line is left out, and no other.
    assert_eq!(shown("a = <@(exec://printf 'x\\n\\n')>"), "a=<x\n>");
    assert_eq!(shown("a = @(exec://echo $(NAME) $((1 + 2)))"), "a=blue 3");
    assert_eq!(
        shown("a = @(exec://echo sorry >&2; exit 3)"),
        "error: exec://echo sorry >&2; exit 3 failed (exit status: 3): sorry (a.ini line 2)"
    );
    let error = shown("a = @(http://127.0.0.1:1/x)");
    assert!(
        error.starts_with("error: http://127.0.0.1:1/x cannot be fetched: "),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn configurations_are_fetched_and_made() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for body in ["[uwsgi]\nprocesses = 3\n", "blue\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.extend(byte);
            }
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}").unwrap();
        }
    });
    let site = Site::new(&[(
        "a.ini",
        &format!("[uwsgi]\nini = http://{address}/b.ini\na = @(http://{address}/name)\n"),
    )]);
    assert_eq!(
        site.shown("{}/a.ini --allow-config-exec"),
        "processes=3, a=blue"
    );
    server.join().unwrap();
    let site = Site::new(&[(
        "a.ini",
        "[uwsgi]\nini = exec://printf '[uwsgi]\\nthreads = 5'\n",
    )]);
    assert_eq!(site.shown("{}/a.ini --allow-config-exec"), "threads=5");
    assert!(site.shown("{}/a.ini").contains("not allowed"));
}

#[test]
fn only_the_command_line_allows() {
    let site = Site::new(&[("a.ini", "[uwsgi]\na = @(exec://echo hello)\n")]);
    assert_eq!(site.shown("{}/a.ini --allow-config-exec"), "a=hello");
    let site = Site::new(&[(
        "a.ini",
        "[uwsgi]\nallow-config-exec = true\na = @(exec://echo hello)\n",
    )]);
    assert_eq!(
        site.shown("{}/a.ini"),
        "error: allow-config-exec belongs on the command line (a.ini line 2)"
    );
}
