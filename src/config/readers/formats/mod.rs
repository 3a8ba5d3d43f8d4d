//! The texts of configuration files become lines: a key, a value, and where it stands.
//!
//! Every format says the same thing in its own way: a section (`[uwsgi]`, `<uwsgi>`, a mapping
//! below `uwsgi`) of keys and texts; a list is a key several times, in its order. What a key means
//! is not known here. Pure: text in, lines out, no text panics.

mod ini;
mod json;
mod toml;
mod xml;
mod yaml;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Ini,
    Xml,
    Yaml,
    Json,
    Toml,
}

impl Format {
    /// The format that a file's ending stands for.
    pub(crate) fn of_ending(name: &str) -> Option<Format> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending {
            "ini" => Some(Format::Ini),
            "xml" => Some(Format::Xml),
            "yaml" | "yml" => Some(Format::Yaml),
            "json" | "js" => Some(Format::Json),
            "toml" => Some(Format::Toml),
            _ => None,
        }
    }

    /// The format of a text that came without a name (standard input), by how it begins.
    pub(crate) fn of_text(text: &str) -> Format {
        let begins = text
            .lines()
            .map(str::trim_start)
            .find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
        match begins {
            Some(line) if line.starts_with('<') => Format::Xml,
            Some(line) if line.starts_with('{') => Format::Json,
            // Whole as TOML and with a string in it: an ini file has no quotes around its values.
            Some(line) if line.starts_with('[') && toml::is_meant(text) => Format::Toml,
            Some(line) if line.trim_end().ends_with(':') || line.starts_with("---") => Format::Yaml,
            _ => Format::Ini,
        }
    }

    /// What the format calls a section, around the name of one.
    pub(crate) fn section(self, name: &str) -> String {
        match self {
            Format::Ini => format!("[{name}] section"),
            Format::Toml => format!("[{name}] table"),
            Format::Xml => format!("<{name}> element"),
            Format::Yaml => format!("mapping below the key {name}"),
            Format::Json => format!("object below the key {name}"),
        }
    }

    pub(crate) fn read(self, text: &str, section: Section<'_>) -> Result<Vec<Line>, Failure> {
        match self {
            Format::Ini => ini::read(text, section.name()),
            Format::Xml => xml::read(text, section),
            Format::Yaml => yaml::read(text, section.name()),
            Format::Json => json::read(text, section.name()),
            Format::Toml => toml::read(text, section),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section<'t> {
    /// None was named: `uwsgi`.
    Usual,
    /// `site.ini:blue`
    Named(&'t str),
}

impl<'t> Section<'t> {
    pub(crate) fn name(self) -> &'t str {
        match self {
            Section::Usual => "uwsgi",
            Section::Named(name) => name,
        }
    }
}

/// A key and its value, and the line where they stand, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: u32,
    pub(crate) key: String,
    pub(crate) value: String,
    /// The value if the key is a placeholder, where it differs: a key alone is an option that is
    /// on, and for uWSGI an empty placeholder.
    pub(crate) of_placeholder: Option<&'static str>,
}

/// Why a text has no lines to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The section is not there; these are.
    NoSection(Vec<String>),
    /// The text is not of the format.
    Syntax {
        /// From 1.
        line: u32,
        /// In the words of the format's reader.
        why: String,
    },
}

/// Where the lines of a text end: tells the line of a place without reading the text again for
/// each.
struct LineEnds(Vec<usize>);

impl LineEnds {
    fn of(text: &str) -> LineEnds {
        LineEnds(memchr::memchr_iter(b'\n', text.as_bytes()).collect())
    }

