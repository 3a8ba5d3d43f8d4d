//! Raw settings of reloads become their part of the [`Config`](super::Config).

use std::time::Duration;

use super::options;
use super::types::{
    CanaryStage, Exceptions, MemoryLimits, ParkedLimits, ProbeRules, Recycling, ReloadConfig,
    ReloadMode,
};
use crate::config::error::ConfigError;
use crate::config::table::row::OptionRow;
use crate::config::values::reader::Reader;
use crate::config::values::value;

impl Reader<'_> {
    pub(crate) fn reload(&mut self) -> Result<ReloadConfig, ConfigError> {
        Ok(ReloadConfig {
            mode: match self.chosen(&options::RELOAD_MODE)? {
                1 => ReloadMode::Rolling,
                2 => ReloadMode::Exec,
                _ => ReloadMode::Swap,
            },
            probe: self.probe()?,
            canary: self.canary()?,
            keep_previous: self.time(&options::KEEP_PREVIOUS)?,
            touch_rollback: self.paths(&options::TOUCH_ROLLBACK)?,
            touch: self.paths(&options::TOUCH_RELOAD)?,
            touch_chain: self.paths(&options::TOUCH_CHAIN_RELOAD)?,
            folders: self.paths(&options::FS_RELOAD)?,
            watches_modules: self.time(&options::PY_AUTORELOAD)?.is_some(),
            python_ignored: self.texts(&options::PY_AUTORELOAD_IGNORE),
            timeout: self.deadline(&options::RELOAD_TIMEOUT)?,
            recycling: Recycling {
                requests_max: self.limit(&options::MAX_REQUESTS)?,
                requests_delta: self.number(&options::MAX_REQUESTS_DELTA)?,
                lifetime_min: self.seconds(&options::MIN_WORKER_LIFETIME)?,
                lifetime_max: self.time(&options::MAX_WORKER_LIFETIME)?,
                lifetime_delta: self
                    .time(&options::MAX_WORKER_LIFETIME_DELTA)?
                    .unwrap_or_default(),
                exceptions: self.exceptions(),
            },
            memory: MemoryLimits {
                resident_bytes: self.megabytes(&options::RELOAD_ON_RSS)?,
                address_bytes: self.megabytes(&options::RELOAD_ON_AS)?,
                own_bytes: self.megabytes(&options::RELOAD_ON_USS)?,
                proportional_bytes: self.megabytes(&options::RELOAD_ON_PSS)?,
            },
            cgroup_percent: self.limit(&options::RELOAD_ON_CGROUP)?,
            parked: ParkedLimits {
                interpreters: self.limit(&options::MAX_PARKED_INTERPRETERS)?,
                bytes: self.megabytes(&options::MAX_PARKED_MEMORY)?,
            },
        })
    }

    fn probe(&mut self) -> Result<Option<ProbeRules>, ConfigError> {
        let timeout = self.deadline(&options::RELOAD_PROBE_TIMEOUT)?;
        let Some(setting) = self.raw.last(&options::RELOAD_PROBE) else {
            return Ok(None);
        };
        let (target, status) = probe_of(&setting.text).map_err(|why| setting.error(why))?;
        Ok(Some(ProbeRules {
            target,
            status,
            timeout,
        }))
    }

    fn canary(&mut self) -> Result<Vec<CanaryStage>, ConfigError> {
        match self.raw.last(&options::RELOAD_CANARY) {
            Some(setting) => stages(&setting.text).map_err(|why| setting.error(why)),
            None => Ok(Vec::new()),
        }
    }

    fn exceptions(&mut self) -> Option<Exceptions> {
        let is_any = self.flag(&options::RELOAD_ON_EXCEPTION);
        let rules = Exceptions {
            types: self.texts(&options::RELOAD_ON_EXCEPTION_TYPE),
            values: self.texts(&options::RELOAD_ON_EXCEPTION_VALUE),
            reprs: self.texts(&options::RELOAD_ON_EXCEPTION_REPR),
        };
        if is_any {
            return Some(Exceptions::default());
        }
        Some(rules).filter(|rules| *rules != Exceptions::default())
    }

    /// 0 and nothing are no limit.
    fn limit(&mut self, row: &OptionRow) -> Result<Option<u64>, ConfigError> {
        Ok(Some(self.number(row)?).filter(|limit| *limit > 0))
    }

    fn megabytes(&mut self, row: &OptionRow) -> Result<Option<u64>, ConfigError> {
        let limit = self.limit(row)?;
        Ok(limit.map(|megabytes| megabytes.saturating_mul(1 << 20)))
    }

    /// 0 and nothing are no time.
    fn time(&mut self, row: &OptionRow) -> Result<Option<Duration>, ConfigError> {
        match self.raw.last(row) {
            None => Ok(None),
            Some(_) => Ok(Some(self.seconds(row)?).filter(|time| !time.is_zero())),
        }
    }
}

