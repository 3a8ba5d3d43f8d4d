//! The part of the configuration that is about the number of interpreters in time, and its maker.

use std::time::Duration;

use super::options;
use crate::config::error::ConfigError;
use crate::config::resolve::Reader;
use crate::config::table::row::OptionRow;

/// When there are more interpreters, and when fewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdaptingConfig {
    /// `cheaper` and its family; `None`: there are always `processes` of them.
    pub cheaper: Option<CheaperConfig>,
    /// No interpreter before the first request (`cheap`).
    pub cheap: bool,
    /// Without a request for this long all interpreters are ended (`idle`).
    pub idle: Option<Duration>,
    /// Or the server stops (`die-on-idle`).
    pub die_on_idle: bool,
}

/// How the number of interpreters is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheaperConfig {
    /// The least number (`cheaper`): at least 1, and fewer than `processes`.
    pub least: usize,
    /// How many there are at start (`cheaper-initial`): from `least` to `processes`.
    pub initial: usize,
    /// How many more at once (`cheaper-step`).
    pub step: usize,
    /// How long there has to be too much work (`cheaper-overload`); for `backlog` a number of requests.
    pub overload: Duration,
    /// How long there has to be too little work for `spare2` (`cheaper-idle`).
    pub idle: Duration,
    /// What decides (`cheaper-algo`).
    pub algorithm: CheaperAlgorithm,
    /// Bytes of the process from which on none is started (`cheaper-rss-limit-soft`).
    pub memory_soft: Option<u64>,
    /// Bytes of the process from which on one is ended (`cheaper-rss-limit-hard`); more than the soft limit.
    pub memory_hard: Option<u64>,
    /// `cheaper-busyness-*`
    pub busyness: BusynessConfig,
}

/// What decides about the number of interpreters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheaperAlgorithm {
    /// `spare`
    Spare,
    /// `spare2`
    Spare2,
    /// `backlog`
    Backlog,
    /// `busyness`
    Busyness,
    /// `manual`
    Manual,
}

/// What can be set about `busyness`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusynessConfig {
    /// Percent of work below which there are too many (`cheaper-busyness-min`).
    pub percent_min: u64,
    /// Percent of work above which there are too few (`cheaper-busyness-max`).
    pub percent_max: u64,
    /// Rounds of little work before one is ended (`cheaper-busyness-multiplier`).
    pub multiplier: u64,
    /// Rounds that are added when one was ended too early (`cheaper-busyness-penalty`).
    pub penalty: u64,
    /// Log what is seen (`cheaper-busyness-verbose`).
    pub is_verbose: bool,
    /// Waiting requests above which interpreters are started at once (`cheaper-busyness-backlog-alert`).
    pub backlog_alert: usize,
    /// Rounds of little work before an extra one is ended (`cheaper-busyness-backlog-multiplier`).
    pub backlog_multiplier: u64,
    /// Interpreters that are started at once for waiting requests (`cheaper-busyness-backlog-step`).
    pub backlog_step: usize,
    /// How long any request may wait (`cheaper-busyness-backlog-nonzero`).
    pub backlog_nonzero: Duration,
}

