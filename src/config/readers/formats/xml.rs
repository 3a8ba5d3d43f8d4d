//! The text of an XML file becomes lines, as uWSGI reads it: the elements below `<uwsgi>`, which is
//! the root or a child of it, and is chosen by its `id` where a section is named. Pure.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Failure, Line, LineEnds, Section};

const STANZA: &str = "uwsgi";

pub(super) fn read(text: &str, section: Section<'_>) -> Result<Vec<Line>, Failure> {
    let ends = LineEnds::of(text);
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = true;
    config.allow_unmatched_ends = false;
    let mut walk = Walk {
        section,
        depth: 0,
        stanza: None,
        done: false,
        option: None,
        lines: Vec::new(),
        seen: Vec::new(),
    };
    loop {
        let offset = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
        let number = ends.line(offset);
        let event = reader.read_event().map_err(|error| Failure::Syntax {
            line: ends.line(usize::try_from(reader.error_position()).unwrap_or(text.len())),
            why: error.to_string(),
        })?;
        match event {
            Event::Start(start) => walk.open(&start, number),
            Event::Empty(start) => {
                walk.open(&start, number);
                walk.close();
            }
            Event::End(_) => walk.close(),
            Event::Text(piece) => walk.text(&piece),
            Event::CData(piece) => walk.text(&piece),
            Event::GeneralRef(reference) => {
                let piece = match reference.resolve_char_ref() {
                    Ok(Some(letter)) => letter.to_string(),
                    Ok(None) | Err(_) => match &*reference {
                        "amp" => "&".to_owned(),
                        "lt" => "<".to_owned(),
                        "gt" => ">".to_owned(),
                        "quot" => "\"".to_owned(),
                        "apos" => "'".to_owned(),
                        other => {
                            return Err(Failure::Syntax {
                                line: number,
                                why: format!("there is no entity &{other};"),
                            });
                        }
                    },
                };
                walk.text(&piece);
            }
            Event::Eof if walk.depth > 0 => {
                return Err(Failure::Syntax {
                    line: number,
                    why: "an element is not closed".to_owned(),
                });
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if walk.done {
        Ok(walk.lines)
    } else {
        Err(Failure::NoSection(walk.seen))
    }
}

struct Walk<'s> {
    section: Section<'s>,
    depth: usize,
    /// The depth of the stanza that is read.
    stanza: Option<usize>,
    /// The stanza was there; another one is not read.
    done: bool,
    /// The option that is open: its line, name and text so far.
    option: Option<Line>,
    lines: Vec<Line>,
    /// Roots that are no stanza.
    seen: Vec<String>,
}

impl Walk<'_> {
    fn open(&mut self, start: &BytesStart<'_>, number: u32) {
        self.depth += 1;
        let name = start.name().as_ref().to_owned();
        let name = String::from_utf8_lossy(name.as_ref()).into_owned();
        match self.stanza {
            None if !self.done && self.depth <= 2 && name == STANZA && self.is_wanted(start) => {
                self.stanza = Some(self.depth);
                self.done = true;
            }
            None if self.depth == 1 => self.seen.push(name),
            None => {}
            Some(stanza) if self.depth == stanza + 1 => {
                self.option = Some(Line {
                    number,
                    key: name,
                    value: String::new(),
                    of_placeholder: None,
                });
            }
            // <app><module>...: only the text counts, as in uWSGI.
            Some(_) => {}
        }
    }

    fn is_wanted(&self, start: &BytesStart<'_>) -> bool {
        let Section::Named(wanted) = self.section else {
            return true;
        };
        let id = start
            .attributes()
            .flatten()
            .find(|attribute| AsRef::<[u8]>::as_ref(&attribute.key.as_ref()) == b"id");
        match id {
            Some(id) => id.value == wanted,
            // A stanza without an id answers to every name.
            None => true,
        }
    }

    fn text(&mut self, piece: &str) {
        if let Some(line) = &mut self.option {
            line.value.push_str(piece);
        }
    }

    fn close(&mut self) {
        match self.stanza {
            Some(stanza) if self.depth == stanza => self.stanza = None,
            Some(stanza) if self.depth == stanza + 1 => {
                if let Some(mut line) = self.option.take().filter(|line| !line.key.is_empty()) {
                    line.value = match line.value.trim() {
                        "" => {
                            line.of_placeholder = Some("1");
                            "true".to_owned()
                        }
                        text => text.to_owned(),
                    };
                    self.lines.push(line);
                }
            }
            _ => {}
        }
        self.depth = self.depth.saturating_sub(1);
    }
}
