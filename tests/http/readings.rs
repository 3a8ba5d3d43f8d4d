//! Reads the bytes of one connection through the request machine as the poll does: pieces arrive, are put behind what
//! was not consumed, and the machine is asked until it wants more. Used by `tests/http.rs` and the fuzz target, which
//! both bring the room in as `http`.

use super::http::{Framing, Limits, Refusal, Repeat, RequestHead, RequestReader, Step};

/// What a connection was. Data is joined: where it was cut is nobody's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head, as people read it.
    Head(String),
    Data(Vec<u8>),
    End,
    Refused(Refusal),
    /// The bytes are at an end and no request is under way.
    Idle,
    /// The bytes are at an end within a request.
    Waits,
}

/// All events of a connection whose bytes arrive in these pieces.
pub fn events<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> Vec<Event> {
    let mut reader = RequestReader::default();
    let mut head = RequestHead::default();
    let mut buffer = Vec::new();
    let mut events = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let (consumed, step) = match reader.read(&buffer[at..], limits, &mut head) {
                Ok(told) => told,
                Err(refusal) => {
                    let again =
                        reader.read(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", limits, &mut head);
                    assert_eq!(again, Err(refusal), "a refusal is for ever");
                    events.push(Event::Refused(refusal));
                    return events;
                }
            };
            assert!(
                consumed <= buffer.len() - at,
                "consumes no more than there is"
            );
            let event = match step {
                Step::NeedMore => {
                    at += consumed;
                    break;
                }
                Step::Head => Some(Event::Head(show(&head))),
                Step::Data(data) => {
                    assert!(
                        !data.is_empty() && data.len() <= consumed,
                        "data is some of what was consumed"
                    );
                    match events.last_mut() {
                        Some(Event::Data(before)) => {
                            before.extend_from_slice(data);
                            None
                        }
                        _ => Some(Event::Data(data.to_vec())),
                    }
                }
                Step::End => Some(Event::End),
            };
            events.extend(event);
            at += consumed;
        }
        buffer.drain(..at);
        assert!(
            buffer.len() <= limits.head_bytes_max.max(limits.trailer_bytes_max),
            "what waits is bounded"
        );
    }
    events.push(if reader.is_idle() {
        Event::Idle
    } else {
        Event::Waits
    });
    events
}

/// All events of bytes that arrive at once.
pub fn whole(wire: &[u8], limits: &Limits) -> Vec<Event> {
    events([wire], limits)
}

/// A head as people read it.
pub fn show(head: &RequestHead) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut lines = vec![format!(
        "{} {} {}",
        text(head.method()),
        text(head.target()),
        head.version().as_str()
    )];
    let mut facts = vec![match head.framing() {
        Framing::Empty => "no body".to_owned(),
        Framing::Length(length) => format!("body of {length}"),
        Framing::Chunked => "body in chunks".to_owned(),
    }];
    facts.push(if head.keep_alive() { "stays" } else { "closes" }.to_owned());
    facts.extend(
        head.expects_continue()
            .then(|| "expects continue".to_owned()),
    );
    facts.extend(head.is_absolute_form().then(|| "absolute form".to_owned()));
    lines.push(format!("  ({})", facts.join(", ")));
    lines.push(format!("  path {}", text(head.path())));
    lines.extend(head.query().map(|query| format!("  query {}", text(query))));
    for field in head.fields() {
        let repeat = match field.repeat {
            Repeat::Once => "",
            Repeat::First => "  (first of several)",
            Repeat::Later => "  (one more)",
        };
        lines.push(format!(
            "  {}: {}{repeat}",
            text(field.name),
            text(field.value)
        ));
    }
    lines.join("\n")
}
