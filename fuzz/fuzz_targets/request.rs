//! Random bytes on an HTTP connection: no panic, and the events do not depend on how the bytes are
//! split.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(
    dead_code,
    reason = "the response side is not fuzzed, the test suite uses the rest"
)]
#[path = "../../src/protocol/http/mod.rs"]
mod http;
#[path = "../../tests/http/readings.rs"]
mod readings;

use http::Limits;

/// Small limits, so that short inputs reach them.
const SMALL: Limits = Limits {
    head_bytes_max: 300,
    fields_max: 8,
    target_bytes_max: 40,
    body_bytes_max: 64,
    chunk_line_bytes_max: 24,
    trailer_bytes_max: 48,
};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, wire)) = input.split_first() else {
        return;
    };
    let limits = if choice & 1 == 0 {
        Limits::default()
    } else {
        SMALL
    };
    let whole = readings::whole(wire, &limits);
    let cut = wire.len() * usize::from(choice) / 256;
    let (front, back) = wire.split_at(cut);
    assert_eq!(
        whole,
        readings::events([front, back], &limits),
        "cut at {cut}"
    );
    assert_eq!(
        whole,
        readings::events(wire.chunks(1), &limits),
        "byte by byte"
    );
});
