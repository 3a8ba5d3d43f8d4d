//! One chain of rules in its compiled form. Made once; any thread.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::language::action::{Action, FileReply};
use super::language::template::{Part, Template};
use super::language::{Rule, Step, Subject, When};
use super::password::Credentials;
use super::placed::{Placed, RulesError};
use crate::files::single::Single;

/// With fewer expressions for one subject each is matched by itself.
const SET_MIN: usize = 4;

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct CompiledChain {
    pub(super) steps: Vec<CompiledStep>,
    pub(super) labels: HashMap<Vec<u8>, usize>,
    /// For each subject the expressions that are matched with it at once.
    pub(super) sets: [Option<RegexSet>; Subject::COUNT],
}

#[derive(Debug)]
pub(super) enum CompiledStep {
    Label,
    Rule(Box<CompiledRule>),
}

#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) when: When,
    pub(super) action: Action,
    /// Where it is written.
    pub(super) origin: String,
    /// The action needs the groups of the expression.
    pub(super) wants_groups: bool,
    /// Its place in the set of its subject.
    pub(super) member: Option<usize>,
    pub(super) file: Option<Single>,
    pub(super) credentials: Option<Credentials>,
    /// A failure of this rule was logged.
    pub(super) has_told: AtomicBool,
}

impl CompiledChain {
    /// Relative files are meant from `folder`.
    pub(super) fn new(steps: &[Placed], folder: &Path) -> Result<Self, RulesError> {
        let mut chain = Self::default();
        let mut texts: [Vec<String>; Subject::COUNT] = Default::default();
        check_jumps(steps)?;
        for (index, placed) in steps.iter().enumerate() {
            let Step::Rule(rule) = &placed.step else {
                if let Step::Label(label) = &placed.step {
                    chain
                        .labels
                        .entry(label.as_bytes().to_vec())
                        .or_insert(index);
                }
                chain.steps.push(CompiledStep::Label);
                continue;
            };
            let Rule { when, action } = &**rule;
            let mut rule = CompiledRule {
                when: when.clone(),
                action: action.clone(),
                origin: placed.origin.clone(),
                wants_groups: action.has_groups(),
                member: None,
                file: file_of(action, folder),
                credentials: None,
                has_told: AtomicBool::new(false),
            };
            if let Action::BasicAuth(auth) = action {
                let credentials = Credentials::new(&auth.users, folder);
                rule.credentials = Some(credentials.map_err(|why| placed.error(why))?);
            }
            if let When::Subject(subject, pattern) = when
                && pattern.is_linear()
            {
                let texts = &mut texts[*subject as usize];
                rule.member = Some(texts.len());
                texts.push(pattern.text().to_owned());
            }
            chain.steps.push(CompiledStep::Rule(Box::new(rule)));
        }
        for (set, texts) in chain.sets.iter_mut().zip(&texts) {
            if texts.len() >= SET_MIN {
                // Too large for one: each by itself.
                *set = RegexSetBuilder::new(texts).unicode(false).build().ok();
            }
        }
        Ok(chain)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Every `goto` to a known label leads forward, to a label that exists.
pub(super) fn check_jumps(steps: &[Placed]) -> Result<(), RulesError> {
    let place_of = |wanted: &[u8]| {
        steps.iter().position(
            |placed| matches!(&placed.step, Step::Label(label) if label.as_bytes() == wanted),
        )
    };
    for (index, placed) in steps.iter().enumerate() {
        let Step::Rule(rule) = &placed.step else {
            continue;
        };
        let Action::Goto(label) = &rule.action else {
            continue;
        };
        let Some(label) = label.fixed() else {
            continue;
        };
        let text = String::from_utf8_lossy(label);
        match place_of(label).or_else(|| numbered(label)) {
            Some(place) if place > index => {}
            Some(_) => {
                return Err(placed.error(format!(
                    "jumps to {text}, which stands in front of it; goto leads forward"
                )));
            }
            None => {
                return Err(placed.error(format!(
                    "jumps to the label '{text}', which this chain of rules does not have"
                )));
            }
        }
    }
    Ok(())
}

/// uWSGI takes a number for the place of a rule, from 0.
pub(super) fn numbered(label: &[u8]) -> Option<usize> {
    std::str::from_utf8(label).ok()?.parse().ok()
}

/// Where the file of an action lies.
fn file_of(action: &Action, folder: &Path) -> Option<Single> {
    let template = match action {
        Action::Static { file, .. } => file,
        Action::File(reply) => {
            let FileReply { file, .. } = &**reply;
            file
        }
        _ => return None,
    };
    Some(single(template, folder))
}

fn single(template: &Template, folder: &Path) -> Single {
    if let Some(fixed) = template.fixed() {
        return Single::fixed(&folder.join(&*String::from_utf8_lossy(fixed)));
    }
    let front: &[u8] = match template.parts() {
        [Part::Text(text), ..] => text,
        _ => b"",
    };
    match front.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let root = String::from_utf8_lossy(&front[..=slash]);
            Single::below(&folder.join(&*root), slash + 1)
        }
        // The value of a variable is a path by itself.
        None if front.is_empty() => Single::below(Path::new("/"), 0),
        None => Single::below(folder, 0),
    }
}
