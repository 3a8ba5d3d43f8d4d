//! The parts of a report: its verdict may change when the machine was looked at.

use crate::config::settings::Config;

/// The report about a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    pub(super) head: String,
    /// Whether the server starts with it, as far as its text tells.
    pub(super) verdict: String,
    pub(super) rest: String,
    pub(super) name: String,
    /// What the server would start with.
    pub config: Option<Box<Config>>,
}

impl Explained {
    pub(super) fn without_config(text: String) -> Explained {
        Explained {
            head: text,
            verdict: String::new(),
            rest: String::new(),
            name: String::new(),
            config: None,
        }
    }

    /// The whole report; `failure`: why this machine's server would not start.
    #[must_use]
    pub fn text(&self, failure: Option<&str>) -> String {
        let verdict = match failure {
            None => self.verdict.clone(),
            Some(why) => format!("singlemalt does not start with {} here: {why}\n", self.name),
        };
        format!("{}{verdict}{}", self.head, self.rest)
    }
}
