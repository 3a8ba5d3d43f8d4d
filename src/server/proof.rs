//! A process of its own that shows whether the application loads, before the server starts anew in its place.
//!
//! It binds nothing, writes nothing but its standard error, and becomes nobody else: whoever asked is that already.

use std::sync::Arc;

use crossbeam::channel::unbounded;

use super::alarms;
use super::application;
use super::assembly::{enter_directory, request_log, start_python};
use super::certificates::Certificates;
use super::failure::Failure;
use super::process;
use super::settings::{hostname, plan, settings};
use crate::app::acceptor::Bell;
use crate::app::worker::Surroundings;
use crate::app::{Current, Generation, Patience};
use crate::config::Config;
use crate::net::Net;
use crate::telemetry::{self, LogWriter};
use crate::wsgi::AddedFields;

/// Loads the application into one interpreter. Returns exit code 0.
///
/// # Errors
/// It does not load.
pub fn run(config: &Config) -> Result<i32, Failure> {
    let writer = LogWriter::start().map_err(Failure::new)?;
    telemetry::install(writer.clone(), None).map_err(Failure::new)?;
    let apps = application::choose(config)?;
    // The next image has to read them as whoever this process is now.
    drop(Certificates::open(config)?);
    enter_directory(config)?;
    let runtime = start_python(config)?;
    // What the application wishes and plans here, nobody does.
    let (events, _unheard) = unbounded();
    let net = Net::new(
        settings(config, AddedFields::default()),
        Vec::new(),
        [].into(),
        request_log(config, &writer, &events),
        None,
    )
    .map_err(Failure::new)?;
    let (nobody, _nothing) = unbounded();
    let surroundings = Surroundings {
        net: Arc::new(net),
        current: Arc::new(Current::default()),
        bell: Arc::new(Bell::default()),
        shares_poll: false,
        on_sources: None,
        on_due: Arc::new(move |due| {
            let _nobody = nobody.send(due);
        }),
    };
    // What a proof raises reaches nobody: their thread is not started.
    let alarms = alarms::of(config);
    let process = process::surroundings(config, &hostname(), &events, (&Arc::default(), &alarms));
    let mut plan = plan(config, &[], apps, &process);
    plan.interpreters = 1;
    plan.threads = 1;
    Generation::start(1, &plan, runtime, &surroundings, &Patience::endless())
        .map_err(Failure::new)?;
    Ok(0)
}
