//! One-shot commands in place of the server: answer one request, import a module, run a script. No
//! socket is bound, no hook runs, and the process does not become a daemon.
//!
//! Called on the main thread, which is detached from Python. Python runs on a thread of its own, in
//! the main interpreter unless `--isolation` names another kind.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{applications, extension_scan, prepare, process, settings};
use crate::app::Apps;
use crate::background::spooler::command;
use crate::config::{Config, Failure, NO_APP, OneShot, SpoolCommand};
use crate::os::redirect;
use crate::protocol::http::response::Form;
use crate::protocol::http::{Limits, RequestHead, RequestReader, Step, Version};
use crate::python::{
    self, BackendRef, Call, InterpreterSpec, InterpreterThread, Isolation, Runtime,
    STACK_BYTES_MIN, TargetKind,
};
use crate::wsgi::Head;
use crate::wsgi::environ::{Link, Peer, ServerFacts};
use crate::wsgi::{ClientGone, RequestBody, RequestFacts, Response, Room, Sink};

/// How long the application's own threads may take to finish.
const END_GRACE: Duration = Duration::from_secs(5);

/// `singlemalt spool`: the exit code and the text to print.
///
/// # Errors
/// Why it cannot be done.
pub fn spool(command: &SpoolCommand) -> Result<(i32, String), String> {
    command::run(command, &settings::hostname())
}

/// Runs the command. Returns the exit code.
pub fn run(config: &Config, one_shot: &OneShot) -> Result<i32, Failure> {
    if *one_shot == OneShot::PythonVersion {
        println(&mut std::io::stdout(), &python::linked_version());
        return Ok(0);
    }
    let started = std::env::current_dir().unwrap_or_default();
    if *one_shot == OneShot::ScanExtensions {
        return extension_scan::scan_for_server(config, &started);
    }
    // Before Python looks at it: the application's output is no part of the answer.
    let answer = match one_shot {
        OneShot::TestRequest(_) | OneShot::CheckExtensions { .. } | OneShot::TryExtensions => {
            Some(redirect::keep_stdout().map_err(Failure::new)?)
        }
        _ => None,
    };
    prepare::enter_directory(config)?;
    let is_named = config.app.choice.is_some() || config.app.eval.is_some();
    let apps = match one_shot {
        OneShot::TestRequest(_) => applications::choose(config)?,
        OneShot::CheckExtensions { .. } if is_named || !config.app.mounts.is_empty() => {
            applications::choose(config)?
        }
        _ => Apps::default(),
    };
    let runtime = prepare::start_python(config, &started)?;
    std::thread::scope(|scope| {
        let done = std::thread::Builder::new()
            .name("one-shot".to_owned())
            .stack_size(STACK_BYTES_MIN)
            .spawn_scoped(scope, || {
                let task = Task {
                    config,
                    one_shot,
                    apps: &apps,
                    started: &started,
                };
                run_in_python(&task, runtime, answer)
            })
            .map_err(Failure::new)?;
        // The panic's message is in the log already.
        done.join()
            .unwrap_or_else(|_| Err(Failure::new("the command panicked; this is a bug")))
    })
}

/// What is to be done.
struct Task<'a> {
    config: &'a Config,
    one_shot: &'a OneShot,
    apps: &'a Apps,
    /// The folder that the program was started in.
    started: &'a Path,
}

fn run_in_python(
    task: &Task<'_>,
    runtime: &'static Runtime,
    answer: Option<File>,
) -> Result<i32, Failure> {
    let Task {
        config,
        one_shot,
        apps,
        ..
    } = *task;
    let hostname = settings::hostname();
    let spec = InterpreterSpec {
        isolation: match one_shot {
            OneShot::TryExtensions => Isolation::OwnGil,
            OneShot::CheckExtensions { .. } => Isolation::Main,
            _ => config
                .workers
                .isolation
                .asked_for()
                .unwrap_or(Isolation::Main),
        },
        worker_id: 1,
        backend: BackendRef::without_server(process::facts(config, &hostname, Vec::new())),
        ..settings::spec(config, vec![ServerFacts::new(None, &hostname, "http")])
    };
    let mut python = InterpreterThread::create(runtime, spec).map_err(Failure::new)?;
    let done = match one_shot {
        OneShot::TestRequest(text) => match answer {
            Some(file) => answer_one(&mut python, apps, text, file),
            None => Ok(0),
        },
        OneShot::TestModule(name) => match python.import(&module_or_file(name)) {
            Ok(()) => Ok(0),
            Err(failure) => Err(Failure {
                text: failure.to_string(),
                code: 1,
            }),
        },
        OneShot::RunScript(path) => Ok(python.run_script(path)),
        OneShot::CheckExtensions { is_json } => match answer {
            Some(file) => check_extensions(&mut python, task, runtime.version(), *is_json, file),
            None => Ok(0),
        },
        OneShot::TryExtensions => match answer {
            Some(file) => extension_scan::try_extensions(&mut python, file),
            None => Ok(0),
        },
        // Without Python.
        OneShot::PythonVersion | OneShot::ScanExtensions => Ok(0),
    };
    python.end_at_exit(END_GRACE);
    done
}