    /// The line, from 1, that a place in the text belongs to.
    fn line(&self, offset: usize) -> u32 {
        let before = self.0.partition_point(|end| *end < offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [Format; 5] = [
        Format::Ini,
        Format::Xml,
        Format::Yaml,
        Format::Json,
        Format::Toml,
    ];

    #[track_caller]
    fn check(format: Format, text: &str, expected: &str) {
        let shown = match format.read(text, Section::Usual) {
            Ok(lines) => lines
                .iter()
                .map(|line| format!("{}: {}={}", line.number, line.key, line.value))
                .collect::<Vec<_>>()
                .join(", "),
            Err(Failure::NoSection(found)) => format!("no section in {found:?}"),
            Err(Failure::Syntax { line, .. }) => format!("syntax, line {line}"),
        };
        assert_eq!(shown, expected, "{format:?}: {text}");
    }

    #[test]
    fn every_format_says_the_same() {
        let expected = "http=:80, http=:81, master=true, processes=4";
        for (format, text) in [
            (
                Format::Ini,
                "[uwsgi]\nhttp = :80\nhttp = :81\nmaster\nprocesses = 4\n",
            ),
            (
                Format::Xml,
                "<uwsgi><http>:80</http><http>:81</http><master/><processes>4</processes></uwsgi>",
            ),
            (
                Format::Yaml,
                "uwsgi:\n  http: [':80', ':81']\n  master: true\n  processes: 4\n",
            ),
            (
                Format::Json,
                r#"{"uwsgi": {"http": [":80", ":81"], "master": true, "processes": 4}}"#,
            ),
            (
                Format::Toml,
                "[uwsgi]\nhttp = [':80', ':81']\nmaster = true\nprocesses = 4\n",
            ),
        ] {
            let lines = format.read(text, Section::Usual).unwrap();
            let shown: Vec<_> = lines
                .iter()
                .map(|line| format!("{}={}", line.key, line.value))
                .collect();
            assert_eq!(shown.join(", "), expected, "{format:?}");
        }
    }

    #[test]
    fn xml() {
        let text = "<?xml version='1.0'?>\n<uwsgi>\n  <!-- a -->\n  <module>app &amp; b</module>\n\
                    <env><![CDATA[A=<B>]]></env>\n</uwsgi>";
        check(Format::Xml, text, "4: module=app & b, 5: env=A=<B>");
        check(
            Format::Xml,
            "<config><uwsgi id='a'><p>1</p></uwsgi><uwsgi><p>2</p></uwsgi></config>",
            "1: p=1",
        );
        check(Format::Xml, "<app/>", "no section in [\"app\"]");
        check(Format::Xml, "<uwsgi>\n<a>1</b>\n</uwsgi>", "syntax, line 2");
        check(Format::Xml, "<uwsgi>\n<a>1</a>\n", "syntax, line 3");
        check(Format::Xml, "plain", "no section in []");
        let blue = "<c><uwsgi id='red'><p>1</p></uwsgi><uwsgi id='blue'><p>2</p></uwsgi></c>";
        let lines = Format::Xml.read(blue, Section::Named("blue")).unwrap();
        assert_eq!(lines[0].value, "2");
    }

    #[test]
    fn yaml() {
        let text = "# a\nother: 1\nuwsgi:\n  module: app\n  env:\n    - A=B\n    - C=D\n  endif:\n";
        check(
            Format::Yaml,
            text,
            "4: module=app, 6: env=A=B, 7: env=C=D, 8: endif=",
        );
        check(
            Format::Yaml,
            "uwsgi:\n  a: 'x: y'\n  b: yes\n",
            "2: a=x: y, 3: b=yes",
        );
        check(
            Format::Yaml,
            "uwsgi:\n  a: &x 1\n  b: *x\n",
            "2: a=1, 3: b=1",
        );
        // No YAML, but uWSGI's own reader takes it.
        check(
            Format::Yaml,
            "a: b: c\nuwsgi:\n  module: app\n\n  logformat : served: %(uri) # all\n  threads: \
             4\nother: 1\n",
            "3: module=app, 5: logformat=served: %(uri), 6: threads=4",
        );
        check(Format::Yaml, "uwsgi:\n  a: b: c\n  - d\n", "syntax, line 2");
        check(Format::Yaml, "uwsgi:\n  a: b: c\n  d\n", "syntax, line 2");
        check(Format::Yaml, "app: 1", "no section in [\"app\"]");
        check(Format::Yaml, "uwsgi:\n  a: [1", "syntax, line 2");
        check(Format::Yaml, "uwsgi:\n  a:\n    b: 1\n", "syntax, line 3");
        check(Format::Yaml, "", "no section in []");
    }

    #[test]
    fn json() {
        let text = "{\n\t\"uwsgi\": {\n\t\t\"p\": 4,\n\t\t\"env\": \
            [\"A=B\",\n\t\t\"C=D\"],\n\t\t\"off\": false,\n\"none\": null}}";
        check(
            Format::Json,
            text,
            "3: p=4, 4: env=A=B, 5: env=C=D, 6: off=false, 7: none=false",
        );
        check(
            Format::Json,
            r#"{"uwsgi": {"a": 1, "b": "x\ny", "a": 2}}"#,
            "1: a=1, 1: b=x\ny, 1: a=2",
        );
        check(Format::Json, "{\"app\": 1}", "no section in [\"app\"]");
        check(Format::Json, "{\n\"uwsgi\": {\n", "syntax, line 3");
        check(Format::Json, "{\"uwsgi\": {\"a\": {}}}", "syntax, line 1");
    }

    #[test]
    fn toml() {
        let text = "[singlemalt]\nb = 1\na = [\n 'x',\n 'y']\nf = 0.5\n[other]\nc = 1\n";
        check(Format::Toml, text, "2: b=1, 4: a=x, 5: a=y, 6: f=0.5");
        check(Format::Toml, "[app]\na = 1\n", "no section in [\"app\"]");
        check(Format::Toml, "[uwsgi]\na = b\n", "syntax, line 2");
        check(Format::Toml, "[uwsgi]\na = { b = 1 }\n", "syntax, line 2");
    }

    #[test]
    fn standard_input_says_its_format() {
        assert_eq!(Format::of_text("; a\n[uwsgi]\n"), Format::Ini);
        assert_eq!(Format::of_text("[uwsgi]\nworkers = 2\n"), Format::Ini);
        assert_eq!(Format::of_text("[a]\nx = \"y\"\nz = w\n"), Format::Ini);
        assert_eq!(Format::of_text("# a\n[a]\nx = \"y\"\n"), Format::Toml);
        assert_eq!(Format::of_text("<uwsgi>"), Format::Xml);
        assert_eq!(Format::of_text("\n{"), Format::Json);
        assert_eq!(Format::of_text("# a\nuwsgi:\n"), Format::Yaml);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = String::from_utf8_lossy(&bytes);
            for format in FORMATS {
                drop(format.read(&text, Section::Usual));
            }
        }

        #[test]
        fn no_likely_text_panics(
            pieces in prop::collection::vec(
                prop_oneof![
                    Just("[uwsgi]\n".to_owned()), Just("uwsgi:\n".to_owned()),
                    Just("<uwsgi>".to_owned()), Just("</uwsgi>".to_owned()),
                    Just("{\"uwsgi\":".to_owned()), Just("\n".to_owned()), Just("  ".to_owned()),
                    Just("]]>".to_owned()), Just("<![CDATA[".to_owned()), Just("&".to_owned()),
                    Just("*a &a ".to_owned()), Just("'''".to_owned()), Just("é".to_owned()),
                    "[a-z]{1,5}( = |: |=)[\\[{\"'<]?[a-z0-9]{0,5}[\\]}\"'>]?",
                    "[{}\\[\\]\"':,<>/=;#!?-]{1,4}",
                ],
                0..24,
            )
        ) {
            let text = pieces.concat();
            for format in FORMATS {
                if let Ok(lines) = format.read(&text, Section::Usual) {
                    for line in lines {
                        prop_assert!(line.number >= 1 && !line.key.is_empty());
                    }
                }
            }
        }
    }
}
