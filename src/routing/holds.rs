//! Whether a condition holds for one request. May ask the file system for the kind of a path.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::expand::{Values, number};
use super::language::condition::{Condition, OnePlace, TwoTexts};
use super::language::pattern::{Groups, TooManySteps};

/// `Some` if it holds, with the groups of its expression. Relative paths are meant from `folder`.
pub(super) fn holds(
    condition: &Condition,
    values: &Values<'_, '_>,
    folder: &Path,
    wants_groups: bool,
) -> Result<Option<Groups>, TooManySteps> {
    let is_true = match condition {
        Condition::One(OnePlace::Empty, text) => values.text(text).is_empty(),
        Condition::One(kind, place) => is_there(kind, &values.text(place), folder),
        Condition::Two(kind, left, right) => compare(kind, &values.text(left), &values.text(right)),
        Condition::Matches(subject, pattern) => {
            let subject = values.text(subject);
            if wants_groups {
                return pattern.groups(&subject);
            }
            pattern.is_match(&subject)?
        }
    };
    Ok(is_true.then(Groups::default))
}

fn compare(kind: &TwoTexts, left: &[u8], right: &[u8]) -> bool {
    match kind {
        TwoTexts::Equal => left == right,
        TwoTexts::StartsWith => left.starts_with(right),
        TwoTexts::EndsWith => left.ends_with(right),
        TwoTexts::Contains => memchr::memmem::find(left, right).is_some(),
        TwoTexts::Higher => number(left) > number(right),
        TwoTexts::HigherEqual => number(left) >= number(right),
        TwoTexts::Lower => number(left) < number(right),
        TwoTexts::LowerEqual => number(left) <= number(right),
        TwoTexts::Ipv4In => is_in::<Ipv4Addr>(left, right, 32),
        TwoTexts::Ipv6In => is_in::<Ipv6Addr>(left, right, 128),
    }
}

/// Whether an address is in `ADDRESS/BITS`.
fn is_in<A>(address: &[u8], network: &[u8], width: u32) -> bool
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let bits = |text: &str| -> Option<u128> {
        Some(match text.parse::<A>().ok()?.into() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        })
    };
    let found = || -> Option<bool> {
        let network = std::str::from_utf8(network).ok()?;
        let (network, prefix) = match network.split_once('/') {
            Some((network, prefix)) => (network, prefix.parse().ok()?),
            None => (network, width),
        };
        let beyond = width.checked_sub(prefix)?;
        let differs = bits(std::str::from_utf8(address).ok()?)? ^ bits(network)?;
        Some(differs.checked_shr(beyond).unwrap_or(0) == 0)
    };
    found().unwrap_or(false)
}

fn is_there(kind: &OnePlace, place: &[u8], folder: &Path) -> bool {
    let Some(path) = path(place) else {
        return false;
    };
    let path = folder.join(path);
    let metadata = match kind {
        OnePlace::Link => path.symlink_metadata(),
        _ => path.metadata(),
    };
    let Ok(metadata) = metadata else {
        return false;
    };
    match kind {
        OnePlace::Empty => false,
        OnePlace::Exists => true,
        OnePlace::File => metadata.is_file(),
        OnePlace::Folder => metadata.is_dir(),
        OnePlace::Link => metadata.is_symlink(),
        OnePlace::Executable => is_executable(&path),
    }
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    (!bytes.is_empty() && !bytes.contains(&0)).then(|| PathBuf::from(OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("exe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_networks() {
        let v4 = |address: &str, network: &str| {
            compare(&TwoTexts::Ipv4In, address.as_bytes(), network.as_bytes())
        };
        assert!(v4("10.1.2.3", "10.0.0.0/8"));
        assert!(v4("10.1.2.3", "10.1.2.3"));
        assert!(v4("8.8.8.8", "0.0.0.0/0"));
        assert!(!v4("11.1.2.3", "10.0.0.0/8"));
        assert!(!v4("10.1.2.3", "10.0.0.0/33"));
        assert!(!v4("::1", "10.0.0.0/8"));
        assert!(!v4("", ""));
        let v6 = |address: &str, network: &str| {
            compare(&TwoTexts::Ipv6In, address.as_bytes(), network.as_bytes())
        };
        assert!(v6("2001:db8::1", "2001:db8::/32"));
        assert!(v6("::1", "::/0"));
        assert!(!v6("2001:db9::1", "2001:db8::/32"));
    }
}
