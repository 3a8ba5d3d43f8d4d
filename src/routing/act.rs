//! What the actions do.

use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use super::base64;
use super::chain::{CompiledRule, numbered};
use super::expand::{http_date, number};
use super::hash::hash;
use super::language::action::{Action, BasicAuth, Calculation, Expires, FileReply, HashOf};
use super::language::pattern::Groups;
use super::language::template::Template;
use super::password::{Checked, user_of};
use super::reply::{Answer, Content};
use super::run::{Ending, Flow, Run};
use crate::wsgi::environ::decoded;

impl Run<'_, '_> {
    pub(super) fn act(&mut self, rule: &CompiledRule, groups: &Groups) -> Flow {
        match &rule.action {
            Action::Last => Flow::End(Ending::GoOn),
            Action::Break => match self.effects.begun.take() {
                Some(begun) => answer(begun),
                None => Flow::End(Ending::Cut),
            },
            Action::BreakWith(status) => answer(
                Answer::new(status, b"")
                    .with("Connection", "close")
                    .with("Content-Type", "text/plain"),
            ),
            Action::Return(status) => answer(Answer::of_status(*status)),
            Action::Goto(label) => self.go_to(rule, label, groups),
            Action::Redirect { to, is_permanent } => {
                let location = location(&self.text(to, groups));
                answer(
                    match is_permanent {
                        true => Answer::new(b"301 Moved Permanently", b"Moved Permanently"),
                        false => Answer::new(b"302 Found", b"Moved"),
                    }
                    .with("Location", location),
                )
            }
            Action::Rewrite { to, is_last } => {
                self.rewrite(&self.text(to, groups));
                match is_last {
                    true => Flow::End(Ending::GoOn),
                    false => Flow::Next,
                }
            }
            Action::BasicAuth(auth) => self.authenticate(rule, auth),
            Action::Static { file, is_optional } => {
                self.open(rule, file, *is_optional, groups, Content::Static)
            }
            Action::File(reply) => self.reply_with_file(rule, reply, groups),
            Action::Send { text, ends_line } => {
                let mut text = self.text(text, groups);
                if *ends_line {
                    text.extend_from_slice(b"\r\n");
                }
                let begun = (self.effects.begun).get_or_insert_with(|| Answer::new(b"200 OK", b""));
                if let Content::Bytes(body) = &mut begun.content {
                    body.extend_from_slice(&text);
                }
                Flow::Next
            }
            Action::ClearHeaders(status) => {
                let status = self.text(status, groups);
                self.effects.begun = Some(Answer::new(&status, b""));
                Flow::Next
            }
            action => {
                self.change(rule, action, groups);
                Flow::Next
            }
        }
    }

