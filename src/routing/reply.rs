//! Answers that rules give in place of the application.

use crate::files::asked::Asked;
use crate::files::media_type::MediaTypes;
use crate::files::single::SingleFile;
use crate::protocol::http::response::reason;
use crate::wsgi::{Response, ResponseError, Sink};

#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    File(SingleFile),
    /// With validators and ranges.
    Static(SingleFile),
}

#[derive(Debug)]
pub(super) struct Answer {
    /// `403`, or `403 Forbidden`.
    pub(super) status: Vec<u8>,
    pub(super) fields: Vec<(&'static str, Vec<u8>)>,
    pub(super) content: Content,
}

impl Answer {
    pub(super) fn new(status: &[u8], body: &[u8]) -> Self {
        Self {
            status: status.to_vec(),
            fields: Vec::new(),
            content: Content::Bytes(body.to_vec()),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Nothing was sent.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Bytes(body) if body.is_empty())
    }

    /// A status with its reason as the body.
    pub(super) fn of_status(status: u16) -> Self {
        let reason = reason(status);
        Self::new(format!("{status} {reason}").as_bytes(), reason.as_bytes())
            .with("Content-Type", "text/plain")
    }

    /// Status and headers.
    pub(super) fn begin(&self, response: &mut Response) -> Result<(), ResponseError> {
        match &*self.status {
            [_, _, _] => {
                let text = String::from_utf8_lossy(&self.status);
                let reason = reason(text.parse().unwrap_or(0));
                response.begin(format!("{text} {reason}").as_bytes())?;
            }
            line => response.begin(line)?,
        }
        for (name, value) in &self.fields {
            response.header(name.as_bytes(), value)?;
        }
        Ok(())
    }

    /// The body, and the end.
    pub(super) fn finish(
        self,
        types: &MediaTypes,
        asked: &dyn Asked,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) {
        match self.content {
            Content::Bytes(bytes) => {
                // The connection keeps the rest, and notices a client that has gone.
                let _sent = response.finish_with(&bytes, sink);
            }
            Content::File(file) => file.send(response, sink),
            Content::Static(file) => file.send_as_static(types, asked, response, sink),
        }
    }
}
