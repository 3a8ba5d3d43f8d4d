//! The rules for decoded paths, before any disk access.
//!
//! A pure function of bytes, the same on every system, so that the rules for Windows are tested
//! everywhere. The result is a list of plain names below a folder. Whether a symbolic link among
//! them leads out is for `root` to check.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Refuse names that Windows takes for a device, a stream, a drive or another name of the same
    /// file.
    pub windows: bool,
}

impl Rules {
    /// The rules of the system that this was built for.
    pub const OWN: Self = Self {
        windows: cfg!(windows),
    };
}

/// A path below a folder: no empty name, no `.`, no `..`, no separator but `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Below<'a> {
    /// `css/site.css`; empty for the folder itself.
    pub names: Cow<'a, [u8]>,
    /// The path ends in a slash: only a folder is meant.
    pub wants_folder: bool,
}

/// Reads the rest of a decoded path behind its prefix. `None`: it cannot mean a file.
///
/// Empty names and `.` are skipped, as file systems do. `..` is refused even inside the folder:
/// clients resolve it, so it only comes in attacks. So is a backslash, a separator on Windows.
pub fn below(path: &[u8], rules: Rules) -> Option<Below<'_>> {
    let trimmed = path.strip_prefix(b"/").unwrap_or(path);
    let wants_folder = trimmed.is_empty() || trimmed.ends_with(b"/");
    let plain = trimmed.strip_suffix(b"/").unwrap_or(trimmed);
    if plain.contains(&0) || plain.contains(&b'\\') {
        return None;
    }
    let is_passed_over = |name: &[u8]| matches!(name, b"" | b".");
    let mut has_detours = false;
    for name in plain.split(|byte| *byte == b'/') {
        if name == b".." || (rules.windows && means_more_on_windows(name)) {
            return None;
        }
        has_detours |= is_passed_over(name);
    }
    let names = if plain.is_empty() || !has_detours {
        Cow::Borrowed(plain)
    } else {
        let mut names = Vec::with_capacity(plain.len());
        let kept = plain.split(|byte| *byte == b'/');
        for name in kept.filter(|name| !is_passed_over(name)) {
            if !names.is_empty() {
                names.push(b'/');
            }
            names.extend_from_slice(name);
        }
        Cow::Owned(names)
    };
    // `a/.` asks for the folder too.
    let wants_folder = wants_folder || plain.ends_with(b"/.") || plain == b".";
    Some(Below {
        names,
        wants_folder,
    })
}

/// The path behind a prefix, which ends at a slash or with the path: `/static` is no prefix of
/// `/staticfile`.
pub fn behind<'a>(prefix: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix)?;
    let at_boundary = rest.is_empty() || rest.starts_with(b"/") || prefix.is_empty();
    (at_boundary || prefix.ends_with(b"/")).then_some(rest)
}

/// Names with a special meaning on Windows (Microsoft's "Naming Files, Paths, and Namespaces", and
/// attacks): devices with an ending (`con.txt`), streams (`file::$DATA`), trailing dots and spaces,
/// which it drops, and short names (`PROGRA~1`).
fn means_more_on_windows(name: &[u8]) -> bool {
    let has_special = name
        .iter()
        .any(|byte| *byte < 0x20 || b"<>:\"|?*".contains(byte));
    // `.` and the empty name are skipped later.
    let is_trimmed = name != b"." && matches!(name.last(), Some(b'.' | b' '));
    has_special || is_trimmed || is_device(name) || is_short_name(name)
}

/// `CON`, `con.txt`, `con .tar.gz`, `COM1`, `COM\u{b9}`, `CONIN$`.
fn is_device(name: &[u8]) -> bool {
    let end = name.iter().position(|byte| *byte == b'.');
    let stem = name[..end.unwrap_or(name.len())].trim_ascii_end();
    let is = |device: &str| stem.eq_ignore_ascii_case(device.as_bytes());
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
        .into_iter()
        .any(is)
    {
        return true;
    }
    let Some((port, number)) = stem.split_at_checked(3) else {
        return false;
    };
    let is_port = port.eq_ignore_ascii_case(b"COM") || port.eq_ignore_ascii_case(b"LPT");
    // The superscripts one, two and three count as digits, in UTF-8 and in Latin-1.
    let is_number = matches!(
        number,
        [b'0'..=b'9'] | [0xc2, 0xb9 | 0xb2 | 0xb3] | [0xb9 | 0xb2 | 0xb3]
    );
    is_port && is_number
}

