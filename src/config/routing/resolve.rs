//! Texts of rules become [`Placed`] rules.

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;
use crate::routing::{ACTIONS, CONDITIONS, Placed, Rules, parse};

use super::options;

impl Reader<'_> {
    /// All rules, those of a chain in the order in which they are written.
    pub(crate) fn routing(&self) -> Result<Vec<Placed>, ConfigError> {
        let mut rules = Vec::new();
        for row in [
            &options::ROUTE,
            &options::ERROR_ROUTE,
            &options::RESPONSE_ROUTE,
            &options::FINAL_ROUTE,
        ] {
            for setting in self.raw.all(row) {
                let parsed = parse(&setting.name, &setting.text);
                let (chain, step) = parsed.map_err(|why| setting.error(why))?;
                rules.push(Placed {
                    chain,
                    step,
                    origin: setting.place(),
                });
            }
        }
        Rules::check(&rules).map_err(|error| ConfigError::new(error.to_string()))?;
        Ok(rules)
    }
}

/// What `--router-list` prints.
pub(crate) fn list() -> String {
    let mut text = String::from("actions:\n");
    for action in ACTIONS {
        text.push_str(&format!("  {action}\n"));
    }
    text.push_str("conditions:\n");
    for names in CONDITIONS {
        text.push_str(&format!("  {}\n", names.join(", ")));
    }
    text
}
