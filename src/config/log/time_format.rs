//! Formats of C's `strftime`. Pure.

/// A format of C's `strftime`, checked.
pub(crate) fn strftime(format: &str) -> Result<String, String> {
    let now = jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, jiff::tz::TimeZone::UTC);
    match jiff::fmt::strtime::format(format, &now) {
        Ok(_) => Ok(format.to_owned()),
        Err(error) => Err(format!("has a time format that cannot be used: {error}")),
    }
}
