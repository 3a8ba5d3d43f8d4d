//! What must hold before the server starts, as far as it is configuration: plain values and their
//! maker. Pure.

use super::types::{Awaited, FileLock, StartConfig, WaitTarget};
use std::path::PathBuf;

use super::options;
use crate::config::error::ConfigError;
use crate::config::values::reader::{Reader, path_of};

impl Reader<'_> {
    pub(crate) fn start(&mut self) -> Result<StartConfig, ConfigError> {
        let locks = [
            (&options::FLOCK, false, false),
            (&options::FLOCK_WAIT, true, false),
            (&options::FLOCK2, false, true),
            (&options::FLOCK_WAIT2, true, true),
        ];
        let mut config = StartConfig {
            folder: self.path(&options::FORCE_CWD)?,
            nice: self.nice()?,
            fallback: self.path(&options::FALLBACK_CONFIG)?,
            ..StartConfig::default()
        };
        for (row, waits, is_late) in locks {
            config.locks.extend(self.path(row)?.map(|path| FileLock {
                path,
                waits,
                is_late,
                option: row.name,
            }));
        }
        let paths = [
            (
                &options::WAIT_FOR_FS,
                WaitTarget::Path as fn(PathBuf) -> WaitTarget,
            ),
            (&options::WAIT_FOR_FILE, WaitTarget::File),
            (&options::WAIT_FOR_DIR, WaitTarget::Folder),
            (&options::WAIT_FOR_MOUNTPOINT, WaitTarget::Mount),
        ];
        let timeout = self.seconds(&options::WAIT_FOR_INTERFACE_TIMEOUT)?;
        for setting in self.raw.all(&options::WAIT_FOR_INTERFACE) {
            let name = setting.text.clone();
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(
                    setting.error(format_args!("wants the name of an interface, got '{name}'"))
                );
            }
            config.awaited.push(Awaited {
                target: WaitTarget::Interface(name),
                timeout,
                option: options::WAIT_FOR_INTERFACE.name,
            });
        }
        let timeout = self.seconds(&options::WAIT_FOR_FS_TIMEOUT)?;
        for (row, target) in paths {
            for setting in self.raw.all(row) {
                config.awaited.push(Awaited {
                    target: target(path_of(setting)?),
                    timeout,
                    option: row.name,
                });
            }
        }
        let timeout = self.seconds(&options::WAIT_FOR_SOCKET_TIMEOUT)?;
        for setting in self.raw.all(&options::WAIT_FOR_SOCKET) {
            let address = &setting.text;
            let is_one = address.contains('/') || address.starts_with('@') || address.contains(':');
            if !is_one || address.contains('\0') {
                return Err(setting.error(format_args!(
                    "wants HOST:PORT or the path of a unix socket, got '{address}'"
                )));
            }
            config.awaited.push(Awaited {
                target: WaitTarget::Socket(address.clone()),
                timeout,
                option: options::WAIT_FOR_SOCKET.name,
            });
        }
        Ok(config)
    }

    fn nice(&self) -> Result<Option<i32>, ConfigError> {
        let Some(setting) = self.raw.last(&options::PRIO) else {
            return Ok(None);
        };
        match setting.text.trim().parse() {
            Ok(nice) if (-20..=19).contains(&nice) => Ok(Some(nice)),
            _ => Err(setting.error(format_args!(
                "wants a number from -20 to 19, got '{}'",
                setting.text
            ))),
        }
    }
}
