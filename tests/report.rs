//! The start-up report and every error message of the real binary, one snapshot each.
//!
//! Times, ports, process ids, folders and versions of Python are redacted; a Python without own-GIL
//! interpreters (3.12) reports another isolation, so such tests set it or are skipped there.

use std::net::TcpListener;
use std::path::Path;

mod running;

use running::{Running, folder_with};

const HELLO: &str = "\
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
";
const FACTORY: &str = "\
def create_app(word):
    def app(environ, start_response):
        start_response('200 OK', [])
        return [word.encode()]
    return app
";
const NO_CALLABLE: &str = "\
import os

VALUE = 5

def helper(text):
    return text

class Thing:
    pass
";
const IMPORT_ERROR: &str = "import no_such_module_anywhere\n";
const DEEP_ERROR: &str = "\
import deeper

def application(environ, start_response):
    return []
";
const DEEPER: &str = "\
def settings():
    return {}['DATABASE']

CONFIG = settings()
";
const SYNTAX_ERROR: &str = "def application(environ, start_response)\n    return []\n";
/// Present in builds of CPython that carry their own tests, and refused by every subinterpreter.
const REFUSED_EXTENSION: &str = "import _testsinglephase\n";
const USES_REFUSED: &str = "\
import uses_extension

def application(environ, start_response):
    start_response('200 OK', [])
    return [b'']
";

/// Values that differ between runs, machines and versions of Python.
const REDACTED: &[(&str, &str)] = &[
    (
        r"CPython \d+\.\d+\.\d+\S* \([^)]*\)",
        "CPython [version] ([prefix])",
    ),
    (r"Python 3\.\d+\.\d+\S*:", "Python [version]:"),
    (r"python3\.\d+ -m", "python[version] -m"),
    (r"not installed in \S+;", "not installed in [prefix];"),
    (r"\d+(\.\d+)? ms\b", "[time]"),
    (r"\d+\.\d+ s\b", "[time]"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    (r"\bpid \d+", "pid [pid]"),
    (r"(/private)?/\S*/\.tmp\w+", "[folder]"),
    // Which part of a line the markers point at, and whether there are any, is each Python's own.
    (r"(?m)^ *[~^]+\n", ""),
];

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
        filters => REDACTED.iter().copied(),
    }, { insta::assert_snapshot!(format!("report__{name}"), text) });
}

/// The report of a server that starts.
fn report(name: &str, files: &[(&str, &str)], arguments: &[&str]) {
    let folder = folder_with(files);
    let mut server = Running::start(folder.path(), arguments);
    let text = server.wait_until_ready().to_owned();
    snapshot(name, &text);
}

/// The output and exit code of a server that does not start.
fn refusal(name: &str, files: &[(&str, &str)], arguments: &[&str]) {
    let folder = folder_with(files);
    let (code, text) = Running::start(folder.path(), arguments).wait_for_exit();
    snapshot(name, &format!("{text}exit code {code:?}\n"));
}

/// Whether the binary's Python has own-GIL interpreters and its own test extensions.
fn python_has_test_extensions() -> bool {
    let folder = folder_with(&[("app.py", &format!("{REFUSED_EXTENSION}{HELLO}"))]);
    let arguments = [
        "app.py",
        "--isolation",
        "main",
        "--http-socket",
        "127.0.0.1:0",
    ];
    let mut server = Running::start(folder.path(), &arguments);
    let report = server.wait_until_ready();
    !report.contains("NONE") && !report.contains("CPython 3.12")
}

