//! The status in the JSON of uWSGI's stats server (core/master_utils.c,
//! `uwsgi_master_generate_stats`): its names, its order, its units, so that uwsgitop and exporters
//! read it unchanged. Pure.
//!
//! In one process: every worker has the process's id; `rss` is its share of the process's memory;
//! `listen_queue` counts the requests that wait for a worker, which is where a backlog shows first.

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::status::{Status, Worker};

/// What else uWSGI tells of the process.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The version that is named: uWSGI's, as `uwsgi.version`.
    pub version: &'static str,
    pub uid: u32,
    pub gid: u32,
    pub cwd: String,
    /// Locks and whether they are held: `("user 0", true)`.
    pub locks: Vec<(String, bool)>,
    /// Left out if there are none, as in uWSGI.
    pub caches: Vec<CacheStats>,
    /// Address and protocol of each listener.
    pub sockets: Vec<(String, &'static str)>,
    /// Leave threads out (`--stats-no-cores`).
    pub no_cores: bool,
    /// Leave spaces out (`--stats-minified`).
    pub minified: bool,
}

#[derive(Serialize)]
struct Stats<'a> {
    version: &'a str,
    listen_queue: usize,
    listen_queue_errors: u64,
    signal_queue: u64,
    load: usize,
    pid: u32,
    uid: u32,
    gid: u32,
    cwd: &'a str,
    locks: Vec<Lock<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    caches: &'a [CacheStats],
    sockets: Vec<Socket<'a>>,
    workers: Vec<WorkerStats<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spoolers: Vec<SpoolerStats<'a>>,
    /// Not uWSGI's: with `--supervise`.
    #[serde(skip_serializing_if = "Option::is_none")]
    crashes: Option<u32>,
}

/// A cache, in uWSGI's words.
#[derive(Clone, Debug, Serialize)]
pub struct CacheStats {
    pub name: String,
    pub hash: &'static str,
    pub hashsize: u64,
    pub keysize: usize,
    pub max_items: usize,
    pub blocks: u64,
    pub blocksize: u64,
    pub items: u64,
    pub hits: u64,
    pub miss: u64,
    pub full: u64,
    pub last_modified_at: u64,
}

struct Lock<'a>(&'a str, u32);

impl Serialize for Lock<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.0, self.1)])
    }
}

#[derive(Serialize)]
struct Socket<'a> {
    name: &'a str,
    proto: &'a str,
    queue: usize,
    max_queue: usize,
    shared: u8,
    can_offload: u8,
}

#[derive(Serialize)]
struct WorkerStats<'a> {
    id: usize,
    pid: u32,
    accepting: u8,
    requests: u64,
    delta_requests: u64,
    exceptions: u64,
    harakiri_count: u64,
    signals: u64,
    signal_queue: u64,
    status: &'a str,
    rss: u64,
    vsz: u64,
    running_time: u64,
    last_spawn: u64,
    respawn_count: u64,
    tx: u64,
    avg_rt: u64,
    apps: Vec<AppStats<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cores: Option<Vec<Core>>,
}

#[derive(Serialize)]
struct SpoolerStats<'a> {
    dir: &'a str,
    pid: u32,
    tasks: u64,
    respawns: u64,
    running: usize,
}

#[derive(Serialize)]
struct AppStats<'a> {
    id: usize,
    modifier1: u8,
    mountpoint: &'a str,
    startup_time: u64,
    requests: u64,
    exceptions: u64,
    chdir: &'a str,
}

#[derive(Serialize)]
struct Core {
    id: usize,
    requests: u64,
    static_requests: u64,
    routed_requests: u64,
    offloaded_requests: u64,
    write_errors: u64,
    read_errors: u64,
    in_request: u8,
    vars: Vec<String>,
    req_info: RequestInfo,
}

#[derive(Serialize)]
struct RequestInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_start: Option<u64>,
}

