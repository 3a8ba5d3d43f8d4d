//! Random bytes on a uwsgi, FastCGI or SCGI connection: no panic, and the events do not depend on
//! how the bytes are split. The first byte chooses the protocol and the limits, the second where to
//! split.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the server, which uses all of it"
)]
mod protocol {
    #[path = "../../../src/protocol/cgi/mod.rs"]
    pub mod cgi;
    #[path = "../../../src/protocol/fastcgi/mod.rs"]
    pub mod fastcgi;
    #[path = "../../../src/protocol/http/mod.rs"]
    pub mod http;
    #[path = "../../../src/protocol/scgi/mod.rs"]
    pub mod scgi;
    #[path = "../../../src/protocol/uwsgi/mod.rs"]
    pub mod uwsgi;
}

use protocol::cgi::{Reply, Step, Variables};
use protocol::http::{Limits, Refusal};
use protocol::{fastcgi, scgi, uwsgi};

/// Small limits, so that short inputs reach them.
const SMALL: Limits = Limits {
    head_bytes_max: 200,
    fields_max: 4,
    target_bytes_max: 40,
    body_bytes_max: 16,
    chunk_line_bytes_max: 24,
    trailer_bytes_max: 48,
};

enum Reader {
    Uwsgi(uwsgi::PacketReader),
    FastCgi(fastcgi::RecordReader),
    Scgi(scgi::HeaderReader),
}

impl Reader {
    fn new(choice: u8) -> Self {
        match choice % 3 {
            0 => Self::Uwsgi(uwsgi::PacketReader::default()),
            1 => Self::FastCgi(fastcgi::RecordReader::default()),
            _ => Self::Scgi(scgi::HeaderReader::default()),
        }
    }

    fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        variables: &mut Variables,
    ) -> Result<(usize, Step<'i>), Refusal> {
        match self {
            Self::Uwsgi(reader) => reader.read(input, limits, variables),
            Self::FastCgi(reader) => reader.read(input, limits, variables),
            Self::Scgi(reader) => reader.read(input, limits, variables),
        }
    }

    fn reply(&mut self, out: &mut Vec<u8>) -> Reply {
        match self {
            Self::Uwsgi(reader) => reader.reply(out),
            Self::FastCgi(reader) => reader.reply(100, out),
            Self::Scgi(_) => unreachable!("the protocol has nothing to say"),
        }
    }
}

/// All events for these pieces, with neighbouring data joined.
fn events<'i>(
    choice: u8,
    pieces: impl IntoIterator<Item = &'i [u8]>,
    limits: &Limits,
) -> Vec<Vec<u8>> {
    let (mut reader, mut variables) = (Reader::new(choice), Variables::default());
    let (mut unread, mut told, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let (consumed, step) = match reader.read(&unread, limits, &mut variables) {
                Ok(said) => said,
                Err(refusal) => {
                    told.push(refusal.to_string().into_bytes());
                    return told;
                }
            };
            match step {
                Step::NeedMore => {
                    unread.drain(..consumed);
                    break;
                }
                Step::Head => {
                    let all = variables
                        .iter()
                        .flat_map(|one| [one.name, b"=", one.value, b"\0"]);
                    told.push(all.flatten().copied().collect());
                    // All that the server asks of it.
                    let _seen = (variables.path(), variables.scheme(), variables.host());
                }
                Step::Data(piece) => data.extend_from_slice(piece),
                Step::End => told.push(std::mem::take(&mut data)),
                Step::Say => {
                    let mut said = Vec::new();
                    let reply = reader.reply(&mut said);
                    told.push(said);
                    if reply == Reply::Close {
                        return told;
                    }
                }
            }
            unread.drain(..consumed);
        }
    }
    told
}

fuzz_target!(|input: &[u8]| {
    let [choice, cut, wire @ ..] = input else {
        return;
    };
    let limits = if choice & 4 == 0 {
        Limits::default()
    } else {
        SMALL
    };
    let whole = events(*choice, [wire], &limits);
    let (front, back) = wire.split_at(wire.len() * usize::from(*cut) / 256);
    assert_eq!(whole, events(*choice, [front, back], &limits), "cut");
    assert_eq!(
        whole,
        events(*choice, wire.chunks(1), &limits),
        "byte by byte"
    );
});