    /// Actions behind which the next rule follows.
    fn change(&mut self, rule: &CompiledRule, action: &Action, groups: &Groups) {
        match action {
            Action::Log(text) => {
                let text = self.text(text, groups);
                // A client must not be able to write lines into the log.
                tracing::info!("{}", text.escape_ascii());
            }
            Action::DoNotLog => self.effects.notes.is_unlogged = true,
            Action::LogVariable(name, value) => {
                let value = self.text(value, groups);
                self.effects.notes.set(name.as_bytes(), &value);
            }
            Action::AddHeader(header) => {
                let header = self.text(header, groups);
                self.add_header(rule, &header);
            }
            Action::RemoveHeader(name) => {
                let name = self.text(name, groups);
                self.effects.removed.push(name);
            }
            Action::Expires(expires) => self.expires(rule, expires, groups),
            Action::Set(name, value) => {
                let value = self.text(value, groups);
                self.set(name, &value);
            }
            Action::SetUser(value) => {
                let value = self.text(value, groups);
                self.set(b"REMOTE_USER", user_of(&value));
            }
            Action::FixPath => {
                let script = self.request.get(b"SCRIPT_NAME").into_owned();
                let path = self.request.get(b"PATH_INFO").into_owned();
                if let Some(rest) = path.get(script.len()..).filter(|_| !script.is_empty()) {
                    self.set(b"PATH_INFO", rest);
                }
            }
            Action::Calculate(calculation, name, value) => {
                let value = value
                    .as_ref()
                    .map_or(1, |value| number(&self.text(value, groups)));
                let before = number(&self.request.get(name));
                let after = match calculation {
                    Calculation::Add => before.saturating_add(value),
                    Calculation::Subtract => before.saturating_sub(value),
                    Calculation::Multiply => before.saturating_mul(value),
                    Calculation::Divide => before.checked_div(value).unwrap_or(0),
                };
                self.set(name, after.to_string().as_bytes());
            }
            Action::Hash(of) => self.hash(of, groups),
            Action::Harakiri(seconds) => {
                self.effects.harakiri = Some(Duration::from_secs(*seconds));
            }
            Action::Signal(number) => self.rules.services.signal(*number),
            Action::ProcessName(name) => {
                let name = self.text(name, groups);
                self.rules
                    .services
                    .set_process_name(&String::from_utf8_lossy(&name));
            }
            Action::Alarm(name, message) => {
                let name = self.text(name, groups);
                let message = self.text(message, groups);
                let (name, message) = (
                    String::from_utf8_lossy(&name),
                    String::from_utf8_lossy(&message),
                );
                if !self.rules.services.alarm(&name, &message) {
                    tell(rule, &format!("there is no alarm {name}"));
                }
            }
            Action::Nothing => {}
            _ => unreachable!("act() answers with the others"),
        }
    }

    fn go_to(&self, rule: &CompiledRule, label: &Template, groups: &Groups) -> Flow {
        let label = self.text(label, groups);
        let found = self.chain.labels.get(&*label).copied();
        let place = found.or_else(|| numbered(&label));
        let here = |step: &super::chain::CompiledStep| matches!(step, super::chain::CompiledStep::Rule(other) if std::ptr::eq(&**other, rule));
        match place {
            Some(place) if self.chain.steps.iter().take(place).any(here) => Flow::To(place),
            _ => {
                let label = label.escape_ascii();
                tell(
                    rule,
                    &format!("goto leads to no label behind it: '{label}'; answering 500"),
                );
                answer(Answer::of_status(500))
            }
        }
    }

    /// `PATH?QUERY`, encoded; a query that is there already follows behind.
    fn rewrite(&mut self, to: &[u8]) {
        let mut halves = to.splitn(2, |byte| *byte == b'?');
        let path = decoded(halves.next().unwrap_or_default());
        let before = self.request.get(b"QUERY_STRING").into_owned();
        let query = match halves.next() {
            Some(query) if before.is_empty() => query.to_vec(),
            Some(query) => [query, b"&", &before].concat(),
            None => before,
        };
        self.set(b"PATH_INFO", &path);
        self.set(b"QUERY_STRING", &query);
    }

    fn authenticate(&mut self, rule: &CompiledRule, auth: &BasicAuth) -> Flow {
        // As in uWSGI: a front end, or a rule before, has named the user.
        if !self.request.get(b"REMOTE_USER").is_empty() {
            return Flow::Next;
        }
        let given = self.request.get(b"HTTP_AUTHORIZATION");
        let pair = match given.split_at_checked(6) {
            Some((scheme, text)) if scheme.eq_ignore_ascii_case(b"Basic ") => {
                base64::decode(text.trim_ascii())
            }
            _ => None,
        };
        let (Some(pair), Some(credentials)) = (pair, &rule.credentials) else {
            return unauthorized(auth);
        };
        match credentials.check(&pair, self.may_wait) {
            Checked::Right => {
                let user = user_of(&pair).to_vec();
                self.set(b"REMOTE_USER", &user);
                Flow::Next
            }
            Checked::Wrong if auth.is_optional => Flow::Next,
            Checked::Wrong => unauthorized(auth),
            Checked::TakesLong => Flow::End(Ending::Later),
        }
    }

