//! The wsgi room through its door: what leaves for a table of responses and what an application sees for a table of
//! requests (snapshots: read them like code), one property that no response can be split, and the proof that the hot
//! path allocates nothing. Needs no Python and no sockets.

macro_rules! snap {
    ($name:literal, $text:expr) => {
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

mod environs;
mod hot_path;
mod responses;
mod splitting;
mod wire;
