//! The tables of `singlemalt status` and `reload --wait`, with their exit codes. Pure. The server
//! may be older or newer than this program, so every member of its JSON may be missing.

use serde_json::Value;

pub const SERVES: i32 = 0;
/// It does not; the version before serves on.
pub const FAILED: i32 = 2;
/// The outcome is not known yet.
pub const UNDER_WAY: i32 = 4;

/// How many refused extensions people are shown.
const REFUSED_MAX: usize = 10;

/// A status. `now`: seconds since 1970.
pub fn status(status: &Value, now: u64) -> String {
    let mut lines = generation_lines(status, now);
    lines.push(format!("reload      {}", reload(&status["reload"], now)));
    let reloads = &status["reloads"];
    let all =
        ["done", "failed", "withdrawn"].map(|name| (reloads[name].as_u64().unwrap_or(0), name));
    // Of a single one all is said above.
    if all.iter().map(|(count, _)| count).sum::<u64>() > 1 {
        let words = all.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = words
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        lines.push(format!("reloads     {}", words.join(", ")));
    }
    if !status["kept"].is_null() {
        lines.push(format!(
            "kept        generation {}, for {} more (singlemalt rollback puts it back)",
            number(status, "/kept/generation"),
            span(number(status, "/kept/until").saturating_sub(now) as f64)
        ));
    }
    lines.extend(crash_line(status, now));
    lines.extend(refused_lines(status));
    lines.extend(traffic_lines(status));
    lines.extend(list(status, "/spoolers").iter().map(spooler_line));
    lines.push(String::new());
    lines.push("worker  thread  state   requests  failed  average  spawned  works on".to_owned());
    for worker in list(status, "/workers") {
        rows(worker, now, &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The version, the generation that serves and the ones that end.
fn generation_lines(status: &Value, now: u64) -> Vec<String> {
    let mut lines = Vec::new();
    let uptime = number(status, "/uptime_seconds");
    lines.push(format!(
        "singlemalt {}, CPython {}, pid {}: {}, up {}",
        text(status, "/version"),
        text(status, "/python"),
        number(status, "/pid"),
        text(status, "/state"),
        whole_span(uptime)
    ));
    if !status["generation"].is_null() {
        let without = if status["generation"]["has_application"] == false {
            ", WITHOUT AN APPLICATION: everything is answered 500"
        } else {
            ""
        };
        lines.push(format!(
            "generation  {} for {}, isolation {}{without}",
            number(status, "/generation/number"),
            // Two clocks in whole seconds: one may have ticked.
            whole_span(
                now.saturating_sub(number(status, "/generation/since"))
                    .min(uptime)
            ),
            text(status, "/generation/isolation")
        ));
    }
    let ending: Vec<String> = list(status, "/ending")
        .iter()
        .map(Value::to_string)
        .collect();
    if !ending.is_empty() {
        lines.push(format!("ending      generation {}", ending.join(", ")));
    }
    lines
}

/// With `--supervise`, once the server has crashed.
fn crash_line(status: &Value, now: u64) -> Option<String> {
    let last = status.pointer("/supervised/last_crash")?;
    let at = last.get("at")?.as_u64()?;
    Some(format!(
        "crashes     {}, the last one {} ago: the server {}",
        number(status, "/supervised/crashes"),
        whole_span(now.saturating_sub(at)),
        text(last, "/how")
    ))
}

fn refused_lines(status: &Value) -> Vec<String> {
    let all = list(status, "/refused_extensions");
    let mut lines: Vec<String> = all.iter().take(REFUSED_MAX).map(refused_line).collect();
    if all.len() > REFUSED_MAX {
        let more = all.len() - REFUSED_MAX;
        lines.push(format!("refused     {more} more (--json lists them)"));
    }
    lines
}

fn refused_line(one: &Value) -> String {
    let mut line = format!("refused     {}", text(one, "/module"));
    let mut add = |before: &str, pointer: &str, after: &str| {
        let value = text(one, pointer);
        if !value.is_empty() {
            line.push_str(&format!("{before}{value}{after}"));
        }
    };
    add(" (", "/distribution", ")");
    add(", imported by ", "/importer", "");
    add(" (", "/line", ")");
    add(" from ", "/begun", "");
    add(" in ", "/request", "");
    if text(one, "/consequence") != "missing" {
        line.push_str("; in pure Python instead");
    }
    line
}

/// The addresses, the load, the counters, and warnings.
fn traffic_lines(status: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let listens = list(status, "/listen").iter().filter_map(Value::as_str);
    lines.extend(listens.map(|address| format!("listening   {address}")));
    lines.push(format!(
        "load        {} of {} requests wait, {} connections",
        number(status, "/queue/length"),
        number(status, "/queue/max"),
        number(status, "/connections")
    ));
    lines.push(format!("requests    {}", counters(&status["counters"])));
    let memory = number(status, "/memory/resident_bytes");
    if memory > 0 {
        lines.push(format!("memory      {} MB resident", memory >> 20));
    }
    for (pointer, what) in [
        (
            "/parked_interpreters",
            "interpreters could not be ended and are parked",
        ),
        (
            "/stuck_threads",
            "threads have not come back from requests that were given up",
        ),
    ] {
        let count = number(status, pointer);
        if count > 0 {
            lines.push(format!("WARNING     {count} {what}"));
        }
    }
    lines
}

/// A directory of the spooler.
fn spooler_line(one: &Value) -> String {
    let mut text = format!(
        "spooler     {}: {} tasks, {} running, {} done",
        text(one, "/directory"),
        number(one, "/tasks"),
        number(one, "/running"),
        number(one, "/done"),
    );
    for (pointer, what) in [
        ("/raised", "raised"),
        ("/failed", "failed for good"),
        ("/broken", "broken"),
    ] {
        let count = number(one, pointer);
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    let age = number(one, "/oldest_seconds");
    if age > 0 {
        text.push_str(&format!(", the oldest {}", whole_span(age)));
    }
    if let Some(why) = one["last_failure"].as_str() {
        let last = why.lines().last().unwrap_or_default();
        text.push_str(&format!("; last failure: {last}"));
    }
    text
}

/// A worker's row; with several threads, a row for each below it.
fn rows(worker: &Value, now: u64, lines: &mut Vec<String>) {
    let threads = list(worker, "/threads");
    let only = match threads {
        [only] => request(only),
        _ => String::new(),
    };
    lines.push(row([
        &number(worker, "/id").to_string(),
        if threads.len() == 1 { "0" } else { "all" },
        text(worker, "/status"),
        &number(worker, "/requests").to_string(),
        &number(worker, "/exceptions").to_string(),
        &milliseconds(number(worker, "/average_micros")),
        &span(now.saturating_sub(number(worker, "/last_spawn")) as f64),
        &only,
    ]));
    if threads.len() > 1 {
        for thread in threads {
            lines.push(row([
                "",
                &number(thread, "/id").to_string(),
                text(thread, "/status"),
                &number(thread, "/requests").to_string(),
                "",
                "",
                "",
                &request(thread),
            ]));
        }
    }
}

fn row(cells: [&str; 8]) -> String {
    let [
        worker,
        thread,
        state,
        requests,
        failed,
        average,
        spawned,
        request,
    ] = cells;
    let line = format!(
        "{worker:>6}  {thread:>6}  {state:<6}  {requests:>8}  {failed:>6}  {average:>7}  {spawned:>7}  {request}"
    );
    line.trim_end().to_owned()
}

fn request(thread: &Value) -> String {
    if !thread["request"].is_object() {
        let seconds = thread["seconds"].as_f64();
        return seconds.map_or_else(String::new, |seconds| format!("? for {}", span(seconds)));
    }
    format!(
        "{} {}, for {}",
        text(thread, "/request/method"),
        text(thread, "/request/target"),
        span(thread["request"]["seconds"].as_f64().unwrap_or_default())
    )
}

fn counters(counters: &Value) -> String {
    let all = [
        ("requests", "answered by the application"),
        ("files", "files"),
        ("refused", "refused"),
        ("queue_full", "full queue"),
        ("client_gone", "client gone"),
        ("deadlines_passed", "deadlines passed"),
        ("handshakes_failed", "handshakes failed"),
        ("connections", "connections"),
    ];
    let words = all.iter().filter_map(|(name, what)| {
        let count = counters[*name].as_u64()?;
        (count > 0 || *name == "requests").then(|| format!("{count} {what}"))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// How a reload went, in a line. `now`: seconds since 1970.
pub fn reload(reload: &Value, now: u64) -> String {
    let outcome = text(reload, "/outcome");
    let took = reload["seconds"].as_f64().unwrap_or_default();
    let ago = (now.saturating_sub(number(reload, "/since")) as f64 - took).max(0.0);
    let (by, reason) = (text(reload, "/by"), text(reload, "/reason"));
    let more = if reload["one_more_waits"] == true {
        "; one more waits"
    } else {
        ""
    };
    match outcome {
        "none" => "none so far".to_owned(),
        "loading" => format!("under way for {} ({by}){more}", span(took)),
        "canary" => format!(
            "{}; {} left; {} of {} requests failed, {} of {} elsewhere ({by}){more}",
            tried_out(reload),
            span(number(reload, "/canary/until").saturating_sub(now) as f64),
            number(reload, "/canary/failed"),
            number(reload, "/canary/requests"),
            number(reload, "/canary/others_failed"),
            number(reload, "/canary/others_requests"),
        ),
        "withdrawn" => format!(
            "WITHDRAWN: {reason}; the version before serves on ({by}, {} ago){more}",
            span(ago)
        ),
        "serves" if text(reload, "/way") == "rollback" => format!(
            "generation {} was put back in charge ({by}, {} ago){more}",
            number(reload, "/generation"),
            span(ago)
        ),
        "serves" => format!(
            "the new version serves as generation {} ({by}; took {took:.2} s, {} ago){more}",
            number(reload, "/generation"),
            span(ago)
        ),
        "failed" => {
            format!(
                "FAILED: {reason}; the version before serves on ({by}, {} ago){more}",
                span(ago)
            )
        }
        "partly" => format!("FAILED IN PART: {reason} ({by}, {} ago){more}", span(ago)),
        other => format!("{other}: {reason} ({by}){more}"),
    }
}

fn tried_out(reload: &Value) -> String {
    format!(
        "generation {} is tried out with {} % of the requests (stage {} of {})",
        number(reload, "/makes"),
        reload["canary"]["share_percent"]
            .as_f64()
            .unwrap_or_default(),
        number(reload, "/canary/stage"),
        number(reload, "/canary/stages")
    )
}

/// The exit code that says how a reload went.
pub fn reload_code(reload: &Value) -> i32 {
    match text(reload, "/outcome") {
        "none" | "serves" => SERVES,
        "loading" | "canary" => UNDER_WAY,
        _ => FAILED,
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("?")
}

fn number(value: &Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// `3.1 s`, `12 min`, `5 h`, `9 days`: as exact as one wants to know.
fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// The same of whole seconds, which have no tenths to show.
fn whole_span(seconds: u64) -> String {
    match seconds {
        0..10 => format!("{seconds} s"),
        _ => span(seconds as f64),
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::control_response::json;
    use crate::admin::status::{
        CanaryReport, Generation, RefusedExtension, Reload, Reloads, Request, RollbackTarget,
        Status, Thread, Worker,
    };

    fn value(status: &Status) -> Value {
        serde_json::from_slice(&json(status)).unwrap()
    }

    #[test]
    fn people_read_a_table() {
        let thread = |id, request| Thread {
            id,
            status: if request { "busy" } else { "idle" }.to_owned(),
            requests: 3,
            seconds: request.then_some(1.25),
            request: request.then(|| Request {
                method: "GET".to_owned(),
                target: "/slow".to_owned(),
                seconds: 1.25,
            }),
        };
        let shown = Status {
            version: "1.0",
            python: "3.13.0".to_owned(),
            pid: 7,
            state: "serving",
            uptime_seconds: 200,
            generation: Some(Generation {
                number: 2,
                since: 900,
                isolation: "own-gil",
                has_application: true,
            }),
            ending: vec![1],
            reload: Reload {
                outcome: "failed",
                number: 1,
                by: "SIGHUP".to_owned(),
                since: 990,
                seconds: 2.0,
                reason: "NameError: x".to_owned(),
                ..Reload::default()
            },
            listen: vec!["http://127.0.0.1:80".to_owned()],
            workers: vec![Worker {
                id: 1,
                status: "busy".to_owned(),
                requests: 6,
                last_spawn: 900,
                average_micros: 1500,
                threads: vec![thread(0, true), thread(1, false)],
                ..Worker::default()
            }],
            stuck_threads: 1,
            refused_extensions: vec![RefusedExtension {
                module: "fast._speed".to_owned(),
                distribution: Some("fast 2.1".to_owned()),
                importer: "shop".to_owned(),
                line: "shop.py, line 3".to_owned(),
                request: "GET /late".to_owned(),

                ..RefusedExtension::default()
            }],
            ..Status::default()
        };
        let expected = "\
singlemalt 1.0, CPython 3.13.0, pid 7: serving, up 3 min
generation  2 for 100 s, isolation own-gil
ending      generation 1
reload      FAILED: NameError: x; the version before serves on (SIGHUP, 8.0 s ago)
refused     fast._speed (fast 2.1), imported by shop (shop.py, line 3) in GET /late
listening   http://127.0.0.1:80
load        0 of 0 requests wait, 0 connections
requests    0 answered by the application
WARNING     1 threads have not come back from requests that were given up

worker  thread  state   requests  failed  average  spawned  works on
     1     all  busy           6       0   1.5 ms    100 s
             0  busy           3                            GET /slow, for 1.2 s
             1  idle           3
";
        assert_eq!(status(&value(&shown), 1000), expected);
    }

    #[test]
    fn a_code_for_each_outcome() {
        let code = |outcome| {
            let shown = Status {
                reload: Reload {
                    outcome,
                    ..Reload::default()
                },
                ..Status::default()
            };
            reload_code(&value(&shown)["reload"])
        };
        let codes = ["none", "serves", "loading", "canary"].map(code);
        assert_eq!(codes, [0, 0, 4, 4]);
        assert_eq!(
            ["failed", "partly", "withdrawn", "given up"].map(code),
            [2; 4]
        );
    }

    #[test]
    fn a_canary_and_what_is_kept() {
        let canary = CanaryReport {
            share_percent: 2.5,
            stage: 1,
            stages: 2,
            until: 1060,
            requests: 40,
            failed: 1,
            others_requests: 900,
            others_failed: 3,
        };
        let mut shown = Status {
            reload: Reload {
                outcome: "canary",
                by: "control".to_owned(),
                makes: 3,
                canary: Some(canary),
                ..Reload::default()
            },
            reloads: Reloads {
                done: 1,
                failed: 0,
                withdrawn: 1,
            },
            kept: Some(RollbackTarget {
                generation: 1,
                until: 1100,
            }),
            ..Status::default()
        };
        let text = status(&value(&shown), 1000);
        let expected = "\
reload      generation 3 is tried out with 2.5 % of the requests (stage 1 of 2); 60 s left; 1 of 40 requests failed, 3 of 900 elsewhere (control)
reloads     1 done, 1 withdrawn
kept        generation 1, for 100 s more (singlemalt rollback puts it back)
";
        assert!(text.contains(expected), "{text}");
        shown.reload.outcome = "withdrawn";
        shown.reload.reason = "5 of 20 failed".to_owned();
        shown.reload.since = 990;
        let text = status(&value(&shown), 1000);
        assert!(
            text.contains(
                "WITHDRAWN: 5 of 20 failed; the version before serves on (control, 10 s ago)"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_is_not_counted_on() {
        assert!(status(&Value::Null, 0).starts_with("singlemalt ?"));
        assert_eq!(reload_code(&Value::Null), FAILED);
    }
}
