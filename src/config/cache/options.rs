//! Options of the caches of `uwsgi.cache_get()` and the like. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Shared;

options! {
    CACHE = row(GROUP, "cache", Kind::Number { min: 0, max: 1 << 30 },
        "Items of a cache named default, which all interpreters share.")
        .value("ITEMS");
    CACHE2 = row(GROUP, "cache2", Kind::Text,
        "A cache that all interpreters share: \
         name=NAME,items=N[,blocksize=BYTES,blocks=N,bitmap=1,keysize=BYTES,purge_lru=1,\
         clear_on_full=1,ignore_full=1,no_expire=1,math_initial=N]. May be repeated.")
        .many().value("name=NAME,items=N,...")
        .mapped("memory of the process, empty after a start: store is not yet in this version, \
                 nodes, sync and udp are refused");
    CACHE_BLOCKSIZE = row(GROUP, "cache-blocksize", Kind::Bytes { min: 1, max: 1 << 40 },
        "Largest value of the cache of --cache, in bytes.")
        .default("65535");
    CACHE_NO_EXPIRE = row(GROUP, "cache-no-expire", Kind::Flag,
        "Items of caches do not expire.");
    CACHE_EXPIRE_FREQ = row(GROUP, "cache-expire-freq", Kind::Seconds,
        "Seconds between two looks for items that have expired, which free their memory.")
        .default("3");
    ADD_CACHE_ITEM = row(GROUP, "add-cache-item", Kind::Text,
        "Put an item into a cache at start; without a name into all caches. May be repeated.")
        .many().value("'[CACHE ]KEY=VALUE'");
    LOAD_FILE_IN_CACHE = row(GROUP, "load-file-in-cache", Kind::Text,
        "Put the content of a file into a cache at start, with its path as the key; without a name \
         into all caches. May be repeated.")
        .many().value("'[CACHE ]FILE'");
}
