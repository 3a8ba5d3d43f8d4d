//! The way of lines with loggers: what is left out, which loggers get a line, and how it is encoded.
//! The rules are uWSGI's (core/logging.c, `uwsgi_master_log`). One thread at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use regex_lite::Regex;

use super::encoder::Encoders;
use super::target::Target;
use crate::config::{LogChain, LogConfig, Logger};

/// How often lost lines are told.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// A line without an end is one after so many bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Everything between a line and its loggers.
pub struct Chains {
    messages: Chain,
    /// The way of request lines, if they have one of their own.
    requests: Option<Chain>,
    drain: Vec<Regex>,
    filter: Vec<Regex>,
    loggers: Vec<Named>,
    /// Text of the application that has no line end yet.
    texts: HashMap<ThreadId, Vec<u8>>,
    scratch: Vec<u8>,
    told_at: Option<Instant>,
}

struct Named {
    id: Option<String>,
    /// As it was written.
    text: String,
    target: Target,
    lost: u64,
}

struct Chain {
    encoders: Encoders,
    /// Places of the loggers that get each line, if no route takes it.
    always: Vec<usize>,
    routes: Vec<Route>,
}

struct Route {
    pattern: Regex,
    /// Places of the loggers.
    loggers: Vec<usize>,
}

impl Chains {
    /// The chains of the configuration; `open` opens a logger.
    ///
    /// # Errors
    /// That of `open`.
    pub fn new<E>(
        config: &LogConfig,
        mut open: impl FnMut(&Logger) -> Result<Target, E>,
    ) -> Result<Self, E> {
        let own = config.request_lines.as_ref();
        let all = config.messages.loggers.iter();
        let all = all.chain(own.into_iter().flat_map(|chain| &chain.loggers));
        let loggers = all
            .map(|logger| {
                Ok(Named {
                    id: logger.id.clone(),
                    text: logger.text.clone(),
                    target: open(logger)?,
                    lost: 0,
                })
            })
            .collect::<Result<Vec<Named>, E>>()?;
        let first = config.messages.loggers.len();
        Ok(Self {
            messages: Chain::new(&config.messages, 0, &loggers),
            requests: own.map(|chain| Chain::new(chain, first, &loggers)),
            drain: patterns(&config.drain),
            filter: patterns(&config.filter),
            loggers,
            texts: HashMap::new(),
            scratch: Vec::new(),
            told_at: None,
        })
    }

    /// Sends a line on its way; what goes where the log always goes is appended to `main`.
    pub(super) fn add(&mut self, line: &[u8], is_request: bool, main: &mut Vec<u8>) {
        let chain = match &mut self.requests {
            Some(chain) if is_request => chain,
            _ => {
                if is_left_out(line, &self.drain, &self.filter) {
                    return;
                }
                &mut self.messages
            }
        };
        let mut is_taken = false;
        if !chain.routes.is_empty() {
            let text = text_of(line);
            for route in &chain.routes {
                if !route.pattern.is_match(&text) {
                    continue;
                }
                for place in &route.loggers {
                    is_taken = true;
                    let encoders = &mut chain.encoders;
                    give(
                        &mut self.loggers,
                        *place,
                        encoders,
                        line,
                        &mut self.scratch,
                        main,
                    );
                }
            }
        }
        if is_taken {
            return;
        }
        for place in &chain.always {
            let encoders = &mut chain.encoders;
            give(
                &mut self.loggers,
                *place,
                encoders,
                line,
                &mut self.scratch,
                main,
            );
        }
        if chain.always.is_empty() {
            self.scratch.clear();
            self.scratch.extend_from_slice(line);
            chain.encoders.encode(None, &mut self.scratch);
            main.extend_from_slice(&self.scratch);
        }
    }