/// The JSON. `now`: seconds since 1970.
pub fn render(status: &Status, about: &About, now: u64) -> Vec<u8> {
    let stats = Stats {
        version: about.version,
        listen_queue: status.queue.length,
        listen_queue_errors: status.counters.queue_full,
        signal_queue: 0,
        load: status.queue.length,
        pid: status.pid,
        uid: about.uid,
        gid: about.gid,
        cwd: &about.cwd,
        locks: about
            .locks
            .iter()
            .map(|(name, is_held)| Lock(name, if *is_held { status.pid } else { 0 }))
            .collect(),
        caches: &about.caches,
        sockets: about
            .sockets
            .iter()
            .map(|(name, protocol)| Socket {
                name,
                proto: protocol,
                queue: status.queue.length,
                max_queue: status.queue.max,
                shared: 0,
                can_offload: 0,
            })
            .collect(),
        workers: status
            .workers
            .iter()
            .map(|worker| worker_stats(worker, status, about, now))
            .collect(),
        spoolers: status
            .spoolers
            .iter()
            .map(|one| SpoolerStats {
                dir: &one.directory,
                pid: if one.is_external { 0 } else { status.pid },
                tasks: one.done + one.retried,
                respawns: 0,
                running: one.running,
            })
            .collect(),
        crashes: status.supervised.as_ref().map(|known| known.crashes),
    };
    let written = if about.minified {
        written(&stats, serde_json::ser::CompactFormatter)
    } else {
        written(&stats, PrettyFormatter::with_indent(b"\t"))
    };
    written.unwrap_or_default()
}

fn written(stats: &Stats<'_>, formatter: impl Formatter) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 << 10);
    let mut serializer = Serializer::with_formatter(&mut bytes, formatter);
    // A Vec takes everything, and all keys are strings.
    stats.serialize(&mut serializer).ok()?;
    Some(bytes)
}

fn worker_stats<'a>(
    worker: &'a Worker,
    status: &Status,
    about: &About,
    now: u64,
) -> WorkerStats<'a> {
    let share = status.workers.len().max(1) as u64;
    WorkerStats {
        id: worker.id,
        pid: status.pid,
        accepting: u8::from(status.state == "serving"),
        requests: worker.requests,
        delta_requests: worker.delta_requests,
        exceptions: worker.exceptions,
        harakiri_count: worker.harakiri,
        signals: worker.signals,
        signal_queue: 0,
        status: &worker.status,
        rss: status.memory.resident_bytes / share,
        vsz: status.memory.address_bytes,
        running_time: worker.running_micros,
        last_spawn: worker.last_spawn,
        respawn_count: worker.respawns,
        tx: worker.sent_bytes,
        avg_rt: worker.average_micros,
        apps: worker
            .apps
            .iter()
            .map(|app| AppStats {
                id: app.id,
                modifier1: 0,
                mountpoint: &app.mountpoint,
                startup_time: app.startup_seconds,
                requests: app.requests,
                exceptions: app.exceptions,
                chdir: "",
            })
            .collect(),
        cores: (!about.no_cores).then(|| {
            worker
                .threads
                .iter()
                .map(|thread| core(thread, now))
                .collect()
        }),
    }
}

fn core(thread: &super::status::Thread, now: u64) -> Core {
    let request = thread.request.as_ref();
    let vars = request.map_or_else(Vec::new, |request| {
        let path = request
            .target
            .split_once('?')
            .map_or(&*request.target, |(path, _)| path);
        let query = request
            .target
            .split_once('?')
            .map_or("", |(_, query)| query);
        vec![
            format!("REQUEST_METHOD={}", request.method),
            format!("REQUEST_URI={}", request.target),
            format!("PATH_INFO={path}"),
            format!("QUERY_STRING={query}"),
        ]
    });
    Core {
        id: thread.id,
        requests: thread.requests,
        static_requests: 0,
        routed_requests: 0,
        offloaded_requests: 0,
        write_errors: 0,
        read_errors: 0,
        in_request: u8::from(thread.status == "busy"),
        vars,
        req_info: RequestInfo {
            // Whole seconds; a request is not as old as 1970.
            request_start: thread
                .seconds
                .map(|seconds| now.saturating_sub(seconds as u64)),
        },
    }
}