#[test]
fn one_interpreter() {
    let arguments = [
        "app.py",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("one", &[("app.py", HELLO)], &arguments);
}

#[test]
fn several_interpreters_and_listeners() {
    report(
        "several",
        &[("app.py", FACTORY)],
        &[
            "app.py:create_app('x')",
            "--http-socket",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--processes",
            "3",
            "--threads",
            "2",
            "--isolation",
            "shared-gil",
        ],
    );
}

/// A table of applications, one of which cannot be loaded.
#[test]
fn several_applications() {
    report(
        "applications",
        &[
            ("app.py", HELLO),
            ("broken.py", IMPORT_ERROR),
            ("made.py", FACTORY),
        ],
        &[
            "app.py",
            "--mount",
            "/broken=broken.py",
            "--mount",
            "/made=made:create_app('x')",
            "--mount",
            "shop.example/made=app.py",
            "--manage-script-name",
            "--http-socket",
            "127.0.0.1:0",
            "--isolation",
            "main",
        ],
    );
}

#[test]
fn applications_that_http_does_not_reach() {
    report(
        "applications_out_of_reach",
        &[("app.py", HELLO)],
        &[
            "--mount",
            "/a=app.py",
            "--mount",
            "/b=app.py",
            "--no-default-app",
            "--http-socket",
            "127.0.0.1:0",
            "--isolation",
            "main",
        ],
    );
}

#[test]
fn no_application_of_several() {
    refusal(
        "applications_need_app",
        &[("app.py", NO_CALLABLE), ("broken.py", IMPORT_ERROR)],
        &[
            "app.py",
            "--mount",
            "/broken=broken.py",
            "--need-app",
            "--http-socket",
            "127.0.0.1:0",
            "--isolation",
            "main",
        ],
    );
}

#[test]
fn no_callable() {
    let arguments = [
        "app.py",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("no_callable", &[("app.py", NO_CALLABLE)], &arguments);
}

#[test]
fn no_callable_of_that_name() {
    let arguments = [
        "app.py:missing",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("no_callable_of_that_name", &[("app.py", HELLO)], &arguments);
}

#[test]
fn no_callable_but_a_factory() {
    let arguments = [
        "app.py",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report(
        "no_callable_but_a_factory",
        &[("app.py", FACTORY)],
        &arguments,
    );
}

#[test]
fn a_factory_that_wants_more() {
    let arguments = [
        "app.py:create_app()",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("factory_fails", &[("app.py", FACTORY)], &arguments);
}

#[test]
fn import_error() {
    let arguments = [
        "app.py",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("import_error", &[("app.py", IMPORT_ERROR)], &arguments);
}

#[test]
fn an_exception_at_import_is_trimmed_to_the_users_frames() {
    let arguments = [
        "--module",
        "app",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report(
        "raised",
        &[("app.py", DEEP_ERROR), ("deeper.py", DEEPER)],
        &arguments,
    );
}

#[test]
fn syntax_error() {
    let arguments = [
        "app.py",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("syntax_error", &[("app.py", SYNTAX_ERROR)], &arguments);
}

#[test]
fn no_such_file() {
    let arguments = [
        "nowhere.py",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("no_such_file", &[], &arguments);
}

#[test]
fn no_such_module() {
    let arguments = [
        "--module",
        "nowhere.wsgi",
        "--http-socket",
        "127.0.0.1:0",
        "--isolation",
        "main",
    ];
    report("no_such_module", &[], &arguments);
}

#[test]
fn a_broken_app_that_is_needed() {
    refusal(
        "need_app",
        &[("app.py", IMPORT_ERROR)],
        &[
            "app.py",
            "--need-app",
            "--http-socket",
            "127.0.0.1:0",
            "--isolation",
            "main",
        ],
    );
}

#[test]
fn an_extension_that_refuses_under_auto() {
    if python_has_test_extensions() {
        report(
            "refused_extension_auto",
            &[
                ("app.py", USES_REFUSED),
                ("uses_extension.py", REFUSED_EXTENSION),
            ],
            &["app.py", "--http-socket", "127.0.0.1:0"],
        );
    }
}

#[test]
fn an_extension_that_refuses_under_own_gil() {
    if python_has_test_extensions() {
        refusal(
            "refused_extension_own_gil",
            &[
                ("app.py", USES_REFUSED),
                ("uses_extension.py", REFUSED_EXTENSION),
            ],
            &[
                "app.py",
                "--need-app",
                "--isolation",
                "own-gil",
                "--http-socket",
                "127.0.0.1:0",
            ],
        );
    }
}

#[test]
fn port_in_use_by_somebody_else() {
    // Held by this test's own process, whose number and name the message should tell where the
    // system lets it.
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("an address").to_string();
    let folder = folder_with(&[("app.py", HELLO)]);
    let arguments = ["app.py", "--http-socket", &address, "--isolation", "main"];
    let (code, text) = Running::start(folder.path(), &arguments).wait_for_exit();
    let own_id = std::process::id().to_string();
    let text = text.replace(&own_id, "[pid]");
    // cargo names its test programs with a hash, and the system cuts the name.
    let text = without_program(&text);
    snapshot("port_in_use", &format!("{text}exit code {code:?}\n"));
}

/// The name of this test program, which differs from build to build.
fn without_program(text: &str) -> String {
    let name = std::env::current_exe().expect("a program");
    let name = name
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    // Linux tells 15 bytes of it.
    let short: String = name.chars().take(15).collect();
    text.replace(&name, "[program]")
        .replace(&short, "[program]")
}

#[test]
fn no_such_socket_folder() {
    if cfg!(unix) {
        refusal(
            "no_such_socket_folder",
            &[("app.py", HELLO)],
            &[
                "app.py",
                "--http-socket",
                "nowhere/app.sock",
                "--isolation",
                "main",
            ],
        );
    }
}

#[test]
fn a_virtualenv_of_another_python() {
    let folder = folder_with(&[("app.py", HELLO)]);
    let home = folder.path().join("venv");
    std::fs::create_dir(&home).expect("a folder");
    std::fs::write(
        home.join("pyvenv.cfg"),
        "home = /usr/bin\nversion = 3.8.10\n",
    )
    .expect("a file");
    let arguments = [
        "app.py",
        "--http-socket",
        "127.0.0.1:0",
        "--virtualenv",
        "venv",
    ];
    let (code, text) = Running::start(folder.path(), &arguments).wait_for_exit();
    snapshot("virtualenv_version", &format!("{text}exit code {code:?}\n"));
}

#[test]
fn a_virtualenv_that_is_none() {
    let folder = folder_with(&[("app.py", HELLO)]);
    let arguments = [
        "app.py",
        "--http-socket",
        "127.0.0.1:0",
        "--virtualenv",
        "nowhere",
    ];
    let (code, text) = Running::start(folder.path(), &arguments).wait_for_exit();
    snapshot("virtualenv_missing", &format!("{text}exit code {code:?}\n"));
}

#[test]
fn nothing_to_serve() {
    refusal("nothing_to_serve", &[], &[]);
}
