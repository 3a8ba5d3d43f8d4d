//! One chain for one request: which rules hold, and where to go on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use regex::bytes::SetMatches;

use super::chain::{CompiledChain, CompiledRule, CompiledStep};
use super::expand::{Reply, Values};
use super::holds::holds;
use super::language::pattern::{Groups, TooManySteps};
use super::language::template::Template;
use super::language::{Subject, When};
use super::reply::Answer;
use super::request::Request;
use super::table::Rules;
use crate::wsgi::LogNotes;

/// What the rules of a chain have decided.
#[derive(Debug)]
pub(super) enum Ending {
    GoOn,
    Answer(Box<Answer>),
    /// The connection closes without an answer.
    Cut,
    /// A thread that may wait runs the chain from its beginning.
    Later,
}

/// Where to go on after a rule.
pub(super) enum Flow {
    Next,
    To(usize),
    End(Ending),
}

/// What actions leave behind.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Headers of the response.
    pub(super) added: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) removed: Vec<Vec<u8>>,
    pub(super) notes: LogNotes,
    pub(super) harakiri: Option<Duration>,
    /// A reply that was begun by `clearheaders` or `send`.
    pub(super) begun: Option<Answer>,
}

pub(super) struct Run<'a, 'r> {
    pub(super) rules: &'a Rules,
    pub(super) chain: &'a CompiledChain,
    pub(super) request: &'a mut Request<'r>,
    pub(super) reply: Reply,
    pub(super) effects: &'a mut Effects,
    /// Slow checks are allowed.
    pub(super) may_wait: bool,
    matched: [Option<SetMatches>; Subject::COUNT],
}

impl<'a, 'r> Run<'a, 'r> {
    pub(super) fn new(
        rules: &'a Rules,
        chain: &'a CompiledChain,
        request: &'a mut Request<'r>,
        effects: &'a mut Effects,
    ) -> Self {
        Self {
            rules,
            chain,
            request,
            reply: Reply::default(),
            effects,
            may_wait: false,
            matched: Default::default(),
        }
    }

    /// Runs the chain from its beginning.
    pub(super) fn run(&mut self) -> Ending {
        let chain = self.chain;
        let mut at = 0;
        while let Some(step) = chain.steps.get(at) {
            at += 1;
            let CompiledStep::Rule(rule) = step else {
                continue;
            };
            let groups = match self.holds(rule) {
                Ok(Some(groups)) => groups,
                Ok(None) => continue,
                Err(TooManySteps) => return self.gave_up(rule),
            };
            match self.act(rule, &groups) {
                Flow::Next => {}
                Flow::To(place) => at = place,
                Flow::End(ending) => return ending,
            }
        }
        Ending::GoOn
    }

    /// A rule that may guard something must not be passed over.
    fn gave_up(&self, rule: &CompiledRule) -> Ending {
        if !rule.has_told.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "{}: the expression takes too many steps with some requests; they are answered \
                 500. Write it without look-around and back references",
                rule.origin
            );
        }
        Ending::Answer(Box::new(Answer::of_status(500)))
    }

    fn holds(&mut self, rule: &CompiledRule) -> Result<Option<Groups>, TooManySteps> {
        let always = || Ok(Some(Groups::default()));
        match &rule.when {
            When::Always => always(),
            When::Status(status) if *status == self.reply.status => always(),
            When::Status(_) => Ok(None),
            When::Subject(subject, pattern) => {
                let chain = self.chain;
                if let (Some(set), Some(member)) = (&chain.sets[*subject as usize], rule.member) {
                    let matched = &mut self.matched[*subject as usize];
                    let matched = match matched {
                        Some(matched) => matched,
                        none => none.insert(set.matches(&self.request.get(subject.variable()))),
                    };
                    match (matched.matched(member), rule.wants_groups) {
                        (false, _) => return Ok(None),
                        (true, false) => return always(),
                        (true, true) => {}
                    }
                }
                let value = self.request.get(subject.variable());
                if rule.wants_groups {
                    return pattern.groups(&value);
                }
                Ok(pattern.is_match(&value)?.then(Groups::default))
            }
            When::Condition {
                condition,
                is_negated,
            } => {
                let values = self.values(None);
                let wants_groups = rule.wants_groups && !is_negated;
                let found = holds(condition, &values, &self.rules.folder, wants_groups)?;
                if *is_negated {
                    return Ok(found.is_none().then(Groups::default));
                }
                Ok(found)
            }
        }
    }

    pub(super) fn values<'v>(&'v self, groups: Option<&'v Groups>) -> Values<'v, 'r> {
        Values {
            request: self.request,
            groups,
            reply: self.reply,
            media_types: &self.rules.media_types,
        }
    }

    pub(super) fn text(&self, template: &Template, groups: &Groups) -> Vec<u8> {
        self.values(Some(groups)).text(template).into_owned()
    }

    /// Sets a variable, and forgets what was matched with its last value.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        for subject in SUBJECTS {
            if subject.variable() == name {
                self.matched[subject as usize] = None;
            }
        }
        self.request.set(name, value);
    }
}

const SUBJECTS: [Subject; Subject::COUNT] = [
    Subject::Path,
    Subject::Host,
    Subject::Uri,
    Subject::Query,
    Subject::RemoteAddress,
    Subject::UserAgent,
    Subject::RemoteUser,
    Subject::Referer,
];
