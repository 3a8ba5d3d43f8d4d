//! Settings of Python become [`PythonConfig`].

use std::path::PathBuf;

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;

use super::envdir::Variables;
use super::options;
use super::types::{OneShot, PythonConfig};
use crate::config::app::options as app;
use crate::config::app::target;
use crate::config::table::row::{Kind, OptionRow};
use crate::config::values::reader::path_of;
use crate::config::values::value;

impl Reader<'_> {
    pub(crate) fn python(&mut self) -> Result<PythonConfig, ConfigError> {
        let environment = self.environment()?;
        Ok(PythonConfig {
            path: self.python_path()?,
            virtualenv: self.path(&options::VIRTUALENV)?,
            no_site: self.flag(&options::NO_SITE),
            program_name: self.path(&options::PY_PROGRAMNAME)?,
            sys_executable: self.path(&options::PY_SYS_EXECUTABLE)?,
            optimize: self.small(&options::OPTIMIZE)?,
            lazy_imports: self.lazy_imports()?,
            argv: self.text(&options::PYARGV),
            environment_unset: environment.unset,
            environment_set: environment.set,
            plugins: target::plugins(self.raw),
            shared_imports: target::imports(self.raw, &options::SHARED_IMPORT)?,
            imports: target::imports(self.raw, &options::IMPORT)?,
            module_aliases: target::aliases(self.raw, &options::PYMODULE_ALIAS)?,
            post_module_aliases: target::aliases(self.raw, &options::POST_PYMODULE_ALIAS)?,
            stack_bytes: self.stack_bytes()?,
            tracebacker: self.path(&options::PY_TRACEBACKER)?,
            hides_uwsgi_module: self.flag(&options::NO_UWSGI_MODULE),
            one_shot: self.one_shot()?,
        })
    }

    /// `early-envdir`, `unenv` and `env`, `envdir`: the later the stronger, as in uWSGI.
    fn environment(&mut self) -> Result<Variables, ConfigError> {
        let mut variables = Variables::default();
        self.read_envdirs(&options::EARLY_ENVDIR, &mut variables)?;
        for name in self.texts(&options::UNENV) {
            variables.remove(name);
        }
        for setting in self.raw.all(&options::ENV) {
            match setting.text.as_str() {
                // An empty line of a file that `for-readline` reads.
                "" => {}
                name if !name.contains(['=', '\0']) => {
                    self.warn(setting, value::REMOVES);
                    variables.remove(name.to_owned());
                }
                text => variables
                    .set
                    .push(value::pair(text).map_err(|why| setting.error(why))?),
            }
        }
        self.read_envdirs(&options::ENVDIR, &mut variables)?;
        Ok(variables)
    }

    fn read_envdirs(&self, row: &OptionRow, to: &mut Variables) -> Result<(), ConfigError> {
        for setting in self.raw.all(row) {
            let folder = self.system.path(path_of(setting)?);
            to.read(&folder)
                .map_err(|why| setting.error(format_args!("cannot be read: {why}")))?;
        }
        Ok(())
    }

    /// Of several the one that was written last counts.
    fn one_shot(&mut self) -> Result<Option<OneShot>, ConfigError> {
        let mut found = Vec::new();
        for (row, one_shot) in [
            (
                &app::TEST_REQUEST,
                OneShot::TestRequest as fn(String) -> OneShot,
            ),
            (&options::TEST, OneShot::TestModule),
            (&options::PYRUN, |path| {
                OneShot::RunScript(PathBuf::from(path))
            }),
        ] {
            if let Some(setting) = self.raw.last(row) {
                if row.kind == Kind::Path {
                    path_of(setting)?;
                }
                found.push((setting, one_shot(setting.text.clone())));
            }
        }
        if self.flag(&options::PYTHON_VERSION)
            && let Some(setting) = self.raw.last(&options::PYTHON_VERSION)
        {
            found.push((setting, OneShot::PythonVersion));
        }
        if let Some(setting) = self.raw.last(&options::CHECK_EXTENSIONS) {
            let is_json = self.chosen(&options::CHECK_EXTENSIONS)? == 1;
            found.push((setting, OneShot::CheckExtensions { is_json }));
        }
        if let Some(setting) = self.raw.last(&options::EXTENSION_WORKER) {
            let one_shot = match self.chosen(&options::EXTENSION_WORKER)? {
                0 => OneShot::ScanExtensions,
                _ => OneShot::TryExtensions,
            };
            found.push((setting, one_shot));
        }
        found.sort_by_key(|(setting, _)| (setting.origin.layer, setting.origin.place));
        Ok(found.pop().map(|(_, one_shot)| one_shot))
    }

    fn lazy_imports(&mut self) -> Result<Option<bool>, ConfigError> {
        let row = &options::LAZY_IMPORTS;
        if self.raw.last(row).is_none() {
            return Ok(None);
        }
        Ok(Some(self.chosen(row)? == 0))
    }

    /// Kilobytes, as uWSGI counts them here.
    fn stack_bytes(&mut self) -> Result<Option<usize>, ConfigError> {
        let row = &options::THREADS_STACKSIZE;
        if self.raw.last(row).is_none() {
            return Ok(None);
        }
        let kilobytes: usize = self.small(row)?;
        Ok(Some(kilobytes.saturating_mul(1024)))
    }

    fn python_path(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let mut paths = Vec::new();
        for setting in self.raw.all(&options::PYTHONPATH) {
            let path = path_of(setting)?;
            let before = paths.len();
            if setting.text.contains(['*', '?', '[']) {
                // A pattern that is none, or that matches nothing, is a path as it stands.
                let found = self.system.glob(&setting.text);
                paths.extend(found.into_iter().flatten());
            }
            if paths.len() == before {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}
