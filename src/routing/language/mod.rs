//! The language of rules, read into data: `--route '^/old/(.*) redirect-301:/new/$1'`.
//!
//! The grammar is that of uWSGI (core/routing.c). A name that does not exist is an error: a rule
//! may guard what is served, so none is passed over. Pure; runs when the configuration is read, and
//! is fuzzed by itself. In reading order: [`template`], [`condition`], [`action`], [`pattern`].

pub mod action;
mod action_kinds;
pub mod condition;
pub mod pattern;
mod refused;
mod suggestion;
pub mod template;

use action::Action;
use condition::Condition;
use pattern::Pattern;

/// When the rules of a chain run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Before the application (`route`).
    Request,
    /// When a response has its status (`error-route`).
    Error,
    /// When the head of a response is about to leave (`response-route`).
    Response,
    /// When the response has left (`final-route`).
    Final,
}

/// What an expression is matched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Path,
    Host,
    Uri,
    Query,
    RemoteAddress,
    UserAgent,
    RemoteUser,
    Referer,
}

impl Subject {
    /// How many there are.
    pub const COUNT: usize = Self::Referer as usize + 1;

    /// The variable that it is.
    pub const fn variable(self) -> &'static [u8] {
        match self {
            Self::Path => b"PATH_INFO",
            Self::Host => b"HTTP_HOST",
            Self::Uri => b"REQUEST_URI",
            Self::Query => b"QUERY_STRING",
            Self::RemoteAddress => b"REMOTE_ADDR",
            Self::UserAgent => b"HTTP_USER_AGENT",
            Self::RemoteUser => b"REMOTE_USER",
            Self::Referer => b"HTTP_REFERER",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum When {
    Always,
    Subject(Subject, Pattern),
    Condition {
        condition: Condition,
        is_negated: bool,
    },
    Status(u16),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub when: When,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Where `goto` leads.
    Label(String),
    Rule(Box<Rule>),
}

/// A value of one of the options of rules: `option` is its name, `route-if`. `Err` is the end of a
/// sentence that begins with the option.
pub fn parse(option: &str, text: &str) -> Result<(Chain, Step), String> {
    let (chain, form) = split(option);
    let step = match form {
        "label" => Step::Label(text.to_owned()),
        "run" => Step::Rule(Box::new(Rule {
            when: When::Always,
            action: Action::parse(text)?,
        })),
        form => {
            let Some((front, action)) = text.split_once(' ') else {
                return Err(format!(
                    "wants {} ACTION:ARGUMENT, got '{text}'",
                    front_of(form)
                ));
            };
            Step::Rule(Box::new(Rule {
                when: when(form, front)?,
                action: Action::parse(action)?,
            }))
        }
    };
    check(chain, &step)?;
    Ok((chain, step))
}

/// The chain, and what is behind `route-`.
fn split(option: &str) -> (Chain, &str) {
    let chains = [
        ("error-", Chain::Error),
        ("response-", Chain::Response),
        ("final-", Chain::Final),
    ];
    let mut found = chains.iter().filter_map(|(front, chain)| {
        let rest = option.strip_prefix(front)?;
        Some((*chain, rest))
    });
    let (chain, rest) = found.next().unwrap_or((Chain::Request, option));
    let form = rest.strip_prefix("route").unwrap_or(rest);
    (chain, form.strip_prefix('-').unwrap_or(form))
}

fn front_of(form: &str) -> &'static str {
    match form {
        "if" | "if-not" => "CONDITION:ARGUMENT",
        "status" => "STATUS",
        _ => "an expression and",
    }
}

fn when(form: &str, front: &str) -> Result<When, String> {
    let subject = match form {
        "if" | "if-not" => {
            return Ok(When::Condition {
                condition: Condition::parse(front)?,
                is_negated: form == "if-not",
            });
        }
        "status" => {
            let status = front
                .parse()
                .ok()
                .filter(|status| (100..1000).contains(status));
            return match status {
                Some(status) => Ok(When::Status(status)),
                None => Err(format!(
                    "wants a status such as 404 in front, got '{front}'"
                )),
            };
        }
        "host" => Subject::Host,
        "uri" => Subject::Uri,
        "qs" => Subject::Query,
        "remote-addr" => Subject::RemoteAddress,
        "user-agent" => Subject::UserAgent,
        "remote-user" => Subject::RemoteUser,
        "referer" => Subject::Referer,
        _ => Subject::Path,
    };
    Ok(When::Subject(subject, Pattern::new(front)?))
}

/// What comes too late for an action.
fn check(chain: Chain, step: &Step) -> Result<(), String> {
    let Step::Rule(rule) = step else {
        return Ok(());
    };
    let action = &rule.action;
    match chain {
        Chain::Final if action.needs_request() => Err(
            "has an action that answers or changes the request, and this rule runs when the \
             response has left; log, logvar, donotlog, signal, alarm and variables are of use there"
                .to_owned(),
        ),
        Chain::Error | Chain::Response if action.needs_application() => Err(
            "has an action that changes the request, and this rule runs when the application has \
             answered it"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
