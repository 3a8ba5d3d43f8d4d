//! The caches of the configuration: made at the start, filled with what `--add-cache-item` and
//! `--load-file-in-cache` name, and swept by a thread of their own.

use std::sync::Arc;

use crate::config::{CacheConfig, CacheSpec, Failure, FirstItem};
use crate::shared::cache::{Cache, CacheRules, Caches, Change, WhenFull};

/// Main thread. The thread ends with the process; there is none without caches.
///
/// # Errors
/// The system gives no thread.
pub(super) fn start(config: &CacheConfig) -> Result<Arc<Caches>, Failure> {
    let caches = Arc::new(Caches::new(config.caches.iter().map(rules).collect()));
    for item in &config.first_items {
        put_in(&caches, item);
    }
    if config.caches.iter().any(|cache| !cache.never_expires) {
        let (caches, pause) = (Arc::clone(&caches), config.sweep_pause);
        let thread = std::thread::Builder::new().name("sm-cache".to_owned());
        thread
            .spawn(move || caches.sweep(pause))
            .map_err(Failure::new)?;
    }
    Ok(caches)
}

fn rules(spec: &CacheSpec) -> CacheRules {
    CacheRules {
        name: spec.name.clone(),
        items_max: spec.items,
        block_bytes: spec.block_bytes,
        blocks: spec.blocks,
        key_max: spec.key_max,
        value_max: spec.value_max,
        math_initial: spec.math_initial,
        when_full: WhenFull {
            drops_oldest: spec.drops_oldest,
            clears: spec.clears,
            is_silent: spec.is_silent,
        },
        never_expires: spec.never_expires,
    }
}

/// An item that cannot be put in is a warning, as in uWSGI: a cache may lack anything.
fn put_in(caches: &Caches, item: &FirstItem) {
    let read;
    let value = match &item.value {
        Some(value) => value.as_bytes(),
        None => match std::fs::read(&item.key) {
            Ok(content) => {
                read = content;
                &read
            }
            Err(error) => {
                tracing::warn!("{}: cannot read {}: {error}", item.origin, item.key);
                return;
            }
        },
    };
    let is_meant = |cache: &&Cache| {
        let name = item.cache.as_ref();
        name.is_none_or(|name| *name == cache.rules().name)
    };
    for cache in caches.all().iter().filter(is_meant) {
        if !caches.change(cache, item.key.as_bytes(), Change::Set(value), 0) {
            tracing::warn!(
                "{}: \"{}\" was not put into the cache \"{}\": it is there already, too large (key \
                 up to {} bytes, value up to {}), or the cache is full",
                item.origin,
                item.key,
                cache.rules().name,
                cache.rules().key_max,
                cache.rules().value_max,
            );
        }
    }
}
