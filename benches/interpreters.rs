//! Cost of an interpreter: time to make and to end one, memory of each further one, and memory left
//! after a hundred reloads. `cargo bench --bench interpreters [APP.py]`; Linux only (it reads
//! /proc/self/smaps_rollup).

#![allow(
    clippy::print_stdout,
    reason = "a benchmark reports on its standard output"
)]

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use singlemalt::python::{
    AppTarget, InterpreterSpec, InterpreterThread, Isolation, Role, Runtime, RuntimeOptions,
    STACK_BYTES_MIN, TargetKind, arena_bytes, environment_now, parked_count,
};
use singlemalt::wsgi::environ::ServerFacts;

const KEPT: usize = 8;
const RELOADS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = std::env::args()
        .skip(1)
        .find(|argument| argument.ends_with(".py"))
        .map(PathBuf::from);
    println!("before Python              {:7} kB PSS", pss_kib());
    let runtime = Runtime::start(&RuntimeOptions::default())?;
    let isolation = if runtime.supports_own_gil() {
        Isolation::OwnGil
    } else {
        Isolation::SharedGil
    };
    println!(
        "Python {}, {:10}  {:7} kB PSS",
        runtime.version(),
        isolation.word(),
        pss_kib()
    );

    let (stop, stopped) = crossbeam::channel::bounded::<()>(0);
    let mut workers = Vec::new();
    let mut before = pss_kib();
    for number in 1..=KEPT {
        let (tell, ready) = mpsc::channel();
        let (stopped, app) = (stopped.clone(), app.clone());
        workers.push(spawn(move || {
            let started = Instant::now();
            let thread = make(runtime, isolation, app.as_ref());
            tell.send(started.elapsed()).expect("somebody listens");
            stopped.recv().expect_err("told by closing");
            let started = Instant::now();
            thread.end(Duration::from_secs(5));
            started.elapsed()
        })?);
        let took = ready.recv()?;
        let now = pss_kib();
        println!(
            "interpreter {number}   {:6.1} ms  {:+7} kB PSS",
            took.as_secs_f64() * 1e3,
            now - before
        );
        before = now;
    }
    drop(stop);
    for worker in workers {
        let took = worker.join().map_err(|_| "a worker panicked")?;
        println!("ended           {:6.1} ms", took.as_secs_f64() * 1e3);
    }
    for round in 1..=RELOADS {
        let app = app.clone();
        let worker = spawn(move || {
            make(runtime, isolation, app.as_ref()).end(Duration::from_secs(5));
        })?;
        worker.join().map_err(|_| "a worker panicked")?;
        if round % (RELOADS / 5) == 0 {
            let (arenas, parked) = (arena_bytes() / 1024, parked_count());
            println!(
                "reload {round:4}               {:7} kB PSS, {arenas} kB in arenas, {parked} parked",
                pss_kib()
            );
        }
    }
    Ok(())
}

fn spawn<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<R>> {
    std::thread::Builder::new()
        .stack_size(STACK_BYTES_MIN)
        .spawn(work)
}

fn make(runtime: &Runtime, isolation: Isolation, app: Option<&PathBuf>) -> InterpreterThread {
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
    if let Some(app) = app {
        let target = AppTarget {
            kind: TargetKind::File(app.clone()),
            callable: None,
        };
        if let Err(failure) = thread.load(&target) {
            panic!("{failure}");
        }
    }
    thread
}

/// Proportional share of memory, in KiB.
fn pss_kib() -> i64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
