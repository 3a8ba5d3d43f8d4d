//! All rules of a configuration in their compiled form, and what they reach.

use std::fmt;
use std::path::{Path, PathBuf};

use super::chain::{CompiledChain, check_jumps};
use super::language::Chain;
use super::placed::{Placed, RulesError};
use crate::files::media_type::MediaTypes;
use crate::wsgi::environ::ServerFacts;

/// What rules reach beside requests. Any thread; none of it waits.
pub trait Services: Send + Sync {
    /// Raises a uwsgi signal.
    fn signal(&self, number: u8);
    /// Raises an alarm; `false` if there is none of this name.
    fn alarm(&self, name: &str, message: &str) -> bool;
    fn set_process_name(&self, name: &str);
}

/// See the file's header. One for each version of the configuration.
pub struct Rules {
    pub(super) request: CompiledChain,
    pub(super) error: CompiledChain,
    pub(super) response: CompiledChain,
    pub(super) last: CompiledChain,
    /// What relative paths are meant from.
    pub(super) folder: PathBuf,
    /// Folders that symbolic links may lead to.
    pub(super) safe: Vec<PathBuf>,
    pub(super) media_types: MediaTypes,
    pub(super) services: Box<dyn Services>,
    servers: Vec<ServerFacts>,
    nowhere: ServerFacts,
}

impl fmt::Debug for Rules {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(out)
    }
}

/// What the rules use, beside the requests.
pub struct Surroundings {
    pub folder: PathBuf,
    pub safe: Vec<PathBuf>,
    pub media_types: MediaTypes,
    pub services: Box<dyn Services>,
    /// The listeners, by their numbers.
    pub servers: Vec<ServerFacts>,
}

impl Rules {
    /// What can be checked without files.
    pub fn check(placed: &[Placed]) -> Result<(), RulesError> {
        for chain in [Chain::Request, Chain::Error, Chain::Response, Chain::Final] {
            check_jumps(&of(chain, placed))?;
        }
        Ok(())
    }

    /// The compiled form. Reads htpasswd files.
    pub fn new(placed: &[Placed], around: Surroundings) -> Result<Self, RulesError> {
        let folder: &Path = &around.folder;
        let compiled = |chain| CompiledChain::new(&of(chain, placed), folder);
        Ok(Self {
            request: compiled(Chain::Request)?,
            error: compiled(Chain::Error)?,
            response: compiled(Chain::Response)?,
            last: compiled(Chain::Final)?,
            safe: around.safe,
            media_types: around.media_types,
            services: around.services,
            servers: around.servers,
            nowhere: ServerFacts::new(None, "", "http"),
            folder: around.folder,
        })
    }

    pub(super) fn server(&self, listener: usize) -> &ServerFacts {
        self.servers.get(listener).unwrap_or(&self.nowhere)
    }

    pub(super) fn is_https(&self, listener: usize, said: Option<bool>) -> bool {
        said.unwrap_or(self.server(listener).scheme == "https")
    }
}

fn of(chain: Chain, placed: &[Placed]) -> Vec<Placed> {
    let steps = placed.iter().filter(|placed| placed.chain == chain);
    steps.cloned().collect()
}
