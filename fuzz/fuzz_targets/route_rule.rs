//! Random texts as rules of internal routing: no panic, an error that ends a sentence, and a rule that
//! was read is read again from the same text. The first byte chooses the option.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/routing/language/mod.rs"]
#[allow(dead_code)]
mod language;

const OPTIONS: &[&str] = &[
    "route",
    "route-if",
    "route-if-not",
    "route-run",
    "route-label",
    "route-host",
    "error-route-status",
    "response-route-run",
    "final-route-if",
];

fuzz_target!(|input: &[u8]| {
    let Some((first, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let option = OPTIONS[usize::from(*first) % OPTIONS.len()];
    match language::parse(option, text) {
        Ok(read) => assert_eq!(Ok(read), language::parse(option, text)),
        Err(why) => assert!(!why.is_empty() && !why.ends_with('.'), "{why}"),
    }
});
