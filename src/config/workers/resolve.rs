//! The part of the configuration that is about the number of interpreters in time, and its maker.

use super::options;
use super::types::{
    AutoscaleConfig, BusynessRules, CheaperAlgorithm, CheaperRules, IsolationCache,
    IsolationChoice, PollChoice, WorkersConfig,
};
use crate::config::error::ConfigError;
use crate::config::table::row::OptionRow;
use crate::config::values::reader::Reader;

impl Reader<'_> {
    pub(crate) fn workers(&mut self) -> Result<WorkersConfig, ConfigError> {
        let processes = self.count(&options::PROCESSES)?;
        Ok(WorkersConfig {
            processes,
            threads: self.count(&options::THREADS)?,
            isolation: self.isolation()?,
            isolation_cache: match self.path(&options::ISOLATION_CACHE)? {
                None => IsolationCache::OfUser,
                Some(path) if path.as_os_str() == "off" => IsolationCache::Off,
                Some(path) => IsolationCache::At(path),
            },
            scans_extensions: self.chosen(&options::EXTENSION_SCAN)? == 0,
            poll: self.poll()?,
            autoscale: self.autoscale(processes)?,
        })
    }

    fn isolation(&self) -> Result<IsolationChoice, ConfigError> {
        const CHOICES: [IsolationChoice; 4] = [
            IsolationChoice::Auto,
            IsolationChoice::OwnGil,
            IsolationChoice::SharedGil,
            IsolationChoice::Main,
        ];
        let chosen = self.chosen(&options::ISOLATION)?;
        Ok(CHOICES
            .get(chosen)
            .copied()
            .unwrap_or(IsolationChoice::Auto))
    }

    fn poll(&self) -> Result<PollChoice, ConfigError> {
        const CHOICES: [PollChoice; 3] =
            [PollChoice::Auto, PollChoice::Shared, PollChoice::Acceptor];
        let chosen = self.chosen(&options::POLL)?;
        Ok(CHOICES.get(chosen).copied().unwrap_or(PollChoice::Auto))
    }

    fn autoscale(&mut self, processes: usize) -> Result<AutoscaleConfig, ConfigError> {
        Ok(AutoscaleConfig {
            cheaper: self.cheaper(processes)?,
            cheap: self.flag(&options::CHEAP),
            idle: Some(self.seconds(&options::IDLE)?).filter(|idle| !idle.is_zero()),
            die_on_idle: self.flag(&options::DIE_ON_IDLE),
        })
    }

    fn cheaper(&mut self, processes: usize) -> Result<Option<CheaperRules>, ConfigError> {
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
                "invalid cheaper value: must be lower than processes, and {least} is not lower \
                 than {processes}"
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
                        "has to be higher than cheaper-rss-limit-soft, and {hard} is not higher \
                         than {soft}"
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(Some(CheaperRules {
            least,
            initial: self.initial(least, processes)?,
            step: self.count(&options::CHEAPER_STEP)?,
            overload: self.seconds(&options::CHEAPER_OVERLOAD)?,
            idle: self.seconds(&options::CHEAPER_IDLE)?,
            algorithm: self.algorithm()?,
            memory_soft,
            memory_hard,
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
                "{}: {initial} is not between cheaper ({least}) and processes ({processes}); \
                 {used} interpreters run at start",
                setting.place()
            ));
        }
        Ok(used)
    }

    fn algorithm(&mut self) -> Result<CheaperAlgorithm, ConfigError> {
        let busyness = self.busyness()?;
        let Some(setting) = self.raw.last(&options::CHEAPER_ALGO) else {
            return Ok(CheaperAlgorithm::Spare);
        };
        Ok(match setting.text.as_str() {
            "spare" => CheaperAlgorithm::Spare,
            "spare2" => CheaperAlgorithm::Spare2,
            "backlog" => CheaperAlgorithm::Backlog,
            "busyness" => CheaperAlgorithm::Busyness(busyness),
            "manual" => CheaperAlgorithm::Manual,
            other => {
                self.warnings.push(format!(
                    "{}: there is no cheaper algorithm '{other}', falling back to spare (there are \
                     spare, spare2, backlog, busyness and manual)",
                    setting.place()
                ));
                CheaperAlgorithm::Spare
            }
        })
    }

    fn busyness(&mut self) -> Result<BusynessRules, ConfigError> {
        let config = BusynessRules {
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
                    "cheaper-busyness-min is {} and cheaper-busyness-max is {}: the lower limit \
                     has to be the lower one",
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
