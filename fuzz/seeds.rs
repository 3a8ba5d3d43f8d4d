//! Writes the cases of `tests/requests/` as seeds for the fuzz target: `corpus/request/`, one file a case.

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
            // The first byte of a seed: even, so the default limits; and half of the bytes in the first piece.
            fs::write(seeds.join(name), [&[128], &wire[..]].concat())?;
        }
    }
    Ok(())
}
