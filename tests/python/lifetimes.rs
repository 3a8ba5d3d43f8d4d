//! How interpreters are made and ended: many, in parallel, with threads left in them, with errors in flight.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use singlemalt::python::{
    self, Ended, InterpreterThread, Isolation, Release, RuntimeError, Served,
};

use crate::harness::*;

/// How often the loops below run; `SINGLEMALT_STRESS=1` makes them long.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("SINGLEMALT_STRESS").is_some() {
        long
    } else {
        short
    }
}

/// The isolations that make subinterpreters.
fn subinterpreters() -> Vec<Isolation> {
    isolations()
        .into_iter()
        .filter(|isolation| *isolation != Isolation::Main)
        .collect()
}

/// `count` workers that start at once, each with an interpreter of its own around `source`.
fn in_parallel(
    count: usize,
    isolation: Isolation,
    source: &str,
    work: impl Fn(&mut InterpreterThread) + Sync,
) -> Vec<Ended> {
    runtime();
    let app = App::new(source);
    let start = Barrier::new(count);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..count)
            .map(|_| {
                let (app, start, work) = (&app, &start, &work);
                std::thread::Builder::new()
                    .stack_size(2 * python::STACK_BYTES_MIN)
                    .spawn_scoped(scope, move || {
                        start.wait();
                        let mut thread =
                            InterpreterThread::create(runtime(), spec(isolation)).expect("created");
                        if let Err(failure) = thread.load(&app.target(None)) {
                            panic!("{failure}");
                        }
                        work(&mut thread);
                        thread.end(GRACE)
                    })
                    .expect("a thread")
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .collect()
    })
}

#[test]
fn eight_at_once_import_what_shares_state_in_c() {
    for _ in 0..rounds(3, 30) {
        for isolation in subinterpreters() {
            let ended = in_parallel(
                8,
                isolation,
                "import datetime, sqlite3, zoneinfo, email.message, http.client, decimal, ssl, ctypes\n\
                 db = sqlite3.connect(':memory:')\ndb.create_function('f', 1, lambda x: x + 1)\n\
                 assert db.execute('select f(1)').fetchone() == (2,)\n\
                 assert datetime.datetime(2020, 1, 1).isoformat() == '2020-01-01T00:00:00'\napplication = print\n",
                |_| {},
            );
            assert!(
                ended.iter().all(|ended| *ended == Ended::Ended),
                "{ended:?}"
            );
        }
    }
}

/// Threads of every kind that an app may leave behind, all of which can be asked to stop.
const THREADS: &str = r#"
import atexit, threading, time, _thread
from concurrent.futures import ThreadPoolExecutor

def busy():
    while True:
        sum(range(100))

def dozing():
    while True:
        time.sleep(0.001)

def from_atexit():
    threading.Thread(target=dozing, daemon=True).start()

threading.Thread(target=busy, daemon=True).start()
threading.Thread(target=dozing, daemon=True).start()
threading.Thread(target=time.sleep, args=(0.05,)).start()
timer = threading.Timer(3600, print)
timer.daemon = True
timer.start()
timer.cancel()
_thread.start_new_thread(time.sleep, (0.05,))
pool = ThreadPoolExecutor(2)
pool.submit(time.sleep, 0.02)
atexit.register(from_atexit)

class Worker(threading.Thread):
    """As Sentry's: waits for work, stops when its exit hook says so."""
    def __init__(self):
        super().__init__(daemon=True)
        self.stop = threading.Event()
        atexit.register(self.stop.set)
        self.start()
    def run(self):
        self.stop.wait()

Worker()
application = print
"#;

#[test]
fn threads_are_asked_to_stop_and_the_interpreter_ends() {
    for round in 0..rounds(2, 60) {
        for isolation in subinterpreters() {
            let ended = in_parallel(3, isolation, THREADS, |_| {});
            assert!(
                ended.iter().all(|ended| *ended == Ended::Ended),
                "round {round}: {ended:?}"
            );
        }
    }
}