/// What stands in front with `--stats-http`: uWSGI's head (core/protocol.c), word for word.
pub const HTTP_HEAD: &[u8] = b"HTTP/1.0 200 OK\r\nConnection: close\r\n\
    Access-Control-Allow-Origin: *\r\nContent-Type: application/json\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::{App, Memory, Request, Thread};

    fn status() -> Status {
        Status {
            pid: 7,
            state: "serving",
            memory: Memory {
                resident_bytes: 400,
                address_bytes: 1000,
            },
            workers: vec![
                Worker {
                    id: 1,
                    status: "busy".to_owned(),
                    requests: 5,
                    threads: vec![Thread {
                        id: 0,
                        status: "busy".to_owned(),
                        requests: 5,
                        seconds: Some(2.5),
                        request: Some(Request {
                            method: "GET".to_owned(),
                            target: "/a\"b?c=d".to_owned(),
                            seconds: 2.5,
                        }),
                    }],
                    apps: vec![App::default()],
                    ..Worker::default()
                },
                Worker {
                    id: 2,
                    status: "idle".to_owned(),
                    ..Worker::default()
                },
            ],
            ..Status::default()
        }
    }

    #[test]
    fn the_names_and_their_order_are_uwsgis() {
        let about = About {
            version: "2.0.31",
            locks: vec![("user 0".to_owned(), true)],
            sockets: vec![("127.0.0.1:80".to_owned(), "http")],
            minified: true,
            ..About::default()
        };
        let text = String::from_utf8(render(&status(), &about, 1000)).unwrap();
        let expected = "{\"version\":\"2.0.31\",\"listen_queue\":0,\"listen_queue_errors\":0,\"signal_queue\":0,\"load\":0,\
            \"pid\":7,\"uid\":0,\"gid\":0,\"cwd\":\"\",\"locks\":[{\"user 0\":7}],\"sockets\":[{\"name\":\"127.0.0.1:80\",\
            \"proto\":\"http\",\"queue\":0,\"max_queue\":0,\"shared\":0,\"can_offload\":0}],\"workers\":[{\"id\":1,\"pid\":7,\
            \"accepting\":1,\"requests\":5,\"delta_requests\":0,\"exceptions\":0,\"harakiri_count\":0,\"signals\":0,\
            \"signal_queue\":0,\"status\":\"busy\",\"rss\":200,\"vsz\":1000,\"running_time\":0,\"last_spawn\":0,\
            \"respawn_count\":0,\"tx\":0,\"avg_rt\":0,\"apps\":[{\"id\":0,\"modifier1\":0,\"mountpoint\":\"\",\
            \"startup_time\":0,\"requests\":0,\"exceptions\":0,\"chdir\":\"\"}],\"cores\":[{\"id\":0,\"requests\":5,\
            \"static_requests\":0,\"routed_requests\":0,\"offloaded_requests\":0,\"write_errors\":0,\"read_errors\":0,\
            \"in_request\":1,\"vars\":[\"REQUEST_METHOD=GET\",\"REQUEST_URI=/a\\\"b?c=d\",\"PATH_INFO=/a\\\"b\",\
            \"QUERY_STRING=c=d\"],\"req_info\":{\"request_start\":998}}]},{\"id\":2,";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn cores_can_be_left_out_and_spaces_put_in() {
        let about = About {
            no_cores: true,
            ..About::default()
        };
        let text = String::from_utf8(render(&status(), &about, 1000)).unwrap();
        assert!(!text.contains("cores"), "{text}");
        assert!(text.starts_with("{\n\t\"version\""), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["workers"][1]["id"], 2);
    }
}
