//! Starting Python from a virtualenv. One process has one Python, so these tests have a binary of their own, and each start
//! that may fail half-way a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use singlemalt::python::{
    AppTarget, Ended, InterpreterSpec, InterpreterThread, Isolation, Role, Runtime, RuntimeError,
    RuntimeOptions, STACK_BYTES_MIN, TargetKind, environment_now,
};
use singlemalt::wsgi::environ::ServerFacts;

/// The python that belongs to the library we are linked with: it makes the virtualenv.
fn linked_python() -> PathBuf {
    let output = in_own_process("tell_the_linked_python", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text
        .lines()
        .find_map(|line| line.split_once("linked python: "));
    told.map(|(_, path)| PathBuf::from(path))
        .expect("it tells its path")
}

fn make_virtualenv(path: &Path) {
    let made = Command::new(linked_python())
        .args(["-m", "venv", "--without-pip"])
        .arg(path)
        .output();
    let made = made.expect("python runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// Runs one ignored test of this binary in a process of its own.
fn in_own_process(test: &str, variables: &[(&str, &str)]) -> Output {
    let this = std::env::current_exe().expect("this binary");
    Command::new(this)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .envs(variables.iter().copied())
        .output()
        .expect("it runs")
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn options(home: &Path) -> RuntimeOptions {
    RuntimeOptions {
        home: Some(home.to_path_buf()),
        ..RuntimeOptions::default()
    }
}

#[test]
fn a_virtualenv_gives_prefix_and_packages() {
    assert_passed(&in_own_process("in_a_virtualenv", &[]));
}

#[test]
fn a_bare_environment_does_not_keep_python_from_starting() {
    // No PATH, no HOME, the C locale: as under a service manager, or in a container.
    let this = std::env::current_exe().expect("this binary");
    let output = Command::new(this)
        .args([
            "--exact",
            "with_the_linked_python",
            "--ignored",
            "--nocapture",
        ])
        .env_clear()
        .env("LC_ALL", "C")
        .output()
        .expect("it runs");
    assert_passed(&output);
}

#[test]
fn tracemalloc_is_refused_with_the_way_out() {
    assert_passed(&in_own_process(
        "under_tracemalloc",
        &[("PYTHONTRACEMALLOC", "1")],
    ));
}

#[test]
fn what_is_no_virtualenv_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |home: &Path| {
        let error = Runtime::start(&options(home)).expect_err("refused");
        error
            .to_string()
            .replace(&folder.path().display().to_string(), "[folder]")
    };
    let old = folder.path().join("old");
    fs::create_dir(&old).expect("a folder");
    fs::write(
        old.join("pyvenv.cfg"),
        "home = /usr/bin\nversion = 3.9.18\n",
    )
    .expect("a file");
    let hollow = folder.path().join("hollow");
    fs::create_dir(&hollow).expect("a folder");
    fs::write(hollow.join("pyvenv.cfg"), "home = /usr/bin\n").expect("a file");
    let all = [
        folder.path().join("gone"),
        folder.path().to_path_buf(),
        old,
        hollow,
    ];
    let text: Vec<_> = all.iter().map(|home| told(home)).collect();
    let version = without_the_version(&text.join("\n"));
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false, omit_expression => true,
    }, { insta::assert_snapshot!("python_virtualenv_errors", version) });
}

/// The version that runs, as `3.X.Y` and `3.X`.
fn without_the_version(text: &str) -> String {
    let answer = Command::new(linked_python())
        .args(["-c", "import platform; print(platform.python_version())"])
        .output()
        .expect("python runs");
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    let short = version
        .rsplit_once('.')
        .map_or(version.as_str(), |(short, _)| short);
    text.replace(&version, "3.X.Y")
        .replace(&format!("python{short} "), "python3.X ")
}

#[test]
#[ignore = "run in a process of its own by a_virtualenv_gives_prefix_and_packages"]
fn in_a_virtualenv() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("virtual env \u{e4}");
    make_virtualenv(&home);
    let home = home.canonicalize().expect("made");
    let runtime = Runtime::start(&options(&home)).expect("it starts");
    assert_eq!(Path::new(runtime.prefix()), home);
    assert!(
        Path::new(runtime.executable()).starts_with(&home),
        "{}",
        runtime.executable()
    );
    let version = runtime.version().rsplit_once('.').expect("a version").0;
    let packages = home.join(format!("lib/python{version}/site-packages"));
    fs::write(
        packages.join("only_in_this_virtualenv.py"),
        "application = print",
    )
    .expect("a file");
    for isolation in isolations(runtime) {
        load(
            runtime,
            isolation,
            TargetKind::Module("only_in_this_virtualenv".into()),
        );
    }
    assert!(matches!(
        Runtime::start(&options(&home)),
        Err(RuntimeError::AlreadyStarted)
    ));
}

