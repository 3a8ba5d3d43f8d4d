//! The text of an ini file becomes lines of a section, by uWSGI's reader rules. Pure.
//!
//! - `key = value`; spaces around both are left out; a key alone is true.
//! - `;` or `#` at the beginning of a line makes it a comment; there are no others, so a `;`
//!   behind a value belongs to the value.
//! - Only one section is read, `[uwsgi]` unless another is asked for. A section may occur several
//!   times. Other sections belong to other programs.

use super::{Failure, Line};

/// What uWSGI leaves out around keys and values; other spaces of Unicode belong to them.
const SPACES: [char; 3] = [' ', '\t', '\r'];

pub(super) fn read(text: &str, wanted: &str) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    let mut sections: Vec<String> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_matches(SPACES);
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or(name);
            inside = name == wanted;
            sections.push(name.to_owned());
            continue;
        }
        if !inside {
            continue;
        }
        let (key, value, of_placeholder) = match line.split_once('=') {
            Some((key, value)) => (
                key.trim_end_matches(SPACES),
                value.trim_start_matches(SPACES),
                None,
            ),
            None => (line, "true", Some("")),
        };
        if !key.is_empty() {
            lines.push(Line {
                number,
                key: key.to_owned(),
                value: value.to_owned(),
                of_placeholder,
            });
        }
    }
    if sections.iter().any(|section| section == wanted) {
        Ok(lines)
    } else {
        Err(Failure::NoSection(sections))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match read(text, "uwsgi") {
            Ok(lines) => lines
                .iter()
                .map(|line| format!("{}: {}={}", line.number, line.key, line.value))
                .collect::<Vec<_>>()
                .join(", "),
            Err(Failure::NoSection(sections)) => format!("sections: {sections:?}"),
            Err(Failure::Syntax { line, why }) => format!("line {line}: {why}"),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn lines_are_read_as_uwsgi_reads_them() {
        check("[uwsgi]\nhttp = :80\n  p=4  \n", "2: http=:80, 3: p=4");
        check(
            "[uwsgi]\r\nmaster\r\nvacuum = false\r\n",
            "2: master=true, 3: vacuum=false",
        );
        check("[uwsgi]\n; a\n# b\n\nenv = A=B", "5: env=A=B");
        check("[uwsgi]\nmaster = true ; yes", "2: master=true ; yes");
        check("[uwsgi]\nendif =\n= x\n", "2: endif=");
        check(
            "[app]\na = 1\n[uwsgi]\nb = 2\n[app]\nc = 3\n[uwsgi]\nd = 4",
            "4: b=2, 8: d=4",
        );
        check("a = 1\n[uwsgi]\n", "");
        check("[app]\na = 1", "sections: [\"app\"]");
        check("", "sections: []");
    }
}
