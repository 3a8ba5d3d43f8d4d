//! Raw settings of the process and its sockets become their part of the [`Config`](super::Config).
//!
//! The same rules as in `resolve`, which calls this: everything is checked here, once.

use std::path::PathBuf;

use super::hook;
use super::options;
use super::types::{
    Hook, HookAction, Phase, PidfileCommand, PidfileRequest, Principal, ProcessConfig,
    ProcessTitle, Supervise,
};
use crate::config::error::ConfigError;
use crate::config::readers::layers::Raw;
use crate::config::readers::layers::Setting;
use crate::config::start::options as start;
use crate::config::table::row::OptionRow;
use crate::config::values::reader::Reader;
use crate::config::values::value;

impl Reader<'_> {
    pub(crate) fn process(&mut self) -> Result<ProcessConfig, ConfigError> {
        Ok(ProcessConfig {
            reload_mercy: self.seconds(&options::RELOAD_MERCY)?,
            shutdown_delay: self.seconds(&options::SHUTDOWN_DELAY)?,
            once: self.flag(&options::ONCE),
            supervise: self.supervise()?,
            uid: self.principal(&options::UID)?,
            gid: self.principal(&options::GID)?,
            add_gid: self
                .raw
                .all(&options::ADD_GID)
                .iter()
                .map(principal)
                .collect::<Result<_, _>>()?,
            immediate_uid: self.principal(&options::IMMEDIATE_UID)?,
            immediate_gid: self.principal(&options::IMMEDIATE_GID)?,
            initgroups: !self.flag(&options::NO_INITGROUPS),
            umask: self.umask()?,
            daemonize: self.log_target(&options::DAEMONIZE)?,
            daemonize2: self.log_target(&options::DAEMONIZE2)?,
            pidfile: self.path(&options::PIDFILE)?,
            pidfile2: self.path(&options::PIDFILE2)?,
            safe_pidfile: self.path(&options::SAFE_PIDFILE)?,
            safe_pidfile2: self.path(&options::SAFE_PIDFILE2)?,
            procname: self.title(),
            cpu_affinity: self.optional_number(&options::CPU_AFFINITY)?,
            limit_as_bytes: self
                .optional_number::<u64>(&options::LIMIT_AS)?
                .map(|megabytes| megabytes.saturating_mul(1 << 20)),
            limit_nproc: self.optional_number(&options::LIMIT_NPROC)?,
            max_fd: self.optional_number(&options::MAX_FD)?,
            chdir2: self.path(&options::CHDIR2)?,
            exit_on_reload: self.flag(&options::EXIT_ON_RELOAD),
            hooks: self.hooks()?,
        })
    }

    fn supervise(&self) -> Result<Supervise, ConfigError> {
        let Some(setting) = self.raw.last(&options::SUPERVISE) else {
            return Ok(Supervise::Off);
        };
        let supervise = match setting.text.as_str() {
            "warm" => Supervise::Warm,
            text if !value::is_flag_word(text) => {
                return Err(setting.error(format_args!("wants on, off or warm, got '{text}'")));
            }
            text if value::flag(text).value => Supervise::On,
            _ => Supervise::Off,
        };
        if supervise != Supervise::Off && self.raw.last(&options::DAEMONIZE2).is_some() {
            return Err(setting.error(format_args!(
                "cannot be combined with --daemonize2, which waits for the server in the process \
                 that detaches: use --daemonize"
            )));
        }
        Ok(supervise)
    }

    fn principal(&self, row: &OptionRow) -> Result<Option<Principal>, ConfigError> {
        self.raw.last(row).map(principal).transpose()
    }

    /// One to four octal digits: unlike a mode of files, `22` is usual here.
    fn umask(&self) -> Result<Option<u32>, ConfigError> {
        let Some(setting) = self.raw.last(&options::UMASK) else {
            return Ok(None);
        };
        let digits = setting.text.trim();
        let is_octal = (1..=4).contains(&digits.len())
            && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        match u32::from_str_radix(digits, 8) {
            Ok(mask) if is_octal && mask <= 0o777 => Ok(Some(mask)),
            _ => Err(setting.error(format_args!(
                "wants mode bits such as 022, got '{}'",
                setting.text
            ))),
        }
    }

    fn title(&mut self) -> ProcessTitle {
        let mut prefix = self.text(&options::PROCNAME_PREFIX);
        if let Some(spaced) = self.text(&options::PROCNAME_PREFIX_SPACED) {
            prefix = Some(format!("{spaced} "));
        }
        ProcessTitle {
            title: self
                .text(&options::PROCNAME)
                .or_else(|| self.text(&options::PROCNAME_MASTER)),
            prefix: prefix.unwrap_or_default(),
            append: self.text(&options::PROCNAME_APPEND).unwrap_or_default(),
            automatic: self.flag(&options::AUTO_PROCNAME),
        }
    }

    fn hooks(&self) -> Result<Vec<Hook>, ConfigError> {
        let mut hooks = Vec::new();
        for setting in self.raw.all(&options::HOOK) {
            let (file, text) = if hook::phase(&setting.name) == Some(Phase::Touch) {
                let parts = setting.text.split_once(' ');
                let parts = parts.filter(|(file, _)| !file.is_empty() && !file.contains('\0'));
                let Some((file, action)) = parts else {
                    return Err(
                        setting.error(format_args!("wants FILE ACTION, got '{}'", setting.text))
                    );
                };
                (Some(PathBuf::from(file)), action.trim_start())
            } else {
                (None, setting.text.as_str())
            };
            let action = hook::action(text).map_err(|why| setting.error(why))?;
            let hook = hook_of(setting, action);
            hooks.extend(hook.map(|hook| Hook { file, ..hook }));
        }
        for setting in self.raw.all(&options::EXEC) {
            hooks.extend(hook_of(setting, HookAction::Exec(setting.text.clone())));
        }
        for setting in self.raw.all(&start::FILE_WRITE) {
            let (file, text) = value::pair(&setting.text).map_err(|why| setting.error(why))?;
            hooks.push(Hook {
                phase: Phase::AsRoot,
                action: HookAction::Write(PathBuf::from(file), text),
                file: None,
                origin: setting.place(),
            });
        }
        hooks.sort_by_key(|hook| hook.phase);
        Ok(hooks)
    }
}

fn hook_of(setting: &Setting, action: HookAction) -> Option<Hook> {
    Some(Hook {
        phase: hook::phase(&setting.name)?,
        action,
        file: None,
        origin: setting.place(),
    })
}

fn principal(setting: &Setting) -> Result<Principal, ConfigError> {
    if setting.text.is_empty() || setting.text.contains([':', '\0']) {
        return Err(setting.error(format_args!(
            "wants a name or a number, got '{}'",
            setting.text
        )));
    }
    Ok(hook::principal(&setting.text))
}

pub(crate) fn pidfile_command(raw: &Raw) -> Option<PidfileCommand> {
    let commands = [
        (&options::STOP, PidfileRequest::Stop),
        (&options::RELOAD, PidfileRequest::Reload),
        (&options::PAUSE, PidfileRequest::Pause),
    ];
    commands
        .into_iter()
        .filter(|(row, _)| row.has_effect())
        .find_map(|(row, request)| {
            Some(PidfileCommand {
                request,
                pidfile: raw.last(row)?.text.clone().into(),
            })
        })
}