#[test]
#[ignore = "run in a process of its own by the tests that make a virtualenv"]
fn tell_the_linked_python() {
    let runtime = Runtime::start(&RuntimeOptions::default()).expect("it starts");
    println!("linked python: {}", runtime.executable());
}

#[test]
#[ignore = "run in a process of its own by a_bare_environment_does_not_keep_python_from_starting"]
fn with_the_linked_python() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = folder.path().join("app.py");
    let source = "import datetime, sqlite3, sys, os\nassert os.path.exists(sys.executable), sys.executable\n\
                  assert '%d.%d' % sys.version_info[:2] in os.path.realpath(sys.executable)\n\
                  assert open(__file__, encoding=None).read().endswith('\u{e4}\\n')\napplication = print\n# \u{e4}\n";
    fs::write(&app, source).expect("a file");
    let options = RuntimeOptions {
        argv: vec!["app.py".into(), "--colour".into(), "\u{e4}".into()],
        python_path: vec![folder.path().to_path_buf()],
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::start(&options).expect("it starts");
    for isolation in isolations(runtime) {
        load(runtime, isolation, TargetKind::File(app.clone()));
    }
    let argv = folder.path().join("argv.py");
    fs::write(&argv, "import sys\nassert sys.argv == ['app.py', '--colour', '\u{e4}'], sys.argv\napplication = print")
        .expect("a file");
    for isolation in isolations(runtime) {
        load(runtime, isolation, TargetKind::File(argv.clone()));
    }
}

#[test]
#[ignore = "run in a process of its own by tracemalloc_is_refused_with_the_way_out"]
fn under_tracemalloc() {
    let error = Runtime::start(&RuntimeOptions::default()).expect_err("refused");
    assert!(matches!(error, RuntimeError::Tracemalloc));
    assert!(error.to_string().contains("unset"), "{error}");
}

fn isolations(runtime: &Runtime) -> Vec<Isolation> {
    let all = [Isolation::Main, Isolation::SharedGil, Isolation::OwnGil];
    all.into_iter()
        .filter(|isolation| match isolation {
            Isolation::Main => true,
            Isolation::SharedGil => !runtime.is_free_threaded(),
            Isolation::OwnGil => runtime.supports_own_gil(),
        })
        .collect()
}

/// Loads an app on a worker, and ends.
fn load(runtime: &'static Runtime, isolation: Isolation, kind: TargetKind) {
    let worker = std::thread::Builder::new()
        .stack_size(STACK_BYTES_MIN)
        .spawn(move || {
            let spec = InterpreterSpec {
                isolation,
                role: Role::Worker,
                worker_id: 1,
                python_path: Vec::new(),
                listeners: vec![ServerFacts {
                    name: "a".into(),
                    port: "1".into(),
                    scheme: "http",
                    takes_variables: false,
                    added: Default::default(),
                }],
                multithread: false,
                multiprocess: false,
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
            if let Err(failure) = thread.load(&AppTarget {
                kind,
                callable: None,
            }) {
                panic!("{}: {failure}", isolation.word());
            }
            assert_eq!(thread.end(Duration::from_secs(20)), Ended::Ended);
        });
    worker.expect("a thread").join().expect("no panic");
}
