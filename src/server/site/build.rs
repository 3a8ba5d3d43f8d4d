//! Makes the [`Site`] of a configuration.

use std::sync::Arc;

use super::surroundings::SiteSurroundings;
use super::{routing, static_files};
use crate::config::{Config, Failure};
use crate::net::Site;
use crate::reload::failed_load;
use crate::server::settings::settings;
use crate::wsgi::{AddedFields, BodyMemory};

/// What connections, static files and rules go by.
pub(in crate::server) fn site(
    config: &Config,
    added_fields: AddedFields,
    memory: Arc<BodyMemory>,
    around: &SiteSurroundings<'_>,
) -> Result<Site, Failure> {
    let files = static_files::service(config, around.folder)?;
    Ok(Site {
        settings: settings(config, added_fields, memory),
        files: failed_load::service(config, files, around.last_load),
        routes: routing::service(config, around)?,
    })
}
