//! How much memory the process has, as Linux counts it. Any thread.

/// Bytes resident, and of address space; zeros if /proc cannot be read.
pub fn of_this_process() -> (u64, u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut numbers = pages
        .split_ascii_whitespace()
        .map(|number| number.parse::<u64>().unwrap_or(0));
    let page = rustix::param::page_size() as u64;
    let all = numbers.next().unwrap_or(0);
    let resident = numbers.next().unwrap_or(0);
    (resident * page, all * page)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_has_some() {
        let (resident, all) = super::of_this_process();
        assert!(resident > 100_000 && all >= resident);
    }
}
