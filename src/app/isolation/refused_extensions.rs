//! The extensions that have refused interpreters of this process: logged once each, listed, and the
//! reason why the application has to live in the main interpreter. Plain data; any thread.

use std::fmt;

use parking_lot::Mutex;

use crate::config::IsolationChoice;
use crate::python::RefusedExtension;

/// See the file's header. One for all generations.
#[derive(Default)]
pub struct RefusedExtensions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were met, each extension once.
    met: Vec<RefusedExtension>,
    /// The next generation is made in the main interpreter.
    needs_main: bool,
}

impl RefusedExtensions {
    /// An extension has refused. It is logged if it is new; `is_listed_elsewhere`: the start-up
    /// report lists it if the application does without.
    pub fn note(
        &self,
        refused: &RefusedExtension,
        isolation: IsolationChoice,
        is_listed_elsewhere: bool,
    ) {
        let mut state = self.state.lock();
        match state
            .met
            .iter_mut()
            .find(|met| met.module == refused.module)
        {
            // Another module of the application does without it, but this one may not.
            Some(met) if !met.is_missed() && refused.is_missed() => *met = refused.clone(),
            Some(_) => return,
            None => state.met.push(refused.clone()),
        }
        drop(state);
        let consequence = refused.consequence_in_words();
        let reason = &refused.reason;
        match isolation {
            _ if !refused.is_missed() => {
                if !is_listed_elsewhere {
                    tracing::info!("the extension {refused} refuses: {reason}; {consequence}");
                }
            }
            IsolationChoice::Auto => {
                tracing::warn!("the extension {refused} refuses: {reason}");
            }
            IsolationChoice::OwnGil | IsolationChoice::SharedGil | IsolationChoice::Main => {
                tracing::error!(
                    "the extension {refused} refuses: {reason}; {consequence}; --isolation main \
                     or auto loads it"
                );
            }
        }
    }

    /// Those that were met.
    pub fn met(&self) -> Vec<RefusedExtension> {
        self.state.lock().met.clone()
    }

    /// Those that the application may miss.
    pub fn missed(&self) -> Vec<RefusedExtension> {
        let mut met = self.met();
        met.retain(RefusedExtension::is_missed);
        met
    }

    /// The next generation is to be made in the main interpreter. Whether that is new.
    pub fn demand_main(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().needs_main, true)
    }

    /// Whether the next generation is to be made in the main interpreter.
    pub fn needs_main(&self) -> bool {
        self.state.lock().needs_main
    }
}

impl fmt::Debug for RefusedExtensions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RefusedExtensions")
            .finish_non_exhaustive()
    }
}
