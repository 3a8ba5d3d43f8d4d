//! The rules that replace interpreters after requests, age or exceptions. Pure.
//!
//! A rule makes an interpreter *due*. A fresh interpreter takes its place before the old one
//! leaves, one at a time.

use std::time::Duration;

use crate::config::{Exceptions, Recycling};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecycleRequest {
    pub generation: u64,
    pub group: u64,
    /// Its number, from 1.
    pub worker: usize,
    pub why: String,
}

impl Recycling {
    /// Whether any rule is set.
    pub fn is_wanted(&self) -> bool {
        self.requests_max.is_some() || self.lifetime_max.is_some() || self.exceptions.is_some()
    }

    /// Requests after which this worker's interpreter is due.
    pub fn requests_of(&self, worker: usize) -> u64 {
        let before = u64::try_from(worker.saturating_sub(1)).unwrap_or(u64::MAX);
        self.requests_max.map_or(u64::MAX, |requests| {
            requests.saturating_add(self.requests_delta.saturating_mul(before))
        })
    }

    /// The age at which this worker's interpreter is due.
    pub fn lifetime_of(&self, worker: usize) -> Option<Duration> {
        let before = u32::try_from(worker.saturating_sub(1)).unwrap_or(u32::MAX);
        let lifetime = self
            .lifetime_max?
            .saturating_add(self.lifetime_delta.saturating_mul(before));
        Some(lifetime.max(self.lifetime_min))
    }
}

impl Exceptions {
    /// Returns the reason if this exception makes its interpreter due.
    pub fn why(&self, kind: &str, value: &str) -> Option<String> {
        let is_any = self.types.is_empty() && self.values.is_empty() && self.reprs.is_empty();
        let is_repr = |wanted: &String| {
            wanted
                .strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix(':'))
                .is_some_and(|rest| rest.trim_start() == value)
        };
        let is_due = is_any
            || self.types.iter().any(|wanted| wanted == kind)
            || self.values.iter().any(|wanted| wanted == value)
            || self.reprs.iter().any(is_repr);
        is_due.then(|| format!("the application raised {kind}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interpreter_has_its_own_limit() {
        let recycling = Recycling {
            requests_max: Some(100),
            requests_delta: 10,
            lifetime_min: Duration::from_secs(60),
            lifetime_max: Some(Duration::from_secs(50)),
            lifetime_delta: Duration::from_secs(20),
            exceptions: None,
        };
        assert_eq!(
            [1, 2, 3].map(|worker| recycling.requests_of(worker)),
            [100, 110, 120]
        );
        let lifetimes = [1, 2, 3].map(|worker| recycling.lifetime_of(worker));
        assert_eq!(
            lifetimes,
            [60, 70, 90].map(|seconds| Some(Duration::from_secs(seconds)))
        );
    }

    #[test]
    fn without_limits_nothing_is_due() {
        let recycling = Recycling::default();
        assert!(!recycling.is_wanted());
        assert_eq!(recycling.requests_of(3), u64::MAX);
        assert_eq!(recycling.lifetime_of(3), None);
    }

    #[test]
    fn exceptions_are_told_apart_as_uwsgi_does() {
        let lists = |types: &[&str], values: &[&str], reprs: &[&str]| Exceptions {
            types: types.iter().map(|&text| text.to_owned()).collect(),
            values: values.iter().map(|&text| text.to_owned()).collect(),
            reprs: reprs.iter().map(|&text| text.to_owned()).collect(),
        };
        let raised = |exceptions: Exceptions| exceptions.why("KeyError", "'a'").is_some();
        assert!(raised(lists(&[], &[], &[])));
        assert!(raised(lists(&["KeyError"], &[], &[])));
        assert!(!raised(lists(&["Key"], &[], &[])));
        assert!(raised(lists(&["OSError"], &["'a'"], &[])));
        assert!(raised(lists(&[], &[], &["KeyError: 'a'"])));
        assert!(!raised(lists(&[], &[], &["KeyError: 'b'"])));
    }
}
