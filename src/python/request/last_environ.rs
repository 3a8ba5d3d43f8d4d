//! The environ of the last HTTP request as a private dict. The next environ is a copy of it, after
//! the values that differ have been changed: clients send mostly the same fields with each request,
//! and an equal value costs a comparison of its bytes instead of a `str` and an insertion.
//!
//! Values that identify a user are put into the copy and never kept. Owned by one thread of one
//! interpreter, attached.

use pyo3_ffi as ffi;

use super::environ_keys::{VALUE_BYTES_MAX, interned, is_looked_up, is_secret, set};
use crate::protocol::http::RequestHead;
use crate::python::object::{Kept, Object, Raised, Token};
use crate::wsgi::environ::{self, Key, Known, Peer};

/// Places in the cache of header names. A request rarely has more than 20; a power of two.
const NAME_PLACES: usize = 128;

/// An index in `present`: of a known key, or after those, of a field.
type Place = u8;

const _: () = assert!(Known::COUNT + NAME_PLACES <= Place::MAX as usize + 1);

/// See the file's header.
pub(crate) struct LastEnviron {
    dict: Kept,
    /// The dict as it was before any request: a key that a request does not have goes back to its
    /// value here.
    base: Kept,
    known: Box<[Option<Entry>]>,
    fields: Box<[Option<Field>]>,
    /// The entries that have a value in the dict.
    present: Vec<Place>,
    /// Keys and values for the copy alone. Empty between requests.
    unkept: Vec<(Kept, Kept)>,
    /// Counts requests: an entry with another number is not one of this request's.
    round: u32,
    scratch: Vec<u8>,
    name_scratch: Vec<u8>,
}

struct Entry {
    key: Kept,
    /// Whether values may be kept: not those that identify a user.
    keeps: bool,
    /// The dict has this value from a request.
    is_present: bool,
    value: Vec<u8>,
    /// The last request that brought the key.
    round: u32,
}

/// A header name as it was first received, and its entry.
struct Field {
    name: Box<[u8]>,
    entry: Entry,
}

/// The parts of a [`LastEnviron`] that recording a value needs.
struct Notes<'a, 'py> {
    token: Token<'py>,
    dict: &'a Kept,
    base: &'a Kept,
    present: &'a mut Vec<Place>,
    unkept: &'a mut Vec<(Kept, Kept)>,
    round: u32,
}

impl LastEnviron {
    /// A dict for environs that begin as `base`.
    pub(crate) fn new(token: Token<'_>, base: &Kept) -> Result<Self, Raised> {
        Ok(Self {
            dict: copy(token, base)?.keep(),
            base: base.get(token).keep(),
            known: (0..Known::COUNT).map(|_| None).collect(),
            fields: (0..NAME_PLACES).map(|_| None).collect(),
            present: Vec::new(),
            unkept: Vec::new(),
            round: 0,
            scratch: Vec::new(),
            name_scratch: Vec::new(),
        })
    }

    /// The environ of one request: the keys that come from its head and its peer.
    pub(crate) fn next<'py>(
        &mut self,
        token: Token<'py>,
        head: &RequestHead,
        prefix_bytes: usize,
        peer: &Peer,
        content_length: u64,
    ) -> Result<Object<'py>, Raised> {
        let made = self.changed(token, head, prefix_bytes, peer, content_length);
        if made.is_err() {
            // The dict may have a value that no entry records.
            *self = Self::new(token, &self.base)?;
        }
        made
    }

    fn changed<'py>(
        &mut self,
        token: Token<'py>,
        head: &RequestHead,
        prefix_bytes: usize,
        peer: &Peer,
        content_length: u64,
    ) -> Result<Object<'py>, Raised> {
        self.round = self.round.wrapping_add(1);
        let Self {
            known,
            fields,
            scratch,
            name_scratch,
            ..
        } = self;
        let mut notes = Notes {
            token,
            dict: &self.dict,
            base: &self.base,
            present: &mut self.present,
            unkept: &mut self.unkept,
            round: self.round,
        };
        let length = Some(content_length);
        environ::for_each_under(
            prefix_bytes,
            head,
            peer,
            length,
            scratch,
            |key, value| match key {
                Key::Known(key) => {
                    let entry = match &mut known[key.index()] {
                        Some(entry) => entry,
                        none => {
                            none.insert(Entry::new(interned(token, key.name())?, !key.is_secret()))
                        }
                    };
                    notes.take(entry, key.index() as Place, value)
                }
                Key::Field { name, hash } => notes.take_field(
                    &mut fields[hash as usize % NAME_PLACES],
                    name_scratch,
                    name,
                    hash,
                    value,
                ),
                Key::Variable { name, .. } => {
                    let key = Object::latin1(token, name)?;
                    notes.take_unkept(key, value)
                }
            },
        )?;

        // Keys that the last request had and this one does not.
        let mut at = 0;
        while let Some(&place) = self.present.get(at) {
            let place = usize::from(place);
            let entry = match place.checked_sub(Known::COUNT) {
                None => self.known[place].as_mut(),
                Some(place) => self.fields[place].as_mut().map(|field| &mut field.entry),
            };
            match entry {
                Some(entry) if entry.round != self.round => {
                    entry.is_present = false;
                    put_back(token, &self.dict, &self.base, &entry.key)?;
                    self.present.swap_remove(at);
                }
                _ => at += 1,
            }
        }

        let environ = copy(token, &self.dict)?;
        for (key, value) in self.unkept.drain(..) {
            set(&environ, &key, value.as_ptr())?;
        }
        Ok(environ)
    }
}

