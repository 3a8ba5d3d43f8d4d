//! Linux: the memory that the process uses, and whether that exceeds a limit of its interpreters.
//!
//! By hand: `procfs` and its two crates would replace two parsers of five lines.

use std::fs;

use crate::config::MemoryLimits;

pub const IS_KNOWN: bool = true;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    resident: u64,
    address: u64,
    anonymous: u64,
    own: u64,
    proportional: u64,
}

/// What is used now, as far as a limit asks for it: sums over all mappings take the kernel a while.
pub fn used(limits: &MemoryLimits) -> Option<Used> {
    let mut used = of_pages(&fs::read_to_string("/proc/self/statm").ok()?)?;
    if limits.own_bytes.is_some() || limits.proportional_bytes.is_some() {
        let sums = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
        used.proportional = field(&sums, "Pss:")?;
        used.own = field(&sums, "Private_Clean:")? + field(&sums, "Private_Dirty:")?;
    }
    Some(used)
}

fn of_pages(statm: &str) -> Option<Used> {
    let mut pages = statm.split_ascii_whitespace().map(str::parse::<u64>);
    let page = rustix::param::page_size() as u64;
    let address = pages.next()?.ok()? * page;
    let resident = pages.next()?.ok()? * page;
    let of_files = pages.next()?.ok()? * page;
    Some(Used {
        resident,
        address,
        anonymous: resident.saturating_sub(of_files),
        ..Used::default()
    })
}

/// A line such as `Pss:   1234 kB`, in bytes.
fn field(sums: &str, name: &str) -> Option<u64> {
    let line = sums.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Bytes resident, and of address space; zeros if /proc cannot be read.
pub fn of_this_process() -> (u64, u64) {
    used(&MemoryLimits::default()).map_or((0, 0), |used| (used.resident, used.address))
}

/// Bytes that no other process shares, and those with a share of what others share; zeros if they
/// are not known.
pub fn shares() -> (u64, u64) {
    let all = MemoryLimits {
        own_bytes: Some(0),
        ..MemoryLimits::default()
    };
    used(&all).map_or((0, 0), |used| (used.own, used.proportional))
}

/// Bytes resident that are no files': what interpreters take and give back, since all of them share
/// the libraries.
pub fn anonymous() -> Option<u64> {
    Some(used(&MemoryLimits::default())?.anonymous)
}

/// Which limit is exceeded, in words. A limit is one interpreter's share.
pub fn exceeded(limits: &MemoryLimits, used: &Used, interpreters: usize) -> Option<String> {
    let interpreters = u64::try_from(interpreters.max(1)).unwrap_or(u64::MAX);
    let rules = [
        (limits.resident_bytes, used.resident, "resident", "rss"),
        (limits.address_bytes, used.address, "of address space", "as"),
        (limits.own_bytes, used.own, "of its own", "uss"),
        (
            limits.proportional_bytes,
            used.proportional,
            "proportional",
            "pss",
        ),
    ];
    rules.into_iter().find_map(|(limit, used, kind, option)| {
        let limit = limit?;
        (used / interpreters > limit).then(|| {
            format!(
                "{} MB {kind} for {interpreters} x {} MB (--reload-on-{option})",
                used >> 20,
                limit >> 20
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_interpreters_share() {
        let limits = MemoryLimits {
            resident_bytes: Some(100 << 20),
            ..MemoryLimits::default()
        };
        let used = Used {
            resident: 390 << 20,
            address: 9000 << 20,
            ..Used::default()
        };
        assert_eq!(exceeded(&limits, &used, 4), None);
        let why = exceeded(&limits, &used, 3);
        assert_eq!(
            why.as_deref(),
            Some("390 MB resident for 3 x 100 MB (--reload-on-rss)")
        );
    }

    #[test]
    fn the_kernels_figures_are_read() {
        let all = MemoryLimits {
            own_bytes: Some(1),
            ..MemoryLimits::default()
        };
        let used = used(&all).expect("/proc is there");
        assert!(used.resident > 0 && used.address > used.resident);
        assert!(used.anonymous > 0 && used.anonymous < used.resident);
        assert!(used.own > 0 && used.proportional >= used.own);
        assert_eq!(
            field("Rss: 5 kB\nPss:       12 kB\n", "Pss:"),
            Some(12 * 1024)
        );
        assert_eq!(field("Rss: 5 kB\n", "Pss:"), None);
    }
}
