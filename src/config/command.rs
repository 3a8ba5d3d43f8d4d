//! What a command line asks for: to serve, or to print something, or to ask a running server.

use super::settings::Config;
use crate::config::control::types::Subcommand;
use crate::config::process::types::PidfileCommand;
use crate::config::reports::explain::Explained;
use crate::config::spooler::types::SpoolCommand;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Serve.
    Run(Box<Config>),
    /// Print this help and leave with 0.
    Help(String),
    /// Print the version and leave with 0.
    Version,
    /// Print this configuration and leave with 0.
    ShowConfig(String),
    /// The configuration can be used: print its warnings and leave with 0.
    CheckConfig(Box<Config>),
    /// Print this report and leave with 0.
    Explain(Box<Explained>),
    /// Print this and leave with 0: a completion script, a reference, a value.
    Print(String),
    /// Ask the server of a pidfile for something and leave.
    Pidfile(PidfileCommand),
    /// Ask a running server for something and leave.
    Control(Box<Subcommand>),
    /// Work on a spooler's directory and leave.
    Spool(Box<SpoolCommand>),
    /// A configuration file said `exit`: leave with this code.
    Exit(i32),
}
