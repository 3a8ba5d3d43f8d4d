//! `Content-Type` by the ending of a file's name: a built-in table, and `mime-file`.
//!
//! Without a charset, as in uWSGI and nginx: the server does not read the file. A line
//! `text/plain;charset=utf-8 txt` in a `mime-file` adds one. An unknown ending is
//! `application/octet-stream`, so that no browser shows an upload as a page.

use std::borrow::Cow;
use std::collections::HashMap;

pub const UNKNOWN: &str = "application/octet-stream";

const ENDING_BYTES_MAX: usize = 32;

/// Endings for which the crate's table is outdated or wrong for web sites. Sorted.
const CORRECTIONS: &[(&str, &str)] = &[
    ("m4a", "audio/mp4"),
    // Source maps (ECMA-426).
    ("map", "application/json"),
    // RFC 9239.
    ("mjs", "text/javascript"),
    // RFC 8081.
    ("otf", "font/otf"),
    ("ts", "video/mp2t"),
    ("woff", "font/woff"),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaTypes {
    /// Take precedence over the table; endings in lower case.
    added: HashMap<String, String>,
}

impl MediaTypes {
    /// Adds the lines of a file in the format of `/etc/mime.types`. A later line wins. On an error,
    /// returns the line (from 1) with a type that cannot stand in a response.
    pub fn add(&mut self, text: &str) -> Result<(), usize> {
        for (index, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line);
            let mut words = line.split_ascii_whitespace();
            let Some(media_type) = words.next() else {
                continue;
            };
            let is_sendable = media_type.bytes().all(|byte| (0x21..0x7f).contains(&byte));
            if !is_sendable || !media_type.contains('/') {
                return Err(index + 1);
            }
            for ending in words {
                let ending = ending.trim_start_matches('.').to_ascii_lowercase();
                self.added.insert(ending, media_type.to_owned());
            }
        }
        Ok(())
    }

    pub fn of(&self, name: &[u8]) -> &str {
        let Some(ending) = ending(name) else {
            return UNKNOWN;
        };
        if let Some(added) = self.added.get(&*ending) {
            return added;
        }
        if let Ok(found) = CORRECTIONS.binary_search_by_key(&&*ending, |(known, _)| known) {
            return CORRECTIONS[found].1;
        }
        mime_guess::from_ext(&ending).first_raw().unwrap_or(UNKNOWN)
    }
}

/// The part behind the last dot, in lower case; none if that dot is the first byte.
fn ending(name: &[u8]) -> Option<Cow<'_, str>> {
    let name = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let ending = std::str::from_utf8(&name[dot + 1..]).ok()?;
    if dot == 0 || ending.is_empty() || ending.len() > ENDING_BYTES_MAX {
        return None;
    }
    Some(if ending.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(ending.to_ascii_lowercase())
    } else {
        Cow::Borrowed(ending)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_web_sites_are_made_of() {
        let types = MediaTypes::default();
        for (name, media_type) in [
            ("index.html", "text/html"),
            ("index.HTM", "text/html"),
            ("css/site.css", "text/css"),
            ("app.js", "text/javascript"),
            ("app.mjs", "text/javascript"),
            ("app.js.map", "application/json"),
            ("data.json", "application/json"),
            ("site.webmanifest", "application/manifest+json"),
            ("module.wasm", "application/wasm"),
            ("logo.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.jpg", "image/jpeg"),
            ("a.jpeg", "image/jpeg"),
            ("a.gif", "image/gif"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("favicon.ico", "image/x-icon"),
            ("f.woff", "font/woff"),
            ("f.woff2", "font/woff2"),
            ("f.ttf", "font/ttf"),
            ("f.otf", "font/otf"),
            ("robots.txt", "text/plain"),
            ("feed.xml", "text/xml"),
            ("doc.pdf", "application/pdf"),
            ("a.zip", "application/zip"),
            ("a.tar.gz", "application/gzip"),
            ("a.mp4", "video/mp4"),
            ("a.webm", "video/webm"),
            ("a.mp3", "audio/mpeg"),
            ("a.m4a", "audio/mp4"),
            ("a.csv", "text/csv"),
            ("README.md", "text/markdown"),
            ("README", UNKNOWN),
            (".htaccess", UNKNOWN),
            ("a.unknown-ending", UNKNOWN),
            ("a.", UNKNOWN),
            ("dir.css/file", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(types.of(name.as_bytes()), media_type, "{name}");
        }
        assert_eq!(types.of(b"a.\xff"), UNKNOWN);
    }

    #[test]
    fn corrections_are_sorted() {
        assert!(CORRECTIONS.is_sorted_by_key(|(ending, _)| ending));
    }

    #[test]
    fn a_file_adds_to_the_table() {
        let mut types = MediaTypes::default();
        types
            .add("# a comment\n\ntext/plain;charset=utf-8\ttxt .LOG\nx-a/b\tfoo # bar\nx-empty/x\n")
            .expect("well-formed");
        assert_eq!(types.of(b"a.txt"), "text/plain;charset=utf-8");
        assert_eq!(types.of(b"a.log"), "text/plain;charset=utf-8");
        assert_eq!(types.of(b"a.foo"), "x-a/b");
        assert_eq!(types.of(b"a.bar"), UNKNOWN);
        assert_eq!(types.of(b"a.css"), "text/css");
        assert_eq!(types.add("text/plain a\nnonsense b\n"), Err(2));
        assert_eq!(types.add("text/pl\u{e4}in a\n"), Err(1));
    }
}
