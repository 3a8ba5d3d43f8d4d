//! Settings of caches become [`CacheConfig`].

use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::values::reader::Reader;
use crate::config::values::value;

use super::options;
use super::types::{CacheConfig, CacheSpec, FirstItem};

/// uWSGI's defaults: the largest value, and the largest key, in bytes.
const BLOCK_BYTES: u64 = 65535;
const KEY_MAX: u64 = 2048;
/// What uWSGI's packets have room for.
const KEY_MOST: u64 = 65534;
/// More is a mistake in the file, not a cache.
const ITEMS_MOST: u64 = 1 << 30;

const KEYS: &str = "name, items, blocksize, blocks, bitmap, keysize, purge_lru, clear_on_full, \
                    ignore_full, no_expire and math_initial";

impl Reader<'_> {
    pub(crate) fn cache(&mut self) -> Result<CacheConfig, ConfigError> {
        let mut caches = Vec::new();
        let items = self.count(&options::CACHE)?;
        let block_bytes = self.number(&options::CACHE_BLOCKSIZE)?;
        if items > 0 {
            let spec = CacheSpec::of("default".to_owned(), items, block_bytes);
            caches.push(spec);
        }
        let settings = self.raw.all(&options::CACHE2);
        for setting in settings {
            let spec = self.cache2(setting)?;
            if caches.iter().any(|other| other.name == spec.name) {
                return Err(setting.error(format_args!("names '{}' a second time", spec.name)));
            }
            caches.push(spec);
        }
        if self.flag(&options::CACHE_NO_EXPIRE) {
            for spec in &mut caches {
                spec.never_expires = true;
            }
        }
        Ok(CacheConfig {
            first_items: self.first_items(&caches)?,
            sweep_pause: self.seconds(&options::CACHE_EXPIRE_FREQ)?,
            caches,
        })
    }

    fn cache2(&mut self, setting: &Setting) -> Result<CacheSpec, ConfigError> {
        let (mut name, mut items, mut blocks, mut is_bitmap) = ("", 0, None, false);
        let mut spec = CacheSpec::of(String::new(), 0, BLOCK_BYTES);
        for pair in setting.text.split(',').filter(|pair| !pair.is_empty()) {
            let Some((key, text)) = pair.split_once('=') else {
                return Err(setting.error(format_args!("wants KEY=VALUE,..., got '{pair}'")));
            };
            let number = |least: u64, most: u64| -> Result<u64, ConfigError> {
                let read = value::bytes(text).map_err(|why| setting.error_of_value(&why, "100"))?;
                if (least..=most).contains(&read.value) {
                    return Ok(read.value);
                }
                let why = format!("wants {key} to be from {least} to {most}, got {text}");
                Err(setting.error(why))
            };
            match key {
                "name" => name = text,
                "items" | "max_items" | "maxitems" => items = number(1, ITEMS_MOST)?,
                "blocksize" => spec.block_bytes = number(1, u64::MAX)?,
                "blocks" => blocks = Some(number(1, u64::MAX)?),
                "keysize" | "key_size" => {
                    spec.key_max = usize::try_from(number(1, KEY_MOST)?).unwrap_or(usize::MAX);
                }
                "math_initial" => {
                    spec.math_initial = text.parse().map_err(|_| {
                        setting.error(format_args!("wants a number for {key}, got '{text}'"))
                    })?;
                }
                // uWSGI asks whether these are there, whatever they say.
                "bitmap" => is_bitmap = true,
                "purge_lru" | "lru" => spec.drops_oldest = true,
                "clear_on_full" => spec.clears = true,
                "ignore_full" => spec.is_silent = true,
                "no_expire" => spec.never_expires = true,
                "hash" if !["djb33x", "murmur2", "rand", "rr"].contains(&text) => {
                    return Err(setting.error(format_args!(
                        "has no hash '{text}': there are djb33x, murmur2, rand and rr"
                    )));
                }
                "hash" | "hashsize" | "hash_size" | "lazy_expire" | "lazy" | "sweep_on_full"
                | "lastmod" | "store_delete" | "storedelete" => {}
                "store" | "store_sync" | "storesync" => self.warn(
                    setting,
                    &format!("asks for {key}, which is not yet in this version: it begins empty"),
                ),
                "node" | "nodes" | "sync" | "udp" | "udp_servers" | "udp_server" | "udpservers"
                | "udpserver" => {
                    return Err(setting
                        .error(format_args!(
                            "asks for {key}: a cache belongs to one server here"
                        ))
                        .hint("servers that share a cache use Redis or memcached"));
                }
                other => {
                    return Err(setting
                        .error(format_args!("does not know '{other}'"))
                        .hint(format!("it knows {KEYS}")));
                }
            }
        }
        if name.is_empty() || items == 0 {
            return Err(setting.error("wants a name and a number of items: name=NAME,items=N"));
        }
        name.clone_into(&mut spec.name);
        spec.items = usize::try_from(items).unwrap_or(usize::MAX);
        spec.blocks = blocks.unwrap_or(items);
        if spec.blocks < items {
            return Err(setting.error(format_args!(
                "has fewer blocks ({}) than items ({items})",
                spec.blocks
            )));
        }
        spec.value_max = if is_bitmap {
            spec.block_bytes.saturating_mul(spec.blocks)
        } else {
            spec.block_bytes
        };
        Ok(spec)
    }

    fn first_items(&self, caches: &[CacheSpec]) -> Result<Vec<FirstItem>, ConfigError> {
        let mut items = Vec::new();
        for row in [&options::LOAD_FILE_IN_CACHE, &options::ADD_CACHE_ITEM] {
            let is_file = row.name == options::LOAD_FILE_IN_CACHE.name;
            for setting in self.raw.all(row) {
                let (cache, rest) = match setting.text.split_once(' ') {
                    Some((cache, rest)) => (Some(cache), rest),
                    None => (None, setting.text.as_str()),
                };
                let is_there = |name: &str| caches.iter().any(|one| one.name == name);
                if caches.is_empty() || cache.is_some_and(|name| !is_there(name)) {
                    let name = cache.unwrap_or_default();
                    return Err(setting
                        .error(format_args!("finds no cache {name}").to_string().trim_end())
                        .hint("--cache2 name=NAME,items=N makes one"));
                }
                let (key, value) = match rest.split_once('=') {
                    _ if is_file => (rest, None),
                    Some((key, value)) if !key.is_empty() => (key, Some(value.to_owned())),
                    _ => return Err(setting.error(format_args!("wants KEY=VALUE, got '{rest}'"))),
                };
                items.push(FirstItem {
                    cache: cache.map(str::to_owned),
                    key: key.to_owned(),
                    value,
                    origin: setting.place(),
                });
            }
        }
        Ok(items)
    }
}

impl CacheSpec {
    fn of(name: String, items: usize, block_bytes: u64) -> Self {
        Self {
            name,
            items,
            block_bytes,
            blocks: items as u64,
            key_max: KEY_MAX as usize,
            value_max: block_bytes,
            math_initial: 0,
            drops_oldest: false,
            clears: false,
            is_silent: false,
            never_expires: false,
        }
    }
}
