//! The text of a YAML file becomes lines: a mapping of texts and lists of texts below a key. Pure.
//!
//! Read event by event, because the events know their lines. Texts stay as they are written:
//! `yes` is `yes`, and what it means is the option's business.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use super::{Failure, Line};

/// The lines below a key.
pub(super) fn read(text: &str, wanted: &str) -> Result<Vec<Line>, Failure> {
    events(text, wanted).or_else(|failure| match failure {
        Failure::Syntax { .. } => plain(text, wanted).ok_or(failure),
        Failure::NoSection(_) => Err(failure),
    })
}

/// Files that are no YAML and that uWSGI reads all the same: it is usually built with a reader of
/// its own, which takes what stands behind the first colon of a line for the value (`logformat:
/// served: %(uri)`), and a `#` anywhere for a comment.
/// `None` if that reader would stop before the end of the section.
fn plain(text: &str, wanted: &str) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let key = line.trim_start();
        if key.is_empty() {
            continue;
        }
        let is_indented = key.len() < line.len();
        match (inside, is_indented) {
            (false, true) => {}
            (false, false) => inside = key.split(':').next() == Some(wanted),
            (true, false) => break,
            (true, true) => {
                let (key, value) = key.split_once(": ").or_else(|| key.split_once(":\t"))?;
                let value = value.trim();
                // What begins like this was meant to be YAML, and what is wrong with it should be
                // said.
                if key.starts_with(['-', '[', '{'])
                    || value.starts_with(['[', '{', '"', '\'', '&', '*', '|', '>'])
                {
                    return None;
                }
                lines.push(Line {
                    number,
                    key: key.trim_end().to_owned(),
                    value: value.to_owned(),
                    of_placeholder: None,
                });
            }
        }
    }
    (!lines.is_empty()).then_some(lines)
}

fn events(text: &str, wanted: &str) -> Result<Vec<Line>, Failure> {
    let mut walk = Walk {
        wanted,
        path: Vec::new(),
        key: None,
        anchors: HashMap::new(),
        section: None,
        lines: Vec::new(),
        seen: Vec::new(),
        found: false,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Failure::Syntax {
            // At the end of the text the reader is a line behind it.
            line: number(error.marker().line().min(text.lines().count())),
            why: error.info().to_owned(),
        })?;
        let line = number(span.start.line());
        match event {
            Event::Scalar(value, _, anchor, _) => {
                if anchor != 0 {
                    walk.anchors.insert(anchor, value.to_string());
                }
                walk.scalar(value.to_string(), line);
            }
            Event::Alias(anchor) => match walk.anchors.get(&anchor).cloned() {
                Some(value) => walk.scalar(value, line),
                None => return Err(nested(line)),
            },
            Event::MappingStart(..) => walk.open(Inside::Mapping, line)?,
            Event::SequenceStart(..) => walk.open(Inside::Sequence, line)?,
            Event::MappingEnd | Event::SequenceEnd => walk.close(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
    if walk.found {
        Ok(walk.lines)
    } else {
        Err(Failure::NoSection(walk.seen))
    }
}

fn number(line: usize) -> u32 {
    u32::try_from(line.max(1)).unwrap_or(u32::MAX)
}

fn nested(line: u32) -> Failure {
    Failure::Syntax {
        line,
        why: "an option is a text or a list of texts".to_owned(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Mapping,
    Sequence,
}

struct Walk<'w> {
    wanted: &'w str,
    path: Vec<Inside>,
    /// The key of the innermost mapping that still wants its value.
    key: Option<String>,
    /// Texts by the anchor that names them.
    anchors: HashMap<usize, String>,
    /// The depth of the section's mapping while it is open.
    section: Option<usize>,
    lines: Vec<Line>,
    /// Keys of the document.
    seen: Vec<String>,
    found: bool,
}

impl Walk<'_> {
    fn scalar(&mut self, value: String, number: u32) {
        let in_sequence = self.path.last() == Some(&Inside::Sequence);
        if !in_sequence && self.path.last() != Some(&Inside::Mapping) {
            return;
        }
        match self.key.take() {
            None if in_sequence => {}
            None => {
                if self.path.len() == 1 {
                    self.seen.push(value.clone());
                }
                self.key = Some(value);
            }
            Some(key) => {
                if self.section.is_some() && !key.is_empty() {
                    let value = if value == "~" || value == "null" {
                        String::new()
                    } else {
                        value
                    };
                    let line = Line {
                        number,
                        key: key.clone(),
                        value,
                        of_placeholder: None,
                    };
                    self.lines.push(line);
                } else if self.path.len() == 1 && key == self.wanted {
                    // `uwsgi:` with nothing below it is an empty section.
                    self.found = true;
                }
                if in_sequence {
                    self.key = Some(key);
                }
            }
        }
    }

    fn open(&mut self, inside: Inside, number: u32) -> Result<(), Failure> {
        if let Some(section) = self.section {
            let is_list = inside == Inside::Sequence && self.path.len() == section;
            if !is_list || self.key.is_none() {
                return Err(nested(number));
            }
        }
        self.path.push(inside);
        if self.section.is_none() && inside == Inside::Mapping && self.path.len() == 2 {
            if self.key.as_deref() == Some(self.wanted) {
                self.section = Some(self.path.len());
                self.found = true;
            }
            self.key = None;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.path.pop();
        self.key = None;
        if self
            .section
            .is_some_and(|section| self.path.len() < section)
        {
            self.section = None;
        }
    }
}
