//! The line of one request: uWSGI's, which fail2ban, GoAccess and log shippers know, or one with the
//! times that uWSGI has not (`--log-times`).
//!
//! `[pid: 7|app: 0|req: 1/3] 127.0.0.1 () {24 vars in 244 bytes} [Mon Nov 30 10:45:39 2026] GET / =>
//! generated 5 bytes in 0 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core 0)`
//!
//! `[pid: 7|worker: 1.0] 127.0.0.1 () {2 fields in 78 bytes} [Mon Nov 30 10:45:39 2026] GET / =>
//! generated 5 bytes in 0.3 msecs (HTTP/1.1 200) 4 headers in 120 bytes (queued 0.0 msecs, sent 0.0
//! msecs)`

use std::time::SystemTime;

use super::local_time::append_time;
use super::memory::Memory;
use super::record::{Capture, Record};
use super::text::{escape, milliseconds, number, or_dash};
use crate::config::MemoryReport;

/// What both lines need, in the order of these places.
pub(super) const CAPTURES: [Capture; 5] = [
    Capture::Address,
    Capture::User,
    Capture::Method,
    Capture::Target,
    Capture::Protocol,
];
const ADDRESS: usize = 0;
const USER: usize = 1;
const METHOD: usize = 2;
const TARGET: usize = 3;
const PROTOCOL: usize = 4;

/// What uWSGI's line has besides.
#[derive(Debug)]
pub(super) struct UwsgiLine {
    pub(super) pid: u32,
    /// `--log-micros`
    pub(super) has_micros: bool,
    /// `--memory-report`
    pub(super) report: MemoryReport,
}

impl UwsgiLine {
    /// Appends uWSGI's line.
    pub(super) fn append(&self, record: &Record, memory: &mut Memory, out: &mut Vec<u8>) {
        let figures = &record.figures;
        if self.report != MemoryReport::Off {
            self.append_memory(memory, out);
        }
        out.extend_from_slice(b"[pid: ");
        number(self.pid, out);
        match figures.application {
            Some(application) => {
                out.extend_from_slice(b"|app: ");
                number(application, out);
                out.extend_from_slice(b"|req: ");
                number(figures.worker_requests, out);
            }
            None => out.extend_from_slice(b"|app: -1|req: -1"),
        }
        out.push(b'/');
        number(figures.requests, out);
        client(record, out);
        number(figures.request_variables, out);
        out.extend_from_slice(b" vars in ");
        request(record, figures.began(), out);
        let took = figures.took();
        if self.has_micros {
            number(took.as_micros(), out);
            out.extend_from_slice(b" micros");
        } else {
            number(took.as_millis(), out);
            out.extend_from_slice(b" msecs");
        }
        if figures.is_file {
            out.extend_from_slice(b" via sendfile()");
        }
        response(record, out);
        number(figures.pieces, out);
        out.extend_from_slice(b" switches on core ");
        number(figures.core, out);
        out.extend_from_slice(b")\n");
    }

    fn append_memory(&self, memory: &mut Memory, out: &mut Vec<u8>) {
        let has_shares = self.report == MemoryReport::Shares;
        let used = memory.used(has_shares);
        let mut figures: &[_] = &[
            ("address space", used.address_space),
            ("rss", used.resident),
            ("uss", used.unshared),
            ("pss", used.proportional),
        ];
        if !has_shares {
            figures = figures.get(..2).unwrap_or_default();
        }
        for (name, bytes) in figures {
            out.push(b'{');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b" usage: ");
            number(*bytes, out);
            out.extend_from_slice(b" bytes/");
            number(bytes >> 20, out);
            out.extend_from_slice(b"MB} ");
        }
    }
}

/// Appends the line with the times that the request was queued and sent.
pub(super) fn append_with_times(record: &Record, pid: u32, out: &mut Vec<u8>) {
    let figures = &record.figures;
    out.extend_from_slice(b"[pid: ");
    number(pid, out);
    out.extend_from_slice(b"|worker: ");
    number(figures.worker, out);
    out.push(b'.');
    number(figures.core, out);
    client(record, out);
    number(figures.request_fields, out);
    out.extend_from_slice(b" fields in ");
    request(record, figures.ended, out);
    milliseconds(figures.app, out);
    response(record, out);
    out.extend_from_slice(b"queued ");
    milliseconds(figures.queued, out);
    out.extend_from_slice(b", sent ");
    milliseconds(figures.sent, out);
    let end: &[u8] = if figures.is_broken {
        b") (client gone)\n"
    } else {
        b")\n"
    };
    out.extend_from_slice(end);
}

