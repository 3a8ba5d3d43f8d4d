//! Tests of the caches: sizes, what happens when one is full, numbers, expiry, threads.

use super::*;

fn rules() -> CacheRules {
    CacheRules {
        name: "one".to_owned(),
        items_max: 10,
        block_bytes: 8,
        blocks: 20,
        key_max: 16,
        value_max: 8,
        math_initial: 0,
        when_full: WhenFull::default(),
        never_expires: false,
    }
}

fn cache(change: impl FnOnce(&mut CacheRules)) -> Caches {
    let mut rules = rules();
    change(&mut rules);
    Caches::new(vec![rules])
}

fn value(caches: &Caches, key: &[u8]) -> Option<Vec<u8>> {
    caches.all()[0].get(key).map(|value| value.to_vec())
}

fn set(caches: &Caches, key: &[u8], value: &[u8]) -> bool {
    caches.change(&caches.all()[0], key, Change::Set(value), 0)
}

fn update(caches: &Caches, key: &[u8], value: &[u8]) -> bool {
    caches.change(&caches.all()[0], key, Change::Update(value), 0)
}

#[test]
fn set_keeps_and_update_replaces() {
    let caches = cache(|_| ());
    assert!(set(&caches, b"k", b"a"));
    assert!(!set(&caches, b"k", b"b"));
    assert_eq!(value(&caches, b"k"), Some(b"a".to_vec()));
    assert!(update(&caches, b"k", b"bb"));
    assert_eq!(value(&caches, b"k"), Some(b"bb".to_vec()));
    assert!(caches.all()[0].delete(b"k"));
    assert!(!caches.all()[0].delete(b"k"));
    assert_eq!(value(&caches, b"k"), None);
    let counts = caches.all()[0].counts();
    assert_eq!((counts.items, counts.blocks), (0, 0));
    assert_eq!((counts.hits, counts.misses), (2, 1));
}

#[test]
fn sizes_have_limits() {
    let caches = cache(|_| ());
    assert!(!set(&caches, b"", b"a"));
    assert!(!set(&caches, b"k", b""));
    assert!(!set(&caches, b"k", b"123456789"));
    assert!(!set(&caches, b"12345678901234567", b"a"));
    assert!(set(&caches, b"1234567890123456", b"12345678"));
}

#[test]
fn a_full_cache_takes_updates_and_no_new_keys() {
    let caches = cache(|_| ());
    for key in 0..10_u8 {
        assert!(set(&caches, &[key], b"v"));
    }
    assert!(!set(&caches, b"new", b"v"));
    assert!(update(&caches, &[3], b"w"));
    assert_eq!(caches.all()[0].counts().full, 1);
    assert!(caches.all()[0].delete(&[0]));
    assert!(set(&caches, b"new", b"v"));
}

#[test]
fn blocks_are_a_limit_too() {
    let caches = cache(|rules| {
        rules.blocks = 4;
        rules.value_max = 32;
    });
    assert!(set(&caches, b"a", &[1; 17]), "three blocks");
    assert!(!set(&caches, b"b", &[1; 9]));
    assert!(set(&caches, b"b", &[1; 8]));
    assert!(!update(&caches, b"b", &[1; 9]));
    assert_eq!(value(&caches, b"b"), Some(vec![1; 8]), "it stays as it was");
    assert!(update(&caches, b"a", &[2; 16]));
    assert!(update(&caches, b"b", &[2; 9]));
}

#[test]
fn the_oldest_goes() {
    let caches = cache(|rules| rules.when_full.drops_oldest = true);
    for key in 0..10_u8 {
        assert!(set(&caches, &[key], b"v"));
    }
    value(&caches, &[0]);
    assert!(set(&caches, b"new", b"v"));
    assert_eq!(value(&caches, &[0]), Some(b"v".to_vec()));
    assert_eq!(value(&caches, &[1]), None);
    assert!(update(&caches, &[2], b"w"));
    assert!(set(&caches, b"newer", b"v"));
    assert_eq!(value(&caches, &[3]), None);
    assert_eq!(value(&caches, &[2]), Some(b"w".to_vec()));
}

