//! Texts that are made from the table or from a configuration: help, `--show-config`, `--explain`,
//! the reference in docs/, completion scripts, suggestions for misspelled names, and the notices
//! about options without effect. Text out; nothing is printed here.

pub(super) mod completions;
pub(super) mod explain;
pub(super) mod help;
pub(super) mod notices;
pub(super) mod reference;
pub(super) mod show;
pub(super) mod suggestion;