/// `/healthz`, `/healthz,204`, `https://shop.example/healthz`.
fn probe_of(text: &str) -> Result<(String, Option<u16>), String> {
    let text = text.trim();
    let (target, status) = match text.rsplit_once(',') {
        Some((target, status)) if status.trim().bytes().all(|byte| byte.is_ascii_digit()) => {
            let status: u16 = status.trim().parse().unwrap_or_default();
            if !(200..=599).contains(&status) {
                return Err(format!(
                    "wants a status from 200 to 599 behind the comma, got '{text}'"
                ));
            }
            (target, Some(status))
        }
        _ => (text, None),
    };
    let is_url = target.starts_with("http://") || target.starts_with("https://");
    if !(target.starts_with('/') || is_url) || target.contains(char::is_whitespace) {
        return Err(format!(
            "wants a path ('/healthz') or a URL ('http://shop.example/healthz'), got '{text}'"
        ));
    }
    Ok((target.to_owned(), status))
}

/// `5%,60s`, `5%,1m,50%,5m`.
fn stages(text: &str) -> Result<Vec<CanaryStage>, String> {
    let bad = || format!("wants shares and times, as in 5%,60s or 5%,1m,50%,5m; got '{text}'");
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let stages = words.chunks(2).map(|stage| {
        let [share, time] = stage else {
            return Err(bad());
        };
        let share = share_of(share).ok_or_else(bad)?;
        let time = value::seconds(time).map_err(|_| bad())?.value;
        if time.is_zero() {
            return Err(format!("wants times that are not 0, got '{text}'"));
        }
        Ok(CanaryStage { share, time })
    });
    stages.collect()
}

/// `5%`, `0.25%`: of a million. More than nothing, and not more than everything.
fn share_of(text: &str) -> Option<u32> {
    let percent = text.strip_suffix('%')?.trim_end();
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 4 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100)?;
    let fraction: u32 = format!("{fraction:0<4}").parse().ok()?;
    Some(whole * 10_000 + fraction).filter(|share| (1..=1_000_000).contains(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_paths_or_urls() {
        let read = |text: &str| probe_of(text).map_err(|_| ());
        assert_eq!(read("/healthz"), Ok(("/healthz".to_owned(), None)));
        assert_eq!(read("/a?b=1,204"), Ok(("/a?b=1".to_owned(), Some(204))));
        assert_eq!(read("/a,b"), Ok(("/a,b".to_owned(), None)));
        let url = "https://shop.example/up";
        assert_eq!(read(url), Ok((url.to_owned(), None)));
        for wrong in ["", "healthz", "/a,99", "/a,1000", "/a,", "/a b", "ftp://a/"] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn canaries_have_shares_and_times() {
        let read = |text: &str| {
            let stages = stages(text).ok()?;
            let plain = |stage: &CanaryStage| (stage.share, stage.time.as_millis());
            Some(stages.iter().map(plain).collect::<Vec<_>>())
        };
        assert_eq!(read("5%,60s"), Some(vec![(50_000, 60_000)]));
        let two = Some(vec![(2_500, 500), (1_000_000, 300_000)]);
        assert_eq!(read("0.25%, 500ms, 100%, 5m"), two);
        for wrong in [
            "",
            "5%",
            "5,60",
            "60s,5%",
            "5%,60s,",
            "0%,60s",
            "101%,60s",
            "100.0001%,1s",
            "-5%,1s",
            "5%,0",
            "5%,x",
            "5.%5,1",
            "0.00001%,1s",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
