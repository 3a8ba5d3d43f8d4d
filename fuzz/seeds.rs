//! Writes the cases of `tests/requests/` as seeds of the fuzz target for HTTP, `corpus/request/`,
//! one file for each case; and a request in uwsgi, FastCGI and SCGI for theirs,
//! `corpus/front_ends/`.

use std::{fs, io, path::Path};

#[path = "../tests/http/notation.rs"]
mod notation;

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seeds = here.join("corpus/request");
    fs::create_dir_all(&seeds)?;
    for folder in ["valid", "invalid"] {
        for case in fs::read_dir(here.join("../tests/requests").join(folder))? {
            let case = case?.path();
            let wire = notation::bytes(&fs::read_to_string(&case)?);
            let name = case.file_stem().unwrap_or_default();
            // The first byte of a seed: even, so the default limits; and half of the bytes in the
            // first piece.
            fs::write(seeds.join(name), [&[128], &wire[..]].concat())?;
        }
    }
    front_ends(&here.join("corpus/front_ends"))
}

/// The first byte of a seed chooses the protocol (and the default limits), the second cuts it in
/// the middle.
fn front_ends(seeds: &Path) -> io::Result<()> {
    fs::create_dir_all(seeds)?;
    let uwsgi = b"\x00\x2e\x00\x00\x0e\0REQUEST_METHOD\x04\0POST\x0e\0CONTENT_LENGTH\x01\0\x35\x01\0A\0\0hello";
    let record = |kind: u8, content: &[u8]| {
        [&[1, kind, 0, 1, 0, content.len() as u8, 0, 0], content].concat()
    };
    let params = b"\x0e\x04REQUEST_METHODPOST\x0e\x01CONTENT_LENGTH5\x80\0\0\x01\0A";
    let fastcgi = [
        record(1, &[0, 1, 1, 0, 0, 0, 0, 0]),
        record(4, params),
        record(4, b""),
        record(5, b"hello"),
        record(5, b""),
    ];
    let scgi = b"47:CONTENT_LENGTH\x005\0SCGI\x001\0REQUEST_METHOD\0POST\0A\0\0,hello";
    fs::write(seeds.join("uwsgi"), [&[0, 128], &uwsgi[..]].concat())?;
    fs::write(
        seeds.join("fastcgi"),
        [&[1, 128], &fastcgi.concat()[..]].concat(),
    )?;
    fs::write(seeds.join("scgi"), [&[2, 128], &scgi[..]].concat())
}
