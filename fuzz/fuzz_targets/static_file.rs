//! Random bytes as path, range and codings of a request for a static file. No panic; an accepted
//! path consists of plain names, on Windows too; and a range lies inside the file.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the test suite uses the rest")]
#[path = "../../src/files/encoding.rs"]
mod encoding;
#[allow(dead_code, reason = "the test suite uses the rest")]
#[path = "../../src/files/path.rs"]
mod path;
#[path = "../../src/files/range.rs"]
mod range;

use path::Rules;
use range::Ranges;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let rules = Rules {
        windows: choice & 1 == 1,
    };
    if let Some(found) = path::below(input, rules) {
        let names = &*found.names;
        assert!(!names.contains(&0) && !names.contains(&b'\\'));
        let is_plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
        assert!(names.is_empty() || names.split(|byte| *byte == b'/').all(is_plain));
        assert!(!rules.windows || !names.contains(&b':'));
    }
    let length = u64::from(choice >> 1);
    let spans = match range::ranges(input, length) {
        Ranges::One(span) => vec![span],
        Ranges::Several(spans) => spans,
        Ranges::Whole | Ranges::Unsatisfiable => Vec::new(),
    };
    assert!(spans.len() <= range::RANGES_MAX);
    assert!(spans.iter().all(|span| span.length > 0 && span.last() < length));
    assert!(spans.iter().map(|span| span.length).sum::<u64>() <= length);
    assert!(encoding::wanted(input).count() <= encoding::Coding::ALL.len());
});
