//! One Python for all tests of this binary, an interpreter for each test, and a request through it without a socket.

use singlemalt::protocol::http::response::Form;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use singlemalt::protocol::http::{Limits, RequestHead, RequestReader, Step};
use singlemalt::python::{
    AppTarget, Call, Ended, InterpreterSpec, InterpreterThread, Isolation, LoadFailure, Loaded,
    Role, Runtime, RuntimeOptions, STACK_BYTES_MIN, Served, TargetKind, environment_now,
};
use singlemalt::wsgi::environ::{Link, Peer, ServerFacts};
use singlemalt::wsgi::{
    BodyMemory, Chosen, ClientGone, RequestBody, RequestFacts, Response, Room, Sink, Summary,
};

/// The time that a test gives an interpreter to end. Generous: the machine may be busy.
pub const GRACE: Duration = Duration::from_secs(20);

/// The one Python. Its main thread is one that stays, as the process' own does.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<&'static Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tracing::subscriber::set_global_default(Collector).expect("the only subscriber");
        let (tell, started) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("main-of-python".into())
            .stack_size(STACK_BYTES_MIN)
            .spawn(move || {
                tell.send(Runtime::start(&RuntimeOptions::default()).expect("Python starts"))
                    .expect("somebody waits");
                loop {
                    std::thread::park();
                }
            })
            .expect("a thread");
        started.recv().expect("Python starts")
    })
}

