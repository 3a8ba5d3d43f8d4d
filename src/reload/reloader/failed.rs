//! Why a reload has led to nothing, for the log, for whoever asked, and for those who develop. Made on `sm-reload`, told on the
//! main thread.

use crate::app::StartError;

/// Why there is nothing new.
pub(super) enum Failed {
    Start(StartError),
    Hook(String),
    /// What a successor says: a line for the log, which has the rest already, and perhaps more, which is why.
    StandIn(String),
}

impl Failed {
    /// Why, as far as it is known.
    pub(super) fn text(&self) -> String {
        match self {
            Failed::Start(error) => error.to_string(),
            Failed::Hook(why) => why.clone(),
            Failed::StandIn(why) => {
                let more = why.split_once('\n').map(|(_, more)| more);
                more.unwrap_or(why).to_owned()
            }
        }
    }

    /// Why, in a line: of a traceback the last one.
    pub(super) fn gist(&self) -> String {
        let text = self.text();
        let mut lines = text.lines().map(str::trim);
        let last = lines.rfind(|line| !line.is_empty());
        last.unwrap_or_default().to_owned()
    }

    /// Why, for the log, in which more of it may stand then; `None` if it is not worth a word.
    pub(super) fn reason(&self) -> Option<String> {
        Some(match self {
            Failed::Start(StartError::GivenUp) => return None,
            Failed::Start(error @ StartError::Load(_)) => {
                tracing::error!("{error}");
                "the application could not be loaded, see above".to_owned()
            }
            Failed::Start(StartError::MainIsTaken) => {
                format!("{}; restart the process", StartError::MainIsTaken)
            }
            Failed::Start(error) => error.to_string(),
            Failed::Hook(why) => why.clone(),
            Failed::StandIn(why) => why.lines().next().unwrap_or_default().to_owned(),
        })
    }
}
