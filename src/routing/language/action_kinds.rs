//! Which actions fit where.

use super::action::Action;
use super::template::Template;

impl Action {
    /// It answers, or changes the request: too late for a finished request.
    pub fn needs_request(&self) -> bool {
        !matches!(
            self,
            Self::Last
                | Self::Break
                | Self::Goto(_)
                | Self::Log(_)
                | Self::DoNotLog
                | Self::LogVariable(..)
                | Self::Set(..)
                | Self::SetUser(_)
                | Self::Calculate(..)
                | Self::Hash(_)
                | Self::ProcessName(_)
                | Self::Signal(_)
                | Self::Alarm(..)
                | Self::Nothing
        )
    }

    /// It changes the request itself: too late once there is a response.
    pub fn needs_application(&self) -> bool {
        matches!(
            self,
            Self::Rewrite { .. } | Self::FixPath | Self::Harakiri(_) | Self::BasicAuth(_)
        )
    }

    /// A text of it has groups of the expression.
    pub fn has_groups(&self) -> bool {
        let optional = |text: &Option<Template>| text.as_ref().is_some_and(Template::has_groups);
        match self {
            Self::Goto(text)
            | Self::Log(text)
            | Self::LogVariable(_, text)
            | Self::Redirect { to: text, .. }
            | Self::Rewrite { to: text, .. }
            | Self::Static { file: text, .. }
            | Self::AddHeader(text)
            | Self::RemoveHeader(text)
            | Self::ClearHeaders(text)
            | Self::Send { text, .. }
            | Self::Set(_, text)
            | Self::SetUser(text)
            | Self::ProcessName(text) => text.has_groups(),
            Self::Alarm(name, text) => name.has_groups() || text.has_groups(),
            Self::Calculate(_, _, text) => optional(text),
            Self::File(reply) => reply.file.has_groups() || reply.status.has_groups(),
            Self::Expires(expires) => {
                optional(&expires.file) || optional(&expires.unix) || optional(&expires.value)
            }
            Self::Hash(hash) => hash.key.has_groups(),
            Self::Last
            | Self::Break
            | Self::BreakWith(_)
            | Self::Return(_)
            | Self::DoNotLog
            | Self::BasicAuth(_)
            | Self::FixPath
            | Self::Signal(_)
            | Self::Harakiri(_)
            | Self::Nothing => false,
        }
    }
}