#[test]
fn a_value_that_grows_drops_others_and_not_itself() {
    let caches = cache(|rules| {
        rules.when_full.drops_oldest = true;
        rules.blocks = 3;
        rules.value_max = 24;
    });
    for key in [b"a", b"b", b"c"] {
        assert!(set(&caches, key, b"v"));
    }
    assert!(update(&caches, b"a", &[7; 24]));
    assert_eq!(value(&caches, b"a"), Some(vec![7; 24]));
    let counts = caches.all()[0].counts();
    assert_eq!((counts.items, counts.blocks), (1, 3));
}

#[test]
fn everything_goes_where_that_is_asked_for() {
    let caches = cache(|rules| rules.when_full.clears = true);
    for key in 0..11_u8 {
        assert!(set(&caches, &[key], b"v"));
    }
    assert_eq!(caches.all()[0].counts().items, 1);
    assert_eq!(value(&caches, &[10]), Some(b"v".to_vec()));
}

#[test]
fn numbers() {
    let caches = cache(|rules| rules.math_initial = 5);
    let number_of = |key: &[u8]| value(&caches, key).map(|value| number(&value));
    for (math, result) in [
        (Math::Add(3), 8),
        (Math::Multiply(4), 32),
        (Math::Subtract(2), 30),
        (Math::Divide(7), 4),
        (Math::Divide(0), 0),
    ] {
        assert!(caches.change(&caches.all()[0], b"n", Change::Math(math), 0));
        assert_eq!(number_of(b"n"), Some(result));
    }
    assert!(set(&caches, b"short", b"\x01"));
    assert_eq!(
        number(b"\x01"),
        i64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0])
    );
    let least = Change::Math(Math::Add(i64::MIN));
    assert!(caches.change(&caches.all()[0], b"m", least, 0));
    assert!(caches.change(&caches.all()[0], b"m", Change::Math(Math::Divide(-1)), 0));
}

#[test]
fn what_has_expired_is_gone_and_can_be_set_again() {
    let mut shard = Shard::default();
    let start = Instant::now();
    let later = start + Duration::from_secs(10);
    shard.insert(b"k", Arc::from(*b"v"), expiry(10, || start));
    assert!(shard.find(b"k", || start).is_some());
    assert!(shard.find(b"k", || later).is_none());
    assert_eq!(shard.keys(start).count(), 1);
    assert_eq!(shard.keys(later).count(), 0);
    assert_eq!(shard.next_expiry(), Some(later));
    let expired = shard.expired(later);
    assert_eq!(expired.len(), 1);
    shard.remove(expired[0]);
    assert_eq!(shard.len(), 0);
    assert_eq!(shard.next_expiry(), None);
}

#[test]
fn the_parts_of_a_large_cache_hold_its_limit() {
    let caches = cache(|rules| {
        rules.items_max = 2000;
        rules.blocks = 2000;
    });
    let taken = (0..3000_u32).filter(|key| set(&caches, &key.to_ne_bytes(), b"v"));
    assert_eq!(taken.count(), 2000);
    assert_eq!(caches.all()[0].keys().len(), 2000);
    caches.all()[0].clear();
    let counts = caches.all()[0].counts();
    assert_eq!((counts.items, counts.blocks), (0, 0));
}

#[test]
fn counts_hold_under_many_threads() {
    let caches = cache(|rules| {
        rules.items_max = 4096;
        rules.blocks = 4096;
    });
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let caches = &caches;
            scope.spawn(move || {
                for round in 0..2000_u32 {
                    let key = (round * 7 + thread) % 500;
                    let key = key.to_ne_bytes();
                    match round % 4 {
                        0 => drop(set(caches, &key, b"value")),
                        1 => drop(update(caches, &key, b"other")),
                        2 => drop(value(caches, &key)),
                        _ => drop(caches.all()[0].delete(&key)),
                    }
                    let add = Change::Math(Math::Add(1));
                    assert!(caches.change(&caches.all()[0], b"sum", add, 0));
                }
            });
        }
    });
    let cache = &caches.all()[0];
    assert_eq!(cache.counts().items as usize, cache.keys().len());
    assert_eq!(number(&cache.get(b"sum").expect("a number")), 8000);
}