#[test]
fn a_thread_that_will_not_stop_parks_the_interpreter() {
    for isolation in subinterpreters() {
        on_worker(move || {
            let before = python::parked_count();
            let app = App::new(
                "import os, threading\npipe = os.pipe()\n\
                 threading.Thread(target=os.read, args=(pipe[0], 1), daemon=True).start()\n\
                 application = print",
            );
            let mut thread =
                InterpreterThread::create(runtime(), spec(isolation)).expect("created");
            thread.load(&app.target(None)).expect("loads");
            let handle = thread.handle();
            let started = Instant::now();
            assert_eq!(
                thread.end(Duration::from_millis(200)),
                Ended::Parked { threads_left: 1 }
            );
            assert!(started.elapsed() < Duration::from_secs(10));
            assert!(python::parked_count() > before);
            assert!(matches!(
                InterpreterThread::join(&handle, 1),
                Err(RuntimeError::Gone)
            ));
        });
    }
}

#[test]
fn a_sibling_that_stays_parks_the_interpreter_and_leaves_unharmed() {
    for isolation in subinterpreters() {
        on_worker(move || {
            let thread = InterpreterThread::create(runtime(), spec(isolation)).expect("created");
            let handle = thread.handle();
            let (tell_joined, joined) = std::sync::mpsc::channel();
            let (tell_parked, parked) = std::sync::mpsc::channel();
            let sibling = std::thread::spawn(move || {
                let sibling = InterpreterThread::join(&handle, 1).expect("joined");
                tell_joined.send(()).expect("heard");
                parked.recv().expect("told");
                sibling.end(GRACE)
            });
            joined.recv().expect("joined");
            assert_eq!(
                thread.end(Duration::from_millis(50)),
                Ended::Parked { threads_left: 1 }
            );
            tell_parked.send(()).expect("heard");
            assert_eq!(sibling.join().expect("no panic"), Ended::Left);
        });
    }
}

#[test]
fn siblings_leave_before_the_creator_ends() {
    for isolation in isolations() {
        on_worker(move || {
            let thread = InterpreterThread::create(runtime(), spec(isolation)).expect("created");
            let siblings: Vec<_> = (1..4)
                .map(|core| {
                    let handle = thread.handle();
                    let (tell, joined) = std::sync::mpsc::channel();
                    let sibling = std::thread::spawn(move || {
                        let sibling = InterpreterThread::join(&handle, core).expect("joined");
                        tell.send(()).expect("heard");
                        sibling.end(GRACE)
                    });
                    joined.recv().expect("joined");
                    sibling
                })
                .collect();
            // They may still be on their way out: the creator waits for them.
            assert_eq!(thread.end(GRACE), Ended::Ended);
            for sibling in siblings {
                assert_eq!(sibling.join().expect("no panic"), Ended::Left);
            }
        });
    }
}

#[test]
fn exit_hooks_run_and_threads_are_joined() {
    for isolation in subinterpreters() {
        on_worker(move || {
            let app = App::new(
                "
import atexit, os, threading, time
def note(text):
    with open(os.path.join(os.path.dirname(__file__), 'notes'), 'a') as file:
        file.write(text + '\\n')
def slow():
    assert not threading.current_thread().daemon
    time.sleep(0.1)
    note('joined')
atexit.register(note, 'atexit')
atexit.register(lambda: 1/0)
threading.Thread(target=slow).start()
application = print
",
            );
            with_app(spec(isolation), &app, |_| {});
            let notes = std::fs::read_to_string(app.path("notes")).expect("notes");
            let mut notes: Vec<_> = notes.lines().collect();
            notes.sort_unstable();
            assert_eq!(notes, ["atexit", "joined"]);
        });
    }
}

#[test]
fn errors_in_parallel_interpreters_stay_in_theirs() {
    let requests = rounds(700, 5000);
    for isolation in isolations() {
        let ended = in_parallel(
            3,
            isolation,
            "
count = 0
class Own(Exception):
    pass
def application(environ, start_response):
    global count
    count += 1
    start_response('200 OK', [])
    if count % 7 == 0:
        raise Own({'count': count, 'list': [object()] * 10})
    return [b'fine']
",
            |thread| {
                let mut failed = 0;
                for _ in 0..requests {
                    failed += usize::from(get(thread, "/").served == Served::Failed);
                }
                // In main isolation the three load the same file into one interpreter, but each its own module.
                assert_eq!(failed, requests / 7);
            },
        );
        assert_eq!(ended, [Ended::Ended; 3]);
    }
}

