//! Internal routing, for `net`: the rules of the configuration, compiled, and what they reach.

use std::sync::Arc;

use super::static_files::{media_types, whole};
use super::surroundings::SiteSurroundings;
use crate::app::process::Process;
use crate::config::{Config, Failure};
use crate::net::{Finished, Routable, RouteService, RouteVerdict};
use crate::routing::{self, Incoming, Rules, Services, Surroundings, Verdict};
use crate::server::settings::server_facts;
use crate::wsgi::{LogNotes, Response, Sink};

/// The rules; `None` if there are none. Reads htpasswd files.
pub(super) fn service(
    config: &Config,
    around: &SiteSurroundings<'_>,
) -> Result<Option<Box<dyn RouteService>>, Failure> {
    if config.routing.is_empty() {
        return Ok(None);
    }
    let files = &config.static_files;
    let folder = around.folder;
    let surroundings = Surroundings {
        folder: folder.to_path_buf(),
        safe: files.safe.iter().map(|path| whole(folder, path)).collect(),
        media_types: media_types(config, &files.media_type_files, folder)?,
        services: Box::new(OfProcess(Arc::clone(around.process))),
        servers: server_facts(config, around.listening),
    };
    let rules = Rules::new(&config.routing, surroundings).map_err(Failure::new)?;
    Ok(Some(Box::new(Service(Arc::new(rules)))))
}

/// Whether rules of this configuration may take long.
pub(in crate::server) fn may_take_long(config: &Config) -> bool {
    routing::may_take_long(&config.routing)
}

struct Service(Arc<Rules>);

impl RouteService for Service {
    fn route(
        &self,
        request: Routable<'_>,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> RouteVerdict {
        let incoming = Incoming {
            head: request.head,
            peer: request.peer,
            listener: request.listener,
            is_https: request.is_https,
            body_bytes: request.body_bytes,
            may_wait: request.may_wait,
        };
        match self.0.route(incoming, response, sink) {
            Verdict::GoOn(routed) => RouteVerdict::GoOn(routed),
            Verdict::Answered => RouteVerdict::Answered,
            Verdict::Later => RouteVerdict::Later,
        }
    }

    fn finish(&self, finished: Finished<'_>) -> LogNotes {
        let answered = finished.answered;
        self.0.finish(routing::Finished {
            head: finished.head,
            peer: finished.peer,
            listener: finished.listener,
            is_https: finished.is_https,
            status: answered.summary.status,
            body_bytes: answered.summary.body_bytes,
            took: answered.queued + answered.app + finished.write,
            worker: answered.worker,
        })
    }
}

/// What rules reach of the process.
struct OfProcess(Arc<Process>);

impl Services for OfProcess {
    fn signal(&self, number: u8) {
        self.0.clockwork.raise(number);
    }

    fn alarm(&self, name: &str, message: &str) -> bool {
        self.0.alarms.raise(name, message)
    }

    fn set_process_name(&self, name: &str) {
        (self.0.set_title)(name);
    }
}