/// Loads the applications, if any are named, and prints the extensions of the environment.
fn check_extensions(
    python: &mut InterpreterThread,
    task: &Task<'_>,
    version: &str,
    is_json: bool,
    mut out: File,
) -> Result<i32, Failure> {
    let Task {
        config,
        apps,
        started,
        ..
    } = *task;
    python.attached(|py| py.record_extensions());
    for (at, (place, target)) in apps.iter().enumerate() {
        if let Err(failure) = python.load_app(at, &place.mountpoint(), target) {
            // What it has imported until then is told all the same.
            tracing::error!("{failure}");
        }
    }
    let imports = python.attached(|py| py.recorded_extensions());
    let imports = (apps.count() > 0).then_some(imports.as_slice());
    let environment = python.attached(|py| py.extension_environment(version));
    let environment = environment.unwrap_or_default();
    let text = extension_scan::check(config, started, &environment, imports, is_json)?;
    out.write_all(text.as_bytes()).map_err(Failure::new)?;
    Ok(0)
}

fn module_or_file(name: &str) -> TargetKind {
    if name.ends_with(".py") || name.contains(['/', '\\']) {
        TargetKind::File(name.into())
    } else {
        TargetKind::Module(name.to_owned())
    }
}

/// Answers `GET /path` on `file`, as the server would on a connection that closes afterwards.
/// Returns 0 for a status below 500.
fn answer_one(
    python: &mut InterpreterThread,
    apps: &Apps,
    text: &str,
    file: File,
) -> Result<i32, Failure> {
    let head = head_of(text)?;
    let facts = RequestFacts {
        // Without chunks, which belong to a connection.
        form: Form::StatusLine,
        version: Version::Http11,
        is_head: head.is_head(),
        keep_alive: false,
    };
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut response = Response::default();
    match date.as_bytes().try_into() {
        Ok(date) => response.reset(facts, date),
        Err(_) => return Err(Failure::new("this year has too many digits")),
    }
    let mut out = Out(file);
    let Some(chosen) = apps.mounts().choose_for(&head) else {
        return Err(Failure::new(format_args!(
            "--test-request '{text}': no application is mounted there"
        )));
    };
    if let Some((place, target)) = apps.iter().nth(chosen.app) {
        python
            .load_app(chosen.app, &place.mountpoint(), target)
            .map_err(|failure| Failure {
                text: failure.to_string(),
                code: NO_APP,
            })?;
        python.all_loaded();
    }
    python.attached(|py| {
        py.serve(Call {
            listener: 0,
            head: &head,
            peer: &Peer::new(None),
            link: Link::default(),
            chosen,
            body: RequestBody::default(),
            response: &mut response,
            sink: &mut out,
        })
    });
    let summary = response.summary();
    Ok(i32::from(summary.status >= 500 || summary.aborted))
}

/// `GET /path`, or only the path; an absolute URL names the host, too.
fn head_of(text: &str) -> Result<Head, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::new(format_args!(
            "--test-request wants a method and a path ('GET /hello'), got '{text}': {why}"
        ))
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let (method, target) = match words.as_slice() {
        [target] => ("GET", *target),
        [method, target] => (*method, *target),
        _ => return Err(wrong(&"it has too few words, or too many")),
    };
    let wire = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut head = RequestHead::default();
    let read = RequestReader::default().read(wire.as_bytes(), &Limits::default(), &mut head);
    match read {
        Ok((_, Step::Head | Step::End)) => Ok(Head::from(head)),
        Ok(_) => Err(wrong(&"it is not complete")),
        Err(refusal) => Err(wrong(&refusal.why)),
    }
}

/// Standard output as the client.
struct Out(File);

impl Out {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        self.0.write_all(bytes).map_err(|_| ClientGone)
    }
}

impl Sink for Out {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        self.write(first)?;
        self.write(second)?;
        Ok(Room::Ready)
    }

    fn send_file(
        &mut self,
        head: &[u8],
        mut file: File,
        offset: u64,
        length: u64,
    ) -> Result<Room, ClientGone> {
        self.write(head)?;
        let copied = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| std::io::copy(&mut file.take(length), &mut self.0));
        match copied {
            Ok(copied) if copied == length => Ok(Room::Ready),
            _ => Err(ClientGone),
        }
    }

    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }

    fn is_last(&self) -> bool {
        true
    }
}

fn println(out: &mut dyn Write, text: &str) {
    // An error: standard output is closed.
    let _unread = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::head_of;

    #[test]
    fn requests_of_the_command_line() {
        let read = |text: &str| match head_of(text) {
            Ok(head) => {
                let host = head.host().unwrap_or_default();
                format!(
                    "{} {} {}",
                    head.method().escape_ascii(),
                    head.target().escape_ascii(),
                    host.escape_ascii()
                )
            }
            Err(failure) => failure.text,
        };
        assert_eq!(read("GET /hello?x"), "GET /hello?x localhost");
        assert_eq!(read("/"), "GET / localhost");
        assert_eq!(read("  HEAD   /a  "), "HEAD /a localhost");
        assert_eq!(
            read("GET http://shop.example/a"),
            "GET http://shop.example/a shop.example"
        );
        assert_eq!(read("OPTIONS *"), "OPTIONS * localhost");
        for wrong in [
            "",
            "GET",
            "GET / HTTP/1.1",
            "G\u{0}T /",
            "GET a b c",
            "GET #",
        ] {
            assert!(
                read(wrong).contains("--test-request wants a method"),
                "{wrong}"
            );
        }
    }
}