#[test]
fn fork_is_refused_and_subprocess_works() {
    for isolation in isolations() {
        on_worker(move || {
            let app = App::new(
                r#"
import os, subprocess, sys, threading
def application(environ, start_response):
    start_response('200 OK', [])
    said = [subprocess.run([sys.executable, '-c', 'print("child")'], capture_output=True, text=True).stdout.strip()]
    if environ['QUERY_STRING'] == 'sub':
        for attempt in (os.fork, lambda: os.execv('/bin/true', ['true']),
                        lambda: subprocess.run(['true'], preexec_fn=print)):
            try:
                attempt()
            except RuntimeError as error:
                said.append(str(error))
    return ['\n'.join(said).encode()]
"#,
            );
            with_app(spec(isolation), &app, |thread| {
                // A fork in main is the app's own risk; it is not tried here.
                let sub = if isolation == Isolation::Main {
                    ""
                } else {
                    "sub"
                };
                let body = get(thread, &format!("/?{sub}")).body();
                let mut lines = body.lines();
                assert_eq!(lines.next(), Some("child"));
                let refused: Vec<_> = lines.collect();
                assert_eq!(
                    refused.len(),
                    if sub.is_empty() { 0 } else { 3 },
                    "{refused:?}"
                );
                assert!(
                    refused
                        .iter()
                        .all(|line| line.contains(" does not work in an interpreter of its own: ")),
                    "{refused:?}"
                );
            });
        });
    }
}

#[test]
fn an_interpreter_is_prepared_as_promised() {
    for isolation in isolations() {
        on_worker(move || {
            let app = App::new(
                r#"
import os, sys, threading
def application(environ, start_response):
    start_response('200 OK', [])
    made = threading.Thread()
    facts = (sys.argv, sys.path[0] == os.getcwd(), os.path.dirname(__file__) in sys.path, made.daemon,
             sys.stdout.line_buffering, sys.flags.optimize)
    return [repr(facts).encode()]
"#,
            );
            with_app(spec(isolation), &app, |thread| {
                assert_eq!(
                    get(thread, "/").body(),
                    "(['singlemalt'], True, True, False, True, 0)"
                );
            });
        });
    }
}

#[test]
fn imports_do_not_wait_for_the_main_thread() {
    // The thread that started Python is parked; if it held the main GIL, this import of an extension would hang for ever.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            in_parallel(
                2,
                strongest(),
                "import _lsprof\napplication = print",
                |_| {},
            );
            done.store(true, Ordering::Release);
        });
        let until = Instant::now() + Duration::from_secs(60);
        while !done.load(Ordering::Acquire) {
            assert!(Instant::now() < until, "importing an extension hangs");
            std::thread::yield_now();
        }
    });
}

#[test]
fn an_interpreter_thread_that_is_dropped_is_accounted_for() {
    on_worker(|| {
        let creator = InterpreterThread::create(runtime(), spec(strongest())).expect("created");
        let handle = creator.handle();
        let sibling =
            std::thread::spawn(move || drop(InterpreterThread::join(&handle, 1).expect("joined")));
        sibling.join().expect("a dropped sibling leaves");
        assert_eq!(creator.end(GRACE), Ended::Ended);
        for isolation in subinterpreters() {
            let before = python::parked_count();
            drop(InterpreterThread::create(runtime(), spec(isolation)).expect("created"));
            assert!(python::parked_count() > before);
        }
    });
}

#[test]
fn ended_interpreters_leave_no_arenas() {
    on_worker(|| {
        // Only 3.12 and 3.13 note arenas; others make the test trivially true, as they give theirs back by themselves.
        let used = || python::arena_bytes();
        let app = App::new("data = [bytearray(100) for _ in range(100000)]\napplication = print");
        let mut thread = InterpreterThread::create(runtime(), spec(strongest())).expect("created");
        thread.load(&app.target(None)).expect("loads");
        let number = thread.handle().id();
        let during = python::arena_bytes_of(&thread.handle());
        let handle = thread.handle();
        assert_eq!(thread.end(GRACE), Ended::Ended);
        if strongest() == Isolation::OwnGil && runtime().release() <= Release::new(3, 13) {
            assert!(
                during > 0,
                "interpreter {number} has no arenas of {}",
                used()
            );
            assert_eq!(python::arena_bytes_of(&handle), 0);
        }
    });
}