    fn open(
        &self,
        rule: &CompiledRule,
        file: &Template,
        is_optional: bool,
        groups: &Groups,
        content: fn(crate::files::single::SingleFile) -> Content,
    ) -> Flow {
        let Some(place) = &rule.file else {
            return Flow::Next;
        };
        match place.open(&self.text(file, groups), &self.rules.safe) {
            Ok(opened) => {
                let mut found = Answer::new(b"200 OK", b"");
                found.content = content(opened);
                answer(found)
            }
            Err(_) if is_optional => Flow::Next,
            Err(status) => answer(Answer::of_status(status)),
        }
    }

    fn reply_with_file(&self, rule: &CompiledRule, reply: &FileReply, groups: &Groups) -> Flow {
        let flow = self.open(rule, &reply.file, reply.is_optional, groups, Content::File);
        let Flow::End(Ending::Answer(mut found)) = flow else {
            return flow;
        };
        if let Content::File(file) = &found.content {
            let media_type = match reply.finds_type {
                true => file.media_type(&self.rules.media_types).as_bytes().to_vec(),
                false => reply.content_type.clone(),
            };
            found.status = self.text(&reply.status, groups);
            found.fields.push(("Content-Type", media_type));
        }
        Flow::End(Ending::Answer(found))
    }

    fn add_header(&mut self, rule: &CompiledRule, header: &[u8]) {
        let colon = header.iter().position(|byte| *byte == b':');
        let Some(colon) = colon.filter(|colon| *colon > 0) else {
            return tell(rule, "a header without a name is left out");
        };
        let (name, value) = header.split_at(colon);
        let value = value[1..].trim_ascii();
        if value.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
            return tell(rule, "a header with a control character is left out");
        }
        self.effects.added.push((name.to_vec(), value.to_vec()));
    }

    fn expires(&mut self, rule: &CompiledRule, expires: &Expires, groups: &Groups) {
        let seconds = |text: &Option<Template>| match text {
            Some(text) => number(&self.text(text, groups)),
            None => 0,
        };
        let base = match &expires.file {
            Some(file) => {
                let name = self.text(file, groups);
                let path = self.rules.folder.join(&*String::from_utf8_lossy(&name));
                let modified = path.metadata().and_then(|metadata| metadata.modified());
                let since = modified
                    .ok()
                    .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                let Some(since) = since else {
                    return tell(rule, "expires: the file is not there; there is no Expires");
                };
                since.as_secs() as i64
            }
            None => seconds(&expires.unix),
        };
        let at = base.saturating_add(seconds(&expires.value));
        let date = http_date(u64::try_from(at).unwrap_or(0));
        self.effects
            .added
            .push((b"Expires".to_vec(), date.into_bytes()));
    }

    fn hash(&mut self, of: &HashOf, groups: &Groups) {
        let key = self.text(&of.key, groups);
        let place = hash(of.algorithm, &key) as usize % of.items.len().max(1);
        if let Some(item) = of.items.get(place) {
            self.set(&of.variable, item);
        }
    }
}

fn answer(answer: Answer) -> Flow {
    Flow::End(Ending::Answer(Box::new(answer)))
}

fn unauthorized(auth: &BasicAuth) -> Flow {
    let challenge = [b"Basic realm=\"", &*auth.realm, b"\""].concat();
    answer(
        Answer::new(b"401 Authorization Required", b"Unauthorized")
            .with("WWW-Authenticate", challenge),
    )
}

/// Once for each rule: a client could fill the log.
fn tell(rule: &CompiledRule, why: &str) {
    if !rule.has_told.swap(true, Ordering::Relaxed) {
        tracing::warn!("{}: {why}; further ones are not reported", rule.origin);
    }
}

/// An address as a header: a decoded path in it must not end the header, and is encoded again.
fn location(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`') => {
                out.push(*byte);
            }
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    out
}