/// The 8.3 alias of a longer name: `PROGRA~1`, `INDEX~1.HTM`. It would bypass rules for that name.
fn is_short_name(name: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'.');
    let stem = parts.next().unwrap_or_default();
    let ending = parts.next().unwrap_or_default();
    if parts.next().is_some() || stem.len() > 8 || ending.len() > 3 {
        return false;
    }
    let Some(tilde) = stem.iter().rposition(|byte| *byte == b'~') else {
        return false;
    };
    let digits = &stem[tilde + 1..];
    tilde > 0 && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNIX: Rules = Rules { windows: false };
    const WINDOWS: Rules = Rules { windows: true };

    fn names(path: &str, rules: Rules) -> Option<(String, bool)> {
        below(path.as_bytes(), rules).map(|below| {
            let names = String::from_utf8(below.names.into_owned()).expect("UTF-8");
            (names, below.wants_folder)
        })
    }

    #[test]
    fn plain_names_pass_everywhere() {
        for rules in [UNIX, WINDOWS] {
            for (path, wanted, wants_folder) in [
                ("", "", true),
                ("/", "", true),
                ("//", "", true),
                ("/site.css", "site.css", false),
                ("site.css", "site.css", false),
                ("/a/b/c", "a/b/c", false),
                ("/a/b/", "a/b", true),
                ("/a//b", "a/b", false),
                ("//etc/passwd", "etc/passwd", false),
                ("/./a/./b", "a/b", false),
                ("/a/.", "a", true),
                ("/.", "", true),
                ("/...a", "...a", false),
                ("/..a", "..a", false),
                ("/a..", "a..", false),
                ("/.well-known/x", ".well-known/x", false),
                ("/caf\u{e9}", "caf\u{e9}", false),
                ("/a b", "a b", false),
                ("/a~b", "a~b", false),
                ("/common.txt", "common.txt", false),
                ("/con2.txt", "con2.txt", false),
                ("/com10", "com10", false),
                ("/icon", "icon", false),
                ("/nulls", "nulls", false),
                ("/lptx", "lptx", false),
            ] {
                if path == "/a.." && rules == WINDOWS {
                    continue;
                }
                let wanted = Some((wanted.to_owned(), wants_folder));
                assert_eq!(names(path, rules), wanted, "{path:?} {rules:?}");
            }
        }
    }

    #[test]
    fn ways_out_are_refused_everywhere() {
        for rules in [UNIX, WINDOWS] {
            for path in [
                "..",
                "/..",
                "/../etc/passwd",
                "/a/../b",
                "/a/..",
                "/a/../",
                "/a/../../etc/passwd",
                "/..\\..\\windows",
                "/..\\",
                "\\\\host\\share",
                "/\\\\?\\C:\\boot.ini",
                "/a\\b",
                "/a\0",
                "/a\0.css",
                "/\0",
            ] {
                assert_eq!(names(path, rules), None, "{path:?} {rules:?}");
            }
        }
    }

    #[test]
    fn names_that_mean_more_on_windows() {
        for name in [
            "C:",
            "c:",
            "C:boot.ini",
            "file.txt::$DATA",
            "file.txt:stream",
            "NUL",
            "nul",
            "nul.txt",
            "NUL .txt",
            "con.txt",
            "CON.tar.gz",
            "aux",
            "prn.css",
            "COM1",
            "com9.log",
            "COM0",
            "lpt1",
            "LPT\u{b9}",
            "com\u{b2}.txt",
            "CONIN$",
            "conout$.txt",
            "CLOCK$",
            "a.",
            "a..",
            "...",
            "a ",
            "a. ",
            " ",
            "PROGRA~1",
            "progr~12",
            "INDEX~1.HTM",
            "A~1",
            "a<b",
            "a>b",
            "a|b",
            "a?b",
            "a*b",
            "a\"b",
            "a\tb",
            "a\u{1f}b",
        ] {
            for path in [
                format!("/{name}"),
                format!("/x/{name}"),
                format!("/{name}/x"),
                format!("/{name}/"),
            ] {
                assert_eq!(names(&path, WINDOWS), None, "{path:?}");
                assert!(
                    names(&path, UNIX).is_some(),
                    "{path:?} is a name like any other"
                );
            }
        }
        // Latin-1, as old clients send it.
        assert_eq!(below(b"/COM\xb9", WINDOWS), None);
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        for (prefix, path, rest) in [
            ("/static", "/static", Some("")),
            ("/static", "/static/", Some("/")),
            ("/static", "/static/a.css", Some("/a.css")),
            ("/static", "/staticfile", None),
            ("/static", "/static..", None),
            ("/static", "/Static/a", None),
            ("/static/", "/static/a.css", Some("a.css")),
            ("/static/", "/static", None),
            ("/", "/a", Some("a")),
            ("", "/a", Some("/a")),
            ("/robots.txt", "/robots.txt", Some("")),
        ] {
            let found = behind(prefix.as_bytes(), path.as_bytes());
            assert_eq!(found, rest.map(str::as_bytes), "{prefix} {path}");
        }
    }

    proptest! {
        /// Whatever comes in, what passes is a list of plain names, and reading it again changes
        /// nothing.
        #[test]
        fn what_passes_is_plain(path in proptest::collection::vec(any::<u8>(), 0..64), windows: bool) {
            let rules = Rules { windows };
            if let Some(found) = below(&path, rules) {
                let names = found.names.into_owned();
                prop_assert!(!names.contains(&0) && !names.contains(&b'\\'));
                if !names.is_empty() {
                    for name in names.split(|byte| *byte == b'/') {
                        prop_assert!(!name.is_empty() && name != b"." && name != b"..");
                        prop_assert!(!windows || !name.contains(&b':'));
                    }
                    let again = below(&names, rules).expect("what passed passes again");
                    prop_assert_eq!(&*again.names, &*names);
                }
            }
        }

        /// The same with the bytes that matter, so that detours and ways out are met often.
        #[test]
        fn ways_out_never_pass(path in "[./\\\\a~1: ]{0,16}") {
            if let Some(found) = below(path.as_bytes(), UNIX) {
                let names = std::str::from_utf8(&found.names).expect("ASCII");
                prop_assert!(!names.starts_with('/'));
                let leads_out = std::path::Path::new(names)
                    .components()
                    .any(|part| !matches!(part, std::path::Component::Normal(_)));
                prop_assert!(!leads_out);
            }
        }
    }
}