    /// Text of a thread's application: `send` gets each whole line.
    pub(super) fn add_text(
        &mut self,
        thread: ThreadId,
        text: &[u8],
        mut send: impl FnMut(&mut Self, &[u8]),
    ) {
        let mut begun = self.texts.remove(&thread).unwrap_or_default();
        begun.extend_from_slice(text);
        let mut rest = begun.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            send(self, line);
            rest = after;
        }
        if rest.len() > LINE_BYTES_MAX {
            send(self, rest);
        } else if !rest.is_empty() {
            self.texts.insert(thread, rest.to_vec());
        }
    }

    /// `send` gets lines that have no end yet.
    pub(super) fn end_texts(&mut self, mut send: impl FnMut(&mut Self, &[u8])) {
        for (_, line) in std::mem::take(&mut self.texts) {
            send(self, &line);
        }
    }

    /// The batch ends: files and slow loggers get their lines. Returns what to tell about lost ones.
    pub(super) fn flush(&mut self) -> Option<String> {
        let mut has_lost = false;
        for logger in &mut self.loggers {
            logger.lost += logger.target.flush();
            has_lost |= logger.lost > 0;
        }
        let is_silent = self.told_at.is_some_and(|at| at.elapsed() < TELL_INTERVAL);
        if !has_lost || is_silent {
            return None;
        }
        self.told_at = Some(Instant::now());
        let lossy = self.loggers.iter_mut().filter(|logger| logger.lost > 0);
        let told = lossy.map(|logger| {
            let lost = std::mem::take(&mut logger.lost);
            format!(
                "{lost} log lines for {} were lost: it does not take them",
                logger.text
            )
        });
        Some(told.collect::<Vec<_>>().join("; "))
    }

    pub(super) fn rotate(&mut self) {
        self.loggers
            .iter_mut()
            .for_each(|logger| logger.target.rotate());
    }

    pub(super) fn reopen(&mut self) {
        self.loggers
            .iter_mut()
            .for_each(|logger| logger.target.reopen());
    }

    /// Counters of the bytes that wait for slow loggers.
    pub(super) fn pending(&self) -> Vec<Arc<AtomicUsize>> {
        let loggers = self.loggers.iter();
        loggers
            .filter_map(|logger| logger.target.pending())
            .collect()
    }
}

impl Chain {
    fn new(chain: &LogChain, first: usize, loggers: &[Named]) -> Self {
        let own = loggers
            .iter()
            .enumerate()
            .skip(first)
            .take(chain.loggers.len());
        let always = own.filter(|(_, logger)| logger.id.is_none());
        let named = |name: &str| {
            let all = loggers.iter().enumerate();
            let of_that_name = all.filter(|(_, logger)| logger.id.as_deref() == Some(name));
            of_that_name.map(|(place, _)| place).collect()
        };
        let routes = chain.routes.iter().filter_map(|route| {
            Some(Route {
                // It was read at start.
                pattern: Regex::new(&route.pattern).ok()?,
                loggers: named(&route.logger),
            })
        });
        Self {
            encoders: Encoders::new(&chain.encoders),
            always: always.map(|(place, _)| place).collect(),
            routes: routes.collect(),
        }
    }
}

/// Encodes a line for a logger and hands it over.
fn give(
    loggers: &mut [Named],
    place: usize,
    encoders: &mut Encoders,
    line: &[u8],
    scratch: &mut Vec<u8>,
    main: &mut Vec<u8>,
) {
    let Some(logger) = loggers.get_mut(place) else {
        return;
    };
    scratch.clear();
    scratch.extend_from_slice(line);
    encoders.encode(logger.id.as_deref(), scratch);
    match &mut logger.target {
        Target::Main => main.extend_from_slice(scratch),
        target => logger.lost += target.add(scratch),
    }
}

fn is_left_out(line: &[u8], drain: &[Regex], filter: &[Regex]) -> bool {
    if drain.is_empty() && filter.is_empty() {
        return false;
    }
    let text = text_of(line);
    let is_among = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(&text));
    is_among(drain) || (!filter.is_empty() && !is_among(filter))
}

/// Patterns that were read at start.
fn patterns(texts: &[String]) -> Vec<Regex> {
    texts
        .iter()
        .filter_map(|text| Regex::new(text).ok())
        .collect()
}

/// The line as regular expressions see it: without its end, which `$` would not match before.
fn text_of(line: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line))
}