fn client(record: &Record, out: &mut Vec<u8>) {
    out.extend_from_slice(b"] ");
    escape(record.captured(ADDRESS), out);
    out.extend_from_slice(b" (");
    escape(record.captured(USER), out);
    out.extend_from_slice(b") {");
}

fn request(record: &Record, time: SystemTime, out: &mut Vec<u8>) {
    number(record.figures.request_head_bytes, out);
    out.extend_from_slice(b" bytes} [");
    append_time(time, out);
    out.extend_from_slice(b"] ");
    escape(or_dash(record.captured(METHOD)), out);
    out.push(b' ');
    escape(or_dash(record.captured(TARGET)), out);
    out.extend_from_slice(b" => generated ");
    number(record.figures.body_bytes, out);
    out.extend_from_slice(b" bytes in ");
}

fn response(record: &Record, out: &mut Vec<u8>) {
    let figures = &record.figures;
    out.extend_from_slice(b" (");
    escape(or_dash(record.captured(PROTOCOL)), out);
    out.push(b' ');
    number(figures.status, out);
    out.extend_from_slice(b") ");
    number(figures.header_count, out);
    out.extend_from_slice(b" headers in ");
    number(figures.header_bytes, out);
    out.extend_from_slice(b" bytes (");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::memory::MemoryUsed;
    use crate::telemetry::record::Figures;
    use crate::telemetry::record::tests::{FIGURES, record};

    const CAPTURED: [&[u8]; 5] = [
        b"127.0.0.1",
        b"ann",
        b"GET",
        b"/caf\xc3\xa9?a=\\1",
        b"HTTP/1.1",
    ];

    /// The time depends on the machine's zone.
    fn without_time(line: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(line).into_owned();
        let at = text.rfind('[').expect("a time");
        text.replace_range(at + 1..at + 25, "ctime");
        text
    }

    fn uwsgis(line: &UwsgiLine, figures: Figures) -> String {
        let mut memory = Memory::new(|_| MemoryUsed {
            resident: 5 << 20,
            address_space: (9 << 20) + 1,
            unshared: 7,
            proportional: 3 << 20,
        });
        let mut out = Vec::new();
        line.append(&record(figures, &CAPTURED), &mut memory, &mut out);
        without_time(&out)
    }

    const LINE: UwsgiLine = UwsgiLine {
        pid: 7,
        has_micros: false,
        report: MemoryReport::Off,
    };

    #[test]
    fn the_line_is_uwsgis() {
        assert_eq!(
            uwsgis(&LINE, FIGURES),
            "[pid: 7|app: 0|req: 3/12] 127.0.0.1 (ann) {24 vars in 78 bytes} [ctime] \
             GET /caf\\xc3\\xa9?a=\\x5c1 => generated 5 bytes in 1 msecs (HTTP/1.1 200) \
             4 headers in 120 bytes (1 switches on core 1)\n"
        );
        let own = Figures {
            application: None,
            worker: 0,
            core: 0,
            pieces: 0,
            ..FIGURES
        };
        assert!(uwsgis(&LINE, own).starts_with("[pid: 7|app: -1|req: -1/12] "));
    }

    #[test]
    fn the_line_can_say_more() {
        let line = UwsgiLine {
            has_micros: true,
            report: MemoryReport::Shares,
            ..LINE
        };
        let text = uwsgis(&line, FIGURES);
        assert!(
            text.starts_with(
                "{address space usage: 9437185 bytes/9MB} {rss usage: 5242880 bytes/5MB} \
                 {uss usage: 7 bytes/0MB} {pss usage: 3145728 bytes/3MB} [pid: 7|"
            ),
            "{text}"
        );
        assert!(text.contains(" in 1260 micros (HTTP/1.1 200)"), "{text}");
        let file = Figures {
            is_file: true,
            ..FIGURES
        };
        assert!(uwsgis(&LINE, file).contains(" in 1 msecs via sendfile() (HTTP/1.1 200)"));
    }

    #[test]
    fn the_other_line_has_times() {
        let mut out = Vec::new();
        append_with_times(&record(FIGURES, &CAPTURED), 7, &mut out);
        assert_eq!(
            without_time(&out),
            "[pid: 7|worker: 2.1] 127.0.0.1 (ann) {3 fields in 78 bytes} [ctime] \
             GET /caf\\xc3\\xa9?a=\\x5c1 => generated 5 bytes in 1.2 msecs (HTTP/1.1 200) \
             4 headers in 120 bytes (queued 0.0 msecs, sent 0.0 msecs)\n"
        );
    }
}