impl Entry {
    fn new(key: Object<'_>, keeps: bool) -> Self {
        Self {
            key: key.keep(),
            keeps,
            is_present: false,
            value: Vec::new(),
            round: 0,
        }
    }
}

impl Notes<'_, '_> {
    /// `entry`'s key has this value in the request.
    #[inline]
    fn take(&mut self, entry: &mut Entry, place: Place, value: &[u8]) -> Result<(), Raised> {
        entry.round = self.round;
        if entry.is_present && is_same(&entry.value, value) {
            return Ok(());
        }
        if value.len() > VALUE_BYTES_MAX || !(entry.keeps || value.is_empty()) {
            return self.take_unkept(entry.key.get(self.token), value);
        }
        let object = Object::latin1(self.token, value)?;
        set(&self.dict.get(self.token), &entry.key, object.as_ptr())?;
        entry.value.clear();
        entry.value.extend_from_slice(value);
        if !std::mem::replace(&mut entry.is_present, true) {
            self.present.push(place);
        }
        Ok(())
    }

    fn take_unkept(&mut self, key: Object<'_>, value: &[u8]) -> Result<(), Raised> {
        let value = Object::latin1(self.token, value)?;
        self.unkept.push((key.keep(), value.keep()));
        Ok(())
    }

    /// Records a header field under its cached key. Names that share a slot evict each other, so
    /// unusual names cost time and nothing else.
    #[inline]
    fn take_field(
        &mut self,
        slot: &mut Option<Field>,
        scratch: &mut Vec<u8>,
        name: &[u8],
        hash: u32,
        value: &[u8],
    ) -> Result<(), Raised> {
        let place = (Known::COUNT + hash as usize % NAME_PLACES) as Place;
        if let Some(field) = slot
            && (*field.name == *name || field.name.eq_ignore_ascii_case(name))
        {
            return self.take(&mut field.entry, place, value);
        }
        scratch.clear();
        environ::environ_key(name, scratch);
        let key = match std::str::from_utf8(scratch) {
            Ok(text) if is_looked_up(scratch) => interned(self.token, text)?,
            _ => Object::latin1(self.token, scratch)?,
        };
        match slot {
            // Another name of the same request has the slot.
            Some(field) if field.entry.round == self.round => return self.take_unkept(key, value),
            Some(field) if field.entry.is_present => {
                put_back(self.token, self.dict, self.base, &field.entry.key)?;
                self.present.retain(|&other| other != place);
            }
            _ => {}
        }
        let field = slot.insert(Field {
            name: name.into(),
            entry: Entry::new(key, !is_secret(scratch)),
        });
        self.take(&mut field.entry, place, value)
    }
}

/// Whether both are equal. Most values are too short for a call of memcmp to pay off.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let words = |bytes: &[u8]| {
        let (first, last) = (bytes.first_chunk::<8>()?, bytes.last_chunk::<8>()?);
        Some((u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)))
    };
    match one.len() {
        0..8 => one.iter().zip(other).all(|(one, other)| one == other),
        // Two words that overlap, or meet.
        8..=16 => words(one) == words(other),
        _ => one == other,
    }
}

fn copy<'py>(token: Token<'py>, dict: &Kept) -> Result<Object<'py>, Raised> {
    // SAFETY: the dict is alive; attached (token).
    unsafe { Object::from_new(token, ffi::PyDict_Copy(dict.as_ptr())) }
}

/// Sets `dict[key]` to the value in `base`, or removes it.
fn put_back(token: Token<'_>, dict: &Kept, base: &Kept, key: &Kept) -> Result<(), Raised> {
    let (dict, key) = (dict.get(token), key.get(token));
    match base.get(token).get(&key)? {
        Some(value) => dict.set(&key, &value),
        // SAFETY: both are alive; attached (token).
        None => match unsafe { ffi::PyDict_DelItem(dict.as_ptr(), key.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn every_byte_counts_at_every_length() {
        for length in 0..40 {
            let one: Vec<u8> = (0..length).collect();
            assert!(is_same(&one, &one.clone()));
            assert!(!is_same(&one, &[&one[..], &[0]].concat()));
            for at in 0..one.len() {
                let mut other = one.clone();
                other[at] ^= 0x80;
                assert!(!is_same(&one, &other), "{length} {at}");
            }
        }
    }
}
