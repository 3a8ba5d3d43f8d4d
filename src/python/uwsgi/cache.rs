//! `uwsgi.cache_get()` and the like: bytes by key, in memory that all interpreters share.
//!
//! As in uWSGI a call that cannot do what it is asked for answers `None`: there is no such cache,
//! the key is there already, a size is too large, the cache is full.

use super::arguments::Called;
use super::backend::CacheChange;
use crate::python::object::{Object, Raised};

/// The name of the cache at `index`; empty for the first one.
fn cache_name<'py>(called: &Called<'py>, index: usize) -> Result<&'py str, Raised> {
    if called.arguments.get(index).is_none() {
        return Ok("");
    }
    // No cache has a name that is no UTF-8.
    let name = std::str::from_utf8(called.arguments.borrowed(index)?).unwrap_or("\u{fffd}");
    if name.contains('@') {
        let text = "a cache belongs to one server here: caches of others (NAME@ADDRESS) are not \
                    supported";
        return Err(called.arguments.value_error(text));
    }
    Ok(name)
}

/// `True`, or `None` for what was not done.
fn done<'py>(called: &Called<'py>, is_done: bool) -> Result<Object<'py>, Raised> {
    if is_done {
        Object::boolean(called.token, true)
    } else {
        Ok(Object::none(called.token))
    }
}

/// `cache_get(key[, cache])`: the value, or `None`.
pub(super) fn cache_get<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 2)?;
    let key = called.arguments.borrowed(0)?;
    let cache = cache_name(called, 1)?;
    match called.interpreter.spec.backend.0.cache_get(cache, key) {
        Some(value) => Object::bytes(called.token, &value),
        None => Ok(Object::none(called.token)),
    }
}

/// `cache_num(key[, cache])`: the number that `cache_inc` and the like have made, or 0.
pub(super) fn cache_num<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 2)?;
    let key = called.arguments.borrowed(0)?;
    let cache = cache_name(called, 1)?;
    let number = called.interpreter.spec.backend.0.cache_number(cache, key);
    Object::signed(called.token, number)
}

/// `cache_exists(key[, cache])`
pub(super) fn cache_exists<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 2)?;
    let key = called.arguments.borrowed(0)?;
    let cache = cache_name(called, 1)?;
    let backend = &called.interpreter.spec.backend.0;
    done(called, backend.cache_contains(cache, key))
}

/// `cache_set(key, value[, expires[, cache]])`: only a key that is not there.
pub(super) fn cache_set<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 4)?;
    let value = called.arguments.borrowed(1)?;
    change(called, CacheChange::Set(value))
}

/// `cache_update(key, value[, expires[, cache]])`
pub(super) fn cache_update<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 4)?;
    let value = called.arguments.borrowed(1)?;
    change(called, CacheChange::Update(value))
}

/// `cache_inc(key[, by=1[, expires[, cache]]])`
pub(super) fn cache_inc<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    calculate(called, 1, CacheChange::Add)
}

/// `cache_dec(key[, by=1[, expires[, cache]]])`
pub(super) fn cache_dec<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    calculate(called, 1, CacheChange::Subtract)
}

/// `cache_mul(key[, by=2[, expires[, cache]]])`
pub(super) fn cache_mul<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    calculate(called, 2, CacheChange::Multiply)
}

/// `cache_div(key[, by=2[, expires[, cache]]])`; through 0 is 0.
pub(super) fn cache_div<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    calculate(called, 2, CacheChange::Divide)
}

fn calculate<'py>(
    called: &Called<'py>,
    usual: i64,
    change_by: fn(i64) -> CacheChange<'static>,
) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 4)?;
    let by = match called.arguments.get(1) {
        Some(_) => called.arguments.int(1)?,
        None => usual,
    };
    change(called, change_by(by))
}

/// A change of key 0; argument 2 says when the item expires, argument 3 in which cache it is.
fn change<'py>(called: &Called<'py>, change: CacheChange<'_>) -> Result<Object<'py>, Raised> {
    let key = called.arguments.borrowed(0)?;
    let expires = match called.arguments.get(2) {
        Some(_) => called.arguments.int(2)?,
        None => 0,
    };
    let cache = cache_name(called, 3)?;
    // As uWSGI reads it: a number below zero is a very late time.
    let expires = expires.cast_unsigned();
    let backend = &called.interpreter.spec.backend.0;
    done(called, backend.cache_change(cache, key, change, expires))
}

/// `cache_del(key[, cache])`
pub(super) fn cache_del<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 2)?;
    let key = called.arguments.borrowed(0)?;
    let cache = cache_name(called, 1)?;
    let backend = &called.interpreter.spec.backend.0;
    done(called, backend.cache_delete(cache, key))
}

/// `cache_clear([cache])`
pub(super) fn cache_clear<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(0, 1)?;
    let cache = cache_name(called, 0)?;
    done(called, called.interpreter.spec.backend.0.cache_clear(cache))
}

/// `cache_keys([cache])`: a list of `bytes`, in no order.
pub(super) fn cache_keys<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(0, 1)?;
    let cache = cache_name(called, 0)?;
    let Some(keys) = called.interpreter.spec.backend.0.cache_keys(cache) else {
        let text = "no local uWSGI cache available";
        return Err(called.arguments.value_error(text));
    };
    let list = Object::list(called.token)?;
    for key in keys {
        list.push(&Object::bytes(called.token, &key)?)?;
    }
    Ok(list)
}
