//! Random bytes at the start of a connection with the PROXY protocol: no panic, no length past the
//! input, and an early decision does not change with more input.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/protocol/proxy/protocol.rs"]
mod protocol;

use protocol::{HEADER_BYTES_MAX, Preamble, read};

fuzz_target!(|input: &[u8]| {
    let whole = read(input);
    if let Ok(Preamble::Complete(length, _)) = whole {
        assert!(length <= input.len().min(HEADER_BYTES_MAX));
    }
    for cut in 0..input.len() {
        match read(&input[..cut]) {
            Ok(Preamble::NeedMore) => {}
            decided => assert_eq!(decided, whole, "cut at {cut}"),
        }
    }
});