impl Reader<'_> {
    pub(crate) fn adapting(&mut self, processes: usize) -> Result<AdaptingConfig, ConfigError> {
        Ok(AdaptingConfig {
            cheaper: self.cheaper(processes)?,
            cheap: self.flag(&options::CHEAP),
            idle: Some(self.seconds(&options::IDLE)?).filter(|idle| !idle.is_zero()),
            die_on_idle: self.flag(&options::DIE_ON_IDLE),
        })
    }

    fn cheaper(&mut self, processes: usize) -> Result<Option<CheaperConfig>, ConfigError> {
        // As in uWSGI, 0 turns it off.
        let Some(setting) = self.raw.last(&options::CHEAPER) else {
            return Ok(None);
        };
        let least: usize = self.count(&options::CHEAPER)?;
        if least == 0 {
            return Ok(None);
        }
        if least >= processes {
            return Err(setting.error(format_args!(
                "invalid cheaper value: must be lower than processes, and {least} is not lower than {processes}"
            )));
        }
        let memory_soft = self.bytes_limit(&options::CHEAPER_RSS_LIMIT_SOFT)?;
        let memory_hard = self.bytes_limit(&options::CHEAPER_RSS_LIMIT_HARD)?;
        if let (Some(setting), Some(hard)) =
            (self.raw.last(&options::CHEAPER_RSS_LIMIT_HARD), memory_hard)
        {
            match memory_soft {
                None => return Err(setting.error("wants cheaper-rss-limit-soft beside it")),
                Some(soft) if hard <= soft => {
                    return Err(setting.error(format_args!(
                        "has to be higher than cheaper-rss-limit-soft, and {hard} is not higher than {soft}"
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(Some(CheaperConfig {
            least,
            initial: self.initial(least, processes)?,
            step: self.count(&options::CHEAPER_STEP)?,
            overload: self.seconds(&options::CHEAPER_OVERLOAD)?,
            idle: self.seconds(&options::CHEAPER_IDLE)?,
            algorithm: self.algorithm(),
            memory_soft,
            memory_hard,
            busyness: self.busyness()?,
        }))
    }

    fn initial(&mut self, least: usize, processes: usize) -> Result<usize, ConfigError> {
        let Some(setting) = self.raw.last(&options::CHEAPER_INITIAL) else {
            return Ok(least);
        };
        let initial: usize = self.count(&options::CHEAPER_INITIAL)?;
        let used = initial.clamp(least, processes);
        if used != initial {
            self.warnings.push(format!(
                "{}: {initial} is not between cheaper ({least}) and processes ({processes}); {used} interpreters run at start",
                setting.place()
            ));
        }
        Ok(used)
    }

    fn algorithm(&mut self) -> CheaperAlgorithm {
        let Some(setting) = self.raw.last(&options::CHEAPER_ALGO) else {
            return CheaperAlgorithm::Spare;
        };
        match setting.text.as_str() {
            "spare" => CheaperAlgorithm::Spare,
            "spare2" => CheaperAlgorithm::Spare2,
            "backlog" => CheaperAlgorithm::Backlog,
            "busyness" => CheaperAlgorithm::Busyness,
            "manual" => CheaperAlgorithm::Manual,
            other => {
                self.warnings.push(format!(
                    "{}: there is no cheaper algorithm '{other}', falling back to spare (there are spare, spare2, backlog, busyness and manual)",
                    setting.place()
                ));
                CheaperAlgorithm::Spare
            }
        }
    }

    fn busyness(&mut self) -> Result<BusynessConfig, ConfigError> {
        let config = BusynessConfig {
            percent_min: self.number(&options::CHEAPER_BUSYNESS_MIN)?,
            percent_max: self.number(&options::CHEAPER_BUSYNESS_MAX)?,
            multiplier: self.number(&options::CHEAPER_BUSYNESS_MULTIPLIER)?,
            penalty: self.number(&options::CHEAPER_BUSYNESS_PENALTY)?,
            is_verbose: self.flag(&options::CHEAPER_BUSYNESS_VERBOSE),
            backlog_alert: self.count(&options::CHEAPER_BUSYNESS_BACKLOG_ALERT)?,
            backlog_multiplier: self.number(&options::CHEAPER_BUSYNESS_BACKLOG_MULTIPLIER)?,
            backlog_step: self.count(&options::CHEAPER_BUSYNESS_BACKLOG_STEP)?,
            backlog_nonzero: self.seconds(&options::CHEAPER_BUSYNESS_BACKLOG_NONZERO)?,
        };
        if config.percent_min > config.percent_max {
            let row = &options::CHEAPER_BUSYNESS_MIN;
            let setting = self.raw.last(row);
            let setting = setting.or_else(|| self.raw.last(&options::CHEAPER_BUSYNESS_MAX));
            if let Some(setting) = setting {
                return Err(setting.error(format_args!(
                    "cheaper-busyness-min is {} and cheaper-busyness-max is {}: the lower limit has to be the lower one",
                    config.percent_min, config.percent_max
                )));
            }
        }
        Ok(config)
    }

    /// 0 and nothing are no limit.
    fn bytes_limit(&mut self, row: &OptionRow) -> Result<Option<u64>, ConfigError> {
        match self.raw.last(row) {
            None => Ok(None),
            Some(_) => Ok(Some(self.number(row)?).filter(|bytes| *bytes > 0)),
        }
    }
}
