//! An extension module that refuses an interpreter: how it is told, and whether its package goes on
//! without it. Plain data; the import hooks are in extensions.py. Runs on workers.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::extensions::distribution::Distribution;

/// An extension module that refused to be loaded into a subinterpreter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RefusedExtension {
    /// Its name: `google._upb._message`.
    pub module: String,
    /// Its file; empty for one that is part of Python.
    pub file: String,
    /// The package that it is a part of, with its version.
    pub distribution: Option<String>,
    /// The module that imported it; empty if it is unknown.
    pub importer: String,
    /// The file and line of that import.
    pub line: String,
    /// The file and line of the app that began it, if another one.
    pub begun: String,
    /// The request that was served, `GET /path`; empty if none was.
    pub request: String,
    /// The exception's text.
    pub reason: String,
    /// How the import ended.
    pub consequence: Consequence,
}

/// How the import of a refused extension ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consequence {
    /// The code that wanted it has not got it.
    #[default]
    Missing,
    /// Its own package caught the error, and goes on in pure Python.
    OwnFallback,
    /// The .py of the same name beside it was loaded in its place.
    Twin,
}

/// The facts that extensions.py passes on, in order.
const FACTS: usize = 10;

impl RefusedExtension {
    /// From extensions.py: the extension, the import, and the code that has caught the error.
    pub(super) fn from_facts(facts: Vec<String>) -> Option<Self> {
        let facts: [String; FACTS] = facts.try_into().ok()?;
        let [
            module,
            file,
            importer,
            line,
            begun,
            request,
            reason,
            catcher,
            catcher_file,
            ending,
        ] = facts;
        let owner = Distribution::of(Path::new(&file));
        let is_own = match &owner {
            _ if catcher.is_empty() => false,
            Some(owner) => owner.has(Path::new(&catcher_file)),
            None => package(&catcher) == package(&module),
        };
        let consequence = match ending.as_str() {
            "twin" => Consequence::Twin,
            "library" => Consequence::OwnFallback,
            _ if is_own => Consequence::OwnFallback,
            _ => Consequence::Missing,
        };
        Some(Self {
            distribution: owner.map(|owner| owner.to_string()),
            module,
            file,
            importer,
            line,
            begun,
            request,
            reason,
            consequence,
        })
    }

    /// Whether the app may miss it.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.consequence == Consequence::Missing
    }

    /// What went on instead, for a sentence that begins with the extension.
    #[must_use]
    pub fn consequence_in_words(&self) -> &'static str {
        match self.consequence {
            Consequence::Missing => "what imported it goes on without it, or has failed",
            Consequence::OwnFallback => "its package goes on in pure Python, which is slower",
            Consequence::Twin => "the .py beside it was loaded in its place, which is slower",
        }
    }
}

impl fmt::Display for RefusedExtension {
    /// `numpy._core._multiarray_umath (numpy 2.3.5), imported by shop.prices (prices.py, line 3)`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.module)?;
        if let Some(distribution) = &self.distribution {
            write!(out, " ({distribution})")?;
        }
        if !self.importer.is_empty() {
            write!(out, ", imported by {} ({}", self.importer, self.line)?;
            if !self.begun.is_empty() {
                write!(out, ", from {}", self.begun)?;
            }
            out.write_str(")")?;
        }
        if !self.request.is_empty() {
            write!(out, " in {}", self.request)?;
        }
        Ok(())
    }
}

/// Several of them, in a sentence or in a list.
pub(super) fn describe_all(refused: &[RefusedExtension]) -> String {
    const WHAT: &str = "refuse interpreters with a GIL of their own";
    match refused {
        [only] => {
            let what = WHAT.replace("refuse ", "refuses ");
            format!("the extension {only} {what}: {}", only.reason)
        }
        all => {
            let lines: Vec<String> = all.iter().map(|one| format!("\n  {one}")).collect();
            format!("{} extensions {WHAT}:{}", all.len(), lines.concat())
        }
    }
}

/// The first part of a module's dotted name.
fn package(module: &str) -> &str {
    module.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(module: &str, catcher: &str, ending: &str) -> RefusedExtension {
        let facts = [
            module,
            "/no/such/file.so",
            "shop.prices",
            "prices.py, line 3",
            "app.py, line 1",
            "GET /late",
            "no",
            catcher,
            "/no/such/file.py",
            ending,
        ];
        RefusedExtension::from_facts(facts.map(str::to_owned).to_vec()).expect("all facts")
    }

    #[test]
    fn a_fallback_is_believed_of_the_own_package_alone() {
        let consequence = |module, catcher| refused(module, catcher, "").consequence;
        assert_eq!(
            consequence("fast._speed", "fast.core"),
            Consequence::OwnFallback
        );
        assert_eq!(
            consequence("fast._speed", "shop.prices"),
            Consequence::Missing
        );
        assert_eq!(
            consequence("fast._speed", ""),
            Consequence::Missing,
            "it went on"
        );
        assert_eq!(
            refused("fast._speed", "", "twin").consequence,
            Consequence::Twin
        );
    }

    #[test]
    fn all_that_is_known_is_told() {
        assert_eq!(
            refused("fast._speed", "", "").to_string(),
            "fast._speed, imported by shop.prices (prices.py, line 3, from app.py, line 1) in \
             GET /late"
        );
    }
}
