//! `Expires`: how long clients may keep a file (`static-expires` and its relatives). Pure.

use std::time::{Duration, SystemTime};

use regex_lite::Regex;

#[derive(Clone, Debug)]
pub enum Subject {
    /// The file's name on disk.
    File(Regex),
    Path(Regex),
    Target(Regex),
    MediaType(String),
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub subject: Subject,
    pub lifetime: Duration,
    /// Counted from the file's last change instead of from now.
    pub since_change: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Looked<'a> {
    pub file: &'a [u8],
    pub path: &'a [u8],
    pub target: &'a [u8],
    pub media_type: &'a str,
}

/// The expiry by the first matching rule, in uWSGI's order: names, paths, targets, types; of each
/// kind those from now before those from the last change.
pub fn expires(
    rules: &[Rule],
    looked: Looked<'_>,
    now: SystemTime,
    modified: SystemTime,
) -> Option<SystemTime> {
    let rule = rules.iter().find(|rule| match &rule.subject {
        Subject::File(pattern) => pattern.is_match(&String::from_utf8_lossy(looked.file)),
        Subject::Path(pattern) => pattern.is_match(&String::from_utf8_lossy(looked.path)),
        Subject::Target(pattern) => pattern.is_match(&String::from_utf8_lossy(looked.target)),
        Subject::MediaType(media_type) => media_type == looked.media_type,
    })?;
    let from = if rule.since_change { modified } else { now };
    from.checked_add(rule.lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn regex(pattern: &str) -> Regex {
        Regex::new(pattern).expect("a pattern")
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |subject, seconds, since_change| Rule {
            subject,
            lifetime: Duration::from_secs(seconds),
            since_change,
        };
        let rules = [
            rule(Subject::File(regex(r"/srv/.*\.css$")), 1, false),
            rule(Subject::Path(regex("^/hashed/")), 2, true),
            rule(Subject::Target(regex(r"\?v=\d+$")), 3, false),
            rule(Subject::MediaType("image/png".to_owned()), 4, false),
        ];
        let (now, modified) = (
            UNIX_EPOCH + Duration::from_secs(1000),
            UNIX_EPOCH + Duration::from_secs(500),
        );
        for (file, path, target, media_type, wanted) in [
            (
                "/srv/a.css",
                "/hashed/a.css",
                "/hashed/a.css",
                "text/css",
                Some(1001),
            ),
            (
                "/srv/a.js",
                "/hashed/a.js",
                "/hashed/a.js",
                "text/javascript",
                Some(502),
            ),
            (
                "/srv/a.js",
                "/a.js",
                "/a.js?v=12",
                "text/javascript",
                Some(1003),
            ),
            ("/srv/a.png", "/a.png", "/a.png", "image/png", Some(1004)),
            ("/srv/a.js", "/a.js", "/a.js", "text/javascript", None),
        ] {
            let looked = Looked {
                file: file.as_bytes(),
                path: path.as_bytes(),
                target: target.as_bytes(),
                media_type,
            };
            let found = expires(&rules, looked, now, modified);
            let wanted = wanted.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(found, wanted, "{file} {target}");
        }
        // Names need not be UTF-8, and a lifetime past the end of time is none.
        let looked = Looked {
            file: b"/srv/\xff.css",
            path: b"",
            target: b"",
            media_type: "",
        };
        assert!(expires(&rules, looked, now, modified).is_some());
        let endless = [rule(Subject::File(regex("")), u64::MAX, false)];
        assert_eq!(expires(&endless, looked, now, modified), None);
    }
}