/// Everything that was logged so far by any test of this binary, one event a line: level, target, message.
pub fn logged(marker: &str) -> Vec<String> {
    let lines = LOG.lock();
    lines
        .iter()
        .filter(|line| line.contains(marker))
        .cloned()
        .collect()
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Collects events for [`logged`].
struct Collector;

impl tracing::Subscriber for Collector {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let about = event.metadata();
        let line = format!("{} {} {}", about.level(), about.target(), message.0);
        LOG.lock().push(line);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// The isolations that this Python can do.
pub fn isolations() -> Vec<Isolation> {
    let runtime = runtime();
    let mut all = vec![Isolation::Main];
    if !runtime.is_free_threaded() {
        all.push(Isolation::SharedGil);
    }
    if runtime.supports_own_gil() {
        all.push(Isolation::OwnGil);
    }
    all
}

/// The strongest isolation that this Python can do.
pub fn strongest() -> Isolation {
    *isolations().last().expect("main is always there")
}

pub fn spec(isolation: Isolation) -> InterpreterSpec {
    InterpreterSpec {
        isolation,
        role: Role::Worker,
        worker_id: 1,
        python_path: Vec::new(),
        listeners: vec![ServerFacts {
            name: "example.org".into(),
            port: "8000".into(),
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
    }
}

/// Runs `work` on a thread with a stack as a worker has it; panics with it.
pub fn on_worker<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    runtime();
    let worker = std::thread::Builder::new()
        .stack_size(2 * STACK_BYTES_MIN)
        .spawn(work);
    match worker.expect("a thread").join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A folder with Python files in it.
pub struct App {
    folder: tempfile::TempDir,
}

impl App {
    /// `source` as app.py.
    pub fn new(source: &str) -> Self {
        Self::files(&[("app.py", source)])
    }

    pub fn files(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Self { folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn target(&self, callable: Option<&str>) -> AppTarget {
        AppTarget {
            kind: TargetKind::File(self.path("app.py")),
            callable: callable.map(str::to_owned),
        }
    }

    /// What a person would read, with the folder's random name replaced.
    pub fn redacted(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "[app]")
    }
}

/// Creates, loads, hands over, ends; the interpreter must end.
pub fn with_app<R>(
    spec: InterpreterSpec,
    app: &App,
    work: impl FnOnce(&mut InterpreterThread) -> R,
) -> R {
    let mut thread = InterpreterThread::create(runtime(), spec).expect("an interpreter");
    let loaded = thread.load(&app.target(None));
    if let Err(error) = &loaded {
        panic!("{error}");
    }
    let result = work(&mut thread);
    assert_eq!(thread.end(GRACE), Ended::Ended);
    result
}

/// Loads only.
pub fn load(isolation: Isolation, target: &AppTarget) -> Result<Loaded, Box<LoadFailure>> {
    let mut thread = InterpreterThread::create(runtime(), spec(isolation)).expect("an interpreter");
    let outcome = thread.load(target).map_err(Box::new);
    assert_eq!(thread.end(GRACE), Ended::Ended);
    outcome
}

/// Takes everything, like a fast client; or behaves badly on demand.
#[derive(Default)]
pub struct Client {
    pub received: Vec<u8>,
    /// Sends that the server made.
    pub sends: usize,
    /// Say `Full` after every send; `wait_for_room` then runs this.
    pub on_wait: Option<Box<dyn FnMut()>>,
    pub waits: usize,
    /// Be gone after so many sends.
    pub gone_after: Option<usize>,
}

impl Client {
    fn room(&mut self) -> Result<Room, ClientGone> {
        if self.gone_after.is_some_and(|after| self.sends >= after) {
            return Err(ClientGone);
        }
        self.sends += 1;
        Ok(if self.on_wait.is_some() {
            Room::Full
        } else {
            Room::Ready
        })
    }
}

impl Sink for Client {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        let room = self.room()?;
        self.received.extend_from_slice(first);
        self.received.extend_from_slice(second);
        Ok(room)
    }

    fn send_file(
        &mut self,
        head: &[u8],
        mut file: File,
        offset: u64,
        length: u64,
    ) -> Result<Room, ClientGone> {
        use std::io::{Read, Seek, SeekFrom};
        let room = self.room()?;
        self.received.extend_from_slice(head);
        file.seek(SeekFrom::Start(offset)).expect("seek");
        file.take(length)
            .read_to_end(&mut self.received)
            .expect("read");
        self.received.extend_from_slice(b"");
        Ok(room)
    }

    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        self.waits += 1;
        if let Some(on_wait) = &mut self.on_wait {
            on_wait();
        }
        Ok(())
    }
}

/// One request and what came of it.
pub struct Exchange {
    pub served: Served,
    pub summary: Summary,
    pub client: Client,
}

impl Exchange {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.client.received).into_owned()
    }

    /// What is behind the head.
    pub fn body(&self) -> String {
        let text = self.text();
        text.split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.summary.status
    }
}

pub const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Parses `head` (lines without CR, an empty line is added).
pub fn head(lines: &str) -> RequestHead {
    let raw = format!("{}\r\n\r\n", lines.trim().replace('\n', "\r\n"));
    let mut head = RequestHead::default();
    let mut reader = RequestReader::default();
    let (_, step) = reader
        .read(raw.as_bytes(), &Limits::default(), &mut head)
        .expect("a request");
    assert_eq!(step, Step::Head);
    head
}

pub fn request_with(
    thread: &mut InterpreterThread,
    lines: &str,
    body: RequestBody,
    client: Client,
) -> Exchange {
    request(thread, Chosen::FIRST, lines, (body, client))
}

/// For one of several apps.
pub fn request_for(thread: &mut InterpreterThread, chosen: Chosen, lines: &str) -> Exchange {
    request(thread, chosen, lines, Default::default())
}

fn request(
    thread: &mut InterpreterThread,
    chosen: Chosen,
    lines: &str,
    (body, mut client): (RequestBody, Client),
) -> Exchange {
    let head = head(lines);
    let mut response = Response::default();
    let facts = RequestFacts {
        form: Form::Http,
        version: head.version(),
        is_head: head.method() == b"HEAD",
        keep_alive: head.keep_alive(),
    };
    response.reset(facts, DATE);
    let peer = Peer::new(Some("192.0.2.7:5000".parse().expect("an address")));
    let served = thread.attached(|attached| {
        attached.serve(Call {
            listener: 0,
            head: &head.into(),
            peer: &peer,
            link: Link::default(),
            chosen,
            body,
            response: &mut response,
            sink: &mut client,
        })
    });
    Exchange {
        served,
        summary: response.summary(),
        client,
    }
}

pub fn get(thread: &mut InterpreterThread, path: &str) -> Exchange {
    let lines = format!("GET {path} HTTP/1.1\nHost: example.org");
    request_with(thread, &lines, RequestBody::default(), Client::default())
}

pub fn post(thread: &mut InterpreterThread, path: &str, data: &[u8], memory: usize) -> Exchange {
    let mut body = RequestBody::default();
    let memory = Arc::new(BodyMemory::new(memory));
    body.push(data, &memory).expect("a body");
    let lines = format!(
        "POST {path} HTTP/1.1\nHost: example.org\nContent-Length: {}",
        data.len()
    );
    request_with(thread, &lines, body, Client::default())
}

/// Runs `check` with `source` as the app, in the strongest isolation.
pub fn with_source(source: &str, check: impl FnOnce(&mut InterpreterThread) + Send + 'static) {
    let source = source.to_owned();
    on_worker(move || with_app(spec(strongest()), &App::new(&source), check));
}

/// Compares with `snapshots/python_NAME.snap`.
pub fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false, omit_expression => true,
    }, { insta::assert_snapshot!(format!("python_{name}"), text) });
}
